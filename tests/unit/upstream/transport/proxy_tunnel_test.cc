// Tunnels through a proxy that says what the test wants, to a real server behind it.

#include "upstream/transport/proxy_tunnel.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/strand.hpp>
#include <chrono>
#include <cstdint>
#include <exception>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "tests/support/https_client_fixture.h"
#include "tests/support/many_connections.h"
#include "tests/support/raw_proxy.h"
#include "upstream/upstream_error.h"

namespace leasegateway {
namespace {

namespace asio = boost::asio;
using std::chrono::milliseconds;
using testing::AllOf;
using testing::HasSubstr;
using testing::Not;
using Then = RawProxy::Then;

class ProxyTunnelTest : public HttpsClientTest {
 protected:
  ProxyTunnelTest() {
    proxy_.address.host = "proxy.corp";
    proxy_.address.port = "3128";
    options_.proxy = std::shared_ptr<const Proxy>(std::shared_ptr<void>(), &proxy_);
  }
  static std::string TargetOf(const ManyConnectionsServer& server) {
    return "localhost:" + std::to_string(server.port());
  }
  // The proxy's name has these addresses.
  std::unique_ptr<Dialer> DialerThrough(Endpoints addresses) {
    return std::make_unique<Dialer>(
        io_.get_executor(),
        Dialer::Options{.host = options_.host,
                        .port = std::to_string(server_.port()),
                        .lookup = [addresses](Deadline) { return Found(addresses); },
                        .proxy = options_.proxy,
                        .resolve_timeout = resolve_timeout_,
                        .connect_timeout = connect_timeout_,
                        .handshake_timeout = options_.handshake_timeout,
                        .phases = options_.phases});
  }
  // A new connection through the proxy, and a request over it.
  absl::Status Try(Dialer& dialer) {
    const auto connection = NewConnection(tls_);
    auto status = Await(connection->Connect(dialer, Soon()));
    if (status.ok()) {
      EXPECT_EQ(Get(*connection).failure, HttpsConnection::Result::Failure::kNone);
    }
    return status;
  }
  absl::Status Try() { return Try(*DialerThrough({Loopback(raw_.port())})); }
  absl::Status TryWith(std::string answer, Then then = Then::kEnd) {
    raw_.Say({std::move(answer), then});
    return Try();
  }

