#include "service/rpc/call_limit.h"

#include <gtest/gtest.h>

#include <atomic>
#include <thread>
#include <vector>

#include "upstream/upstream_error.h"

namespace leasegateway {
namespace {

TEST(CallLimit, OneMoreThanTheMostIsOverloaded) {
  CallLimit limit(2);
  EXPECT_TRUE(limit.Enter().ok());
  EXPECT_TRUE(limit.Enter().ok());
  const absl::Status refused = limit.Enter();
  EXPECT_EQ(refused.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(ReasonOf(refused), reason::kOverloaded);
  EXPECT_EQ(MetadataOf(refused).at("request_sent"), "false");
  EXPECT_EQ(RetryDelayOf(refused), kDefaultRetryDelay);
  EXPECT_EQ(limit.stats().calls, 2);
  EXPECT_EQ(limit.stats().refused, 1u);
}

TEST(CallLimit, WhoLeavesMakesRoom) {
  CallLimit limit(1);
  for (int i = 0; i < 3; ++i) {
    EXPECT_TRUE(limit.Enter().ok());
    EXPECT_FALSE(limit.Enter().ok());
    limit.Leave();
  }
  EXPECT_EQ(limit.stats().calls, 0);
  EXPECT_EQ(limit.stats().refused, 3u);
}

TEST(CallLimit, CallerHasNoMorePlacesThanItLeavesFree) {
  CallLimit limit(12);
  int greedy = 0;
  while (limit.Enter(greedy).ok()) ++greedy;
  EXPECT_EQ(greedy, 6);
  int second = 0;
  while (limit.Enter(second).ok()) ++second;
  EXPECT_EQ(second, 3);
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(limit.Enter(0).ok()) << "callers that have none";
  const absl::Status refused = limit.Enter(0);
  EXPECT_EQ(ReasonOf(refused), reason::kOverloaded);
  EXPECT_EQ(refused.message(), "12 calls are under way: the gateway is overloaded");
  EXPECT_EQ(limit.Enter(6).message(),
            "12 calls are under way, 6 of them this caller's: the gateway is overloaded");
}

TEST(CallLimit, NeverMoreThanTheMostAtOnce) {
  constexpr int kMost = 3;
  CallLimit limit(kMost);
  std::atomic<int> inside{0};
  std::atomic<int> most{0};
  std::vector<std::thread> callers;
  for (int i = 0; i < 8; ++i) {
    callers.emplace_back([&] {
      for (int call = 0; call < 2'000; ++call) {
        if (!limit.Enter().ok()) continue;
        const int now = ++inside;
        for (int seen = most; seen < now && !most.compare_exchange_weak(seen, now);) {
        }
        --inside;
        limit.Leave();
      }
    });
  }
  for (auto& caller : callers) caller.join();
  EXPECT_LE(most, kMost);
  EXPECT_EQ(limit.stats().calls, 0);
}

}  // namespace
}  // namespace leasegateway
