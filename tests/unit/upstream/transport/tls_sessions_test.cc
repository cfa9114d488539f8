#include "upstream/transport/tls_sessions.h"

#include <gtest/gtest.h>

#include <chrono>
#include <memory>
#include <string>
#include <utility>

#include "tests/support/https_client_fixture.h"
#include "tests/support/many_connections.h"

namespace leasegateway {
namespace {

using std::chrono::minutes;
using std::chrono::seconds;
using SystemClock = std::chrono::system_clock;

class TlsSessionsTest : public HttpsClientTest {
 protected:
  void Serve(const ManyConnectionsServer::Options& options = {}) {
    server_ = std::make_unique<ManyConnectionsServer>(options);
    tls_ = Trusting(server_->ca());
  }
  // Connects and gets an answer, so that all tickets have come.
  absl::Status Connect() { return ConnectWith(tls_); }
  absl::Status ConnectWith(const std::shared_ptr<boost::asio::ssl::context>& tls) {
    const auto dialer = DialerTo({Loopback(server_->port())});
    const auto connection = NewConnection(tls);
    auto status = Await(connection->Connect(*dialer, Soon()));
    if (status.ok()) {
      EXPECT_EQ(Get(*connection).failure, HttpsConnection::Result::Failure::kNone);
    }
    return status;
  }
  std::optional<TlsSessions::Entry> Take(SystemClock::duration later = seconds(0)) {
    return TlsSessions::Of(tls_->native_handle())->Take("localhost", SystemClock::now() + later);
  }
  void Put(TlsSessions::Entry entry) {
    TlsSessions::Of(tls_->native_handle())->Add("localhost", std::move(entry));
  }
  // Connections of this process that went on with a session.
  int resumed() const { return static_cast<int>(options_.handshakes->resumed); }

