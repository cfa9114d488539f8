#include <gtest/gtest.h>
#include <openssl/bio.h>
#include <openssl/ssl.h>
#include <sys/socket.h>

#include <cstddef>
#include <functional>
#include <future>
#include <string>
#include <thread>

#include "service/guard/connection_guard.h"
#include "tests/support/guard_fixture.h"
#include "tests/support/tls_peers.h"

namespace leasegateway {
namespace {

// In place of gRPC: reads a descriptor by recvmsg into a BIO, and by SSL_read out of it.
class Decrypting {
 public:
  explicit Decrypting(int descriptor)
      : descriptor_(descriptor), context_(SSL_CTX_new(TLS_server_method())) {
    const Authority authority("serverAuth", {"127.0.0.1"});
    const auto made = authority.Good();
    BIO* pem = BIO_new_mem_buf(made.certificate.data(), static_cast<int>(made.certificate.size()));
    X509* certificate = PEM_read_bio_X509(pem, nullptr, nullptr, nullptr);
    SSL_CTX_use_certificate(context_.get(), certificate);
    X509_free(certificate);
    BIO_free(pem);
    pem = BIO_new_mem_buf(made.key.data(), static_cast<int>(made.key.size()));
    EVP_PKEY* key = PEM_read_bio_PrivateKey(pem, nullptr, nullptr, nullptr);
    SSL_CTX_use_PrivateKey(context_.get(), key);
    EVP_PKEY_free(key);
    BIO_free(pem);
    ssl_.reset(SSL_new(context_.get()));
    SSL_set_bio(ssl_.get(), BIO_new(BIO_s_mem()), BIO_new(BIO_s_mem()));
    SSL_set_accept_state(ssl_.get());
  }

  // Until the end, or `enough` bytes of text.
  void Read(std::size_t enough) {
    std::string wire;
    while (text_.size() < enough && Receive(descriptor_, wire) > 0) {
      BIO_write(SSL_get_rbio(ssl_.get()), wire.data(), static_cast<int>(wire.size()));
      char buffer[4096];
      int size = 0;
      while ((size = SSL_read(ssl_.get(), buffer, sizeof(buffer))) > 0) {
        text_.append(buffer, static_cast<std::size_t>(size));
      }
      failed_ = SSL_get_error(ssl_.get(), size) != SSL_ERROR_WANT_READ;
      if (failed_) return;
      Flush();
    }
  }

  void Write(const std::string& text) {
    SSL_write(ssl_.get(), text.data(), static_cast<int>(text.size()));
    Flush();
  }

  const std::string& text() const { return text_; }
  bool failed() const { return failed_; }

 private:
  void Flush() {
    char buffer[4096];
    int size = 0;
    while ((size = BIO_read(SSL_get_wbio(ssl_.get()), buffer, sizeof(buffer))) > 0) {
      send(descriptor_, buffer, static_cast<std::size_t>(size), MSG_NOSIGNAL);
    }
  }

  const int descriptor_;
  TlsContext context_;
  TlsSession ssl_;
  std::string text_;
  bool failed_ = false;
};

class GuardedTlsTest : public ConnectionGuardTest {
 protected:
  void ListenForTls() {
    ConnectionGuard::Options options;
    options.tls = true;
    Listen(options);
  }

