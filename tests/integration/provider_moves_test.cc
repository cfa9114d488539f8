// The provider's name gets another address: the gateway follows, and no caller notices.
#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <signal.h>

#include <atomic>
#include <boost/json/parse.hpp>
#include <chrono>
#include <cstdint>
#include <fstream>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "tests/support/gateway_program.h"
#include "tests/support/name_server.h"

namespace leasegateway {
namespace {

using std::chrono::milliseconds;
using testing::IsEmpty;

class ProviderMovesTest : public GatewayProgram {
 protected:
  static constexpr int kReaders = 4;

  void SetUp() override {
    // The port is that of the URL, so both have it.
    for (int i = 0; i < 20 && new_.pid < 0; ++i) {
      old_ = StartSandbox("old" + std::to_string(i), "127.0.0.2");
      ASSERT_GE(old_.pid, 0);
      new_ = StartSandbox("new" + std::to_string(i), "127.0.0.3", old_.port);
      std::ofstream(Path("ca.pem")) << ReadAll(Path("old" + std::to_string(i) + ".pem"))
                                    << ReadAll(Path("new" + std::to_string(i) + ".pem"));
    }
    ASSERT_GE(new_.pid, 0);
    names_.Set(At("127.0.0.2"));
  }
  void TearDown() override {
    stopped_ = true;
    for (auto& caller : callers_) caller.join();
  }
  static std::string At(const std::string& address) {
    return R"({"api.provider.test": {"A": [")" + address + R"("], "AAAA": [], "ttl": 1}})";
  }
  void StartGateway(std::vector<std::string> more) {
    more.insert(more.end(), {"--dns-servers", names_.server(), "--upstream-ca-file", Path("ca.pem"),
                             "--pool-size", "8"});
    GatewayProgram::StartGateway(old_.port, std::move(more));
  }

  // Reads past memory, one after the other by each reader, and purchases of one number each.
  void KeepCalling() {
    numbers_ = Numbers();
    ASSERT_EQ(numbers_.size(), 100U);
    for (int i = 0; i < kReaders; ++i) {
      callers_.emplace_back([this, i] {
        for (std::size_t j = 0; !stopped_; ++j) {
          Note(j % 50 == 0 ? List() : Get(numbers_[50 + (i + j) % 50]));
          ++calls_;
        }
      });
    }
    callers_.emplace_back([this] {
      for (std::size_t i = 0; i < 50 && !stopped_; ++i) {
        Note(Lease(numbers_[i]));
        ++leased_;
        for (int wait = 0; wait < 20 && !stopped_; ++wait) {
          std::this_thread::sleep_for(milliseconds(10));
        }
      }
    });
  }
  void Note(const grpc::Status& status) {
    if (status.ok()) return;
    const std::lock_guard lock(mutex_);
    failures_.push_back(status.error_message());
  }
  std::vector<std::string> Failures() {
    const std::lock_guard lock(mutex_);
    return failures_;
  }
  bool AnswersMore(int calls) {
    const int before = calls_;
    return Eventually([&] { return calls_ >= before + calls; });
  }

  // Of this sandbox's control routes.
  static boost::json::value Control(const Sandbox& sandbox, const std::string& route) {
    return boost::json::parse(Http(sandbox.control_port, "GET", "/_sandbox/" + route, "", "",
                                   ntohl(inet_addr(sandbox.address.c_str())))
                                  .body);
  }
  static std::int64_t Requests(const Sandbox& sandbox) {
    std::int64_t sum = 0;
    const auto all = Control(sandbox, "requests");
    for (const auto& [route, count] : all.at("routes").as_object()) sum += count.to_number<int>();
    return sum;
  }
  static int Charges(const Sandbox& sandbox) {
    int charges = 0;
    const auto ledger = Control(sandbox, "ledger");
    for (const auto& entry : ledger.at("entries").as_array()) {
      charges += entry.at("kind") == boost::json::value("charge");
    }
    return charges;
  }
  // Whether it is asked for nothing while so many calls are answered.
  bool IsLeft(const Sandbox& sandbox) {
    const auto before = Requests(sandbox);
    EXPECT_TRUE(AnswersMore(40));
    return Requests(sandbox) == before;
  }

  NameServer names_;
  Sandbox old_;
  Sandbox new_;
  std::vector<std::string> numbers_;
  std::vector<std::thread> callers_;
  std::atomic<bool> stopped_{false};
  std::atomic<int> calls_{0};
  std::atomic<int> leased_{0};
  std::mutex mutex_;
  std::vector<std::string> failures_;
};

// The old server stays until nobody comes any more, as one does that is drained, and ends then.
TEST_F(ProviderMovesTest, AllFollowByTtlAndAgeWithoutAFailedCall) {
  StartGateway({"--pool-max-age", "2s", "--pool-warm", "2"});
  KeepCalling();
  EXPECT_TRUE(AnswersMore(40));
  EXPECT_EQ(Requests(new_), 0);
  names_.Set(At("127.0.0.3"));
  EXPECT_TRUE(Eventually([this] { return IsLeft(old_); }))
      << "asked of the old one " << Requests(old_) << ", of the new one " << Requests(new_);
  EXPECT_GT(Requests(new_), 0);
  const int bought_there = Charges(old_);
  kill(old_.pid, SIGKILL);
  EXPECT_TRUE(AnswersMore(100));
  const int leased = leased_;
  EXPECT_TRUE(Eventually([&] { return leased_ > leased || leased_ == 50; }));
  stopped_ = true;
  for (auto& caller : callers_) caller.join();
  callers_.clear();
  EXPECT_THAT(Failures(), IsEmpty());
  EXPECT_EQ(bought_there + Charges(new_), leased_) << "each number once, at one of them";
}

// A provider that fails over: its old server is dead before its name moves. Once the name has moved
// and its TTL is over, all calls are answered, although every connection was to the dead one.
TEST_F(ProviderMovesTest, DeadServerIsLeftOnceTheNameHasMoved) {
  StartGateway({});
  numbers_ = Numbers();
  ASSERT_EQ(numbers_.size(), 100U);
  kill(old_.pid, SIGKILL);
  EXPECT_FALSE(Get(numbers_[0], milliseconds(5'000)).ok());
  names_.Set(At("127.0.0.3"));
  EXPECT_TRUE(Eventually([this] { return Get(numbers_[0], milliseconds(5'000)).ok(); })) << Log();
  for (int i = 0; i < 20; ++i) EXPECT_TRUE(Get(numbers_[i]).ok());
  EXPECT_TRUE(Lease(numbers_[30]).ok());
  EXPECT_EQ(Charges(new_), 1);
}

}  // namespace
}  // namespace leasegateway