  std::unique_ptr<ManyConnectionsServer> server_;
  std::shared_ptr<boost::asio::ssl::context> tls_;
};

TEST_F(TlsSessionsTest, NextConnectionGoesOnWithASession) {
  for (const int version : {TLS1_2_VERSION, TLS1_3_VERSION}) {
    Serve({.newest_tls = version});
    const int before = resumed();
    for (int i = 0; i < 4; ++i) EXPECT_TRUE(Connect().ok());
    EXPECT_EQ(server_->full(), 1) << version;
    EXPECT_EQ(server_->resumed(), 3) << version;
    EXPECT_EQ(resumed() - before, 3);
  }
  EXPECT_EQ(options_.handshakes->full, 2u);
  EXPECT_EQ(options_.handshakes->failed, 0u);
}

// RFC 8446, appendix C.4.
TEST_F(TlsSessionsTest, TicketOfTls13IsUsedOnce) {
  Serve();
  ASSERT_TRUE(Connect().ok());
  const auto one = Take(), other = Take();
  ASSERT_TRUE(one && other) << "OpenSSL gives two";
  EXPECT_NE(one->session, other->session);
  EXPECT_FALSE(Take());
}

TEST_F(TlsSessionsTest, SessionOfTls12IsUsedAgain) {
  Serve({.newest_tls = TLS1_2_VERSION});
  ASSERT_TRUE(Connect().ok());
  const auto one = Take(), other = Take();
  ASSERT_TRUE(one && other);
  EXPECT_EQ(one->session, other->session);
}

TEST_F(TlsSessionsTest, RefusedTicketLeadsToAFullHandshake) {
  for (const int version : {TLS1_2_VERSION, TLS1_3_VERSION}) {
    Serve({.newest_tls = version});
    ASSERT_TRUE(Connect().ok());
    server_->ForgetTickets();
    EXPECT_TRUE(Connect().ok());
    EXPECT_EQ(server_->full(), 2);
    EXPECT_TRUE(Connect().ok());
    EXPECT_EQ(server_->resumed(), 1) << "with the new one's";
  }
}

TEST_F(TlsSessionsTest, ServerWithoutTicketsIsShakenHandsWithAnew) {
  Serve({.tickets = false});
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(Connect().ok());
  EXPECT_EQ(server_->full(), 3);
}

TEST_F(TlsSessionsTest, AnotherCertificateIsVerifiedAlthoughThereIsASession) {
  Serve();
  ASSERT_TRUE(Connect().ok());
  server_->Show(server_->authority().ForAnotherHost());
  const auto refused = Connect();
  EXPECT_EQ(ReasonOf(refused), reason::kUpstreamTls) << refused;
  EXPECT_EQ(options_.handshakes->failed, 1u);
}

// A resumed handshake verifies nothing, so the name must be the one of before.
TEST_F(TlsSessionsTest, SessionServesForNoOtherName) {
  for (const char* const host : {"elsewhere.example", "127.0.0.1"}) {
    Serve();
    options_.host = "localhost";
    ASSERT_TRUE(Connect().ok());
    options_.host = host;
    const auto refused = Connect();
    EXPECT_EQ(ReasonOf(refused), reason::kUpstreamTls) << refused;
    EXPECT_EQ(server_->resumed(), 0);
  }
}

TEST_F(TlsSessionsTest, SessionServesForNoOtherTrust) {
  Serve();
  ASSERT_TRUE(Connect().ok());
  const ManyConnectionsServer other;
  const auto refused = ConnectWith(Trusting(other.ca()));
  EXPECT_EQ(ReasonOf(refused), reason::kUpstreamTls) << refused;
  EXPECT_EQ(server_->resumed(), 0);
}

TEST_F(TlsSessionsTest, HandshakeThatFailsTakesTheSessionsWithIt) {
  Serve();
  ASSERT_TRUE(Connect().ok());
  ASSERT_TRUE(Connect().ok());  // takes one and brings two
  server_->Show(server_->authority().SelfSigned());
  ASSERT_FALSE(Connect().ok());
  EXPECT_FALSE(Take());
}

// RFC 8446, 4.6.1: sessions beget sessions, but the certificate is to be seen from time to time.
TEST_F(TlsSessionsTest, CertificateIsVerifiedAnewEachHour) {
  Serve();
  ASSERT_TRUE(Connect().ok());
  auto session = Take(TlsSessions::kVerifyInterval - minutes(1));
  ASSERT_TRUE(session);
  EXPECT_FALSE(Take(TlsSessions::kVerifyInterval));
  session->verified -= minutes(50);
  Put(*std::move(session));
  ASSERT_TRUE(Connect().ok());
  EXPECT_EQ(server_->resumed(), 1);
  // Those of the resumed connection are as old.
  EXPECT_FALSE(Take(minutes(11)));
}

TEST_F(TlsSessionsTest, SessionOfTheFutureIsNotUsed) {
  Serve();
  ASSERT_TRUE(Connect().ok());
  EXPECT_FALSE(Take(-minutes(1))) << "the clock was set back";
}

TEST_F(TlsSessionsTest, SessionEndsWithItsCertificate) {
  Serve();
  server_->Show(Make({.common_name = "leaf", .names = {"localhost"}, .not_after = minutes(10)},
                     &server_->authority().root));
  ASSERT_TRUE(Connect().ok());
  EXPECT_TRUE(Take(minutes(9)));
  EXPECT_FALSE(Take(minutes(11)));
}

TEST_F(TlsSessionsTest, NoMoreAreKeptThanAreOfUse) {
  Serve();
  ASSERT_TRUE(Connect().ok());
  const auto session = Take();
  ASSERT_TRUE(session);
  for (std::size_t i = 0; i < TlsSessions::kSessionsPerName + 9; ++i) {
    SSL_SESSION_up_ref(session->session.get());
    Put({TlsSessions::Session(session->session.get()), session->verified});
  }
  std::size_t kept = 0;
  while (Take()) ++kept;
  EXPECT_EQ(kept, TlsSessions::kSessionsPerName);
}

}  // namespace
}  // namespace leasegateway
