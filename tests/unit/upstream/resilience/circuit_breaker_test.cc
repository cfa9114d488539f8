#include "upstream/resilience/circuit_breaker.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace leasegateway {
namespace {

using std::chrono::seconds;
using Op = UpstreamOperation;
using Outcome = CircuitBreaker::Outcome;
using State = CircuitBreaker::State;

std::string Number(int i) { return "+1305" + std::to_string(1'000'000 + i); }

class CircuitBreakerTest : public testing::Test {
 protected:
  // One of a number; an empty one is a list.
  void Attempt(Op operation, const std::string& number, Outcome outcome) {
    const auto permit = breaker_.Ask(operation, number, now_);
    ASSERT_FALSE(permit.refusal);
    breaker_.Record(permit, outcome, now_);
  }
  // Each of another number.
  void Attempts(int count, Outcome outcome, Op operation = Op::kGetNumber, int first = 0) {
    for (int i = 0; i < count; ++i) Attempt(operation, Number(first + i), outcome);
  }
  State provider() const { return breaker_.provider(now_); }
  State state(Op operation = Op::kGetNumber) const { return breaker_.operation(operation, now_); }
  void ExpectAllClosed() const {
    EXPECT_EQ(provider(), State::kClosed);
    for (std::size_t i = 0; i < kUpstreamOperationNames.size(); ++i) {
      EXPECT_EQ(state(static_cast<Op>(i)), State::kClosed) << kUpstreamOperationNames[i];
    }
  }
  void Open() {
    Attempts(20, Outcome::kFailure);
    ASSERT_EQ(state(), State::kOpen);
  }
  void OpenProvider() {
    Attempts(20, Outcome::kUnreachable);
    ASSERT_EQ(provider(), State::kOpen);
  }

