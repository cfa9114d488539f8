// One refresh for all replicas: who asks the provider, and who may have its answer.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "tests/support/shared_log_fixture.h"

namespace leasegateway {
namespace {

class CachedAccountTurnsTest : public CachedAccountLogTest {};

TEST_F(CachedAccountTurnsTest, AClaimantThatDiesIsReplaced) {
  for (std::size_t i = 0; i < 2; ++i) Available(At(i));
  script_.hold = true;
  Pass(milliseconds(4'800));  // one of them asks, and never ends
  EXPECT_EQ(AvailableRequests(), 2);
  Pass(milliseconds(4'000));
  EXPECT_EQ(AvailableRequests(), 2);
  log_.claims = {};  // what time does to it
  script_.hold = false;
  Replica& late = Join();
  EXPECT_THAT(Available(late), ElementsAre(kA, kB));
  EXPECT_EQ(AvailableRequests(), 3);
}

TEST_F(CachedAccountTurnsTest, AFailedRefreshGivesTheClaimBack) {
  script_.available = Outage();
  EXPECT_FALSE(StartAvailable(At(0))->status().ok());
  script_.available = Numbers({kA});
  EXPECT_THAT(Available(At(1)), ElementsAre(kA));
  EXPECT_THAT(AvailableInMemory(At(0)), ElementsAre(kA));
}

TEST_F(CachedAccountTurnsTest, ACallerWhoWantsItFromTheProviderGetsIt) {
  Available(At(0));
  Pass(milliseconds(1));
  script_.available = Numbers({kB});
  EXPECT_THAT(Available(At(1), milliseconds(0)), ElementsAre(kB));
  EXPECT_EQ(AvailableRequests(), 2);
  EXPECT_THAT(AvailableInMemory(At(0)), ElementsAre(kB));  // all the others as well
}

TEST_F(CachedAccountTurnsTest, AnEqualAnswerIsNoEntryAndMakesAllFresh) {
  Available(At(0));
  Pass(milliseconds(3'000));
  const auto before = log_.sequence;
  Available(At(1), milliseconds(0));
  EXPECT_EQ(log_.sequence, before);
  EXPECT_LT(*At(0).cache->stats().available_age, milliseconds(100));
}

TEST_F(CachedAccountTurnsTest, AWriteThatComesWhileTheAnswerIsOnItsWayIsLaidOverIt) {
  Available(At(0));
  Pass(milliseconds(10));
  script_.hold = true;
  const auto read = StartAvailable(At(0), milliseconds(0));  // its answer has both numbers
  script_.hold = false;
  ASSERT_TRUE(Lease(At(1), kA, "lease_a").ok());
  EXPECT_THAT(AvailableInMemory(At(0)), ElementsAre(kB));
  EXPECT_TRUE(script_.Release("ListAvailableNumbers"));
  Settle();
  ASSERT_TRUE(read->status().ok());
  EXPECT_THAT(PhoneNumbers(**read->result), ElementsAre(kB));
  for (std::size_t i = 0; i < 3; ++i) EXPECT_THAT(AvailableInMemory(At(i)), ElementsAre(kB)) << i;
}

TEST_F(CachedAccountTurnsTest, AnEntryThatComesBeforeTheRefreshMakesItTryAgain) {
  Available(At(0));
  Pass(milliseconds(10));
  script_.available = Numbers({kA, kB, kC});
  Write write;
  write.effect = Write::Effect::kGone;
  write.phone_number = kA;
  log_.meanwhile = [&] {
    LogEntry& entry = log_.Append(LogEntry::Kind::kWrite, EncodeWrite(write));
    entry.writer = 99;
    entry.writer_count = 1;
  };
  EXPECT_THAT(Available(At(1), milliseconds(0)), ElementsAre(kB, kC));
  EXPECT_THAT(AvailableInMemory(At(0)), ElementsAre(kB, kC));
  EXPECT_EQ(AvailableRequests(), 2);
}

TEST_F(CachedAccountTurnsTest, AnEndElsewhereMakesAReaderWaitForTheProvider) {
  script_.available = Numbers({kB});
  script_.leases = Leases({LeaseOf(kA, "lease_a")});
  for (std::size_t i = 0; i < 2; ++i) {
    Available(At(i));
    LeasesOf(At(i));
  }
  Pass(milliseconds(10));
  script_.available = Numbers({kA, kB});
  script_.leases = Reply<LeaseList>();
  ASSERT_TRUE(Terminate(At(0), kA, "lease_a").ok());
  EXPECT_THAT(Available(At(1)), ElementsAre(kA, kB));
  EXPECT_THAT(LeasesOf(At(1)), IsEmpty());
  EXPECT_EQ(AvailableRequests(), 2);
}

TEST_F(CachedAccountTurnsTest, AListThatNobodyReadsHasFewTimers) {
  Available(At(0));
  Pass(std::chrono::minutes(10));
  const std::size_t timers = At(1).timers.size();
  Pass(std::chrono::minutes(4));
  EXPECT_LE(At(1).timers.size(), timers);
  EXPECT_LE(timers, 4U);  // the look at the log, and a drop of each list
}

TEST_F(CachedAccountTurnsTest, AnAnswerIsNotSharedWhenTheLogWasRestoredMeanwhile) {
  Available(At(1));
  Pass(milliseconds(10));
  script_.hold = true;
  const auto read = StartAvailable(At(1), milliseconds(0));
  // Another one's write, which this replica never gets to read.
  AppendGone(kA);
  LoseEntries({kB});
  script_.available = Numbers({kB});
  log_.Tell();
  Settle();
  EXPECT_THAT(AvailableInMemory(At(1)), ElementsAre(kB));
  Pass(milliseconds(1));
  script_.hold = false;
  EXPECT_TRUE(script_.Release("ListAvailableNumbers"));
  Settle();
  EXPECT_TRUE(read->status().ok());
  for (std::size_t i = 0; i < 3; ++i) {
    EXPECT_THAT(AvailableInMemory(At(i)), ElementsAre(kB)) << i;
  }
  EXPECT_EQ(log_.claims[0].holder, 0U);
}

TEST_F(CachedAccountTurnsTest, ThoseWhoWaitDoNotKeepEachOtherAwake) {
  script_.hold = true;
  StartAvailable(At(1));
  Start(At(1).cache->FindLeases(Context()));
  const int before = log_.exchanges;
  const auto numbers = StartAvailable(At(0));
  const auto leases = Start(At(0).cache->FindLeases(Context()));
  EXPECT_LE(log_.exchanges - before, 4);
  EXPECT_EQ(AvailableRequests(), 1);
  EXPECT_EQ(LeasesRequests(), 1);
  EXPECT_TRUE(script_.Release("ListAvailableNumbers"));
  EXPECT_TRUE(script_.Release("ListLeases"));
  Settle();
  EXPECT_TRUE(numbers->result && numbers->status().ok());
  EXPECT_TRUE(leases->result && leases->status().ok());
}

// What another replica has asked for before may be new enough for a refresh, and not for a caller
// who joins it.
TEST_F(CachedAccountTurnsTest, WhoJoinsARefreshGetsNoOlderListThanAskedFor) {
  Available(At(0));
  now_ += milliseconds(8'500);
  script_.hold = true;
  StartAvailable(At(1), milliseconds(1'000));  // has the claim, and no answer yet
  ASSERT_EQ(AvailableRequests(), 2);
  now_ += milliseconds(1'500);
  EXPECT_TRUE(StartAvailable(At(0))->result) << "stale, and refreshed";
  script_.available = Numbers({kB});
  const auto strict = StartAvailable(At(0), milliseconds(1'000));
  const auto another = StartAvailable(At(0), milliseconds(1'000));
  const auto lax = StartAvailable(At(0), milliseconds(2'000));
  EXPECT_EQ(AvailableRequests(), 2);
  ASSERT_TRUE(script_.Release("ListAvailableNumbers"));
  Settle();
  ASSERT_TRUE(lax->result && lax->status().ok());
  EXPECT_THAT(PhoneNumbers(**lax->result), ElementsAre(kA, kB));
  EXPECT_EQ(AvailableRequests(), 3);
  ASSERT_TRUE(script_.Release("ListAvailableNumbers"));
  Settle();
  for (const auto& call : {strict, another}) {
    ASSERT_TRUE(call->result && call->status().ok());
    EXPECT_THAT(PhoneNumbers(**call->result), ElementsAre(kB)) << "the other one's was 1.5 s old";
  }
  EXPECT_EQ(AvailableRequests(), 3);
}

}  // namespace
}  // namespace leasegateway
