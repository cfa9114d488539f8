// A log that has lost its end, and is another one since.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>

#include "tests/support/shared_log_fixture.h"

namespace leasegateway {
namespace {

class AnotherLogTest : public CachedAccountLogTest {
 protected:
  void LoseSince(const SharedLogContent& before) {
    log_.GoBackTo(before);
    log_.Tell();
    Settle();
    Pass(milliseconds(1));
  }
};

TEST_F(AnotherLogTest, WritesOfOthersThatItDoesNotHaveAreNotWaitedFor) {
  for (std::size_t i = 0; i < 2; ++i) Available(At(i));
  const SharedLogContent before = log_;
  for (int i = 0; i < 3; ++i) AppendGone(kC);
  AppendWrite(Write::Effect::kEnded, kC);
  log_.Tell();
  Settle();
  LoseSince(before);
  Available(At(0), milliseconds(0));
  const int asked = AvailableRequests();
  Available(At(1));
  EXPECT_EQ(AvailableRequests(), asked);
}

TEST_F(AnotherLogTest, AnEmptyOneHasNoWritesThatAreOnTheirWay) {
  const SharedLogContent before = log_;
  Available(At(0));
  ASSERT_TRUE(Terminate(At(1), kC, "lease_c").ok());
  LoseSince(before);
  Available(At(0), milliseconds(0));
  const int asked = AvailableRequests();
  for (std::size_t i = 0; i < 2; ++i) Available(At(i));
  EXPECT_EQ(AvailableRequests(), asked);
}

TEST_F(AnotherLogTest, ItsEndIsEnoughForWhoBeganToReadALongerOne) {
  Available(At(0));
  const SharedLogContent before = log_;
  for (int i = 0; i < 9; ++i) AppendGone(kC);
  log_.most_entries = 2;
  int exchanges = 0;
  log_.before_exchange = [&] {
    ++exchanges;
    if (exchanges == 2) log_.GoBackTo(before);
    if (exchanges == 50) log_.away = absl::UnavailableError("nobody asks so often");
  };
  EXPECT_TRUE(*Do(At(0).cache->account().Load(Soon())));
  EXPECT_LT(exchanges, 10);
  EXPECT_EQ(SequenceOf(At(0)), before.sequence);
}

// --- an answer that was asked for before the log was read anew ---

TEST_F(AnotherLogTest, AnAnswerWithoutWhatWasWrittenMeanwhileIsAskedForAgain) {
  script_.hold = true;
  const auto numbers = StartAvailable(At(0), milliseconds(0));
  const auto leases = Start(At(0).cache->FindLeases(Context(milliseconds(0))));
  script_.hold = false;
  ASSERT_TRUE(Lease(At(1), kA, "lease_a").ok());
  script_.available = Numbers({kB});
  script_.leases = Leases({LeaseOf(kC, "lease_c"), LeaseOf(kA, "lease_a")});
  Pass(milliseconds(1));
  script_.Release("ListAvailableNumbers");
  script_.Release("ListLeases");
  Settle();
  ASSERT_TRUE(numbers->status().ok());
  EXPECT_THAT(PhoneNumbers(**numbers->result), ElementsAre(kB));
  EXPECT_THAT(AvailableInMemory(At(0)), ElementsAre(kB));
  ASSERT_TRUE(leases->status().ok());
  EXPECT_THAT(LeaseIds(**leases->result), UnorderedElementsAre("lease_c", "lease_a"));
  EXPECT_THAT(LeasesInMemory(At(0)), UnorderedElementsAre("lease_c", "lease_a"));
  EXPECT_EQ(AvailableRequests(), 2);
  EXPECT_EQ(LeasesRequests(), 2);
}

}  // namespace
}  // namespace leasegateway
