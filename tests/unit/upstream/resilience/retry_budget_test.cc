#include "upstream/resilience/retry_budget.h"

#include <gtest/gtest.h>

namespace leasegateway {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr auto kStart = RetryBudget::TimePoint(std::chrono::hours(1));

int TakeAll(RetryBudget& budget, bool background, RetryBudget::TimePoint now) {
  int taken = 0;
  while (taken < 10'000 && budget.Take(background, now)) ++taken;
  return taken;
}

TEST(RetryBudget, CallsEarnTheirShare) {
  RetryBudget budget({.percent = 10, .floor = 0});
  EXPECT_EQ(TakeAll(budget, false, kStart), 0);
  for (int i = 0; i < 300; ++i) budget.Earn();
  EXPECT_EQ(TakeAll(budget, false, kStart), 30);
}

TEST(RetryBudget, QuietGatewayHasItsFloor) {
  RetryBudget budget({.percent = 10, .floor = 5});
  EXPECT_EQ(TakeAll(budget, false, kStart), 5);
  EXPECT_EQ(TakeAll(budget, false, kStart + milliseconds(400)), 2);
  EXPECT_EQ(TakeAll(budget, false, kStart + seconds(100)), 5);
}

TEST(RetryBudget, BackgroundNeverUsesTheFloor) {
  RetryBudget budget({.percent = 10, .floor = 5});
  EXPECT_EQ(TakeAll(budget, true, kStart), 0);
  for (int i = 0; i < 20; ++i) budget.Earn();
  EXPECT_EQ(TakeAll(budget, true, kStart), 2);
  EXPECT_EQ(TakeAll(budget, false, kStart), 5);
}

TEST(RetryBudget, SavingsAreBounded) {
  RetryBudget budget({.percent = 100, .floor = 0});
  for (int i = 0; i < 100'000; ++i) budget.Earn();
  EXPECT_EQ(TakeAll(budget, false, kStart), 100);
}

TEST(RetryBudget, ZeroAllowsNone) {
  RetryBudget budget({.percent = 0, .floor = 0});
  for (int i = 0; i < 100; ++i) budget.Earn();
  EXPECT_EQ(TakeAll(budget, false, kStart + seconds(10)), 0);
}

}  // namespace
}  // namespace leasegateway
