#include "service/admin/admin_server.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>

#include <chrono>
#include <cstdint>
#include <future>
#include <list>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include "service/process/logging.h"
#include "tests/support/admin_fixture.h"
#include "tests/support/http_client.h"

namespace leasegateway {
namespace {

using std::chrono::milliseconds;
using ::testing::HasSubstr;

#ifdef __SANITIZE_ADDRESS__
constexpr bool kNeedsDescriptors = true;
#else
constexpr bool kNeedsDescriptors = false;
#endif

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

TEST_F(AdminServerTest, ProbesAreAnsweredWhileSlowClientsHoldThePort) {
  metrics_ = std::string(2 << 20, 'x');
  Start({.max_connections = 64,
         .header_timeout = kLong,
         .body_timeout = kLong,
         .write_timeout = kLong});
  // What they send, and no more; none reads. At last there are none but those.
  const std::string ask = "GET /metrics HTTP/1.1\r\nhost: x\r\n\r\n";
  const std::vector<std::string> parts = {
      "", "GET /readyz HTTP/1.1\r\nhost:",
      "PUT /loglevel HTTP/1.1\r\nhost: x\r\ncontent-length: 10\r\n\r\nlevel"};
  std::list<HttpClient> held;
  for (std::uint32_t i = 0; i < 200; ++i) {
    const std::uint32_t from = 0x7f000100 + i / 15;  // 127.0.1.0 and on
    HttpClient& client = held.emplace_back(admin_->port(), INADDR_LOOPBACK, from);
    ASSERT_TRUE(client.connected());
    client.Send(i < 100 ? parts[i % parts.size()] : ask);
  }
  for (int i = 0; i < 20; ++i) {
    const auto began = std::chrono::steady_clock::now();
    EXPECT_EQ(Ask("GET", "/readyz").status, 200);
    EXPECT_LT(std::chrono::steady_clock::now() - began, std::chrono::seconds(2));
  }
  EXPECT_EQ(Lost(AdminLoss::kMaxConnections), 0U);
  EXPECT_GE(Lost(AdminLoss::kMadeRoom), 130U);
}

TEST_F(AdminServerTest, WhoDoesNotReadTheAnswerMakesRoom) {
  metrics_ = std::string(8 << 20, 'x');
  Start({.max_connections = 2, .write_timeout = kLong});
  std::list<HttpClient> held;
  for (int i = 0; i < 2; ++i) {
    HttpClient& client = held.emplace_back(admin_->port());
    client.Send("GET /metrics HTTP/1.1\r\nhost: x\r\n\r\n");
    EXPECT_THAT(client.ReadUntil("\r\n\r\n"), HasSubstr("HTTP/1.1 200 "));
  }
  EXPECT_EQ(Ask("GET", "/readyz").status, 200);
  EXPECT_EQ(Lost(AdminLoss::kMadeRoom), 1U);
  EXPECT_LT(held.front().ReadAll().size(), metrics_.size());
}

TEST_F(AdminServerTest, APeerHasItsShareAndOthersTheirs) {
  Start({.max_connections_per_peer = 2, .header_timeout = kLong});
  std::list<HttpClient> held;
  for (int i = 0; i < 3; ++i) held.emplace_back(admin_->port()).Send("GET /readyz");
  HttpClient other(admin_->port(), INADDR_LOOPBACK, 0x7f000002);
  EXPECT_TRUE(Becomes([&] { return held.front().Ended(); })) << "the oldest makes room";
  EXPECT_TRUE(Becomes([&] { return admin_->stats()->connections == 3; }));
  EXPECT_FALSE(held.back().Ended());
  EXPECT_FALSE(other.Ended());
}

TEST_F(AdminServerTest, NewcomersAreRefusedWhileAllWaitForTheirAnswer) {
  Start({.max_connections = 2, .live_timeout = kLong});
  std::list<HttpClient> held;
  // One that was not read before the next came made room for it, so there may have to be more.
  EXPECT_TRUE(Becomes([&] {
    if (Ask("GET", "/readyz").status == 0) return true;
    held.emplace_back(admin_->port()).Send("GET /livez HTTP/1.1\r\nhost: x\r\n\r\n");
    return false;
  }));
  EXPECT_GE(Lost(AdminLoss::kMaxConnections), 1U);
  thread_ = std::thread([this] { io_.run(); });
  EXPECT_TRUE(Becomes([&] { return Ask("GET", "/readyz").status == 200; }));
}

TEST_F(AdminServerTest, ThoseWhoAskTogetherShareOneTextOfTheMetrics) {
  Start({.max_connections_per_peer = 64});
  std::promise<void> asked;
  readiness_gate_ = asked.get_future();
  std::list<HttpClient> all;
  all.emplace_back(admin_->port()).Send("GET /readyz HTTP/1.0\r\n\r\n");  // holds the thread
  for (int i = 0; i < 32; ++i) {
    all.emplace_back(admin_->port()).Send("GET /metrics HTTP/1.0\r\n\r\n");
  }
  asked.set_value();
  for (HttpClient& client : all) EXPECT_THAT(client.ReadAll(), HasSubstr("HTTP/1.0 200"));
  EXPECT_LE(scrapes_, 16);
}

TEST_F(AdminServerTest, MetricsAreMadeEverySoOftenAtMostAndAtOnceForTheFirst) {
  HttpClient client(admin_->port());
  const auto began = std::chrono::steady_clock::now();
  for (int i = 0; i < 10; ++i) client.Send("GET /metrics HTTP/1.1\r\nhost: x\r\n\r\n");
  client.Send("GET / HTTP/1.0\r\n\r\n");
  EXPECT_THAT(client.ReadAll(), HasSubstr("the admin port\n"));
  EXPECT_GE(std::chrono::steady_clock::now() - began, 9 * milliseconds(20));
  EXPECT_EQ(scrapes_, 10);
}

TEST_F(AdminServerTest, ServesWhenThereIsNoDescriptor) {
  if (kNeedsDescriptors) GTEST_SKIP() << "UndefinedBehaviorSanitizer looks at memory by a pipe";
  const int probe = ::socket(AF_INET, SOCK_STREAM, 0);
  ASSERT_EQ(Ask("GET", "/readyz").status, 200);
  ASSERT_TRUE(Becomes([&] { return admin_->stats()->connections == 0; }));
  rlimit before{};
  ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &before), 0);
  rlimit few = before;
  few.rlim_cur = 256;
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &few), 0);
  std::vector<int> taken;
  for (int copy = 0; (copy = ::dup(STDERR_FILENO)) >= 0;) taken.push_back(copy);
  HttpClient client(admin_->port(), INADDR_LOOPBACK, 0, probe);
  client.Send("GET /readyz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
  EXPECT_THAT(client.ReadAll(), HasSubstr("HTTP/1.1 200 "));
  for (const int copy : taken) ::close(copy);
  ::setrlimit(RLIMIT_NOFILE, &before);
}

