#include "upstream/circuit_breaker.h"

#include <gtest/gtest.h>

#include <vector>

namespace leasegateway {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using Outcome = CircuitBreaker::Outcome;
using State = CircuitBreaker::State;

class CircuitBreakerTest : public testing::Test {
 protected:
  void Attempts(int count, Outcome outcome) {
    for (int i = 0; i < count; ++i) {
      const auto permit = breaker_.Ask(now_);
      ASSERT_TRUE(permit.granted);
      breaker_.Record(permit, outcome, now_);
    }
  }
  State state() const { return breaker_.state(now_); }
  void Open() {
    Attempts(20, Outcome::kFailure);
    ASSERT_EQ(state(), State::kOpen);
  }

  CircuitBreaker breaker_{CircuitBreaker::Options()};
  CircuitBreaker::TimePoint now_{std::chrono::hours(1)};
};

TEST_F(CircuitBreakerTest, OpensAtHalfOfEnough) {
  Attempts(10, Outcome::kSuccess);
  Attempts(9, Outcome::kFailure);
  EXPECT_EQ(state(), State::kClosed);
  Attempts(1, Outcome::kFailure);
  EXPECT_EQ(state(), State::kOpen);
  const auto refused = breaker_.Ask(now_);
  EXPECT_FALSE(refused.granted);
  EXPECT_EQ(refused.retry_in, seconds(1));
  EXPECT_EQ(breaker_.OpenFor(now_), seconds(1));
}

TEST_F(CircuitBreakerTest, FewFailuresDoNotOpenIt) {
  Attempts(19, Outcome::kFailure);
  EXPECT_EQ(state(), State::kClosed);
}

TEST_F(CircuitBreakerTest, FailuresBelowTheRateDoNotOpenIt) {
  Attempts(51, Outcome::kSuccess);
  Attempts(49, Outcome::kFailure);
  EXPECT_EQ(state(), State::kClosed);
}

TEST_F(CircuitBreakerTest, UnknownOutcomesDoNotCount) {
  Attempts(100, Outcome::kUnknown);
  Attempts(19, Outcome::kFailure);
  EXPECT_EQ(state(), State::kClosed);
}

TEST_F(CircuitBreakerTest, WindowSlides) {
  Attempts(19, Outcome::kFailure);
  now_ += seconds(10);
  Attempts(19, Outcome::kFailure);
  EXPECT_EQ(state(), State::kClosed);
  now_ += seconds(9);
  Attempts(1, Outcome::kFailure);
  EXPECT_EQ(state(), State::kOpen);
}

TEST_F(CircuitBreakerTest, ProbesCloseIt) {
  Open();
  now_ += seconds(1);
  EXPECT_EQ(state(), State::kHalfOpen);
  EXPECT_FALSE(breaker_.OpenFor(now_));
  Attempts(2, Outcome::kSuccess);
  EXPECT_EQ(state(), State::kHalfOpen);
  Attempts(1, Outcome::kSuccess);
  EXPECT_EQ(state(), State::kClosed);
  Attempts(19, Outcome::kFailure);  // nothing of the time before counts
  EXPECT_EQ(state(), State::kClosed);
}

TEST_F(CircuitBreakerTest, OnlySoManyProbesAtATime) {
  Open();
  now_ += seconds(1);
  std::vector<CircuitBreaker::Permit> probes;
  for (int i = 0; i < 3; ++i) probes.push_back(breaker_.Ask(now_));
  EXPECT_TRUE(probes.back().granted);
  const auto refused = breaker_.Ask(now_);
  EXPECT_FALSE(refused.granted);
  EXPECT_GT(refused.retry_in, seconds(0));
  breaker_.Record(probes[0], Outcome::kUnknown, now_);
  EXPECT_TRUE(breaker_.Ask(now_).granted);
}

TEST_F(CircuitBreakerTest, FailedProbesOpenItForLongerAndLonger) {
  Open();
  for (const int open : {1, 2, 4, 8, 10, 10}) {
    EXPECT_EQ(breaker_.OpenFor(now_), seconds(open));
    now_ += seconds(open);
    Attempts(1, Outcome::kFailure);
  }
}

TEST_F(CircuitBreakerTest, SuccessesMustBeInARow) {
  Open();
  now_ += seconds(1);
  Attempts(2, Outcome::kSuccess);
  Attempts(1, Outcome::kFailure);
  EXPECT_EQ(state(), State::kOpen);
  now_ += seconds(2);
  Attempts(2, Outcome::kSuccess);
  EXPECT_EQ(state(), State::kHalfOpen);
}

TEST_F(CircuitBreakerTest, LateOutcomesFromBeforeAreIgnored) {
  const auto late = breaker_.Ask(now_);
  const auto later = breaker_.Ask(now_);
  Open();
  breaker_.Record(late, Outcome::kFailure, now_);
  EXPECT_EQ(breaker_.OpenFor(now_), seconds(1));
  now_ += seconds(1);
  breaker_.Record(later, Outcome::kFailure, now_);
  EXPECT_EQ(state(), State::kHalfOpen);
}

// Whatever came before: once the provider works, the next call after the pause goes through, and
// rare calls close it as well.
TEST_F(CircuitBreakerTest, ClosedWithin30SecondsAfterTheFaultsStop) {
  Open();
  for (int i = 0; i < 20; ++i) {
    now_ += seconds(10);
    Attempts(1, Outcome::kFailure);
  }
  const auto stopped = now_;
  now_ += seconds(20);
  Attempts(1, Outcome::kSuccess);
  EXPECT_EQ(state(), State::kClosed);
  EXPECT_LE(now_ - stopped, seconds(30));
}

}  // namespace
}  // namespace leasegateway
