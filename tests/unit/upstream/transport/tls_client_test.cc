#include "upstream/transport/tls_client.h"

#include <gtest/gtest.h>
#include <openssl/bio.h>

#include <string>

#include "tests/support/tls_peers.h"

namespace leasegateway {
namespace {

// Both ends of TLS in memory. The server sends no tickets.
class TlsClientTest : public testing::Test {
 protected:
  TlsClientTest() {
    BIO* one = nullptr;
    BIO* other = nullptr;
    BIO_new_bio_pair(&one, 0, &other, 0);
    SSL_set_bio(client_.get(), one, one);
    SSL_set_bio(server_.get(), other, other);
    SSL_set_connect_state(client_.get());
    SSL_set_accept_state(server_.get());
    for (int i = 0; i < 10; ++i) {
      SSL_do_handshake(client_.get());
      SSL_do_handshake(server_.get());
    }
    EXPECT_EQ(SSL_is_init_finished(client_.get()), 1);
  }
  static SSL_CTX* MakeServerContext() {
    SSL_CTX* const context = SSL_CTX_new(TLS_server_method());
    Use(context, Authority("serverAuth", {"localhost"}).Good());
    SSL_CTX_set_num_tickets(context, 0);
    return context;
  }
  void Read(std::size_t size) {
    std::string buffer(size, ' ');
    EXPECT_EQ(SSL_read(client_.get(), buffer.data(), static_cast<int>(size)),
              static_cast<int>(size));
  }

  const TlsContext server_context_{MakeServerContext()};
  const TlsContext client_context_{SSL_CTX_new(TLS_client_method())};
  const TlsSession server_{SSL_new(server_context_.get())};
  const TlsSession client_{SSL_new(client_context_.get())};
};

TEST_F(TlsClientTest, WhatNobodyHasReadIsSeen) {
  EXPECT_FALSE(HasUnread(client_.get()));
  SSL_write(server_.get(), "first", 5);
  SSL_write(server_.get(), "second", 6);
  EXPECT_TRUE(HasUnread(client_.get()));
  Read(2);
  EXPECT_TRUE(HasUnread(client_.get()));
  Read(3);
  EXPECT_TRUE(HasUnread(client_.get())) << "a record that has not been looked at";
  Read(2);
  EXPECT_TRUE(HasUnread(client_.get())) << "a part of a record";
  Read(4);
  EXPECT_FALSE(HasUnread(client_.get()));
  SSL_shutdown(server_.get());
  EXPECT_TRUE(HasUnread(client_.get())) << "a good-bye";
}

}  // namespace
}  // namespace leasegateway
