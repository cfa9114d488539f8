#include "upstream/resilience/rate_limiter.h"

#include <gtest/gtest.h>

namespace leasegateway {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

class RateLimiterTest : public testing::Test {
 protected:
  // Calls that are granted in so much time, asking each millisecond without patience.
  int GrantedIn(RateLimiter& limiter, milliseconds time) {
    int granted = 0;
    for (const auto end = now_ + time; now_ < end; now_ += milliseconds(1)) {
      granted += limiter.Take(now_, seconds(0)).granted;
    }
    return granted;
  }
  void Send(RateLimiter& limiter, int calls) {
    for (int i = 0; i < calls; ++i) limiter.Sent(now_);
  }

  RateLimiter::TimePoint now_{std::chrono::hours(1)};
};

TEST_F(RateLimiterTest, NoLimitNoWait) {
  RateLimiter limiter(0);
  for (int i = 0; i < 100'000; ++i) {
    const auto token = limiter.Take(now_, seconds(0));
    ASSERT_TRUE(token.granted);
    ASSERT_EQ(token.wait, seconds(0));
  }
}

TEST_F(RateLimiterTest, KeepsUnderTheRate) {
  RateLimiter limiter(100);
  GrantedIn(limiter, seconds(1));
  EXPECT_NEAR(GrantedIn(limiter, seconds(10)), 1000, 2);
}

TEST_F(RateLimiterTest, QuietTimeSavesATenthOfASecondsTokens) {
  RateLimiter limiter(100);
  now_ += seconds(100);
  int granted = 0;
  while (limiter.Take(now_, seconds(0)).granted) ++granted;
  EXPECT_EQ(granted, 10);
}

TEST_F(RateLimiterTest, PatientCallsGetTokensOfTheFuture) {
  RateLimiter limiter(10);
  limiter.Take(now_, seconds(0));
  EXPECT_EQ(limiter.Take(now_, seconds(1)).wait, milliseconds(100));
  EXPECT_EQ(limiter.Take(now_, seconds(1)).wait, milliseconds(200));
  const auto refused = limiter.Take(now_, milliseconds(250));
  EXPECT_FALSE(refused.granted);
  EXPECT_EQ(refused.wait, milliseconds(300));
  EXPECT_EQ(limiter.Take(now_, seconds(1)).wait, milliseconds(300));  // refusals cost nothing
}

TEST_F(RateLimiterTest, WaitIsThatOfTheNext) {
  RateLimiter limiter(10);
  EXPECT_EQ(limiter.Wait(now_), seconds(0));
  limiter.Take(now_, seconds(0));
  EXPECT_EQ(limiter.Wait(now_), milliseconds(100));
  EXPECT_EQ(limiter.Wait(now_), milliseconds(100));  // asking costs nothing
  limiter.Refused(now_, seconds(1));
  EXPECT_EQ(limiter.Wait(now_), milliseconds(1'200));
}

TEST_F(RateLimiterTest, TokenGivenBackServesAnother) {
  RateLimiter limiter(10);
  limiter.Take(now_, seconds(0));
  EXPECT_FALSE(limiter.Take(now_, seconds(0)).granted);
  limiter.GiveBack();
  EXPECT_TRUE(limiter.Take(now_, seconds(0)).granted);
}

TEST_F(RateLimiterTest, RefusalHalvesTheConfiguredRateOnceASecond) {
  RateLimiter limiter(100);
  limiter.Refused(now_, {});
  limiter.Refused(now_ + milliseconds(500), {});
  EXPECT_NEAR(limiter.rate(now_ + milliseconds(500)), 52.5, 0.01);
  limiter.Refused(now_ + milliseconds(1000), {});
  EXPECT_NEAR(limiter.rate(now_ + milliseconds(1000)), 27.5, 0.01);
}

TEST_F(RateLimiterTest, RefusalWithoutALimitHalvesWhatWasSent) {
  RateLimiter limiter(0);
  Send(limiter, 400);
  now_ += milliseconds(1100);
  Send(limiter, 40);
  limiter.Refused(now_, {});
  EXPECT_NEAR(limiter.rate(now_), 200, 0.01);
}

TEST_F(RateLimiterTest, RateHasAFloor) {
  RateLimiter limiter(0);
  limiter.Refused(now_, {});
  EXPECT_EQ(limiter.rate(now_), 5);
  RateLimiter slow(2);
  slow.Refused(now_, {});
  EXPECT_EQ(slow.rate(now_), 2);
}

TEST_F(RateLimiterTest, RecoversSlowlyToTheConfiguredRate) {
  RateLimiter limiter(100);
  limiter.Refused(now_, {});
  EXPECT_NEAR(limiter.rate(now_ + seconds(4)), 70, 0.01);
  EXPECT_NEAR(limiter.rate(now_ + seconds(10)), 100, 0.01);
  EXPECT_NEAR(limiter.rate(now_ + seconds(100)), 100, 0.01);
}

TEST_F(RateLimiterTest, MinuteWithoutRefusalEndsALimitThatWasFound) {
  RateLimiter limiter(0);
  Send(limiter, 100);
  limiter.Refused(now_, {});
  EXPECT_GT(limiter.rate(now_ + seconds(59)), 0);
  EXPECT_EQ(limiter.rate(now_ + seconds(60)), 0);
}

TEST_F(RateLimiterTest, RetryAfterStopsAllCalls) {
  RateLimiter limiter(0);
  Send(limiter, 100);
  limiter.Refused(now_, seconds(2));
  EXPECT_FALSE(limiter.Take(now_ + seconds(1), milliseconds(900)).granted);
  EXPECT_TRUE(limiter.Take(now_ + milliseconds(2100), seconds(0)).granted);
}

TEST_F(RateLimiterTest, RetryAfterStopsForSecondsAtMost) {
  RateLimiter limiter(0);
  Send(limiter, 100);
  limiter.Refused(now_, std::chrono::hours(1));
  EXPECT_FALSE(limiter.Take(now_ + milliseconds(4900), seconds(0)).granted);
  EXPECT_TRUE(limiter.Take(now_ + milliseconds(5100), seconds(0)).granted);
}

TEST_F(RateLimiterTest, ProcessesShareTheRate) {
  RateLimiter limiter(100);
  limiter.ShareAmong(now_, 4);
  EXPECT_EQ(limiter.rate(now_), 25);
  GrantedIn(limiter, seconds(1));
  EXPECT_NEAR(GrantedIn(limiter, seconds(10)), 250, 2);
  limiter.ShareAmong(now_, 1);
  EXPECT_EQ(limiter.rate(now_), 100);
  GrantedIn(limiter, seconds(1));
  EXPECT_NEAR(GrantedIn(limiter, seconds(10)), 1000, 2);
}

TEST_F(RateLimiterTest, WhatWasSavedUpBeforeOthersCameIsNotKept) {
  RateLimiter limiter(100);
  now_ += seconds(100);
  ASSERT_TRUE(limiter.Take(now_, seconds(0)).granted);
  limiter.ShareAmong(now_, 100);
  now_ += milliseconds(1);
  EXPECT_EQ(GrantedIn(limiter, milliseconds(900)), 1);
}

TEST_F(RateLimiterTest, NoLimitIsNoLimitForAnyNumberOfProcesses) {
  RateLimiter limiter(0);
  limiter.ShareAmong(now_, 4);
  EXPECT_EQ(limiter.rate(now_), 0);
}

TEST_F(RateLimiterTest, RateAfterARefusalIsSharedOutAnew) {
  RateLimiter limiter(100);
  limiter.Refused(now_, {});
  limiter.ShareAmong(now_, 2);
  EXPECT_EQ(limiter.rate(now_), 25);
  EXPECT_NEAR(limiter.rate(now_ + seconds(4)), 35, 0.01);  // 5 % a second of 50
  EXPECT_EQ(limiter.rate(now_ + seconds(20)), 50);
  limiter.ShareAmong(now_ + seconds(20), 1);
  EXPECT_EQ(limiter.rate(now_ + seconds(20)), 100);
}

TEST_F(RateLimiterTest, FloorIsOfAllTogetherButOneForEach) {
  RateLimiter two(100);
  two.ShareAmong(now_, 2);
  for (int i = 0; i < 10; ++i, now_ += seconds(1)) two.Refused(now_, {});
  EXPECT_NEAR(two.rate(now_ - seconds(1)), 2.5, 0.01);
  RateLimiter found(0);
  found.ShareAmong(now_, 100);
  found.Refused(now_, {});
  EXPECT_EQ(found.rate(now_), 1);
}

TEST_F(RateLimiterTest, RefusalIsNewWhenItHalvesOrStopsForLonger) {
  RateLimiter limiter(100);
  EXPECT_TRUE(limiter.Refused(now_, {}));
  EXPECT_FALSE(limiter.Refused(now_ + milliseconds(10), {}));
  EXPECT_TRUE(limiter.Refused(now_ + milliseconds(20), seconds(1)));
  EXPECT_FALSE(limiter.Refused(now_ + milliseconds(30), seconds(1)));  // to within 0.1 s
  EXPECT_FALSE(limiter.Refused(now_ + milliseconds(40), milliseconds(500)));
  EXPECT_TRUE(limiter.Refused(now_ + milliseconds(50), seconds(3)));
  EXPECT_TRUE(limiter.Refused(now_ + milliseconds(1'000), {}));
}

}  // namespace
}  // namespace leasegateway
