#include "service/guard/reset_allowance.h"

#include <gtest/gtest.h>

#include <chrono>

namespace leasegateway {
namespace {

ResetAllowance Fresh() {
  return ResetAllowance(
      {.at_first = 100, .most = 200, .most_credit = 50, .a_millisecond = 1, .bytes_a_unit = 1});
}

TEST(ResetAllowance, TakesBackWhatFoundRoomAndNoMore) {
  ResetAllowance allowance = Fresh();
  allowance.Earn(145);
  allowance.Earn(16);  // of which 5 find room
  EXPECT_EQ(allowance.left(), 250);
  allowance.TakeBack(145);
  allowance.TakeBack(16);
  EXPECT_EQ(allowance.left(), 100);
  EXPECT_EQ(allowance.spent(), 0);
  EXPECT_TRUE(allowance.Spend(30, {}));
  EXPECT_EQ(allowance.spent(), 30);
}

TEST(ResetAllowance, WhatCallsBroughtThatAreYoungNoMoreStays) {
  ResetAllowance allowance = Fresh();
  allowance.Earn(10);
  allowance.Turn(true);
  allowance.TakeBack(4);
  EXPECT_EQ(allowance.left(), 106);
  allowance.Turn(true);
  allowance.TakeBack(6);
  EXPECT_EQ(allowance.left(), 106);
  allowance.Earn(10);
  allowance.Turn(false);
  allowance.TakeBack(10);
  EXPECT_EQ(allowance.left(), 116);
}

TEST(ResetAllowance, GoesOnWithWhatIsSpent) {
  const ResetAllowance::Amounts amounts{
      .at_first = 100, .most = 200, .most_credit = 50, .a_millisecond = 1, .bytes_a_unit = 1};
  EXPECT_EQ(ResetAllowance(amounts, 100).left(), 0);
  EXPECT_EQ(ResetAllowance(amounts, 1'000).left(), 0);
  ResetAllowance allowance(amounts, 70);
  EXPECT_EQ(allowance.left(), 30);
  EXPECT_EQ(allowance.spent(), 70);
  allowance.Pass(std::chrono::milliseconds(90));
  EXPECT_EQ(allowance.spent(), 0);
  EXPECT_EQ(allowance.left(), 120);
}

}  // namespace
}  // namespace leasegateway
