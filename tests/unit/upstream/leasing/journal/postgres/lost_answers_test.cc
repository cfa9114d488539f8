#include "upstream/leasing/journal/postgres/lost_answers.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <set>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "tests/support/two_replicas_fixture.h"

namespace leasegateway {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

TEST(DrawAttemptTest, IsAboveZeroAndNotTwiceTheSame) {
  std::set<std::int64_t> drawn;
  for (int i = 0; i < 1'000; ++i) {
    const std::int64_t attempt = DrawAttempt();
    EXPECT_GT(attempt, 0);
    EXPECT_TRUE(drawn.insert(attempt).second);
  }
}

// Whichever half of a round trip is lost, the first one is found out or repeated.
class LostAnswersTest : public TwoReplicasTest, public testing::WithParamInterface<int> {
 protected:
  Loss loss() const { return static_cast<Loss>(GetParam()); }
  // What came late has changed nothing.
  void RunLate() {
    if (loss() != Loss::kLate) return;
    EXPECT_TRUE(Get(a_.lossy->RunLate()).ok());
  }
  static v1::OperationState Sent() { return v1::OPERATION_STATE_SENT; }
};

TEST_P(LostAnswersTest, BeginIsStillTheFirst) {
  a_.lossy->Lose("journal_begin", loss());
  const auto begun = Begin(a_, "x");
  ASSERT_TRUE(begun.ok()) << begun.status();
  EXPECT_FALSE(begun->existed);
  EXPECT_TRUE(begun->claimed);
  EXPECT_EQ(begun->record.revision, 1);
  RunLate();
  EXPECT_EQ(RowOf("x", "revision, owner"), "1|1");
  const auto updated = Update(a_, begun->record, v1::OPERATION_STATE_SUCCEEDED);
  ASSERT_TRUE(updated.ok()) << updated.status();
  EXPECT_EQ(ClaimsOf("x"), "");
  EXPECT_TRUE(Begin(a_, "x")->existed);
  EXPECT_EQ(a_.journal->stats().answers_lost, 1u);
}

TEST_P(LostAnswersTest, BeginOfAnotherIsNotTakenForOurs) {
  MustBegin(b_, "x");
  a_.lossy->Lose("journal_begin", loss());
  const auto begun = Begin(a_, "x");
  ASSERT_TRUE(begun.ok()) << begun.status();
  EXPECT_TRUE(begun->existed);
  EXPECT_EQ(begun->record.owner, Owner::kAnother);
  RunLate();
  EXPECT_EQ(RowOf("x", "revision, owner"), "1|2");
}

TEST_P(LostAnswersTest, BeginThatNobodyHeardOfIsAdopted) {
  a_.lossy->Lose("journal_begin", loss());
  a_.lossy->Lose("journal_begin", Loss::kAway);
  ExpectUnavailable(Begin(a_, "x").status());
  RunLate();
  if (loss() == Loss::kRequest) {
    EXPECT_THAT(AdoptIds(a_, true), IsEmpty());
    MustBegin(a_, "x");
    return;
  }
  EXPECT_THAT(AdoptIds(a_), IsEmpty());
  EXPECT_THAT(AdoptIds(a_, true), ElementsAre("x"));
  EXPECT_THAT(AdoptIds(a_, true), IsEmpty());
  EXPECT_EQ(RowOf("x", "revision, owner"), "2|1");
}

TEST_P(LostAnswersTest, WriteIsDoneOnce) {
  const auto record = MustBegin(a_, "x");
  a_.lossy->Lose("journal_update", loss());
  const auto updated = Update(a_, record, Sent());
  ASSERT_TRUE(updated.ok()) << updated.status();
  EXPECT_EQ(updated->revision, 2);
  EXPECT_EQ(RowOf("x", "state, revision"), "SENT|2");
  auto unknown = ChangeOf(record, v1::OPERATION_STATE_UNKNOWN);
  unknown.revision = 2;
  ASSERT_TRUE(Update(a_, unknown).ok());
  RunLate();
  EXPECT_EQ(RowOf("x", "state, revision"), "UNKNOWN|3");
  EXPECT_EQ(a_.journal->stats().answers_lost, 1u);
}

TEST_P(LostAnswersTest, NextWriteFindsOutWhatBecameOfALostOne) {
  const auto record = MustBegin(a_, "x");
  for (int i = 0; i < 2; ++i) {
    a_.lossy->Lose("journal_update", loss());
    a_.lossy->Lose("journal_read", Loss::kAway);
    ExpectUnavailable(Update(a_, record, Sent()).status());
    if (i == 0) RunLate();
  }
  const bool was_done = loss() != Loss::kRequest;
  EXPECT_EQ(RowOf("x", "state"), was_done ? "SENT" : "INTENDED");
  const auto updated = Update(a_, record, v1::OPERATION_STATE_SUCCEEDED);
  ASSERT_TRUE(updated.ok()) << updated.status();
  RunLate();
  EXPECT_EQ(RowOf("x", "state, owner"), "SUCCEEDED|");
  EXPECT_EQ(a_.journal->stats().ownership_lost, 0u);
}

TEST_P(LostAnswersTest, OutcomeIsWrittenAgainUntilItIsKnown) {
  const auto record = MustBegin(a_, "x");
  const auto done = ChangeOf(record, v1::OPERATION_STATE_SUCCEEDED);
  a_.lossy->Lose("journal_update", loss());
  a_.lossy->Lose("journal_read", Loss::kAway);
  ExpectUnavailable(Update(a_, done).status());
  RunLate();
  EXPECT_THAT(a_.news->told, IsEmpty());
  const auto updated = Update(a_, done);
  ASSERT_TRUE(updated.ok()) << updated.status();
  EXPECT_EQ(RowOf("x", "state, owner"), "SUCCEEDED|");
  EXPECT_EQ(ClaimsOf("x"), "");
  EXPECT_THAT(a_.news->told, testing::SizeIs(1));
}

TEST_P(LostAnswersTest, LostOutcomeThatAnotherReplicaWentOnFromIsLeftAlone) {
  const auto record = MustBegin(a_, "x");
  const auto failed = ChangeOf(record, v1::OPERATION_STATE_FAILED);
  a_.lossy->Lose("journal_update", loss());
  a_.lossy->Lose("journal_read", Loss::kAway);
  ExpectUnavailable(Update(a_, failed).status());
  RunLate();
  if (loss() == Loss::kRequest) database_.Die(a_.id);
  const auto taken = MustTakeOver(b_, "x");
  EXPECT_EQ(taken.owner, Owner::kUs);
  ExpectLost(Update(a_, failed).status());
  EXPECT_TRUE(Update(b_, taken, Sent()).ok());
  ExpectLost(Update(a_, failed).status());
  EXPECT_EQ(RowOf("x", "state, owner"), "SENT|2");
}

TEST_P(LostAnswersTest, TakeOverIsDoneOnce) {
  const auto begun = MustBegin(b_, "x");
  database_.Die(b_.id);
  a_.lossy->Lose("journal_take", loss());
  const auto taken = MustTakeOver(a_, "x");
  EXPECT_EQ(taken.owner, Owner::kUs);
  EXPECT_EQ(taken.revision, 2);
  RunLate();
  EXPECT_TRUE(Update(a_, taken, Sent()).ok());
  EXPECT_EQ(RowOf("x", "state, revision"), "SENT|3");
}

TEST_P(LostAnswersTest, AdoptedOnesAreFound) {
  for (const char* id : {"x", "y"}) MustBegin(b_, id, std::string("+") + id);
  database_.Die(b_.id);
  a_.lossy->Lose("journal_adopt", loss());
  std::vector<std::string> ids = AdoptIds(a_);
  RunLate();
  for (const auto& id : AdoptIds(a_, true)) ids.push_back(id);
  EXPECT_THAT(ids, testing::UnorderedElementsAre("x", "y"));
  EXPECT_THAT(AdoptIds(a_, true), IsEmpty());
}

TEST_P(LostAnswersTest, AdoptedOnesWhoseAnswerCameNeverAreAdoptedAgain) {
  MustBegin(b_, "x");
  database_.Die(b_.id);
  a_.lossy->Lose("journal_adopt", loss());
  a_.lossy->Lose("journal_adopted", Loss::kAway);
  EXPECT_FALSE(Get(a_.journal->Adopt("acme", 10, false)).ok());
  RunLate();
  EXPECT_THAT(AdoptIds(a_, true), ElementsAre("x"));
}

TEST_P(LostAnswersTest, ClaimIsGrantedOnceAndTakesNothingBack) {
  const auto record = MustBegin(a_, "x", "+1");
  a_.lossy->Lose("journal_claim", loss());
  EXPECT_TRUE(MustClaim(a_, record, "+2").granted);
  EXPECT_EQ(ClaimsOf("x"), "+2");
  EXPECT_TRUE(MustClaim(a_, record, "+3").granted);
  EXPECT_EQ(ClaimsOf("x"), "+3");
  RunLate();
  EXPECT_EQ(ClaimsOf("x"), loss() == Loss::kLate ? "+2, +3" : "+3");
  ASSERT_TRUE(Update(a_, record, v1::OPERATION_STATE_FAILED).ok());
  EXPECT_EQ(ClaimsOf("x"), "");
}

INSTANTIATE_TEST_SUITE_P(Losses, LostAnswersTest,
                         testing::Values(static_cast<int>(LossyDatabase::Loss::kRequest),
                                         static_cast<int>(LossyDatabase::Loss::kAnswer),
                                         static_cast<int>(LossyDatabase::Loss::kLate)),
                         [](const auto& loss) {
                           return loss.param == 0 ? "Request" : loss.param == 1 ? "Answer" : "Late";
                         });

TEST_F(TwoReplicasTest, LateWriteOfAFormerOwnerIsRefused) {
  const auto record = MustBegin(a_, "x");
  a_.lossy->Lose("journal_update", Loss::kLate);
  a_.lossy->Before("journal_read", [this] {
    database_.Die(a_.id);
    EXPECT_THAT(AdoptIds(b_), ElementsAre("x"));
  });
  auto sent = ChangeOf(record, v1::OPERATION_STATE_SENT);
  sent.may_send_for = std::chrono::seconds(3);
  ExpectLost(Update(a_, sent).status());
  EXPECT_TRUE(Get(a_.lossy->RunLate()).ok());
  EXPECT_EQ(RowOf("x", "state, owner, send_until"), "INTENDED|2|");
}

// --- a server that fails -------------------------------------------------------------------------

TEST_F(TwoReplicasTest, HungServerIsSaidInTimeAndFoundOutAfterwards) {
  PostgresJournal::Options options;
  options.call_limit = std::chrono::milliseconds(300);
  JournalReplica c{database_, 3, options};
  const auto record = MustBegin(c, "x");
  database_.server().Freeze();
  const auto before = std::chrono::steady_clock::now();
  ExpectUnavailable(Update(c, record, v1::OPERATION_STATE_SENT).status());
  ExpectUnavailable(Begin(c, "y", "+2").status());
  EXPECT_LT(std::chrono::steady_clock::now() - before, std::chrono::seconds(10));
  database_.server().Resume();
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(30);
  while (!Update(c, record, v1::OPERATION_STATE_SUCCEEDED).ok()) {
    ASSERT_LT(std::chrono::steady_clock::now(), end);
  }
  EXPECT_EQ(RowOf("x", "state, owner"), "SUCCEEDED|");
  EXPECT_EQ(c.journal->stats().ownership_lost, 0u);
}

// The killed sessions hold its memory for a moment longer, and then it refuses to start.
void Crash(PostgresServer& server) {
  server.Kill();
  for (int tries = 0; !server.is_running() && tries < 50; ++tries) {
    try {
      server.Start();
    } catch (const std::runtime_error&) {
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
    }
  }
}

TEST_F(TwoReplicasTest, KilledServerLosesNothingThatItTold) {
  std::atomic<bool> over{false};
  std::atomic<int> count{0};
  std::vector<std::string> told;
  std::thread caller([&] {
    for (int i = 0; !over; ++i) {
      const std::string id = absl::StrCat("id-", i);
      const auto begun = Begin(a_, id, absl::StrCat("+", i));
      if (!begun.ok()) continue;
      told.push_back(id);
      ++count;
    }
  });
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(60);
  for (const int enough : {5, 10, 15}) {
    while (count < enough && std::chrono::steady_clock::now() < end) {
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    Crash(database_.server());
  }
  over = true;
  caller.join();
  EXPECT_GE(told.size(), 15u);
  for (const auto& id : told) EXPECT_EQ(RowOf(id, "state, owner, revision"), "INTENDED|1|1") << id;
  // What was begun and not told is found.
  const std::size_t begun =
      std::stoul(database_.Sql("SELECT count(*) FROM lease_gateway.operation").at(0));
  std::size_t adopted = 0;
  while (adopted + told.size() < begun && std::chrono::steady_clock::now() < end) {
    const auto records = Get(a_.journal->Adopt("acme", 100, true));
    if (records.ok()) adopted += records->size();
  }
  EXPECT_EQ(adopted + told.size(), begun);
}

// --- what a server has lost that took over ------------------------------------------------------

TEST_F(TwoReplicasTest, MissingRowIsWrittenAnew) {
  const auto record = MustBegin(a_, "x");
  database_.Sql("DELETE FROM lease_gateway.operation");
  EXPECT_EQ(ClaimsOf("x"), "");
  const auto updated = Update(a_, record, v1::OPERATION_STATE_SENT);
  ASSERT_TRUE(updated.ok()) << updated.status();
  EXPECT_EQ(RowOf("x", "state, owner, revision"), "SENT|1|2");
  EXPECT_EQ(ClaimsOf("x"), "+1");
  // What had been sent is not known any more.
  EXPECT_EQ(RowOf("x", "send_until > now() + interval '60 s'"), "t");
  auto found = MustFind(a_, "x");
  EXPECT_EQ(found.entry.fingerprint, std::string(32, 'x'));
  EXPECT_EQ(found.entry.operation.create_time().SerializeAsString(),
            record.entry.operation.create_time().SerializeAsString());
  database_.Sql("DELETE FROM lease_gateway.operation");
  ASSERT_TRUE(Update(a_, found, v1::OPERATION_STATE_SUCCEEDED).ok());
  EXPECT_EQ(RowOf("x", "state, owner, revision"), "SUCCEEDED||3");
  EXPECT_EQ(ClaimsOf("x"), "");
  EXPECT_EQ(a_.journal->stats().restored, 2u);
  // Another replica has begun it meanwhile.
  const auto second = MustBegin(a_, "y");
  database_.Sql("DELETE FROM lease_gateway.operation WHERE request_id = 'y'");
  MustBegin(b_, "y");
  ExpectLost(Update(a_, second, v1::OPERATION_STATE_SENT).status());
}

TEST_F(TwoReplicasTest, RowThatHasFallenBackIsWrittenAgain) {
  auto record = MustBegin(a_, "x");
  record.revision = Update(a_, record, v1::OPERATION_STATE_SENT)->revision;
  record.revision = Update(a_, record, v1::OPERATION_STATE_UNKNOWN)->revision;
  database_.Sql("UPDATE lease_gateway.operation SET revision = 1, send_until = NULL");
  record.revision = Update(a_, record, v1::OPERATION_STATE_UNKNOWN)->revision;
  EXPECT_EQ(RowOf("x", "send_until > now() + interval '60 s'"), "t");
  database_.Sql("UPDATE lease_gateway.operation SET revision = 1");
  const auto updated = Update(a_, record, v1::OPERATION_STATE_SUCCEEDED);
  ASSERT_TRUE(updated.ok()) << updated.status();
  EXPECT_EQ(updated->revision, 5);
  EXPECT_EQ(RowOf("x", "state, revision"), "SUCCEEDED|5");
  EXPECT_EQ(a_.journal->stats().restored, 2u);
}

}  // namespace
}  // namespace leasegateway
