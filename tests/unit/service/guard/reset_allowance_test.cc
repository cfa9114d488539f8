#include "service/guard/reset_allowance.h"

#include <gtest/gtest.h>

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

}  // namespace
}  // namespace leasegateway
