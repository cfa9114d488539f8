#include "upstream/transport/https_connection.h"

#include <gtest/gtest.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/strand.hpp>
#include <chrono>
#include <cstdio>
#include <exception>
#include <fstream>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "tests/support/scripted_provider.h"

namespace leasegateway {
namespace {

namespace asio = boost::asio;
namespace http = boost::beast::http;
using Clock = std::chrono::steady_clock;
using Failure = HttpsConnection::Result::Failure;

constexpr char kAnswer[] = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

class HttpsConnectionTest : public testing::Test {
 protected:
  void SetUp() override {
    const std::string ca_file =
        testing::TempDir() + "https_connection_test_" + std::to_string(getpid()) + ".pem";
    std::ofstream(ca_file) << provider_.ca();
    auto tls = MakeTlsContext(ca_file);
    std::remove(ca_file.c_str());
    ASSERT_TRUE(tls.ok()) << tls.status();
    options_.host = "localhost";
    options_.send_timeout = std::chrono::milliseconds(1'000);
    options_.response_timeout = std::chrono::milliseconds(20'000);
    options_.read_timeout = std::chrono::milliseconds(300'000);
    connection_.emplace(asio::make_strand(io_), *std::move(tls), options_);
    const auto connected =
        Await(connection_->Connect({{asio::ip::address_v4::loopback(), provider_.port()}}, Soon()));
    ASSERT_TRUE(connected.ok()) << connected;
  }
  static Deadline Soon() { return Clock::now() + std::chrono::seconds(10); }
  template <typename T>
  T Await(asio::awaitable<T> waited) {
    std::optional<T> result;
    asio::co_spawn(asio::make_strand(io_), std::move(waited),
                   [&result](std::exception_ptr, T value) { result = std::move(value); });
    io_.restart();
    while (!result) io_.run_one();
    return *std::move(result);
  }
  HttpsConnection::Result Send(bool finish_once_sent, Deadline send_before) {
    HttpRequest request(http::verb::post, "/", 11);
    request.set(http::field::host, "localhost");
    request.prepare_payload();
    return Await(connection_->Exchange(std::move(request), Soon(), finish_once_sent, send_before));
  }

  ScriptedProvider provider_{{kAnswer, kAnswer}};
  asio::io_context io_;
  HttpsOptions options_;
  std::optional<HttpsConnection> connection_;
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