  ManyConnectionsServer server_;
  RawProxy raw_{server_.port()};
  const std::shared_ptr<asio::ssl::context> tls_ = Trusting(server_.ca());
  milliseconds resolve_timeout_{5'000};
  milliseconds connect_timeout_{5'000};
  Proxy proxy_;
};

TEST_F(ProxyTunnelTest, AsksForTheProvidersNameAndNothingElse) {
  ASSERT_TRUE(Try().ok());
  EXPECT_EQ(raw_.requests(),
            std::vector<std::string>{"CONNECT " + TargetOf(server_) +
                                     " HTTP/1.1\r\nHost: " + TargetOf(server_) + "\r\n\r\n"});
  EXPECT_EQ(server_.full(), 1);
}

TEST_F(ProxyTunnelTest, Ipv6LiteralHasBrackets) {
  options_.host = "::1";
  Try().IgnoreError();
  EXPECT_THAT(raw_.requests().at(0), HasSubstr("CONNECT [::1]:"));
}

TEST_F(ProxyTunnelTest, CredentialsAreAskedForEachTime) {
  std::vector<std::string> passwords = {"user:one", "user:two"};
  proxy_.credentials = [&passwords] {
    std::string next = passwords.front();
    passwords.erase(passwords.begin());
    return next;
  };
  ASSERT_TRUE(Try().ok());
  ASSERT_TRUE(Try().ok());
  EXPECT_THAT(raw_.requests().at(0), HasSubstr("\r\nProxy-Authorization: Basic dXNlcjpvbmU=\r\n"));
  EXPECT_THAT(raw_.requests().at(1), HasSubstr("\r\nProxy-Authorization: Basic dXNlcjp0d28=\r\n"));
}

TEST_F(ProxyTunnelTest, CredentialsThatCantBeReadAreItsError) {
  proxy_.credentials = []() -> absl::StatusOr<std::string> {
    return absl::NotFoundError("upstream_proxy_credentials_file: gone");
  };
  const auto status = Try();
  EXPECT_EQ(ReasonOf(status), reason::kUpstreamProxy);
  EXPECT_THAT(std::string(status.message()), HasSubstr("upstream_proxy_credentials_file: gone"));
  EXPECT_TRUE(raw_.requests().empty());
}

TEST_F(ProxyTunnelTest, AnswersThatMakeATunnel) {
  std::string interim;
  for (int i = 0; i < 16; ++i) interim += "HTTP/1.1 102 Processing\r\nx: y\r\n\r\n";
  const std::vector<std::string> answers = {
      "HTTP/1.1 200 Connection established\r\n\r\n",
      "HTTP/1.0 200 Connection established\r\nProxy-agent: tinyproxy/1.11.1\r\n\r\n",
      "HTTP/1.1 200 \r\n\r\n",
      "HTTP/1.1 204 No Content\r\n\r\n",
      "HTTP/1.1 299 Something\r\n\r\n",
      // RFC 9110, 9.3.6: a client ignores both of a successful answer.
      "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n",
      "HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n",
      "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
      "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n",
      "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n\r\n",
      interim + "HTTP/1.1 200 OK\r\n\r\n",
      "HTTP/1.1 200 OK\r\nx: " + std::string(15'000, 'y') + "\r\n\r\n",
  };
  for (const auto& answer : answers) {
    const auto status = TryWith(answer, Then::kTunnel);
    EXPECT_TRUE(status.ok()) << answer << status;
  }
}

TEST_F(ProxyTunnelTest, AnswersThatMakeNone) {
  std::string interim;
  for (int i = 0; i < 17; ++i) interim += "HTTP/1.1 102 Processing\r\n\r\n";
  struct Row {
    std::string answer;
    Then then;
    std::string says;
  };
  const std::vector<Row> rows = {
      {"HTTP/1.1 403 Forbidden\r\nX-Squid-Error: ERR_ACCESS_DENIED 0\r\n\r\n<html>PAGE",
       Then::kHang, "it answered 403 Forbidden (ERR_ACCESS_DENIED 0)"},
      {"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 100\r\n\r\n", Then::kHang,
       "it answered 502 Bad Gateway"},
      {"HTTP/1.1 503 \r\n\r\n", Then::kEnd, "it answered 503"},
      {"HTTP/1.1 302 Found\r\nLocation: http://login/PAGE\r\n\r\n", Then::kEnd,
       "it answered 302 Found"},
      {"HTTP/1.1 101 Switching Protocols\r\n\r\n", Then::kHang, "it answered 101"},
      {interim, Then::kHang, "it answered 102"},
      {"HTTP/1.1 403 For\xc3\xa9\xff" + std::string(200, 'x') + "\r\n\r\n", Then::kEnd,
       "it answered 403 For???" + std::string(74, 'x')},
      {"HTTP/1.1 200 OK\r\n\r\nPAGE", Then::kHang, "its answer 200 has 4 bytes behind it"},
      {"SSH-2.0-OpenSSH_9.2\r\n", Then::kHang, "its answer is not HTTP: "},
      // TLS speaks there.
      {std::string("\x15\x03\x01\x00\x02\x02\x46", 7), Then::kEnd,
       "it closed the connection before it had answered"},
      {"HTTP/1.1 200 OK\r\nx: " + std::string(20'000, 'y'), Then::kHang,
       "its answer's header is larger than 16384 bytes"},
      {"", Then::kEnd, "it closed the connection before it had answered"},
      {"HTTP/1.1 200 O", Then::kEnd, "it closed the connection before it had answered"},
      {"", Then::kReset, "Connection reset by peer"},
  };
  for (const Row& row : rows) {
    const auto status = TryWith(row.answer, row.then);
    EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable) << row.answer;
    EXPECT_EQ(ReasonOf(status), reason::kUpstreamProxy) << row.answer;
    EXPECT_EQ(MetadataOf(status)["request_sent"], "false");
    EXPECT_EQ(MetadataOf(status)["proxy"], "http://proxy.corp:3128");
    EXPECT_TRUE(RetryDelayOf(status));
    EXPECT_THAT(std::string(status.message()),
                AllOf(HasSubstr("a tunnel to " + TargetOf(server_) +
                                " through the proxy http://proxy.corp:3128 failed: " + row.says),
                      Not(HasSubstr("PAGE")), Not(HasSubstr(std::string(80, 'x')))))
        << row.answer;
  }
  EXPECT_EQ(server_.full() + server_.resumed(), 0);
}

TEST_F(ProxyTunnelTest, ChallengeSaysWhatToDo) {
  struct Row {
    std::string challenges;
    std::string says;
  };
  const std::vector<Row> rows = {
      {"Proxy-Authenticate: Basic realm=\"a, Digest b\"\r\n", "it wants credentials: set"},
      {"Proxy-Authenticate: Negotiate\r\nProxy-Authenticate: NTLM\r\n",
       "it asks for Negotiate, NTLM, and the gateway has Basic alone"},
      {"Proxy-Authenticate: Negotiate, basic realm=\"x\"\r\n", "it wants credentials: set"},
      {"", "it wants credentials: set upstream_proxy_credentials_file"},
  };
  for (const Row& row : rows) {
    const auto status = TryWith("HTTP/1.1 407 Proxy Authentication Required\r\n" + row.challenges +
                                "Content-Length: 10\r\n\r\n");
    EXPECT_THAT(std::string(status.message()), HasSubstr(row.says)) << row.challenges;
    EXPECT_EQ(MetadataOf(status)["proxy_status"], "407");
  }
  proxy_.credentials = [] { return std::string("user:secret"); };
  const auto status = TryWith("HTTP/1.1 407 dXNlcjpzZWNyZXQ\r\n\r\n");
  EXPECT_THAT(
      std::string(status.message()),
      HasSubstr("it does not take the credentials: look at upstream_proxy_credentials_file"));
}

TEST_F(ProxyTunnelTest, SchemesOfAChallenge) {
  const std::vector<std::pair<std::string, std::string>> rows = {
      {"Basic", "Basic"},
      {"Basic realm=\"a, NTLM, Digest b, c\"", "Basic"},
      {"Basic realm=\"x\"", "Basic"},
      {"Digest realm=\"a, b\", nonce=\"NTLM \\\", c\", qop=auth", "Digest"},
      {"Negotiate, NTLM,Basic realm = x", "Negotiate, NTLM, Basic"},
      {"Negotiate YII=, Basic charset=\"UTF-8\"", "Negotiate, Basic"},
      {"", ""},
      {"=, ,,\"", ""},
  };
  for (const auto& [challenges, schemes] : rows) EXPECT_EQ(AuthSchemes(challenges), schemes);
}

TEST_F(ProxyTunnelTest, HangEndsInTime) {
  resolve_timeout_ = connect_timeout_ = milliseconds(50);
  EXPECT_THAT(std::string(TryWith("", Then::kHang).message()),
              HasSubstr("it has not answered within 100 ms"));
  EXPECT_THAT(std::string(TryWith("HTTP/1.1 100 Continue\r\n\r\n", Then::kHang).message()),
              HasSubstr("it has not answered within 100 ms"));
  resolve_timeout_ = connect_timeout_ = milliseconds(5'000);
  EXPECT_TRUE(TryWith("HTTP/1.1 200 OK\r\n\r\n", Then::kTunnel).ok());
}

TEST_F(ProxyTunnelTest, CancellationEndsAHang) {
  resolve_timeout_ = connect_timeout_ = std::chrono::minutes(10);
  raw_.Say({"", Then::kHang});
  const auto dialer = DialerThrough({Loopback(raw_.port())});
  const auto connection = NewConnection(tls_);
  const auto strand = asio::make_strand(io_);
  asio::cancellation_signal signal;
  std::optional<absl::Status> result;
  asio::co_spawn(
      strand, connection->Connect(*dialer, Deadline::max()),
      asio::bind_cancellation_slot(
          signal.slot(), [&](const std::exception_ptr&, absl::Status status) { result = status; }));
  asio::steady_timer timer(strand);
  io_.restart();
  while (raw_.requests().empty()) {
    timer.expires_after(milliseconds(10));
    timer.async_wait([](const boost::system::error_code&) {});
    io_.run_one();
  }
  asio::post(strand, [&] { signal.emit(asio::cancellation_type::terminal); });
  while (!result) io_.run_one();
  EXPECT_EQ(result->code(), absl::StatusCode::kCancelled) << *result;
}

TEST_F(ProxyTunnelTest, AddressThatCantMakeATunnelIsTriedLast) {
  const std::vector<RawProxy::Answer> unsound = {{"HTTP/1.1 502 Bad Gateway\r\n\r\n", Then::kEnd},
                                                 {"", Then::kEnd},
                                                 {"nonsense\r\n\r\n", Then::kEnd},
                                                 // It dies behind its answer.
                                                 {"HTTP/1.1 200 OK\r\n\r\n", Then::kEnd}};
  for (const auto& answer : unsound) {
    RawProxy other(server_.port(), "127.0.0.2");
    const auto dialer =
        DialerThrough({Loopback(raw_.port()), {asio::ip::make_address("127.0.0.2"), other.port()}});
    raw_.Say(answer);
    EXPECT_FALSE(Try(*dialer).ok()) << answer.bytes;
    EXPECT_TRUE(Try(*dialer).ok()) << answer.bytes;
  }
}

TEST_F(ProxyTunnelTest, RefusalIsThatOfAllItsAddresses) {
  for (const char* status : {"403 Forbidden", "407 Proxy Authentication Required"}) {
    RawProxy other(server_.port(), "127.0.0.2");
    const auto dialer =
        DialerThrough({Loopback(raw_.port()), {asio::ip::make_address("127.0.0.2"), other.port()}});
    raw_.Say({std::string("HTTP/1.1 ") + status + "\r\n\r\n", Then::kEnd});
    EXPECT_FALSE(Try(*dialer).ok());
    EXPECT_FALSE(Try(*dialer).ok());
    EXPECT_TRUE(other.requests().empty());
  }
}

TEST_F(ProxyTunnelTest, ProvidersCertificateSaysNothingOfTheProxy) {
  RawProxy other(server_.port(), "127.0.0.2");
  const auto dialer =
      DialerThrough({Loopback(raw_.port()), {asio::ip::make_address("127.0.0.2"), other.port()}});
  server_.Show(server_.authority().ForAnotherHost());
  for (int i = 0; i < 2; ++i) {
    const auto status = Try(*dialer);
    EXPECT_EQ(ReasonOf(status), reason::kUpstreamTls);
    EXPECT_THAT(std::string(status.message()),
                HasSubstr("the TLS handshake with localhost through the proxy "
                          "http://proxy.corp:3128 failed: the provider's certificate was refused"));
  }
  EXPECT_TRUE(other.requests().empty());
}

TEST_F(ProxyTunnelTest, ProxyThatDiesBehindItsAnswerIsNamed) {
  const auto status = TryWith("HTTP/1.1 200 OK\r\n\r\n", Then::kEnd);
  EXPECT_EQ(ReasonOf(status), reason::kUpstreamTls);
  EXPECT_THAT(std::string(status.message()), HasSubstr("through the proxy http://proxy.corp:3128"));
}

TEST_F(ProxyTunnelTest, ProxyThatCantBeReachedIsNotTheProvider) {
  std::uint16_t port = 0;
  {
    const ManyConnectionsServer gone;
    port = gone.port();
  }
  const auto status = Try(*DialerThrough({Loopback(port)}));
  EXPECT_EQ(ReasonOf(status), reason::kUpstreamProxy);
  EXPECT_EQ(std::string(status.message()),
            "connecting to the proxy http://proxy.corp:3128 failed: 127.0.0.1 port " +
                std::to_string(port) + ": Connection refused");
}

}  // namespace
}  // namespace leasegateway
