// SIGTERM while the road to the provider hangs, wherever it does: getaddrinfo once held up the end
// of the process for 40 s, and Kubernetes killed it in the middle of its drain.
#include <gmock/gmock.h>
#include <signal.h>

#include <atomic>
#include <chrono>
#include <fstream>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "tests/support/gateway_program.h"
#include "tests/support/hanging_peers.h"
#include "tests/support/name_server.h"

namespace leasegateway {
namespace {

using std::chrono::milliseconds;

// A second is what the end may take; a machine that is busy with other tests takes more. Each limit
// of the gateway's own is a minute, so what does not end at once does not end in this time.
constexpr milliseconds kEndLimit{10'000};

enum class Hang { kNames, kSystemNames, kConnect, kHandshake, kProxyConnect, kProxy };

std::string NameOf(const testing::TestParamInfo<Hang>& info) {
  switch (info.param) {
    case Hang::kNames:
      return "NameServer";
    case Hang::kSystemNames:
      return "NameServerOfResolvConf";
    case Hang::kConnect:
      return "Connect";
    case Hang::kHandshake:
      return "Handshake";
    case Hang::kProxyConnect:
      return "ConnectToTheProxy";
    case Hang::kProxy:
      return "Proxy";
  }
  return "";
}

class StopTest : public GatewayProgram, public testing::WithParamInterface<Hang> {
 protected:
  void SetUp() override {
    switch (GetParam()) {
      case Hang::kNames:
        names_.emplace(R"({"api.provider.test": {"fault": {"*": "swallow"}}})");
        break;
      case Hang::kSystemNames:
        system_names_.emplace();
        if (!system_names_->is_there())
          GTEST_SKIP() << "port 53, which resolv.conf means, is not to be had";
        UseSystemNames();
        break;
      case Hang::kConnect:
      case Hang::kProxyConnect:
        silent_.emplace(boost::asio::ip::tcp::endpoint(boost::asio::ip::address_v4::loopback(), 0));
        break;
      case Hang::kHandshake:
      case Hang::kProxy:
        speechless_.emplace();
        break;
    }
  }

  // As pods in a cluster have it, and with the long time-out that was tried.
  void UseSystemNames() {
    std::ofstream(Path("resolv.conf"))
        << "nameserver " << system_names_->address()
        << "\nsearch default.svc.cluster.local svc.cluster.local cluster.local\n"
           "options ndots:5 timeout:30 attempts:2\n";
    if (Wait(Start("probe", "/usr/bin/unshare", OwnResolvConf({"/bin/true"}))) != 0) {
      GTEST_SKIP() << "may not make a mount namespace, for a resolv.conf of its own: "
                   << ReadAll(Path("probe.err"));
    }
  }
  // What to give to unshare so that a program sees the test's resolv.conf. It is the same process.
  std::vector<std::string> OwnResolvConf(const std::vector<std::string>& program) const {
    std::vector<std::string> words = {"--mount",
                                      "--propagation",
                                      "private",
                                      "/bin/sh",
                                      "-c",
                                      R"(mount --bind "$0" /etc/resolv.conf && exec "$@")",
                                      Path("resolv.conf")};
    if (geteuid() != 0) words.insert(words.begin(), "--map-root-user");
    words.insert(words.end(), program.begin(), program.end());
    return words;
  }

  void StartHanging(std::vector<std::string> more) {
    for (const char* limit : {"--resolve-timeout", "--connect-timeout", "--handshake-timeout"}) {
      more.insert(more.end(), {limit, "60s"});
    }
    int port = 443;
    if (GetParam() == Hang::kSystemNames) {
      auto program = Arguments(port, std::move(more));
      program.insert(program.begin(), BINARY_DIR "/lease-gateway");
      gateway_ = Start("gateway", "/usr/bin/unshare", OwnResolvConf(program),
                       {std::string("CONTIGUITY_API_KEY=") + kKey});
      return Connect();
    }
    if (!names_) names_.emplace(R"({"api.provider.test": {"A": ["127.0.0.1"], "AAAA": []}})");
    if (silent_) port = silent_->port();
    if (speechless_) port = speechless_->port();
    more.insert(more.end(), {"--dns-servers", names_->server()});
    if (GetParam() == Hang::kProxyConnect || GetParam() == Hang::kProxy) {
      more.insert(more.end(), {"--upstream-proxy", "http://127.0.0.1:" + std::to_string(port)});
      port = 443;
    }
    StartGateway(port, std::move(more));
  }
  bool Hangs() {
    if (silent_) return silent_->IsTried();
    if (speechless_) return speechless_->IsTried();
    if (system_names_) return system_names_->IsTried();
    return !names_->Asked(kHost).empty();
  }

  // Reads of either kind and a purchase, all at once.
  void Call(milliseconds timeout) {
    for (int i = 0; i < 6; ++i) {
      calls_.emplace_back([this, i, timeout] {
        const std::string number = "+1312361459" + std::to_string(i);
        const auto status = i == 0   ? List(nullptr, timeout)
                            : i == 1 ? Lease(number, timeout)
                                     : Get(number, timeout);
        if (status.ok()) ++answered_;
      });
    }
  }
  // A call that came after the end would wait for the next gateway.
  bool AllCall() const {
    const auto started = [this](const std::string& method) {
      return Metric(
          "grpc_server_started_total{grpc_service=\"leasegateway.v1.LeaseService\","
          "grpc_method=\"" +
          method + "\"}");
    };
    return started("ListAvailableNumbers") + started("CreateLease") + started("GetNumber") == 6;
  }
  // When the last one had ended.
  Clock::time_point AwaitCalls() {
    for (auto& call : calls_) call.join();
    calls_.clear();
    EXPECT_EQ(answered_, 0);
    return Clock::now();
  }
  void Terminate() { kill(gateway_, SIGTERM); }
  void ExpectEndSoonAfter(Clock::time_point moment) {
    EXPECT_EQ(Wait(gateway_), 0) << Log();
    const auto took = std::chrono::duration_cast<milliseconds>(Clock::now() - moment);
    RecordProperty("stop_ms", static_cast<int>(took.count()));
    EXPECT_LT(took, kEndLimit) << Log();
  }

  std::optional<NameServer> names_;
  std::optional<SpeechlessNameServer> system_names_;
  std::optional<SilentPort> silent_;
  std::optional<SpeechlessPort> speechless_;
  std::vector<std::thread> calls_;
  std::atomic<int> answered_{0};
};

// Two connections that shall be warm are being opened at the end, as always.
TEST_P(StopTest, WithoutCalls) {
  StartHanging({"--pool-warm", "2"});
  Call(milliseconds(1'000));
  AwaitCalls();
  EXPECT_TRUE(Eventually([this] { return Hangs(); }));
  // While no call runs nothing reads in this process what the gateway says of its end.
  stub_.reset();
  const auto asked_to = Clock::now();
  Terminate();
  ExpectEndSoonAfter(asked_to);
}

TEST_P(StopTest, CallsUnderWayEndByThemselves) {
  StartHanging({"--grace", "60s"});
  const auto began = Clock::now();
  Call(milliseconds(3'000));
  EXPECT_TRUE(Eventually([this] { return Hangs() && AllCall(); }));
  Terminate();
  const auto last_ended = AwaitCalls();
  EXPECT_LT(last_ended - began, milliseconds(3'000) + kEndLimit);
  ExpectEndSoonAfter(last_ended);
}

TEST_P(StopTest, CallsUnderWayAreEndedAfterGrace) {
  StartHanging({"--grace", "1s"});
  Call(milliseconds(120'000));
  EXPECT_TRUE(Eventually([this] { return Hangs() && AllCall(); }));
  const auto asked_to = Clock::now();
  Terminate();
  ExpectEndSoonAfter(asked_to + milliseconds(1'000));
  EXPECT_LT(AwaitCalls() - asked_to, milliseconds(60'000));
}

INSTANTIATE_TEST_SUITE_P(Roads, StopTest,
                         testing::Values(Hang::kNames, Hang::kSystemNames, Hang::kConnect,
                                         Hang::kHandshake, Hang::kProxyConnect, Hang::kProxy),
                         NameOf);

}  // namespace
}  // namespace leasegateway
