// The gateway as a program, whose provider has a name that a name server knows, or keeps to itself.
#include <gmock/gmock.h>
#include <signal.h>

#include <chrono>
#include <string>
#include <vector>

#include "tests/support/name_server.h"
#include "tests/support/programs.h"

namespace leasegateway {
namespace {

using std::chrono::milliseconds;
using testing::Contains;
using testing::HasSubstr;
using Clock = std::chrono::steady_clock;

// A second is what the end may take; a machine that is busy with other tests takes more. Without
// the rule it would be the look-up's own limit, a minute.
constexpr milliseconds kStopLimit{3000};

class NamesTest : public testing::Test, protected Programs {
 protected:
  pid_t StartGateway(const NameServer& server, const std::string& url,
                     std::vector<std::string> more = {}) {
    more.insert(more.end(), {"--upstream-url", url, "--dns-servers", server.server(), "--journal",
                             ":memory:", "--listen", "127.0.0.1:0"});
    const pid_t pid =
        Start("gateway", "lease-gateway", more, {"CONTIGUITY_API_KEY=contiguity_sk_names"});
    target_ = "127.0.0.1:" + After("gateway.err", "serves gRPC on port ", " \n");
    return pid;
  }
  pid_t StartLeasectl(const std::string& name, std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), {"--target", target_});
    return Start(name, "leasectl", arguments);
  }
  // From SIGTERM to the exit of the gateway.
  milliseconds Stop(pid_t gateway) {
    const auto began = Clock::now();
    kill(gateway, SIGTERM);
    EXPECT_EQ(Wait(gateway), 0) << ReadAll(Path("gateway.err"));
    const auto took = std::chrono::duration_cast<milliseconds>(Clock::now() - began);
    RecordProperty("stop_ms", static_cast<int>(took.count()));
    return took;
  }

  std::string target_;
};

TEST_F(NamesTest, TheProviderIsFoundByItsNameAndKnownAfterTheServersEnd) {
  Start("sandbox", "lease-sandbox",
        {"--port", "0", "--control-port", "0", "--ca-out", Path("ca.pem"), "--certificate-host",
         "api.provider.test"},
        {"LEASE_SANDBOX_KEYS=contiguity_sk_names"});
  std::string url = After("sandbox.out", "url: ", "\n");
  After("sandbox.out", "key: ", "\n");
  url.replace(url.find("localhost"), 9, "api.provider.test");
  NameServer server(
      R"({"api.provider.test": {"A": ["127.0.0.1"], "ttl": 1, "fault": {"AAAA": "swallow"}}})");
  StartGateway(server, url,
               {"--upstream-ca-file", Path("ca.pem"), "--cache-fresh", "0s", "--idle-timeout", "0s",
                "--cache-stale-while-revalidate", "0s"});
  const std::vector<std::string> list = {"available", "--max-staleness", "0s"};
  EXPECT_EQ(Wait(StartLeasectl("first", list)), 0) << ReadAll(Path("first.err"));
  server.Set(R"({"api.provider.test": {"fault": {"*": "servfail"}}})");
  const auto give_up = Clock::now() + std::chrono::seconds(20);
  for (int i = 0; Clock::now() < give_up; ++i) {
    const std::string name = "again" + std::to_string(i);
    EXPECT_EQ(Wait(StartLeasectl(name, list)), 0) << ReadAll(Path(name + ".err"));
    if (ReadAll(Path("gateway.err")).find("last addresses") != std::string::npos) break;
  }
  EXPECT_THAT(ReadAll(Path("gateway.err")),
              HasSubstr("looking up api.provider.test failed: DNS server returned general failure; "
                        "it is still dialled at its last addresses"));
}

// `timeout:30` in resolv.conf did the like to getaddrinfo.
TEST_F(NamesTest, SigtermWhileTheNameServerHangs) {
  NameServer server(R"({"api.provider.test": {"fault": {"*": "swallow"}}})");
  const pid_t gateway =
      StartGateway(server, "https://api.provider.test/numbers", {"--resolve-timeout", "60s"});
  const pid_t call = StartLeasectl("call", {"--timeout", "1500ms", "available"});
  EXPECT_NE(Wait(call), 0);
  EXPECT_THAT(server.Asked("api.provider.test"), Contains("AAAA over udp"));
  EXPECT_LT(Stop(gateway), kStopLimit);
}

TEST_F(NamesTest, SigtermWhileACallWaitsForTheNameServer) {
  NameServer server(R"({"api.provider.test": {"fault": {"*": "swallow"}}})");
  const pid_t gateway =
      StartGateway(server, "https://api.provider.test/numbers", {"--resolve-timeout", "60s"});
  const pid_t read = StartLeasectl("read", {"--timeout", "4s", "available"});
  const pid_t write = StartLeasectl(
      "write", {"--timeout", "4s", "lease", "+13123614597", "--expect-monthly", "5USD"});
  while (server.Asked("api.provider.test").empty()) usleep(10'000);
  usleep(300'000);
  kill(gateway, SIGTERM);
  EXPECT_NE(Wait(read), 0);
  EXPECT_NE(Wait(write), 0);
  const auto last_call_ended = Clock::now();
  EXPECT_EQ(Wait(gateway), 0);
  EXPECT_LT(Clock::now() - last_call_ended, kStopLimit) << ReadAll(Path("gateway.err"));
}

TEST_F(NamesTest, WhatFailsIsSaidInAnError) {
  NameServer server("{}");
  const pid_t gateway = StartGateway(server, "https://api.provider.test/numbers");
  EXPECT_NE(Wait(StartLeasectl("call", {"available"})), 0);
  EXPECT_THAT(ReadAll(Path("call.err")), HasSubstr("UPSTREAM_UNREACHABLE"));
  EXPECT_THAT(ReadAll(Path("call.err")),
              HasSubstr("looking up api.provider.test failed: there is no such name"));
  EXPECT_LT(Stop(gateway), kStopLimit);
}

}  // namespace
}  // namespace leasegateway
