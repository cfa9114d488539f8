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

}  // namespace
}  // namespace leasegateway