  CircuitBreaker breaker_{CircuitBreaker::Options()};
  CircuitBreaker::TimePoint now_{std::chrono::hours(1)};
};

// --- what opens an operation's circuit -----------------------------------------------------------

TEST_F(CircuitBreakerTest, OpensAtHalfOfEnough) {
  Attempts(10, Outcome::kSuccess);
  Attempts(9, Outcome::kFailure, Op::kGetNumber, 10);
  EXPECT_EQ(state(), State::kClosed);
  Attempts(1, Outcome::kFailure, Op::kGetNumber, 19);
  EXPECT_EQ(state(), State::kOpen);
  const auto refusal = breaker_.Ask(Op::kGetNumber, Number(0), now_).refusal;
  ASSERT_TRUE(refusal);
  EXPECT_FALSE(refusal->is_provider);
  EXPECT_EQ(refusal->retry_in, seconds(1));
  EXPECT_EQ(breaker_.FindOpen(Op::kGetNumber, now_)->retry_in, seconds(1));
}

TEST_F(CircuitBreakerTest, OpensForItsOperationAlone) {
  Open();
  EXPECT_EQ(provider(), State::kClosed);
  EXPECT_EQ(state(Op::kCreateLease), State::kClosed);
  EXPECT_FALSE(breaker_.FindOpen(Op::kCreateLease, now_));
  EXPECT_FALSE(breaker_.Ask(Op::kCreateLease, Number(0), now_).refusal);
}

TEST_F(CircuitBreakerTest, FewFailuresDoNotOpenIt) {
  Attempts(19, Outcome::kFailure);
  ExpectAllClosed();
}

TEST_F(CircuitBreakerTest, FailuresBelowTheRateDoNotOpenIt) {
  Attempts(51, Outcome::kSuccess);
  Attempts(49, Outcome::kFailure, Op::kGetNumber, 51);
  ExpectAllClosed();
}

TEST_F(CircuitBreakerTest, UnknownOutcomesDoNotCount) {
  Attempts(100, Outcome::kUnknown);
  Attempts(19, Outcome::kFailure);
  ExpectAllClosed();
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

TEST_F(CircuitBreakerTest, WindowForgetsWhatNothingReplaced) {
  Attempts(19, Outcome::kFailure);
  now_ += seconds(11);
  Attempts(19, Outcome::kFailure);
  ExpectAllClosed();
}

TEST_F(CircuitBreakerTest, NumbersThatAlwaysFailAreTheirOwnFault) {
  for (int i = 0; i < 1'000; ++i) Attempt(Op::kGetNumber, Number(i % 2), Outcome::kFailure);
  ExpectAllClosed();
  Attempt(Op::kGetNumber, Number(2), Outcome::kFailure);
  EXPECT_EQ(state(), State::kOpen);
  EXPECT_EQ(provider(), State::kClosed);
}

TEST_F(CircuitBreakerTest, OneNumberThatFailsEverywhereIsItsOwnFault) {
  for (int i = 0; i < 1'000; ++i) {
    for (const Op operation : {Op::kGetNumber, Op::kGetLease, Op::kConfigureFailover}) {
      Attempt(operation, Number(0), Outcome::kFailure);
    }
  }
  ExpectAllClosed();
}

TEST_F(CircuitBreakerTest, OneListThatFailsIsItsOwnFault) {
  for (int i = 0; i < 1'000; ++i) Attempt(Op::kListLeases, "", Outcome::kFailure);
  ExpectAllClosed();
}

TEST_F(CircuitBreakerTest, FewNumbersAskedForOverAndOverDoNotOpenItForMany) {
  Attempts(100, Outcome::kSuccess, Op::kGetNumber, 3);
  for (int i = 0; i < 1'000; ++i) Attempt(Op::kGetNumber, Number(i % 3), Outcome::kFailure);
  ExpectAllClosed();
}

// With so many numbers all places of the sketch are taken, by those that fail as well.
TEST_F(CircuitBreakerTest, ShareOfAttemptsCountsWhereNumbersCannotBeToldApart) {
  for (int i = 0; i < 100'000; ++i) {
    Attempt(Op::kGetNumber, Number(i), i % 20 == 0 ? Outcome::kFailure : Outcome::kSuccess);
  }
  ExpectAllClosed();
}

// --- what opens the provider's -------------------------------------------------------------------

TEST_F(CircuitBreakerTest, UnreachableProviderIsClosedToAll) {
  Attempts(10, Outcome::kSuccess);
  for (int i = 0; i < 9; ++i) Attempt(Op::kListLeases, "", Outcome::kUnreachable);
  ExpectAllClosed();
  Attempt(Op::kCreateLease, Number(0), Outcome::kUnreachable);
  EXPECT_EQ(provider(), State::kOpen);
  EXPECT_EQ(state(Op::kCreateLease), State::kClosed);
  for (const Op operation : {Op::kGetNumber, Op::kTerminateLease}) {
    const auto refusal = breaker_.Ask(operation, Number(1), now_).refusal;
    ASSERT_TRUE(refusal);
    EXPECT_TRUE(refusal->is_provider);
    EXPECT_EQ(refusal->retry_in, seconds(1));
    EXPECT_TRUE(breaker_.FindOpen(operation, now_)->is_provider);
  }
}

TEST_F(CircuitBreakerTest, FewUnreachableAttemptsDoNotOpenIt) {
  Attempts(19, Outcome::kUnreachable);
  ExpectAllClosed();
}

TEST_F(CircuitBreakerTest, UnreachableAttemptsBelowTheRateDoNotOpenIt) {
  Attempts(51, Outcome::kSuccess);
  Attempts(49, Outcome::kUnreachable);
  ExpectAllClosed();
}

TEST_F(CircuitBreakerTest, OpensWhenTwoOperationsFailAndNoneWorks) {
  Attempts(18, Outcome::kFailure);
  Attempt(Op::kListLeases, "", Outcome::kFailure);
  ExpectAllClosed();
  Attempt(Op::kListLeases, "", Outcome::kFailure);
  EXPECT_EQ(provider(), State::kOpen);
}

TEST_F(CircuitBreakerTest, OperationThatWorksKeepsItClosed) {
  Attempt(Op::kListLeases, "", Outcome::kSuccess);
  Attempts(20, Outcome::kFailure);
  Attempts(20, Outcome::kFailure, Op::kGetCallForwarding);
  EXPECT_EQ(state(), State::kOpen);
  EXPECT_EQ(state(Op::kGetCallForwarding), State::kOpen);
  EXPECT_EQ(provider(), State::kClosed);
}

TEST_F(CircuitBreakerTest, TwoResourcesAtTwoOperationsDoNotOpenIt) {
  for (int i = 0; i < 100; ++i) {
    Attempt(Op::kListLeases, "", Outcome::kFailure);
    Attempt(Op::kListAvailableNumbers, "", Outcome::kFailure);
  }
  ExpectAllClosed();
  Attempt(Op::kGetNumber, Number(0), Outcome::kFailure);
  EXPECT_EQ(provider(), State::kOpen);
}

// --- half open -----------------------------------------------------------------------------------

TEST_F(CircuitBreakerTest, ProbesCloseIt) {
  Open();
  now_ += seconds(1);
  EXPECT_EQ(state(), State::kHalfOpen);
  EXPECT_FALSE(breaker_.FindOpen(Op::kGetNumber, now_));
  Attempts(2, Outcome::kSuccess);
  EXPECT_EQ(state(), State::kHalfOpen);
  Attempts(1, Outcome::kSuccess);
  EXPECT_EQ(state(), State::kClosed);
  Attempts(19, Outcome::kFailure);  // nothing of the time before counts
  EXPECT_EQ(state(), State::kClosed);
}

TEST_F(CircuitBreakerTest, ProbesOfAnyOperationCloseTheProviders) {
  Attempts(15, Outcome::kFailure);
  Attempts(5, Outcome::kFailure, Op::kGetCallForwarding);
  ASSERT_EQ(provider(), State::kOpen);
  now_ += seconds(1);
  EXPECT_EQ(provider(), State::kHalfOpen);
  Attempt(Op::kListLeases, "", Outcome::kSuccess);
  Attempts(1, Outcome::kSuccess, Op::kCreateLease);
  EXPECT_EQ(provider(), State::kHalfOpen);
  Attempts(1, Outcome::kSuccess);
  EXPECT_EQ(provider(), State::kClosed);
  Attempts(15, Outcome::kFailure);  // nothing of the time before counts
  Attempts(4, Outcome::kFailure, Op::kGetCallForwarding);
  ExpectAllClosed();
}

TEST_F(CircuitBreakerTest, OnlySoManyProbesAtATime) {
  Open();
  now_ += seconds(1);
  std::vector<CircuitBreaker::Permit> probes;
  for (int i = 0; i < 3; ++i) probes.push_back(breaker_.Ask(Op::kGetNumber, Number(i), now_));
  EXPECT_FALSE(probes.back().refusal);
  const auto refused = breaker_.Ask(Op::kGetNumber, Number(3), now_);
  ASSERT_TRUE(refused.refusal);
  EXPECT_GT(refused.refusal->retry_in, seconds(0));
  EXPECT_FALSE(breaker_.Ask(Op::kCreateLease, Number(3), now_).refusal);
  breaker_.Record(probes[0], Outcome::kUnknown, now_);
  EXPECT_FALSE(breaker_.Ask(Op::kGetNumber, Number(3), now_).refusal);
}

// It may hang: the other places are for others.
TEST_F(CircuitBreakerTest, OneNumberIsOneProbeAtATime) {
  Open();
  now_ += seconds(1);
  const auto probe = breaker_.Ask(Op::kGetNumber, Number(0), now_);
  EXPECT_TRUE(breaker_.Ask(Op::kGetNumber, Number(0), now_).refusal);
  Attempts(3, Outcome::kSuccess, Op::kGetNumber, 1);
  EXPECT_EQ(state(), State::kClosed);
  breaker_.Record(probe, Outcome::kFailure, now_);
}

TEST_F(CircuitBreakerTest, AttemptThatOneCircuitRefusesTakesNoPlaceInTheOther) {
  Open();
  now_ += seconds(1);
  for (int i = 0; i < 3; ++i) breaker_.Ask(Op::kGetNumber, Number(i), now_);
  Attempts(20, Outcome::kUnreachable, Op::kCreateLease);
  ASSERT_EQ(provider(), State::kOpen);
  now_ += seconds(1);
  for (int i = 3; i < 10; ++i) {
    const auto refusal = breaker_.Ask(Op::kGetNumber, Number(i), now_).refusal;
    ASSERT_TRUE(refusal);
    EXPECT_FALSE(refusal->is_provider);
  }
  for (int i = 0; i < 3; ++i) {
    EXPECT_FALSE(breaker_.Ask(Op::kCreateLease, Number(i), now_).refusal) << i;
  }
  EXPECT_TRUE(breaker_.Ask(Op::kCreateLease, Number(3), now_).refusal->is_provider);
}

TEST_F(CircuitBreakerTest, FailedProbesOpenItForLongerAndLonger) {
  Open();
  for (const int open : {1, 2, 4, 8, 10, 10}) {
    EXPECT_EQ(breaker_.FindOpen(Op::kGetNumber, now_)->retry_in, seconds(open));
    now_ += seconds(open);
    Attempts(3, Outcome::kFailure);
  }
}

TEST_F(CircuitBreakerTest, NumberThatAlwaysFailsDoesNotOpenItAgain) {
  Open();
  now_ += seconds(1);
  for (int i = 0; i < 100; ++i) Attempt(Op::kGetNumber, Number(i % 2), Outcome::kFailure);
  EXPECT_EQ(state(), State::kHalfOpen);
  Attempts(2, Outcome::kSuccess, Op::kGetNumber, 2);
  Attempt(Op::kGetNumber, Number(0), Outcome::kFailure);
  Attempts(1, Outcome::kSuccess, Op::kGetNumber, 4);
  EXPECT_EQ(state(), State::kClosed);
}

TEST_F(CircuitBreakerTest, FailuresOfSeveralNumbersOpenItAgain) {
  Open();
  now_ += seconds(1);
  Attempts(2, Outcome::kSuccess);
  Attempts(2, Outcome::kFailure);
  EXPECT_EQ(state(), State::kHalfOpen);
  Attempts(1, Outcome::kFailure, Op::kGetNumber, 2);
  EXPECT_EQ(state(), State::kOpen);
  now_ += seconds(2);
  Attempts(2, Outcome::kFailure, Op::kGetNumber, 3);  // those of the time before don't count
  Attempts(2, Outcome::kSuccess);
  EXPECT_EQ(state(), State::kHalfOpen);
}

TEST_F(CircuitBreakerTest, OneUnreachableAttemptOpensTheProvidersAgain) {
  OpenProvider();
  for (const int open : {1, 2, 4}) {
    EXPECT_EQ(breaker_.FindOpen(Op::kGetNumber, now_)->retry_in, seconds(open));
    now_ += seconds(open);
    Attempts(2, Outcome::kSuccess);
    Attempts(1, Outcome::kUnreachable);
    EXPECT_EQ(provider(), State::kOpen);
  }
}

// It says nothing of the operation.
TEST_F(CircuitBreakerTest, UnreachableAttemptsDoNotOpenAnOperationsAgain) {
  Open();
  now_ += seconds(1);
  Attempts(5, Outcome::kUnreachable);
  EXPECT_EQ(state(), State::kHalfOpen);
  Attempts(3, Outcome::kSuccess);
  ExpectAllClosed();
}

TEST_F(CircuitBreakerTest, LateOutcomesFromBeforeAreIgnored) {
  const auto late = breaker_.Ask(Op::kGetNumber, Number(0), now_);
  const auto later = breaker_.Ask(Op::kGetNumber, Number(1), now_);
  Open();
  breaker_.Record(late, Outcome::kFailure, now_);
  EXPECT_EQ(breaker_.FindOpen(Op::kGetNumber, now_)->retry_in, seconds(1));
  now_ += seconds(1);
  breaker_.Record(later, Outcome::kFailure, now_);
  Attempts(2, Outcome::kFailure);
  EXPECT_EQ(state(), State::kHalfOpen);
}

TEST_F(CircuitBreakerTest, LateOutcomesDoNotCountOnceItIsClosedAgain) {
  std::vector<CircuitBreaker::Permit> late;
  for (int i = 0; i < 19; ++i) late.push_back(breaker_.Ask(Op::kGetNumber, Number(i), now_));
  Open();
  now_ += seconds(1);
  Attempts(3, Outcome::kSuccess);
  for (const auto& permit : late) breaker_.Record(permit, Outcome::kFailure, now_);
  Attempts(1, Outcome::kFailure);
  ExpectAllClosed();
}

TEST_F(CircuitBreakerTest, LateOutcomesFromBeforeTheProvidersOpenedAreIgnored) {
  std::vector<CircuitBreaker::Permit> late;
  for (int i = 0; i < 20; ++i) late.push_back(breaker_.Ask(Op::kGetNumber, Number(i), now_));
  for (int i = 0; i < 20; ++i) Attempt(Op::kListLeases, "", Outcome::kUnreachable);
  ASSERT_EQ(provider(), State::kOpen);
  now_ += seconds(1);
  for (const auto& permit : late) breaker_.Record(permit, Outcome::kFailure, now_);
  EXPECT_EQ(provider(), State::kHalfOpen);
  EXPECT_EQ(state(), State::kClosed);
}

// Whatever came before: once the provider works, the next call after the pause goes through, and
// rare calls close it as well.
TEST_F(CircuitBreakerTest, ClosedWithin30SecondsAfterTheFaultsStop) {
  OpenProvider();
  for (int i = 0; i < 20; ++i) {
    now_ += seconds(10);
    Attempts(1, Outcome::kUnreachable);
  }
  const auto stopped = now_;
  now_ += seconds(20);
  Attempts(1, Outcome::kSuccess);
  EXPECT_EQ(provider(), State::kClosed);
  EXPECT_LE(now_ - stopped, seconds(30));
}

}  // namespace
}  // namespace leasegateway
