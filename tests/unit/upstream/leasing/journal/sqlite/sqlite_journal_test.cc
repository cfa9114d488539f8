#include "upstream/leasing/journal/sqlite/sqlite_journal.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/post.hpp>
#include <chrono>
#include <csignal>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "tests/support/journal_fixture.h"
#include "upstream/upstream_error.h"

namespace leasegateway {
namespace {

using std::chrono::hours;
using Owner = OperationJournal::Owner;
using testing::ElementsAre;
using testing::IsEmpty;

// --- operations ---------------------------------------------------------------------------------

TEST_F(SqliteJournalTest, OperationIsKeptThroughARestart) {
  Open();
  const auto written = MustBegin("a");
  EXPECT_EQ(written.create_time().seconds(), 1'700'000'000);
  EXPECT_EQ(written.create_time().nanos(), 123'456'789);
  EXPECT_EQ(written.update_time().nanos(), 123'456'789);
  Open();
  const auto found = Find("a");
  ASSERT_TRUE(found.ok() && *found) << found.status();
  EXPECT_EQ((*found)->entry.operation.SerializeAsString(), written.SerializeAsString());
  EXPECT_EQ((*found)->entry.fingerprint, std::string(32, 'a'));
  EXPECT_FALSE(Has("b"));
}

TEST_F(SqliteJournalTest, SecondBeginGetsTheFirstUnchanged) {
  Open();
  const auto first = MustBegin("a");
  Advance(hours(1));
  auto other = MakeEntry("a");
  other.fingerprint = std::string(32, 'x');
  other.operation.set_phone_number("+10000000000");
  const auto second = Begin(other);
  ASSERT_TRUE(second.ok());
  EXPECT_TRUE(second->existed);
  EXPECT_EQ(second->record.entry.operation.SerializeAsString(), first.SerializeAsString());
  EXPECT_EQ(second->record.entry.fingerprint, std::string(32, 'a'));
  // Another account's operation of the same name is another one.
  MustBegin("a", "other");
}

TEST_F(SqliteJournalTest, OfTwoBeginsAtOnceOneBegins) {
  Open();
  for (int i = 0; i < 200; ++i) {
    const std::string id = absl::StrCat("id-", i);
    auto one = callers_->Start(journal_->Begin(MakeEntry(id), true));
    auto two = callers_->Start(journal_->Begin(MakeEntry(id), true));
    const auto a = one.get(), b = two.get();
    ASSERT_TRUE(a.ok() && b.ok());
    EXPECT_NE(a->existed, b->existed);
    EXPECT_EQ(a->record.entry.operation.SerializeAsString(),
              b->record.entry.operation.SerializeAsString());
  }
}

TEST_F(SqliteJournalTest, OfTwoBeginsInOneTransactionOneBegins) {
  Open();
  disk.Hold();
  auto first = callers_->Start(journal_->Begin(MakeEntry("first"), true));
  disk.WaitUntilHeld();
  auto one = callers_->Start(journal_->Begin(MakeEntry("a"), true));
  auto two = callers_->Start(journal_->Begin(MakeEntry("a"), true));
  WaitForQueue(2);
  disk.Release();
  const auto a = one.get(), b = two.get();
  ASSERT_TRUE(a.ok() && b.ok());
  EXPECT_NE(a->existed, b->existed);
  EXPECT_EQ(journal_->stats().commits, 2u);
}

TEST_F(SqliteJournalTest, UpdateReplaces) {
  Open();
  auto operation = MustBegin("a");
  Advance(std::chrono::seconds(5));
  operation.set_state(v1::OPERATION_STATE_SUCCEEDED);
  operation.set_phone_number("+15550000001");
  operation.mutable_lease()->set_lease_id("lsd_1");
  operation.clear_create_time();
  ASSERT_TRUE(Update(operation).ok());
  const auto found = Find("a");
  ASSERT_TRUE(found.ok() && *found);
  EXPECT_EQ((*found)->entry.operation.lease().lease_id(), "lsd_1");
  EXPECT_EQ((*found)->entry.operation.create_time().seconds(), 1'700'000'000);
  EXPECT_EQ((*found)->entry.operation.update_time().seconds(), 1'700'000'005);
  EXPECT_EQ((*found)->entry.fingerprint, std::string(32, 'a'));
  EXPECT_THAT(ListIds(QueryOf("acme", "+13059478667")), IsEmpty());
  EXPECT_THAT(ListIds(QueryOf("acme", "+15550000001")), ElementsAre("a"));
  EXPECT_EQ(Update(MakeEntry("b").operation).code(), absl::StatusCode::kNotFound);
}

TEST_F(SqliteJournalTest, OneThatCanNotBeWrittenLeavesItsTransactionAlone) {
  Open();
  disk.Hold();
  auto first = callers_->Start(journal_->Begin(MakeEntry("first"), true));
  disk.WaitUntilHeld();
  auto bad = MakeEntry("bad");
  bad.fingerprint = "short";
  auto one = callers_->Start(journal_->Begin(MakeEntry("one"), true));
  WaitForQueue(1);
  auto two = callers_->Start(journal_->Begin(bad, true));
  WaitForQueue(2);
  auto three = callers_->Start(journal_->Begin(MakeEntry("three"), true));
  auto four = callers_->Start(journal_->Update(ChangeTo(MakeEntry("nobody").operation)));
  WaitForQueue(4);
  disk.Release();
  EXPECT_TRUE(one.get().ok());
  EXPECT_EQ(two.get().status().code(), absl::StatusCode::kInternal);
  EXPECT_TRUE(three.get().ok());
  EXPECT_EQ(four.get().status().code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(journal_->stats().commits, 2u);
  EXPECT_TRUE(Has("one") && Has("three"));
  EXPECT_FALSE(Has("bad"));
}

TEST_F(SqliteJournalTest, CountsByState) {
  Open();
  WriteOneOfEachState();
  const auto check = [this] {
    const auto stats = journal_->stats();
    for (int state = 1; state <= 5; ++state) {
      EXPECT_EQ(stats.entries.at(static_cast<v1::OperationState>(state)), 1) << state;
    }
    ASSERT_TRUE(stats.oldest_unresolved);
    EXPECT_EQ(std::chrono::duration_cast<std::chrono::seconds>(
                  stats.oldest_unresolved->time_since_epoch())
                  .count(),
              1'700'000'000);
  };
  check();
  Open();
  check();
}

// --- owners -------------------------------------------------------------------------------------

TEST_F(SqliteJournalTest, WhatIsOpenIsOursAndWhatIsSettledIsNobodys) {
  Open();
  WriteOneOfEachState();
  for (const auto& [id, owner] :
       {std::pair("c", Owner::kUs), std::pair("x", Owner::kNobody), std::pair("b", Owner::kUs),
        std::pair("y", Owner::kNobody), std::pair("a", Owner::kUs)}) {
    EXPECT_EQ((*Find(id))->owner, owner) << id;
    const auto begun = Begin(MakeEntry(id));
    EXPECT_TRUE(begun.ok() && begun->existed && !begun->claimed);
    EXPECT_EQ(begun->record.owner, owner) << id;
    const auto taken = callers_->Get(journal_->TakeOver("acme", id, begun->record.revision));
    ASSERT_TRUE(taken.ok()) << taken.status();
    EXPECT_EQ(taken->owner, Owner::kUs);
    EXPECT_LE(taken->quiet_at, std::chrono::steady_clock::now());
  }
  EXPECT_EQ(callers_->Get(journal_->TakeOver("acme", "nobody", 1)).status().code(),
            absl::StatusCode::kNotFound);
}

TEST_F(SqliteJournalTest, AdoptsWhatTheProcessBeforeLeftOpenTheOldestFirstAndOnce) {
  Open();
  EXPECT_THAT(AdoptIds(), IsEmpty());
  WriteOneOfEachState();
  MustBegin("z", "other");
  EXPECT_THAT(AdoptIds(), IsEmpty());  // all of it is our own
  Open();
  MustBegin("new");
  EXPECT_THAT(AdoptIds(2), ElementsAre("c", "b"));
  EXPECT_THAT(AdoptIds(2), ElementsAre("a"));
  EXPECT_THAT(AdoptIds(2), IsEmpty());
  EXPECT_THAT(AdoptIds(2, "other"), ElementsAre("z"));
}

TEST_F(SqliteJournalTest, AdoptsNothingThatWasTakenAlready) {
  Open();
  for (const char* id : {"a", "b", "c", "d"}) MustBegin(id);
  Open();
  EXPECT_TRUE(Begin(MakeEntry("a"))->existed);
  EXPECT_TRUE(callers_->Get(journal_->TakeOver("acme", "b", 1)).ok());
  ASSERT_TRUE(Update(WithState(MakeEntry("c").operation, v1::OPERATION_STATE_FAILED)).ok());
  EXPECT_THAT(AdoptIds(), ElementsAre("d"));
}

TEST_F(SqliteJournalTest, AdoptsWhatIsSettledUntilItsSettleTime) {
  Open();
  for (const auto& [id, seconds] : {std::pair("over", 5), std::pair("kept", 30)}) {
    auto operation = WithState(MustBegin(id), v1::OPERATION_STATE_SUCCEEDED);
    operation.mutable_settle_time()->set_seconds(1'700'000'000 + seconds);
    ASSERT_TRUE(Update(operation).ok());
  }
  Advance(std::chrono::seconds(10));
  Open();
  const auto before = std::chrono::steady_clock::now();
  const auto adopted = callers_->Get(journal_->Adopt("acme", 100, false));
  ASSERT_TRUE(adopted.ok() && adopted->size() == 1);
  EXPECT_EQ((*adopted)[0].entry.operation.request_id(), "kept");
  EXPECT_EQ((*adopted)[0].owner, Owner::kNobody);
  EXPECT_GT((*adopted)[0].quiet_at, before + std::chrono::seconds(19));
  EXPECT_LT((*adopted)[0].quiet_at, std::chrono::steady_clock::now() + std::chrono::seconds(20));
}

TEST_F(SqliteJournalTest, CancelledAdoptionAwaitsWhatItTook) {
  Open();
  MustBegin("a");
  Open();
  disk.Hold();
  auto first = callers_->Start(journal_->Begin(MakeEntry("first"), true));
  disk.WaitUntilHeld();
  const auto strand = callers_->NewStrand();
  boost::asio::cancellation_signal signal;
  auto adopting = callers_->Start(journal_->Adopt("acme", 100, false), signal, strand);
  WaitForQueue(1);
  boost::asio::post(strand, [&] { signal.emit(boost::asio::cancellation_type::terminal); });
  disk.Release();
  const auto adopted = adopting.get();
  ASSERT_TRUE(adopted.ok()) << adopted.status();
  EXPECT_EQ(adopted->size(), 1u);
}

TEST_F(SqliteJournalTest, ClaimsAreGrantedAndNobodyElseChangesAnything) {
  Open();
  EXPECT_TRUE(Begin(MakeEntry("a"))->claimed);
  EXPECT_TRUE(Begin(MakeEntry("b"))->claimed);
  EXPECT_TRUE(callers_->Get(journal_->Claim("acme", "b", 0, "+1"))->granted);
  const auto until = std::chrono::steady_clock::now() + std::chrono::milliseconds(20);
  callers_->Start(journal_->AwaitChange("acme", "a", until)).get();
  EXPECT_GE(std::chrono::steady_clock::now(), until);
  const auto strand = callers_->NewStrand();
  boost::asio::cancellation_signal signal;
  auto waiting = callers_->Start(
      journal_->AwaitChange("acme", "a", std::chrono::steady_clock::time_point::max()), signal,
      strand);
  boost::asio::post(strand, [&] { signal.emit(boost::asio::cancellation_type::terminal); });
  waiting.get();
}

// --- lists --------------------------------------------------------------------------------------

// All else of lists is in operation_journal_contract_test.cc.
TEST_F(SqliteJournalTest, WhatBeganAtTheSameMomentIsListedByPagesToo) {
  Open();
  for (const char* id : {"a", "b", "c"}) MustBegin(id);
  std::string next;
  EXPECT_THAT(ListIds(QueryOf("acme", "", {}, "", 2), &next), ElementsAre("c", "b"));
  EXPECT_THAT(ListIds(QueryOf("acme", "", {}, next, 2), &next), ElementsAre("a"));
  EXPECT_EQ(next, "");
}

// --- losses -------------------------------------------------------------------------------------

TEST_F(SqliteJournalTest, WhatIsToldIsFlushed) {
  ASSERT_TRUE(disk_is_ours);
  Open();
  for (int i = 0; i < 50; ++i) {
    disk.unflushed = true;
    const auto operation = MustBegin(absl::StrCat("id-", i));
    EXPECT_FALSE(disk.unflushed);
    disk.unflushed = true;
    EXPECT_TRUE(Update(WithState(operation, v1::OPERATION_STATE_SENT)).ok());
    EXPECT_FALSE(disk.unflushed);
  }
}

TEST_F(SqliteJournalTest, KilledProcessLosesNothingThatItTold) {
  int told = 0;
  for (int round = 0; round < 15; ++round) {
    int ends[2];
    ASSERT_EQ(pipe(ends), 0);
    const pid_t child = fork();
    if (child == 0) {
      Open();
      for (int i = 0;; ++i) {
        const std::int32_t number = round * 1'000'000 + i;
        const auto begun = Begin(MakeEntry(absl::StrCat("id-", number)));
        if (!begun.ok() || write(ends[1], &number, sizeof(number)) != sizeof(number)) _exit(1);
      }
    }
    close(ends[1]);
    std::vector<std::int32_t> numbers;
    std::int32_t number = 0;
    while (read(ends[0], &number, sizeof(number)) == sizeof(number)) {
      numbers.push_back(number);
      if (static_cast<int>(numbers.size()) == 1 + round * 7) kill(child, SIGKILL);
    }
    close(ends[0]);
    waitpid(child, nullptr, 0);
    ASSERT_GE(static_cast<int>(numbers.size()), 1 + round * 7);
    Open();
    for (const auto each : numbers) EXPECT_TRUE(Has(absl::StrCat("id-", each)));
    told += static_cast<int>(numbers.size());
    EXPECT_GE(journal_->stats().entries[v1::OPERATION_STATE_INTENDED], told);
    Close();
  }
}

}  // namespace
}  // namespace leasegateway
