#include "upstream/availability/freshness.h"

#include <gtest/gtest.h>

#include <string>

#include "upstream/upstream_error.h"

namespace leasegateway {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;
using Forward = CacheOutcome::Forward;

constexpr steady_clock::time_point kNow{std::chrono::hours(1)};

class FreshnessTest : public testing::Test {
 protected:
  // Of an answer that old: "use", "use+refresh", "stand in" or "no".
  std::string Weigh(milliseconds age, MaxStaleness max_staleness = {}) {
    Remembered remembered = remembered_;
    remembered.sent = kNow - age;
    outcome_ = CacheOutcome();
    const auto decision = Decide(remembered, max_staleness, pace_, policy_, kNow);
    outcome_ = decision.outcome;
    if (decision.use) return decision.refresh ? "use+refresh" : "use";
    EXPECT_FALSE(decision.refresh);
    return MayStandIn(remembered, max_staleness, policy_, kNow) ? "stand in" : "no";
  }

  CachePolicy policy_;
  RefreshPace pace_;
  Remembered remembered_;
  CacheOutcome outcome_;
};

TEST_F(FreshnessTest, TheWindowsFollowOneAnother) {
  EXPECT_EQ(Weigh(milliseconds(5'000)), "use");
  EXPECT_EQ(Weigh(milliseconds(5'001)), "use+refresh");
  EXPECT_EQ(Weigh(milliseconds(65'000)), "use+refresh");
  EXPECT_EQ(Weigh(milliseconds(65'001)), "stand in");
  EXPECT_EQ(outcome_.forward, Forward::kStale);
  EXPECT_EQ(Weigh(milliseconds(900'000)), "stand in");
  EXPECT_EQ(Weigh(milliseconds(900'001)), "no");
}

TEST_F(FreshnessTest, NothingIsAMiss) {
  const auto decision = Decide(std::nullopt, {}, pace_, policy_, kNow);
  EXPECT_FALSE(decision.use);
  EXPECT_EQ(decision.outcome.forward, Forward::kMiss);
  EXPECT_FALSE(MayStandIn(std::nullopt, {}, policy_, kNow));
}

TEST_F(FreshnessTest, MaxStalenessIsTheCallersWord) {
  EXPECT_EQ(Weigh(milliseconds(700'000), milliseconds(700'000)), "use+refresh");
  EXPECT_EQ(Weigh(milliseconds(100), milliseconds(99)), "no");
  EXPECT_EQ(outcome_.forward, Forward::kRequest);
  EXPECT_EQ(Weigh(milliseconds(0), milliseconds(0)), "no");
}

TEST_F(FreshnessTest, WhatAWriteHasOutdatedOnlyStandsIn) {
  remembered_.is_outdated = true;
  EXPECT_EQ(Weigh(milliseconds(1)), "stand in");
  EXPECT_EQ(Weigh(milliseconds(1), milliseconds(1'000)), "no");
}

TEST_F(FreshnessTest, ThatANumberIsUnknownHoldsForAShortWhile) {
  remembered_.is_negative = true;
  EXPECT_EQ(Weigh(milliseconds(2'000)), "use");
  EXPECT_EQ(Weigh(milliseconds(2'001)), "no");
}

TEST_F(FreshnessTest, InAnOutageMemoryAnswersUntilThePauseIsOver) {
  pace_.Failed(kNow - milliseconds(1), true, policy_, 0);
  EXPECT_EQ(pace_.retry_at(), kNow + milliseconds(2'499));
  EXPECT_EQ(Weigh(milliseconds(6'000)), "use");  // and rests
  EXPECT_FALSE(outcome_.stale_if_error);
  EXPECT_EQ(Weigh(milliseconds(70'000)), "use");
  EXPECT_TRUE(outcome_.stale_if_error);
  EXPECT_EQ(Weigh(milliseconds(900'001)), "no");
  pace_.Failed(kNow - milliseconds(1), false, policy_, 0);
  EXPECT_EQ(Weigh(milliseconds(70'000)), "stand in");
}

TEST(IsOutageTest, IsWhatIsNoReadersFault) {
  const auto with = [](absl::StatusCode code, std::string_view why) {
    return IsOutage(MakeError(code, why, "no"));
  };
  EXPECT_TRUE(with(absl::StatusCode::kUnavailable, reason::kUpstreamIntermediary));
  EXPECT_TRUE(with(absl::StatusCode::kUnavailable, reason::kUpstreamFailed));
  EXPECT_TRUE(with(absl::StatusCode::kInternal, reason::kUpstreamMalformed));
  EXPECT_TRUE(with(absl::StatusCode::kFailedPrecondition, reason::kUpstreamCredentialsRejected));
  EXPECT_TRUE(with(absl::StatusCode::kPermissionDenied, reason::kUpstreamForbidden));
  EXPECT_TRUE(with(absl::StatusCode::kFailedPrecondition, reason::kAgreementRequired));
  EXPECT_FALSE(with(absl::StatusCode::kInvalidArgument, reason::kUpstreamRejected));
  EXPECT_FALSE(with(absl::StatusCode::kNotFound, reason::kNumberNotFound));
  EXPECT_FALSE(with(absl::StatusCode::kFailedPrecondition, reason::kNotLeased));
  EXPECT_FALSE(with(absl::StatusCode::kCancelled, reason::kCancelled));
  EXPECT_FALSE(IsOutage(absl::PermissionDeniedError("no")));
}

TEST_F(FreshnessTest, PausesDoubleUpToAMinuteAndEndWithASuccess) {
  const auto pause = [&](double random) {
    pace_.Failed(kNow, true, policy_, random);
    return std::chrono::duration_cast<milliseconds>(pace_.retry_at() - kNow).count();
  };
  EXPECT_EQ(pause(0), 2'500);
  EXPECT_EQ(pause(1), 10'000);
  EXPECT_EQ(pause(1), 20'000);
  EXPECT_EQ(pause(1), 40'000);
  EXPECT_EQ(pause(1), 60'000);
  EXPECT_EQ(pause(0), 30'000);
  pace_.Succeeded();
  EXPECT_FALSE(pace_.is_failing());
  EXPECT_EQ(pause(1), 5'000);
}

}  // namespace
}  // namespace leasegateway