TEST_F(AdminServerTest, GoesOnAcceptingAfterItHadNoDescriptor) {
  if (kNeedsDescriptors) GTEST_SKIP() << "UndefinedBehaviorSanitizer looks at memory by a pipe";
  std::list<int> probes;
  for (int i = 0; i < 40; ++i) probes.push_back(::socket(AF_INET, SOCK_STREAM, 0));
  Start({.max_connections_per_peer = 64, .live_timeout = kLong});
  rlimit before{};
  ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &before), 0);
  rlimit few = before;
  few.rlim_cur = 256;
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &few), 0);
  std::vector<int> taken;
  for (int copy = 0; (copy = ::dup(STDERR_FILENO)) >= 0;) taken.push_back(copy);
  // More than it has spares for, and none of them makes room.
  std::list<HttpClient> all;
  for (const int probe : probes) {
    all.emplace_back(admin_->port(), INADDR_LOOPBACK, 0, probe).Send("GET /livez HTTP/1.0\r\n\r\n");
  }
  EXPECT_TRUE(Becomes([&] { return Lost(AdminLoss::kNoDescriptor) > 0; }));
  for (const int copy : taken) ::close(copy);
  ::setrlimit(RLIMIT_NOFILE, &before);
  thread_ = std::thread([this] { io_.run(); });
  EXPECT_THAT(all.back().ReadAll(), HasSubstr("alive\n"));
  EXPECT_EQ(Ask("GET", "/livez").status, 200);
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
