#include "upstream/leasing/journal/sqlite/journal_thread.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>

#include <boost/asio/post.hpp>
#include <chrono>
#include <csignal>
#include <filesystem>
#include <future>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "tests/support/journal_fixture.h"
#include "upstream/upstream_error.h"

namespace leasegateway {
namespace {

namespace asio = boost::asio;
namespace fs = std::filesystem;
using std::chrono::hours;
using testing::ElementsAre;

// --- callers ------------------------------------------------------------------------------------

TEST_F(SqliteJournalTest, WritesThatWaitTogetherAreFlushedTogether) {
  Open();
  disk.Hold();
  std::vector<std::future<absl::StatusOr<OperationJournal::Begun>>> begins;
  begins.push_back(callers_->Start(journal_->Begin(MakeEntry("first"), true)));
  disk.WaitUntilHeld();
  for (int i = 0; i < 1'000; ++i) {
    begins.push_back(callers_->Start(journal_->Begin(MakeEntry(absl::StrCat("id-", i)), true)));
  }
  WaitForQueue(1'000);
  disk.Release();
  for (auto& begin : begins) {
    const auto begun = begin.get();
    EXPECT_TRUE(begun.ok() && !begun->existed);
  }
  EXPECT_EQ(journal_->stats().commits, 2u);
  EXPECT_EQ(journal_->stats().entries[v1::OPERATION_STATE_INTENDED], 1'001);
}

TEST_F(SqliteJournalTest, FullQueueTakesOnlyUpdatesAndReadsKeepNoBeginOut) {
  auto options = MakeOptions();
  options.max_queued = 2;
  Open(options);
  const auto known = MustBegin("known");
  disk.Hold();
  auto first = callers_->Start(journal_->Begin(MakeEntry("first"), true));
  disk.WaitUntilHeld();
  auto one = callers_->Start(journal_->Find("acme", "known"));
  auto two = callers_->Start(journal_->Find("acme", "known"));
  WaitForQueue(2);
  auto three = callers_->Start(journal_->Begin(MakeEntry("three"), true));
  auto four = callers_->Start(journal_->Begin(MakeEntry("four"), true));
  WaitForQueue(4);
  const auto refused = Begin(MakeEntry("refused"));
  EXPECT_EQ(refused.status().code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(ReasonOf(refused.status()), reason::kOverloaded);
  EXPECT_EQ(ReasonOf(Find("known").status()), reason::kOverloaded);
  auto update =
      callers_->Start(journal_->Update(ChangeTo(WithState(known, v1::OPERATION_STATE_SUCCEEDED))));
  WaitForQueue(5);
  disk.Release();
  EXPECT_TRUE(first.get().ok());
  EXPECT_TRUE(one.get().ok());
  EXPECT_TRUE(two.get().ok());
  EXPECT_TRUE(three.get().ok());
  EXPECT_TRUE(four.get().ok());
  EXPECT_TRUE(update.get().ok());
  EXPECT_FALSE(Has("refused"));
}

TEST_F(SqliteJournalTest, CancelledWritesAreAwaitedAndReadsAreNot) {
  Open();
  const auto known = MustBegin("known");
  disk.Hold();
  auto first = callers_->Start(journal_->Begin(MakeEntry("first"), true));
  disk.WaitUntilHeld();
  const auto strand = callers_->NewStrand();
  asio::cancellation_signal signals[3];
  auto begin = callers_->Start(journal_->Begin(MakeEntry("a"), true), signals[0], strand);
  auto update =
      callers_->Start(journal_->Update(ChangeTo(WithState(known, v1::OPERATION_STATE_SUCCEEDED))),
                      signals[1], strand);
  auto find = callers_->Start(journal_->Find("acme", "known"), signals[2], strand);
  WaitForQueue(3);
  asio::post(strand, [&] {
    for (auto& signal : signals) signal.emit(asio::cancellation_type::terminal);
  });
  EXPECT_EQ(find.get().status().code(), absl::StatusCode::kCancelled);
  EXPECT_EQ(begin.wait_for(std::chrono::seconds(0)), std::future_status::timeout);
  disk.Release();
  EXPECT_TRUE(begin.get().ok());
  EXPECT_TRUE(update.get().ok());
  EXPECT_TRUE(Has("a"));
  EXPECT_EQ(journal_->stats().entries[v1::OPERATION_STATE_SUCCEEDED], 1);
}

TEST_F(SqliteJournalTest, WhatIsQueuedIsDoneBeforeTheEnd) {
  Open();
  disk.Hold();
  auto first = callers_->Start(journal_->Begin(MakeEntry("first"), true));
  disk.WaitUntilHeld();
  auto last = callers_->Start(journal_->Begin(MakeEntry("last"), true));
  WaitForQueue(1);
  std::thread end([this] { journal_.reset(); });
  disk.Release();
  end.join();
  EXPECT_TRUE(first.get().ok());
  EXPECT_TRUE(last.get().ok());
  Open();
  EXPECT_TRUE(Has("last"));
}

// --- failures -----------------------------------------------------------------------------------

class FailingDiskTest : public SqliteJournalTest, public testing::WithParamInterface<int> {};

TEST_P(FailingDiskTest, RefusesWritesAnswersReadsAndRecovers) {
  Open();
  const auto known = MustBegin("known");
  std::string words = "the disk is full";
  if (GetParam() == SQLITE_IOERR_FSYNC) {
    disk.flush_error = GetParam();
    words = "the disk failed to keep what was written";
  } else {
    disk.write_error = GetParam();
    if (GetParam() != SQLITE_FULL) words = "the disk failed to write";
  }
  for (int i = 0; i < 3; ++i) {
    ExpectUnavailable(Begin(MakeEntry("a")).status(), words);
    ExpectUnavailable(Update(WithState(known, v1::OPERATION_STATE_SENT)), words);
  }
  EXPECT_FALSE(journal_->stats().last_write.ok());
  EXPECT_EQ(journal_->stats().failures, 6u);
  EXPECT_EQ(journal_->stats().entries[v1::OPERATION_STATE_INTENDED], 1);
  EXPECT_FALSE(Has("a"));
  EXPECT_THAT(ListIds(QueryOf("acme")), ElementsAre("known"));
  const auto again = Begin(MakeEntry("known"));
  EXPECT_TRUE(again.ok() && again->existed);
  EXPECT_EQ(again->record.entry.operation.state(), v1::OPERATION_STATE_INTENDED);

  disk.write_error = SQLITE_OK;
  disk.flush_error = SQLITE_OK;
  MustBegin("b");
  EXPECT_TRUE(Update(WithState(known, v1::OPERATION_STATE_SENT)).ok());
  EXPECT_TRUE(journal_->stats().last_write.ok());
  Open();
  EXPECT_THAT(ListIds(QueryOf("acme")), ElementsAre("known", "b"));
}

TEST_P(FailingDiskTest, NoticesByItselfThatItCanBeWrittenAgain) {
  auto options = MakeOptions();
  options.recheck_interval = std::chrono::milliseconds(5);
  Open(options);
  auto& error = GetParam() == SQLITE_IOERR_FSYNC ? disk.flush_error : disk.write_error;
  error = GetParam();
  EXPECT_FALSE(Begin(MakeEntry("a")).ok());
  std::this_thread::sleep_for(std::chrono::milliseconds(50));  // some tries fail
  EXPECT_FALSE(journal_->stats().last_write.ok());
  error = SQLITE_OK;
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(20);
  while (!journal_->stats().last_write.ok() && std::chrono::steady_clock::now() < end) {
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  EXPECT_TRUE(journal_->stats().last_write.ok());
  EXPECT_EQ(journal_->stats().failures, 1u);
  EXPECT_EQ(journal_->stats().commits, 0u);
  EXPECT_FALSE(Has("a"));
}

INSTANTIATE_TEST_SUITE_P(Codes, FailingDiskTest,
                         testing::Values(SQLITE_FULL, SQLITE_IOERR_WRITE, SQLITE_IOERR_FSYNC));

TEST_F(SqliteJournalTest, FailedTransactionFailsAllOfIt) {
  Open();
  disk.Hold();
  auto first = callers_->Start(journal_->Begin(MakeEntry("first"), true));
  disk.WaitUntilHeld();
  auto one = callers_->Start(journal_->Begin(MakeEntry("one"), true));
  auto two = callers_->Start(journal_->Begin(MakeEntry("two"), true));
  auto three = callers_->Start(journal_->Begin(MakeEntry("two"), true));
  WaitForQueue(3);
  disk.write_error = SQLITE_FULL;
  disk.Release();
  EXPECT_TRUE(first.get().ok());
  ExpectUnavailable(one.get().status(), "full");
  ExpectUnavailable(two.get().status(), "full");
  ExpectUnavailable(three.get().status(), "full");
  EXPECT_THAT(ListIds(QueryOf("acme")), ElementsAre("first"));
}

// The system's own refusal instead of a made one.
TEST_F(SqliteJournalTest, FileThatMayNotGrowRefusesWritesUntilItMay) {
  const auto text = InChild([this]() -> std::string {
    signal(SIGXFSZ, SIG_IGN);
    Open();
    rlimit limit{};
    getrlimit(RLIMIT_FSIZE, &limit);
    const rlimit unlimited = limit;
    limit.rlim_cur = 200'000;
    setrlimit(RLIMIT_FSIZE, &limit);
    int kept = 0;
    absl::Status failure;
    while (failure.ok() && kept < 10'000) {
      failure = Begin(MakeEntry(absl::StrCat("id-", kept))).status();
      if (failure.ok()) ++kept;
    }
    setrlimit(RLIMIT_FSIZE, &unlimited);
    if (!Has("id-0") || Has(absl::StrCat("id-", kept))) return "wrong contents";
    MustBegin("afterwards");
    const auto stats = journal_->stats();
    if (stats.entries.at(v1::OPERATION_STATE_INTENDED) != kept + 1) return "wrong count";
    Close();
    return absl::StrCat(kept > 0 ? "" : "nothing kept ", ReasonOf(failure), " ",
                        std::string(failure.message()));
  });
  EXPECT_THAT(text, testing::StartsWith("JOURNAL_UNAVAILABLE the operation journal can't be "
                                        "written: the disk"));
  Open();
  EXPECT_TRUE(Has("id-0") && Has("afterwards"));
}

TEST_F(SqliteJournalTest, RemovedFileRefusesWrites) {
  Open();
  MustBegin("a");
  fs::remove(path_);
  ExpectUnavailable(Begin(MakeEntry("b")).status(), "removed or replaced");
  EXPECT_TRUE(Has("a"));
}

// --- pruning ------------------------------------------------------------------------------------

TEST_F(SqliteJournalTest, PruningKeepsTheYoungAndTheUnresolved) {
  Open();
  for (int i = 0; i < 450; ++i) {
    auto operation = MustBegin(absl::StrCat("old-", i));
    operation.set_state(v1::OPERATION_STATE_FAILED);
    if (i % 2 == 0) {
      operation.set_kind(v1::OPERATION_KIND_TERMINATE);
      operation.set_state(v1::OPERATION_STATE_SUCCEEDED);
    }
    ASSERT_TRUE(Update(operation).ok());
  }
  const auto resolved_late = MustBegin("late");
  MustBegin("intended");
  ASSERT_TRUE(Update(WithState(MustBegin("sent"), v1::OPERATION_STATE_SENT)).ok());
  ASSERT_TRUE(Update(WithState(MustBegin("unknown"), v1::OPERATION_STATE_UNKNOWN)).ok());
  Advance(hours(24));
  EXPECT_EQ(*callers_->Get(journal_->Prune()), 0);
  ASSERT_TRUE(Update(WithState(resolved_late, v1::OPERATION_STATE_SUCCEEDED)).ok());
  Advance(std::chrono::nanoseconds(1));
  EXPECT_EQ(*callers_->Get(journal_->Prune()), 450);
  const auto stats = journal_->stats();
  EXPECT_EQ(stats.pruned, 450u);
  EXPECT_EQ(stats.entries.at(v1::OPERATION_STATE_SUCCEEDED), 1);
  EXPECT_EQ(stats.entries.at(v1::OPERATION_STATE_FAILED), 0);
  EXPECT_THAT(ListIds(QueryOf("acme")), ElementsAre("unknown", "sent", "late", "intended"));
}

TEST_F(SqliteJournalTest, PurchasesThatSucceededAreKeptForAYearAndMore) {
  for (const auto& [retention, kept] :
       {std::pair(hours(24), hours(24 * 400)), std::pair(hours(24 * 500), hours(24 * 500))}) {
    fs::remove(path_);
    auto options = MakeOptions();
    options.retention = retention;
    Open(options);
    for (const auto kind : {v1::OPERATION_KIND_LEASE, v1::OPERATION_KIND_LEASE_ANY}) {
      auto operation = MustBegin(absl::StrCat("id-", int{kind}));
      operation.set_kind(kind);
      operation.set_state(v1::OPERATION_STATE_SUCCEEDED);
      ASSERT_TRUE(Update(operation).ok());
    }
    Advance(kept);
    EXPECT_EQ(*callers_->Get(journal_->Prune()), 0);
    EXPECT_THAT(ListIds(QueryOf("acme")), ElementsAre("id-2", "id-1"));
    Advance(std::chrono::nanoseconds(1));
    EXPECT_EQ(*callers_->Get(journal_->Prune()), 2);
    EXPECT_EQ(journal_->stats().entries.at(v1::OPERATION_STATE_SUCCEEDED), 0);
    Close();
  }
}

TEST_F(SqliteJournalTest, PrunesByItself) {
  auto options = MakeOptions();
  options.prune_interval = std::chrono::milliseconds(1);
  Open(options);
  ASSERT_TRUE(Update(WithState(MustBegin("a"), v1::OPERATION_STATE_FAILED)).ok());
  Advance(hours(25));
  while (journal_->stats().pruned != 1) std::this_thread::yield();
  EXPECT_FALSE(Has("a"));
}

}  // namespace
}  // namespace leasegateway
