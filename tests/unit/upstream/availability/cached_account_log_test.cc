// Replicas that share a log: one refresh for all, and each other's writes.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "tests/support/shared_log_fixture.h"
#include "upstream/availability/list_delta.h"

namespace leasegateway {
namespace {

TEST_F(CachedAccountLogTest, OneReplicaAsksForAll) {
  EXPECT_THAT(Available(At(0)), ElementsAre(kA, kB));
  EXPECT_EQ(AvailableRequests(), 1);
  for (std::size_t i = 1; i < 3; ++i) EXPECT_THAT(AvailableInMemory(At(i)), ElementsAre(kA, kB));
  EXPECT_EQ(AvailableRequests(), 1);
}

TEST_F(CachedAccountLogTest, WhoeverAsksMeanwhileWaitsForTheOneThatAsks) {
  script_.hold = true;
  const auto first = StartAvailable(At(0));
  const auto second = StartAvailable(At(1));
  EXPECT_EQ(AvailableRequests(), 1);
  EXPECT_FALSE(second->result);
  script_.Release("ListAvailableNumbers");
  Settle();
  ASSERT_TRUE(first->status().ok());
  ASSERT_TRUE(second->status().ok());
  EXPECT_THAT(PhoneNumbers(**second->result), ElementsAre(kA, kB));
  EXPECT_EQ(AvailableRequests(), 1);
}

TEST_F(CachedAccountLogTest, RefreshesDoNotGrowWithReplicas) {
  for (std::size_t i = 0; i < 3; ++i) Available(At(i));
  for (int second = 0; second < 100; ++second) {
    Pass(milliseconds(1'000));
    for (std::size_t i = 0; i < 3; ++i) {
      EXPECT_THAT(AvailableInMemory(At(i)), ElementsAre(kA, kB));
    }
  }
  // One process asks each 3.75 to 4.75 s.
  EXPECT_GE(AvailableRequests(), 20);
  EXPECT_LE(AvailableRequests(), 28);
}

TEST_F(CachedAccountLogTest, AWriteIsSeenByAll) {
  for (std::size_t i = 0; i < 3; ++i) {
    Available(At(i));
    LeasesOf(At(i));
  }
  script_.hold = false;
  ASSERT_TRUE(Lease(At(1), kA, "lease_a").ok());
  for (std::size_t i = 0; i < 3; ++i) {
    EXPECT_THAT(AvailableInMemory(At(i)), ElementsAre(kB)) << i;
  }
}

TEST_F(CachedAccountLogTest, EqualContentAtEqualSequence) {
  for (std::size_t i = 0; i < 3; ++i) Available(At(i));
  const auto before = StateOf(At(0));
  ASSERT_TRUE(before);
  EXPECT_EQ(StateOf(At(1))->sequence, before->sequence);
  ASSERT_TRUE(Lease(At(1), kA, "lease_a").ok());
  const auto after = StateOf(At(2));
  ASSERT_TRUE(after);
  EXPECT_GT(after->sequence, before->sequence);
  EXPECT_EQ(StateOf(At(0))->sequence, after->sequence);
  EXPECT_EQ(StateOf(At(1))->sequence, after->sequence);
}

// --- refreshes ---

TEST_F(CachedAccountLogTest, AClaimantThatDiesIsReplaced) {
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

TEST_F(CachedAccountLogTest, AFailedRefreshGivesTheClaimBack) {
  script_.available = Outage();
  EXPECT_FALSE(StartAvailable(At(0))->status().ok());
  script_.available = Numbers({kA});
  EXPECT_THAT(Available(At(1)), ElementsAre(kA));
  EXPECT_THAT(AvailableInMemory(At(0)), ElementsAre(kA));
}

TEST_F(CachedAccountLogTest, ACallerWhoWantsItFromTheProviderGetsIt) {
  Available(At(0));
  Pass(milliseconds(1));
  script_.available = Numbers({kB});
  EXPECT_THAT(Available(At(1), milliseconds(0)), ElementsAre(kB));
  EXPECT_EQ(AvailableRequests(), 2);
  EXPECT_THAT(AvailableInMemory(At(0)), ElementsAre(kB));  // all the others as well
}

TEST_F(CachedAccountLogTest, AnEqualAnswerIsNoEntryAndMakesAllFresh) {
  Available(At(0));
  Pass(milliseconds(3'000));
  const auto before = log_.sequence;
  Available(At(1), milliseconds(0));
  EXPECT_EQ(log_.sequence, before);
  EXPECT_LT(*At(0).cache->stats().available_age, milliseconds(100));
}

TEST_F(CachedAccountLogTest, AWriteThatComesWhileTheAnswerIsOnItsWayIsLaidOverIt) {
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

TEST_F(CachedAccountLogTest, AnEntryThatComesBeforeTheRefreshMakesItTryAgain) {
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

TEST_F(CachedAccountLogTest, AnEndElsewhereMakesAReaderWaitForTheProvider) {
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

TEST_F(CachedAccountLogTest, AListThatNobodyReadsHasFewTimers) {
  Available(At(0));
  Pass(std::chrono::minutes(10));
  const std::size_t timers = At(1).timers.size();
  Pass(std::chrono::minutes(4));
  EXPECT_LE(At(1).timers.size(), timers);
  EXPECT_LE(timers, 4U);  // the look at the log, and a drop of each list
}

TEST_F(CachedAccountLogTest, AnAnswerIsNotSharedWhenTheLogWasRestoredMeanwhile) {
  Available(At(1));
  Pass(milliseconds(10));
  script_.hold = true;
  const auto read = StartAvailable(At(1), milliseconds(0));
  // Another one's write, which this replica never gets to read.
  AppendGone(kA);
  LoseEntries({kB});
  log_.Tell();
  Settle();
  EXPECT_THAT(AvailableInMemory(At(1)), ElementsAre(kB));
  Pass(milliseconds(1));
  script_.hold = false;
  EXPECT_TRUE(script_.Release("ListAvailableNumbers"));
  Settle();
  EXPECT_TRUE(read->status().ok());
  for (std::size_t i = 0; i < 3; i += 2) {
    EXPECT_THAT(AvailableInMemory(At(i)), ElementsAre(kB)) << i;
  }
  EXPECT_EQ(log_.claims[0].holder, 0U);
}

TEST_F(CachedAccountLogTest, OwnWritesAreAppendedToALogThatMayHaveLostThem) {
  for (std::size_t i = 0; i < 2; ++i) Available(At(i));
  ASSERT_TRUE(Lease(At(0), kA, "lease_a").ok());
  const auto seen = Do(At(0).cache->account().SeenNow(Soon()));
  ASSERT_TRUE(seen);
  log_.entries.pop_back();
  --log_.sequence;
  ++log_.id;
  AppendGone(kC);  // gets the number of what was lost
  log_.Tell();
  Settle();
  for (std::size_t i = 0; i < 2; ++i) {
    EXPECT_THAT(AvailableInMemory(At(i)), ElementsAre(kB)) << i;
    EXPECT_FALSE(At(i).cache->account().HasSeen(*seen)) << i;
  }
  EXPECT_EQ(At(0).cache->stats().shared->pending, 0U);
}

TEST_F(CachedAccountLogTest, AWriteThatFindsEarlierOnesLostPutsThemBackAsWell) {
  for (std::size_t i = 0; i < 2; ++i) Available(At(i));
  ASSERT_TRUE(Lease(At(0), kA, "lease_a").ok());
  log_.entries.pop_back();
  --log_.sequence;
  ++log_.id;
  ASSERT_TRUE(Lease(At(0), kB, "lease_b").ok());
  for (std::size_t i = 0; i < 2; ++i) EXPECT_TRUE(AvailableInMemory(At(i)).empty()) << i;
}

// --- news, and what is done without ---

TEST_F(CachedAccountLogTest, WithoutNewsAWriteIsSeenSoon) {
  for (std::size_t i = 0; i < 2; ++i) Available(At(i));
  log_.is_silent = true;
  ASSERT_TRUE(Lease(At(0), kA, "lease_a").ok());
  EXPECT_THAT(AvailableInMemory(At(1)), ElementsAre(kA, kB));
  Pass(milliseconds(2'000));
  EXPECT_THAT(AvailableInMemory(At(1)), ElementsAre(kB));
}

TEST_F(CachedAccountLogTest, WithTheLogAwayEachAsksForItself) {
  for (std::size_t i = 0; i < 2; ++i) Available(At(i));
  log_.away = absl::UnavailableError("away");
  Pass(milliseconds(4'800));
  EXPECT_THAT(AvailableInMemory(At(0)), ElementsAre(kA, kB));
  EXPECT_EQ(AvailableRequests(), 3);  // three replicas, but the third has never been asked
  // What is written meanwhile its replica shows, and the others later.
  ASSERT_TRUE(Lease(At(0), kA, "lease_a").ok());
  EXPECT_THAT(AvailableInMemory(At(0)), ElementsAre(kB));
  EXPECT_THAT(AvailableInMemory(At(1)), ElementsAre(kA, kB));
  EXPECT_EQ(At(0).cache->stats().shared->pending, 1U);
  log_.away = absl::OkStatus();
  Pass(milliseconds(2'000));
  EXPECT_EQ(At(0).cache->stats().shared->pending, 0U);
  EXPECT_THAT(AvailableInMemory(At(1)), ElementsAre(kB));
  EXPECT_THAT(AvailableInMemory(At(0)), ElementsAre(kB));
}

TEST_F(CachedAccountLogTest, AnAnswerThatCameWhileTheLogWasAwayStaysUntilThereIsANewerOne) {
  Available(At(0));
  log_.away = absl::UnavailableError("away");
  Pass(milliseconds(1'000));
  script_.available = Numbers({kB});
  EXPECT_THAT(Available(At(0), milliseconds(0)), ElementsAre(kB));
  log_.away = absl::OkStatus();
  Pass(milliseconds(2'000));
  EXPECT_THAT(AvailableInMemory(At(0)), ElementsAre(kB));
  EXPECT_FALSE(StateOf(At(0)));  // no entry shows it
  Pass(milliseconds(5'000));
  EXPECT_THAT(AvailableInMemory(At(1)), ElementsAre(kB));
  EXPECT_TRUE(StateOf(At(0)));
}

TEST_F(CachedAccountLogTest, AWriteIsAppendedOnceEvenIfItsAnswerWasLost) {
  Available(At(0));
  const auto before = log_.sequence;
  Write write;
  write.effect = Write::Effect::kGone;
  write.phone_number = kA;
  log_.away = absl::UnknownError("lost");
  At(0).cache->FoundTaken(kA);
  Settle();
  LogEntry& entry = log_.Append(LogEntry::Kind::kWrite, EncodeWrite(write));  // it was there
  entry.writer = 1;
  entry.writer_count = 1;
  log_.away = absl::OkStatus();
  Pass(milliseconds(2'000));
  EXPECT_EQ(log_.sequence, before + 1);
  EXPECT_EQ(At(0).cache->stats().shared->pending, 0U);
}

TEST_F(CachedAccountLogTest, AReplicaThatWasAwayTooLongBeginsAnew) {
  Available(At(0));
  log_.is_silent = true;
  Pass(milliseconds(10));
  for (int i = 0; i < 3; ++i) {
    script_.available = i % 2 == 0 ? Numbers({kC}) : Numbers({kA});
    now_ += milliseconds(1);
    Available(At(0), milliseconds(0));
    Pass(milliseconds(1));
  }
  log_.Prune(log_.sequence);
  Pass(milliseconds(2'000));
  EXPECT_THAT(AvailableInMemory(At(1)), ElementsAre(kC));
  EXPECT_GE(At(1).cache->stats().shared->restored, 2U);
  EXPECT_EQ(StateOf(At(1))->sequence, StateOf(At(0))->sequence);
}

TEST_F(CachedAccountLogTest, ALogThatLostItsEndIsReadAnew) {
  Available(At(0));
  ASSERT_TRUE(Lease(At(0), kA, "lease_a").ok());
  EXPECT_THAT(AvailableInMemory(At(1)), ElementsAre(kB));
  // A standby took over that did not have the write; another one has got its number.
  log_.entries.pop_back();
  --log_.sequence;
  Write write;
  write.effect = Write::Effect::kGone;
  write.phone_number = kB;
  log_.Append(LogEntry::Kind::kWrite, EncodeWrite(write));
  Pass(milliseconds(2'000));
  EXPECT_THAT(AvailableInMemory(At(1)), ElementsAre(kA));
}

TEST_F(CachedAccountLogTest, AnAnswerOfItsOwnDoesNotOutliveWhatTheLogHasLost) {
  Available(At(1));
  log_.away = absl::UnavailableError("away");
  Pass(milliseconds(100));
  EXPECT_THAT(Available(At(1), milliseconds(0)), ElementsAre(kA, kB));
  // Another one's write, which this replica never gets to read.
  AppendGone(kA);
  LoseEntries({kB});
  log_.away = absl::OkStatus();
  Pass(milliseconds(2'000));
  EXPECT_THAT(AvailableInMemory(At(1)), ElementsAre(kB));
}

TEST_F(CachedAccountLogTest, WritesAreLaidOverAListThatTheLogDoesNotKnowAnyMore) {
  Available(At(0));
  log_.Append(LogEntry::Kind::kNumbers, "broken");
  AppendGone(kA);
  log_.Tell();
  Settle();
  EXPECT_THAT(AvailableInMemory(At(0)), ElementsAre(kB));
}

TEST_F(CachedAccountLogTest, AWriteThatCannotBeReadMayBeAny) {
  Available(At(0));
  LeasesOf(At(0));
  Get(At(0), kA);
  const int numbers = script_.Count("GetNumber");
  LogEntry& entry = log_.Append(LogEntry::Kind::kWrite, "");
  entry.writer = 99;
  entry.writer_count = 1;
  entry.is_readable = false;
  log_.Tell();
  Settle();
  Pass(milliseconds(1));
  script_.available = Numbers({kB});
  script_.leases = Leases({LeaseOf(kA, "lease_a")});
  EXPECT_THAT(Available(At(0)), ElementsAre(kB));
  EXPECT_THAT(LeasesOf(At(0)), ElementsAre("lease_a"));
  Get(At(0), kA);
  EXPECT_EQ(script_.Count("GetNumber"), numbers + 1);
}

// --- entries as versions ---

TEST_F(CachedAccountLogTest, WatchersGetWhatIsInTheLog) {
  Available(At(0));
  const auto version = At(0).cache->PeekAvailability({})->version;
  const int notified = At(0).notified;
  ASSERT_TRUE(Lease(At(0), kA, "lease_a").ok());
  EXPECT_GT(At(0).notified, notified);
  const auto changes = At(0).cache->ChangesSince(version);
  ASSERT_TRUE(changes);
  ASSERT_EQ(changes->size(), 1U);
  EXPECT_TRUE(At(0).cache->account().EntryOf(changes->front().version));
}

TEST_F(CachedAccountLogTest, WatchersDoNotWaitLongForALogThatIsSilent) {
  Available(At(0));
  const auto version = At(0).cache->PeekAvailability({})->version;
  log_.away = absl::UnavailableError("away");
  ASSERT_TRUE(Lease(At(0), kA, "lease_a").ok());
  const int notified = At(0).notified;
  Pass(milliseconds(100));
  EXPECT_GT(At(0).notified, notified);
  const auto changes = At(0).cache->ChangesSince(version);
  ASSERT_TRUE(changes);
  EXPECT_EQ(changes->size(), 1U);
}

TEST_F(CachedAccountLogTest, WhoDidWhatIsCounted) {
  Available(At(0));
  Available(At(1));
  now_ += milliseconds(1);
  Available(At(0), milliseconds(0));
  ASSERT_TRUE(Lease(At(1), kA, "lease_a").ok());
  const auto first = *At(0).cache->stats().shared, second = *At(1).cache->stats().shared;
  EXPECT_EQ(first.made, 2U);
  EXPECT_GT(first.made_bytes, 0U);
  EXPECT_EQ(first.claims_given, 1U);
  EXPECT_EQ(second.claims_given + second.claims_refused, 0U);
  EXPECT_EQ(second.made, 0U);
  EXPECT_EQ(second.loaded, 1U);
  EXPECT_EQ(first.appended, 0U);
  EXPECT_EQ(second.appended, 1U);
}

TEST_F(CachedAccountLogTest, AWatchGoesOnAtAnotherReplica) {
  Available(At(0));
  const auto entry = StateOf(At(0));
  ASSERT_TRUE(entry);
  ASSERT_TRUE(Lease(At(1), kA, "lease_a").ok());
  for (std::size_t i = 0; i < 4; ++i) {
    Replica& replica = i < 3 ? At(i) : Join();  // one that has seen nothing of it
    ASSERT_TRUE(*Do(replica.cache->account().Load(Soon())));
    const auto first = Do(replica.cache->account().ChangeFrom(*entry, Soon()));
    ASSERT_TRUE(first && *first) << i;
    auto changes = replica.cache->ChangesSince((*first)->version);
    ASSERT_TRUE(changes) << i;
    changes->insert(changes->begin(), **first);
    std::vector<std::string> gone;
    for (const auto& change : *changes) {
      for (const auto& number : *change.numbers) {
        EXPECT_FALSE(number.after);
        gone.push_back(number.before->phone_number());
      }
    }
    EXPECT_THAT(gone, ElementsAre(kA)) << i;
    EXPECT_EQ(changes->back().version, replica.cache->PeekAvailability({})->version);
  }
}

TEST_F(CachedAccountLogTest, AnEntryIsMadeAnewFromTheLog) {
  Available(At(0));
  const auto entry = StateOf(At(0));
  ASSERT_TRUE(Lease(At(0), kA, "lease_a").ok());
  const auto numbers = Do(At(2).cache->account().NumbersAt(*entry, Soon()));
  ASSERT_TRUE(numbers && *numbers);
  EXPECT_EQ((*numbers)->size(), 2U);
  LoggedState other = *entry;
  other.log = 1;
  EXPECT_EQ(*Do(At(2).cache->account().NumbersAt(other, Soon())), nullptr);
  log_.wholes.clear();
  EXPECT_EQ(*Do(At(2).cache->account().NumbersAt(*entry, Soon())), nullptr);
}

// --- reads that include a write ---

TEST_F(CachedAccountLogTest, WhoAsksForAWriteGetsItWithoutNews) {
  for (std::size_t i = 0; i < 2; ++i) Available(At(i));
  log_.is_silent = true;
  ASSERT_TRUE(Lease(At(0), kA, "lease_a").ok());
  const auto seen = Do(At(0).cache->account().SeenNow(Soon()));
  ASSERT_TRUE(seen);
  EXPECT_EQ(seen->origin, log_.id);
  EXPECT_FALSE(At(1).cache->account().HasSeen(*seen));
  EXPECT_TRUE(*Do(At(1).cache->account().CatchUp(*seen, Soon())));
  EXPECT_THAT(AvailableInMemory(At(1)), ElementsAre(kB));
}

TEST_F(CachedAccountLogTest, AWriteIsSeenOnlyOnceBothListsShowIt) {
  Available(At(0));
  LeasesOf(At(0));
  Available(At(1));
  WritesSeen seen;
  seen.origin = log_.id;
  seen.count = log_.sequence + 1;
  int told = 0;
  At(1).cache->SetListener([&] {  // between the two lists
    ++told;
    if (At(1).cache->account().HasSeen(seen)) {
      EXPECT_THAT(LeasesInMemory(At(1)), testing::Contains("lease_a"));
    }
  });
  ASSERT_TRUE(Lease(At(0), kA, "lease_a").ok());
  EXPECT_EQ(log_.sequence, seen.count);
  EXPECT_GT(told, 0);
  EXPECT_TRUE(At(1).cache->account().HasSeen(seen));
  EXPECT_THAT(LeasesInMemory(At(1)), testing::Contains("lease_a"));
}

TEST_F(CachedAccountLogTest, AWriteThatIsNotInTheLogIsItsProcesss) {
  Available(At(0));
  log_.away = absl::UnavailableError("away");
  ASSERT_TRUE(Lease(At(0), kA, "lease_a").ok());
  const auto seen = Do(At(0).cache->account().SeenNow(Soon()));
  ASSERT_TRUE(seen);
  EXPECT_NE(seen->origin, log_.id);
  EXPECT_TRUE(At(0).cache->account().HasSeen(*seen));
  EXPECT_FALSE(*Do(At(1).cache->account().CatchUp(*seen, Soon())));
  WritesSeen later = *seen;
  later.count += 1;  // not this one
  EXPECT_FALSE(At(0).cache->account().HasSeen(later));
}

}  // namespace
}  // namespace leasegateway