  // Sends `text` in TLS over `descriptor`, as long as the other side takes it; then what `next`
  // gives.
  static void SendInTls(int descriptor, std::string text,
                        const std::function<std::string()>& next = nullptr) {
    const TlsContext context(SSL_CTX_new(TLS_client_method()));
    const TlsSession ssl(SSL_new(context.get()));
    SSL_set_fd(ssl.get(), descriptor);
    if (SSL_connect(ssl.get()) != 1) return;
    bool is_next = false;
    for (std::size_t sent = 0; sent < text.size();) {
      std::size_t size = 0;
      const std::size_t some = std::min<std::size_t>(text.size() - sent, 16'000);
      if (SSL_write_ex(ssl.get(), text.data() + sent, some, &size) != 1) return;
      sent += size;
      if (sent == text.size() && next && !is_next) {
        text = next();
        is_next = true;
        sent = 0;
      }
    }
  }
};

TEST_F(GuardedTlsTest, TextGoesThrough) {
  ListenForTls();
  const int peer = Dial();
  Decrypting server(Handed());
  const std::string text = Preface() + Pings(10);
  std::thread client([&] { SendInTls(peer, text); });
  server.Read(text.size());
  client.join();
  EXPECT_EQ(server.text(), text);
  EXPECT_EQ(guard_->stats().cut[IndexOf(CutReason::kIdleFrames)], 0);
}

TEST_F(GuardedTlsTest, OffenceInTlsEndsTheConnectionBeforeItIsRead) {
  ListenForTls();
  const int peer = Dial();
  Decrypting server(Handed());
  const std::string text = Preface() + Pings(20'000);
  std::thread client([&] { SendInTls(peer, text); });
  server.Read(text.size());
  EXPECT_TRUE(server.failed());
  EXPECT_LT(server.text().size(), text.size() / 2);
  EXPECT_TRUE(
      Eventually([this] { return guard_->stats().cut[IndexOf(CutReason::kIdleFrames)] == 1; }));
  shutdown(peer, SHUT_RDWR);
  client.join();
}

TEST_F(GuardedTlsTest, BytesThatAreNeverDecryptedEndTheConnection) {
  ListenForTls();
  const int peer = Dial();
  const int handed = Handed();
  std::thread client([&] {
    const std::string junk(1 << 20, '\x17');
    for (int i = 0; i < 20; ++i) send(peer, junk.data(), junk.size(), MSG_NOSIGNAL);
  });
  std::string got;
  std::size_t all = 0;
  ssize_t last = 0;
  while ((last = Receive(handed, got)) > 0) all += static_cast<std::size_t>(last);
  EXPECT_EQ(last, 0);
  EXPECT_LT(all, std::size_t{9} << 20);
  EXPECT_TRUE(
      Eventually([this] { return guard_->stats().cut[IndexOf(CutReason::kEmptyRecords)] == 1; }));
  client.join();
}

// Twice as many calls as there may be at once, the second half when the first has been answered.
TEST_F(GuardedTlsTest, WhatIsSentInTlsEndsCalls) {
  ListenForTls();
  const int peer = Dial();
  Decrypting server(Handed());
  const auto headers = [](unsigned from) {
    std::string calls;
    for (unsigned stream = from; stream < from + 2'000; stream += 2) {
      calls += std::string("\0\0\1\1\5\0\0", 7) + static_cast<char>(stream >> 8) +
               static_cast<char>(stream) + "h";
    }
    return calls;
  };
  const std::string first = Preface() + std::string("\0\0\0\4\1\0\0\0\0", 9) + headers(1);
  std::promise<void> answered;
  std::thread client([&] {
    SendInTls(peer, first, [&] {
      answered.get_future().wait();
      return headers(2'001);
    });
  });
  server.Read(first.size());
  server.Write(headers(1));  // of an answer that has no more
  answered.set_value();
  server.Read(first.size() + 10'000);
  client.join();
  EXPECT_FALSE(server.failed());
  EXPECT_EQ(server.text().size(), first.size() + 10'000);
  EXPECT_EQ(guard_->stats().cut[IndexOf(CutReason::kTooManyCalls)], 0);
}

// Else only one of the two would be seen.
TEST_F(GuardedTlsTest, ClientHelloOfAnotherConnectionIsCut) {
  ListenForTls();
  const std::string hello = std::string("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 11) +
                            std::string(32, 'r') + std::string(100, '\0');
  std::string got;
  const int first = Dial();
  const int first_handed = Handed();
  send(first, hello.data(), hello.size(), MSG_NOSIGNAL);
  EXPECT_GT(Receive(first_handed, got), 0);
  const int second = Dial();
  const int second_handed = Handed();
  send(second, hello.data(), hello.size(), MSG_NOSIGNAL);
  Receive(second_handed, got);
  EXPECT_TRUE(
      Eventually([this] { return guard_->stats().cut[IndexOf(CutReason::kEmptyRecords)] == 1; }));
  EXPECT_EQ(guard_->stats().connections, 1);
}

}  // namespace
}  // namespace leasegateway
