#include "upstream/postgres/resolve.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <future>
#include <memory>

#include "tests/support/database_fixture.h"

namespace leasegateway::postgres {
namespace {

using std::chrono::milliseconds;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

// A resolver that hangs until it is let go.
class HangingResolver {
 public:
  LookUp look_up() {
    return [state = state_](const std::string&) -> absl::StatusOr<std::vector<std::string>> {
      state->begun.set_value();
      state->released.get_future().wait();
      ++state->ended;
      return std::vector<std::string>{"127.0.0.1"};
    };
  }
  void AwaitBegun() { state_->begun.get_future().wait(); }
  void Release() {
    state_->released.set_value();
    while (state_->ended == 0) std::this_thread::yield();
  }

 private:
  struct State {
    std::promise<void> begun;
    std::promise<void> released;
    std::atomic<int> ended = 0;
  };
  std::shared_ptr<State> state_ = std::make_shared<State>();
};

TEST(ResolveTest, AnAddressIsNotLookedUp) {
  IoThreads io;
  const LookUp never = [](const std::string&) -> absl::StatusOr<std::vector<std::string>> {
    return absl::InternalError("looked up");
  };
  for (const auto* const address : {"127.0.0.1", "::1"}) {
    const auto found = io.Get(Resolve(address, Soon(), never));
    ASSERT_TRUE(found.ok());
    EXPECT_THAT(*found, ElementsAre(address));
  }
}

TEST(ResolveTest, TheSystemKnowsLocalhost) {
  IoThreads io;
  const auto found = io.Get(Resolve("localhost", Soon()));
  ASSERT_TRUE(found.ok()) << found.status();
  EXPECT_THAT(*found, Contains("127.0.0.1"));
}

TEST(ResolveTest, AnUnknownHostIsUnavailable) {
  IoThreads io;
  const auto found = io.Get(Resolve("no-such-host.invalid", Soon()));
  EXPECT_EQ(found.status().code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(found.status().message()), HasSubstr("no-such-host.invalid"));
}

TEST(ResolveTest, AResolverThatHangsHoldsUpNothing) {
  HangingResolver resolver;
  {
    IoThreads io;
    const auto found = io.Get(Resolve("host", In(milliseconds(50)), resolver.look_up()));
    EXPECT_EQ(found.status().code(), absl::StatusCode::kUnavailable);
    EXPECT_THAT(std::string(found.status().message()), HasSubstr("too long"));
  }  // the threads end while it hangs
  resolver.Release();
}

TEST(ResolveTest, AtAStopAResolverThatHangsIsNotWaitedFor) {
  HangingResolver resolver;
  const auto haste = std::make_shared<Haste>();
  IoThreads io;
  auto found = io.Start(Resolve("host", Soon(), resolver.look_up(), haste));
  resolver.AwaitBegun();
  const auto begun = std::chrono::steady_clock::now();
  haste->Begin();
  EXPECT_EQ(IoThreads::Get(std::move(found)).status().code(), absl::StatusCode::kUnavailable);
  EXPECT_LT(std::chrono::steady_clock::now() - begun, std::chrono::seconds(2));
  resolver.Release();
}

TEST(ResolveTest, AnIoContextMayGoWhileItHangs) {
  HangingResolver resolver;
  std::future<absl::StatusOr<std::vector<std::string>>> abandoned;
  {
    IoThreads io;
    abandoned = io.Start(Resolve("host", Soon(), resolver.look_up()));
    resolver.AwaitBegun();
    io.Abandon();
  }
  resolver.Release();
}

}  // namespace
}  // namespace leasegateway::postgres
