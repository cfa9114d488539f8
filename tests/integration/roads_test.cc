// The road to the provider as the gateway's process sees it: dead addresses, a family without a
// route, a cold start, and what it costs to be reached again.
#include <gmock/gmock.h>
#include <net/if.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstring>
#include <fstream>
#include <functional>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "tests/support/gateway_program.h"
#include "tests/support/gzip.h"
#include "tests/support/hanging_peers.h"
#include "tests/support/name_server.h"
#include "tests/support/provider_replies.h"
#include "tests/support/wire_server.h"

namespace leasegateway {
namespace {

namespace asio = boost::asio;
using asio::ip::tcp;
using std::chrono::milliseconds;
using testing::HasSubstr;
using testing::UnorderedElementsAre;

constexpr char kResumed[] =
    R"(lease_gateway_upstream_handshakes_total{account="default",result="resumed"})";
constexpr char kFull[] =
    R"(lease_gateway_upstream_handshakes_total{account="default",result="full"})";
constexpr char kIdle[] = R"(lease_gateway_upstream_connections{account="default",state="idle"})";

class RoadsTest : public GatewayProgram {
 protected:
  void StartGateway(const NameServer& names, const Sandbox& sandbox,
                    std::vector<std::string> more = {}) {
    more.insert(more.end(),
                {"--dns-servers", names.server(), "--upstream-ca-file", Path("sandbox.pem")});
    GatewayProgram::StartGateway(sandbox.port, std::move(more));
  }
  // Each call opens a connection of its own. The family that is dead comes late: one that comes
  // alone is all that a first call has.
  static std::vector<std::string> DialingEachTime() {
    return {"--connect-timeout", "60s", "--idle-timeout", "0s", "--log-level", "debug"};
  }
  bool Knows(int addresses) const {
    return Log().find(std::string(kHost) + " has " + std::to_string(addresses) + " addresses") !=
           std::string::npos;
  }
  // Whether it is answered before the limit of an address that hangs.
  bool CallWithLeasectl(const std::string& target) {
    // ThreadSanitizer overwrites the errno of gRPC's connect(), and a program that connects once
    // gives up.
    const int tries = CONCURRENT_CALLS < 1000 ? 20 : 1;
    for (int i = 0; i < tries; ++i) {
      const auto began = Clock::now();
      const int failed = Wait(
          Start("call", "leasectl",
                {"--target", target, "--timeout", "20s", "available", "--max-staleness", "0s"}));
      if (failed == 0) return Clock::now() - began < milliseconds(15'000);
    }
    ADD_FAILURE() << ReadAll(Path("call.err"));
    return false;
  }
  // With an address before the sandbox's that hangs for as long as this limit says, were it waited
  // for.
  void ExpectCallsPast(const std::string& records, const Sandbox& sandbox) {
    NameServer names(R"({"api.provider.test": )" + records + "}");
    StartGateway(names, sandbox, DialingEachTime());
    EXPECT_TRUE(List().ok());
    EXPECT_TRUE(Eventually([&] { return Knows(2); })) << Log();
    for (int i = 0; i < 5; ++i) {
      const auto began = Clock::now();
      const auto status = List(nullptr, milliseconds(30'000));
      EXPECT_TRUE(status.ok()) << status.error_message();
      const auto took = std::chrono::duration_cast<milliseconds>(Clock::now() - began);
      RecordProperty("call_" + std::to_string(i) + "_ms", static_cast<int>(took.count()));
      EXPECT_LT(took, milliseconds(15'000)) << i;
    }
  }
};

TEST_F(RoadsTest, DeadFirstAddressDoesNotHoldUpTheNext) {
  const Sandbox sandbox = StartSandbox("sandbox");
  const SilentPort silent(
      {asio::ip::make_address("127.0.0.2"), static_cast<unsigned short>(sandbox.port)});
  ExpectCallsPast(R"({"A": ["127.0.0.2", "127.0.0.1"], "AAAA": []})", sandbox);
  EXPECT_TRUE(silent.IsTried() || Metric(kFull) + Metric(kResumed) >= 5);
}

TEST_F(RoadsTest, DeadIPv6DoesNotHoldUpIPv4) {
  const Sandbox sandbox = StartSandbox("sandbox");
  std::optional<SilentPort> silent;
  try {
    silent.emplace(
        tcp::endpoint(asio::ip::address_v6::loopback(), static_cast<unsigned short>(sandbox.port)));
  } catch (const boost::system::system_error& error) {
    GTEST_SKIP() << "this machine has no IPv6, not even its own address: " << error.what();
  }
  ExpectCallsPast(R"({"A": ["127.0.0.1"], "AAAA": ["::1"], "delay": {"AAAA": 0.2}})", sandbox);
}

// In a network of its own that has nothing but loopback, with all that it starts: no other thread
// of this process is in it, and so all threads that the test needs begin here.
void WithoutRoutes(const std::function<void()>& run, std::string& problem) {
  std::thread([&] {
    if (unshare(CLONE_NEWNET) != 0) {
      problem = std::string("may not make a network namespace: ") + std::strerror(errno);
      return;
    }
    const int handle = socket(AF_INET, SOCK_DGRAM, 0);
    ifreq request{};
    std::strcpy(request.ifr_name, "lo");
    request.ifr_flags = IFF_UP;
    if (ioctl(handle, SIOCSIFFLAGS, &request) != 0) {
      problem = std::string("can't bring up loopback: ") + std::strerror(errno);
    }
    close(handle);
    if (problem.empty()) run();
  }).join();
}

// leasectl calls: gRPC's own threads in this process are not in that network.
TEST_F(RoadsTest, IPv6WithoutARouteDoesNotHoldUpIPv4) {
  std::string problem;
  WithoutRoutes(
      [this] {
        const Sandbox sandbox = StartSandbox("sandbox");
        NameServer names(
            R"({"api.provider.test": {"A": ["127.0.0.1"], "AAAA": ["2001:db8::1", "2001:db8::2"],
                                      "delay": {"AAAA": 0.2}}})");
        StartGateway(names, sandbox, DialingEachTime());
        const std::string target =
            "127.0.0.1:" + After("gateway.err", "serves gRPC on port ", " \n");
        EXPECT_TRUE(CallWithLeasectl(target));
        EXPECT_TRUE(Eventually([&] { return Knows(3); })) << Log();
        for (int i = 0; i < 3; ++i) EXPECT_TRUE(CallWithLeasectl(target));
        EXPECT_GE(Metric(kFull) + Metric(kResumed), 4);
      },
      problem);
  if (!problem.empty()) GTEST_SKIP() << problem;
}

// Those that come late are tried when none of the others works.
TEST_F(RoadsTest, LateIPv4IsWaitedForWhenIPv6IsDead) {
  const Sandbox sandbox = StartSandbox("sandbox");
  NameServer names(
      R"({"api.provider.test": {"A": ["127.0.0.1"], "AAAA": ["::1"], "delay": {"A": 0.5}}})");
  StartGateway(names, sandbox, {"--resolve-timeout", "60s"});
  const auto status = List();
  EXPECT_TRUE(status.ok()) << status.error_message();
}

TEST_F(RoadsTest, ColdStartOfManyCallersIsOneLookup) {
  constexpr int kCallers = 64;
  const Sandbox sandbox = StartSandbox("sandbox");
  NameServer names(
      R"({"api.provider.test": {"A": ["127.0.0.1"], "AAAA": [], "delay": {"*": 0.5}}})");
  // A question that is not answered in a third of the limit is asked again: not here.
  StartGateway(names, sandbox, {"--resolve-timeout", "60s"});
  std::vector<std::thread> callers;
  const auto began = Clock::now();
  for (int i = 0; i < kCallers; ++i) {
    callers.emplace_back([this, i] {
      // Single numbers, so that none waits for another's answer; none of them is there.
      const auto status = Get("+130594786" + std::to_string(10 + i));
      EXPECT_EQ(status.error_code(), grpc::StatusCode::NOT_FOUND) << status.error_message();
    });
  }
  for (auto& caller : callers) caller.join();
  const auto took = std::chrono::duration_cast<milliseconds>(Clock::now() - began);
  RecordProperty("callers_64_ms", static_cast<int>(took.count()));
  EXPECT_GE(took, milliseconds(500));
  EXPECT_THAT(names.Asked(kHost), UnorderedElementsAre("A over udp", "AAAA over udp"));
  EXPECT_LE(Metric(kFull) + Metric(kResumed), kCallers) << "no more than it needs";
}

TEST_F(RoadsTest, ResumedHandshakesAreCounted) {
  const Sandbox sandbox = StartSandbox("sandbox");
  NameServer names(R"({"api.provider.test": {"A": ["127.0.0.1"], "AAAA": []}})");
  StartGateway(names, sandbox, {"--idle-timeout", "0s"});
  for (int i = 0; i < 5; ++i) EXPECT_TRUE(List().ok());
  EXPECT_EQ(Metric(kFull), 1);
  EXPECT_EQ(Metric(kResumed), 4);
}

TEST_F(RoadsTest, WarmConnectionsAreThereBeforeAnybodyCalls) {
  const Sandbox sandbox = StartSandbox("sandbox");
  NameServer names(R"({"api.provider.test": {"A": ["127.0.0.1"], "AAAA": []}})");
  StartGateway(names, sandbox,
               {"--pool-warm", "3", "--pool-max-age", "2s", "--idle-timeout", "1500ms"});
  EXPECT_TRUE(Eventually([this] { return Metric(kIdle) >= 3; }));
  // They are replaced in time, so that each caller finds some.
  const double first = Metric(kFull) + Metric(kResumed);
  EXPECT_TRUE(Eventually([&] { return Metric(kFull) + Metric(kResumed) >= first + 6; }));
  EXPECT_TRUE(Eventually([this] { return Metric(kIdle) >= 3; }));
  EXPECT_THAT(Http(sandbox.control_port, "GET", "/_sandbox/requests").body,
              testing::Not(HasSubstr("GET /leases")));
  EXPECT_TRUE(List().ok());
}

// Some servers compress without being asked for it. A list is read; of a number, which is never
// asked for in gzip, the caller hears what is wrong.
TEST_F(RoadsTest, GzipThatNobodyAskedForIsReadOrNamed) {
  const Authority authority("serverAuth", {kHost});
  std::ofstream(Path("sandbox.pem")) << authority.root.certificate;
  const auto in_gzip = [](const std::string& body) {
    const std::string bytes = Gzip(body);
    return "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-encoding: gzip\r\n"
           "content-length: " +
           std::to_string(bytes.size()) + "\r\n\r\n" + bytes;
  };
  WireConnection list;
  list.answers = {in_gzip(AvailableBody()), in_gzip(NumberBody())};
  list.end = WireConnection::End::kStaysOpen;
  WireServer server(authority, {list});
  NameServer names(R"({"api.provider.test": {"A": ["127.0.0.1"], "AAAA": []}})");
  Sandbox there;
  there.port = server.port();
  // Memory is not refreshed meanwhile: the server has two answers.
  StartGateway(names, there, {"--pool-size", "1", "--cache-fresh", "1h", "--retry-attempts", "1"});
  v1::ListAvailableNumbersResponse response;
  const auto status = List(&response);
  EXPECT_TRUE(status.ok()) << status.error_message();
  EXPECT_EQ(response.numbers_size(), 1);
  const auto failure = Get("+13059478667");
  EXPECT_EQ(failure.error_code(), grpc::StatusCode::INTERNAL);
  EXPECT_EQ(Explain(failure).reason, "UPSTREAM_MALFORMED");
  EXPECT_THAT(failure.error_message(), HasSubstr("gzip"));
  ASSERT_EQ(server.requests().size(), 2U);
  EXPECT_THAT(server.requests()[0], HasSubstr("gzip"));
  EXPECT_THAT(server.requests()[1], testing::Not(HasSubstr("gzip")));
}

}  // namespace
}  // namespace leasegateway
