#include "upstream/transport/https_connection.h"

#include <gtest/gtest.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <chrono>
#include <memory>
#include <utility>
#include <vector>

#include "tests/support/https_client_fixture.h"
#include "tests/support/scripted_provider.h"

namespace leasegateway {
namespace {

namespace http = boost::beast::http;
using Clock = std::chrono::steady_clock;
using Failure = HttpsConnection::Result::Failure;

constexpr char kAnswer[] = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

class HttpsConnectionTest : public HttpsClientTest {
 protected:
  void SetUp() override {
    options_.send_timeout = std::chrono::milliseconds(1'000);
    options_.response_timeout = std::chrono::milliseconds(20'000);
    options_.read_timeout = std::chrono::milliseconds(300'000);
    connection_ = NewConnection(Trusting(provider_.ca()));
    const auto dialer = DialerTo({Loopback(provider_.port())});
    const auto connected = Await(connection_->Connect(*dialer, Soon()));
    ASSERT_TRUE(connected.ok()) << connected;
  }
  HttpsConnection::Result Send(bool finish_once_sent, Deadline send_before) {
    HttpRequest request(http::verb::post, "/", 11);
    request.set(http::field::host, "localhost");
    request.prepare_payload();
    return Await(connection_->Exchange(std::move(request), Soon(), finish_once_sent, send_before));
  }

  ScriptedProvider provider_{{kAnswer, kAnswer}};
  std::unique_ptr<HttpsConnection> connection_;
};

TEST_F(HttpsConnectionTest, NoByteGoesOutOnceItIsTooLate) {
  for (const bool finish_once_sent : {true, false}) {
    const auto late = Send(finish_once_sent, Clock::now());
    EXPECT_EQ(late.failure, Failure::kTooLate);
    EXPECT_TRUE(late.reusable);
  }
  const auto in_time = Send(true, Soon());
  EXPECT_EQ(in_time.failure, Failure::kNone) << in_time.cause;
  EXPECT_EQ(in_time.response.body().text.view(), "ok");
  EXPECT_EQ(provider_.requests().size(), 1U);
}

// What a process that is killed leaves behind is the kernel's, which must not go on for minutes.
TEST_F(HttpsConnectionTest, KernelGivesUpWithTheTimeOutsOfAnExchange) {
  std::vector<unsigned> limits;
  for (int fd = 3; fd < 1024; ++fd) {
    sockaddr_in peer{};
    socklen_t size = sizeof(peer);
    if (getpeername(fd, reinterpret_cast<sockaddr*>(&peer), &size) != 0 ||
        ntohs(peer.sin_port) != provider_.port()) {
      continue;
    }
    unsigned limit = 0;
    socklen_t length = sizeof(limit);
    ASSERT_EQ(getsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &limit, &length), 0);
    limits.push_back(limit);
  }
  EXPECT_EQ(limits, std::vector<unsigned>{321'000});
}

}  // namespace
}  // namespace leasegateway
