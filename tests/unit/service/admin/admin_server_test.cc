#include "service/admin/admin_server.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <list>
#include <sstream>
#include <string>
#include <thread>

#include "service/process/logging.h"
#include "tests/support/http_client.h"

namespace leasegateway {
namespace {

using std::chrono::milliseconds;
using ::testing::HasSubstr;

class AdminServerTest : public testing::Test {
 protected:
  void SetUp() override { Start({}); }
  void TearDown() override {
    admin_.reset();
    work_.reset();
    if (thread_.joinable()) thread_.join();
  }

  void Start(const AdminServer::Options& options) {
    admin_.reset();
    AdminPages pages;
    pages.metrics = [] { return std::string("a_metric 1\n"); };
    pages.config = [] { return std::string("listen: \"x\"\n"); };
    pages.readiness = [this] { return readiness_; };
    pages.calls = io_.get_executor();
    auto started = AdminServer::Start("127.0.0.1:0", std::move(pages), options);
    ASSERT_TRUE(started.ok()) << started.status();
    admin_ = *std::move(started);
  }
  HttpAnswer Ask(const std::string& method, const std::string& path, const std::string& body = "") {
    return Http(admin_->port(), method, path, body);
  }

  boost::asio::io_context io_;
  boost::asio::executor_work_guard<boost::asio::io_context::executor_type> work_{
      io_.get_executor()};
  std::thread thread_;
  Readiness readiness_{true, ""};
  std::unique_ptr<AdminServer> admin_;
};

TEST_F(AdminServerTest, ServesItsPages) {
  const HttpAnswer metrics = Ask("GET", "/metrics?x=1");
  EXPECT_EQ(metrics.status, 200);
  EXPECT_EQ(metrics.body, "a_metric 1\n");
  EXPECT_THAT(metrics.head, HasSubstr("text/plain; version=0.0.4"));
  EXPECT_EQ(Ask("GET", "/config").body, "listen: \"x\"\n");
  const HttpAnswer index = Ask("GET", "/");
  EXPECT_EQ(index.status, 200);
  for (const char* page : {"/livez", "/readyz", "/metrics", "/config", "/loglevel"}) {
    EXPECT_THAT(index.body, HasSubstr(page));
  }
}

TEST_F(AdminServerTest, HeadHasTheLengthAndNoBody) {
  const HttpAnswer answer = Ask("HEAD", "/metrics");
  EXPECT_EQ(answer.status, 200);
  EXPECT_THAT(answer.head, HasSubstr("Content-Length: 11"));
  EXPECT_EQ(answer.body, "");
}

TEST_F(AdminServerTest, ReadyzSaysWhyNot) {
  EXPECT_EQ(Ask("GET", "/readyz").status, 200);
  readiness_ = {false, "it drains\n"};
  const HttpAnswer answer = Ask("GET", "/readyz");
  EXPECT_EQ(answer.status, 503);
  EXPECT_EQ(answer.body, "not ready\nit drains\n");
}

TEST_F(AdminServerTest, LivezLooksAtTheThreadsThatServe) {
  Start({.live_timeout = milliseconds(50)});
  const HttpAnswer stuck = Ask("GET", "/livez");
  EXPECT_EQ(stuck.status, 503);
  EXPECT_THAT(stuck.body, HasSubstr("do not respond"));
  Start({.live_timeout = milliseconds(20'000)});
  thread_ = std::thread([this] { io_.run(); });
  const HttpAnswer alive = Ask("GET", "/livez");
  EXPECT_EQ(alive.status, 200);
  EXPECT_EQ(alive.body, "alive\n");
}

TEST_F(AdminServerTest, RefusesOtherPagesAndMethods) {
  EXPECT_EQ(Ask("GET", "/nothing").status, 404);
  EXPECT_EQ(Ask("GET", "/metrics/").status, 404);
  for (const char* method : {"POST", "PUT", "DELETE", "OPTIONS"}) {
    const HttpAnswer answer = Ask(method, "/config");
    EXPECT_EQ(answer.status, 405) << method;
    EXPECT_THAT(answer.head, HasSubstr("Allow: GET, HEAD"));
  }
  EXPECT_EQ(Ask("DELETE", "/loglevel").status, 405);
}

TEST_F(AdminServerTest, RefusesWhatIsTooLong) {
  EXPECT_EQ(Http(admin_->port(), "GET", "/", "", "x: " + std::string(20'000, 'y') + "\r\n").status,
            431);
  EXPECT_EQ(Ask("PUT", "/loglevel", "level=" + std::string(2'000, 'x')).status, 413);
  HttpClient chunks(admin_->port());
  chunks.Send("PUT /loglevel HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n1;" +
              std::string(100'000, 'a'));
  EXPECT_THAT(chunks.ReadAll(), HasSubstr("HTTP/1.1 413 "));
  HttpClient client(admin_->port());
  client.Send("this is no HTTP\r\n\r\n");
  EXPECT_THAT(client.ReadAll(), HasSubstr("HTTP/1.1 400 "));
}

TEST_F(AdminServerTest, SetsTheLogLevel) {
  std::ostringstream log;
  InitLoggingTo(log, "info", "text");
  EXPECT_EQ(Ask("GET", "/loglevel").body, "info\n");
  EXPECT_EQ(Ask("PUT", "/loglevel", "level=debug").body, "debug\n");
  EXPECT_EQ(LogLevel(), "debug");
  EXPECT_EQ(Ask("POST", "/loglevel", "level=warn\n").status, 200);
  EXPECT_EQ(LogLevel(), "warn");
  for (const char* body : {"", "debug", "level=", "level=loud", "level=debug&x=1"}) {
    const HttpAnswer answer = Ask("PUT", "/loglevel", body);
    EXPECT_EQ(answer.status, 400) << body;
    EXPECT_THAT(answer.body, HasSubstr("level=NAME"));
  }
  EXPECT_EQ(LogLevel(), "warn");
  ShutdownLogging();
  EXPECT_THAT(log.str(), HasSubstr("log level is now warn"));
}

TEST_F(AdminServerTest, AConnectionServesOneRequestAfterTheOther) {
  HttpClient client(admin_->port());
  client.Send("GET /readyz HTTP/1.1\r\nhost: x\r\n\r\n");
  client.Send("GET /config HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
  const std::string all = client.ReadAll();
  EXPECT_THAT(all, HasSubstr("ready\n"));
  EXPECT_THAT(all, HasSubstr("listen: \"x\"\n"));
}

TEST_F(AdminServerTest, SlowRequestsAreEnded) {
  Start({.request_timeout = milliseconds(50)});
  HttpClient client(admin_->port());
  client.Send("GET / HTTP/1.1\r\nhost:");
  const auto began = std::chrono::steady_clock::now();
  EXPECT_EQ(client.ReadAll(), "");
  EXPECT_LT(std::chrono::steady_clock::now() - began, std::chrono::seconds(15));
}

TEST_F(AdminServerTest, MoreConnectionsThanAllowedAreClosed) {
  Start({.max_connections = 2, .request_timeout = std::chrono::seconds(30)});
  std::list<HttpClient> held;
  for (int i = 0; i < 2; ++i) {
    HttpClient& client = held.emplace_back(admin_->port());
    ASSERT_TRUE(client.connected());
    client.Send("GET /readyz");
  }
  EXPECT_EQ(Ask("GET", "/readyz").status, 0);
  held.clear();
  int status = 0;
  for (int i = 0; i < 1'000 && status != 200; ++i) status = Ask("GET", "/readyz").status;
  EXPECT_EQ(status, 200);
}

TEST_F(AdminServerTest, SaysThatThePortIsTaken) {
  const std::string listen = "127.0.0.1:" + std::to_string(admin_->port());
  const auto second = AdminServer::Start(listen, {}, {});
  ASSERT_FALSE(second.ok());
  EXPECT_EQ(second.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(second.status().message()),
              HasSubstr("admin_listen: \"" + listen + "\": can't listen there"));
  EXPECT_THAT(std::string(second.status().message()), HasSubstr("is the port taken?"));
}

}  // namespace
}  // namespace leasegateway
