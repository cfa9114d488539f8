#include "upstream/leasing/journal/postgres/postgres_journal.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <string>
#include <thread>
#include <tuple>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "tests/support/two_replicas_fixture.h"
#include "upstream/leasing/journal/postgres/operation_statements.h"

namespace leasegateway {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::ElementsAre;
using testing::IsEmpty;
using Clock = std::chrono::steady_clock;

// --- one row ------------------------------------------------------------------------------------

TEST_F(TwoReplicasTest, OperationTakesThreeStatements) {
  const int before = a_.lossy->statements();
  auto record = MustBegin(a_, "x");
  EXPECT_EQ(ClaimsOf("x"), "+1");
  EXPECT_EQ(a_.lossy->statements() - before, 1);
  record.revision = Update(a_, record, v1::OPERATION_STATE_SENT)->revision;
  EXPECT_EQ(a_.lossy->statements() - before, 2);
  EXPECT_TRUE(Update(a_, record, v1::OPERATION_STATE_SUCCEEDED).ok());
  EXPECT_EQ(a_.lossy->statements() - before, 3);
  EXPECT_EQ(ClaimsOf("x"), "");
}

// With PostgreSQL's own client.
// While the server knows nothing of the table, several indexes seem to be as good.
TEST_F(TwoReplicasTest, OperationIsFoundByItsKeyInAYoungTable) {
  EXPECT_THAT(database_.Sql("EXPLAIN SELECT FROM lease_gateway.operation"
                            " WHERE account = 'a' AND request_id = 'x'"),
              testing::Contains(testing::HasSubstr("operation_pkey")));
}

TEST_F(TwoReplicasTest, PeopleCanReadTheRows) {
  auto record = MustBegin(a_, "x", "+13059478667");
  EXPECT_EQ(Psql("SELECT account, kind, state, phone_number, caller, owner, revision"
                 " FROM lease_gateway.operations WHERE request_id = 'x'"),
            "acme|LEASE|INTENDED|+13059478667|caller of x|1|1\n");
  record.entry.operation.set_lease_id("lsd_1");
  ASSERT_TRUE(Update(a_, record, v1::OPERATION_STATE_SUCCEEDED).ok());
  EXPECT_EQ(RowOf("x", "state, lease_id, owner, revision, update_time > create_time"),
            "SUCCEEDED|lsd_1||2|t");
}

TEST_F(TwoReplicasTest, DamagedRowIsReportedAndNeverReturned) {
  for (const char* damage : {"operation = '\\xff'", "operation = ''", "state = 3", "kind = 3",
                             "phone_number = '+2'", "caller = ''", "lease_id = 'l'"}) {
    SCOPED_TRACE(damage);
    database_.Sql("DELETE FROM lease_gateway.operation");
    MustBegin(a_, "x");
    database_.Sql(absl::StrCat("UPDATE lease_gateway.operation SET ", damage));
    EXPECT_EQ(ReasonOf(Get(b_.journal->Find("acme", "x")).status()), reason::kJournalUnavailable);
    EXPECT_EQ(ReasonOf(Begin(b_, "x").status()), reason::kJournalUnavailable);
    EXPECT_EQ(ReasonOf(Get(b_.journal->List(QueryOf("acme"))).status()),
              reason::kJournalUnavailable);
  }
}

TEST_F(TwoReplicasTest, DatabaseThatIsAwayIsSaid) {
  const auto record = MustBegin(a_, "x");
  for (const char* name : {"journal_begin", "journal_update", "journal_read", "journal_claim",
                           "journal_adopt", "journal_list"}) {
    a_.lossy->Lose(name, Loss::kAway);
  }
  ExpectUnavailable(Begin(a_, "y").status());
  ExpectUnavailable(Update(a_, record, v1::OPERATION_STATE_SENT).status());
  ExpectUnavailable(Get(a_.journal->Find("acme", "x")).status());
  ExpectUnavailable(Get(a_.journal->Claim("acme", "x", record.revision, "+1")).status());
  ExpectUnavailable(Get(a_.journal->Adopt("acme", 10, false)).status());
  ExpectUnavailable(Get(a_.journal->List(QueryOf("acme"))).status());
  EXPECT_EQ(RowOf("y", "state"), "none");
  EXPECT_TRUE(Update(a_, record, v1::OPERATION_STATE_SENT).ok());
}

// --- owners -------------------------------------------------------------------------------------

TEST_F(TwoReplicasTest, OfTwoReplicasOneBeginsAndTheOtherSeesIt) {
  for (int i = 0; i < 50; ++i) {
    const std::string id = absl::StrCat("id-", i);
    auto one = database_.io.Start(a_.journal->Begin(EntryOf(id, "+1"), true));
    auto two = database_.io.Start(b_.journal->Begin(EntryOf(id, "+1"), true));
    const auto a = database_.io.Get(std::move(one)), b = database_.io.Get(std::move(two));
    ASSERT_TRUE(a.ok() && b.ok()) << a.status() << b.status();
    EXPECT_NE(a->existed, b->existed);
    const auto& [winner, loser] = a->existed ? std::pair(b, a) : std::pair(a, b);
    EXPECT_EQ(winner->record.owner, Owner::kUs);
    EXPECT_EQ(winner->claimed, i == 0);
    EXPECT_EQ(loser->record.owner, Owner::kAnother);
    EXPECT_FALSE(loser->claimed);
    EXPECT_EQ(loser->record.entry.operation.SerializeAsString(),
              winner->record.entry.operation.SerializeAsString());
  }
}

TEST_F(TwoReplicasTest, LivingOwnerKeepsItAndDeadOneLosesIt) {
  MustBegin(a_, "x");
  EXPECT_EQ(MustTakeOver(b_, "x").owner, Owner::kAnother);
  EXPECT_THAT(AdoptIds(b_), IsEmpty());
  EXPECT_EQ(MustFind(a_, "x").revision, 1);
  database_.Die(a_.id);
  EXPECT_EQ(MustFind(b_, "x").owner, Owner::kNobody);
  EXPECT_EQ(Begin(b_, "x")->record.owner, Owner::kNobody);
  const auto taken = MustTakeOver(b_, "x");
  EXPECT_EQ(taken.owner, Owner::kUs);
  EXPECT_EQ(taken.revision, 2);
  EXPECT_EQ(b_.journal->stats().taken_over, 1u);
  // It was only slow.
  database_.Live(a_.id);
  EXPECT_EQ(MustFind(a_, "x").owner, Owner::kAnother);
  EXPECT_EQ(MustTakeOver(a_, "x").owner, Owner::kAnother);
}

TEST_F(TwoReplicasTest, FormerOwnerCanNotWrite) {
  const auto record = MustBegin(a_, "x");
  database_.Die(a_.id);
  const auto taken = MustTakeOver(b_, "x");
  ExpectLost(Update(a_, record, v1::OPERATION_STATE_SENT).status());
  // Not even with what it can read.
  ExpectLost(Update(a_, MustFind(a_, "x"), v1::OPERATION_STATE_SENT).status());
  ExpectLost(Get(a_.journal->Claim("acme", "x", record.revision, "+2")).status());
  EXPECT_EQ(RowOf("x", "state, owner"), "INTENDED|2");
  EXPECT_EQ(ClaimsOf("x"), "+1");
  EXPECT_TRUE(Update(b_, taken, v1::OPERATION_STATE_SENT).ok());
  EXPECT_EQ(a_.journal->stats().ownership_lost, 3u);
}

TEST_F(TwoReplicasTest, WriteOfAnOldRevisionIsRefused) {
  const auto record = MustBegin(a_, "x");
  ASSERT_TRUE(Update(a_, record, v1::OPERATION_STATE_SENT).ok());
  ExpectLost(Update(a_, record, v1::OPERATION_STATE_INTENDED).status());
  EXPECT_EQ(RowOf("x", "state"), "SENT");
}

TEST_F(TwoReplicasTest, SettledOneIsNobodysUntilItIsTakenOver) {
  const auto record = MustBegin(a_, "x");
  ASSERT_TRUE(Update(a_, record, v1::OPERATION_STATE_FAILED).ok());
  EXPECT_EQ(MustFind(a_, "x").owner, Owner::kNobody);
  EXPECT_EQ(MustFind(b_, "x").owner, Owner::kNobody);
  const auto taken = MustTakeOver(b_, "x");
  EXPECT_EQ(taken.owner, Owner::kUs);
  ExpectLost(Update(a_, record, v1::OPERATION_STATE_INTENDED).status());
  // One that doesn't go on with it keeps nobody from it.
  EXPECT_EQ(MustFind(a_, "x").owner, Owner::kNobody);
  const auto again = MustTakeOver(a_, "x");
  EXPECT_EQ(again.owner, Owner::kUs);
  ExpectLost(Update(b_, taken, v1::OPERATION_STATE_INTENDED).status());
  EXPECT_TRUE(Update(a_, again, v1::OPERATION_STATE_INTENDED).ok());
  EXPECT_EQ(MustTakeOver(b_, "x").owner, Owner::kAnother);
}

TEST_F(TwoReplicasTest, NothingIsTakenThatWasWrittenSinceItWasSeen) {
  MustBegin(a_, "x");
  ASSERT_TRUE(Update(a_, MustFind(a_, "x"), v1::OPERATION_STATE_FAILED).ok());
  const auto seen = MustFind(b_, "x");
  const auto again = MustTakeOver(a_, "x");
  ASSERT_TRUE(Update(a_, again, v1::OPERATION_STATE_SUCCEEDED).ok());
  const auto late = MustTakeOver(b_, seen);
  EXPECT_EQ(late.owner, Owner::kNobody);
  EXPECT_EQ(late.entry.operation.state(), v1::OPERATION_STATE_SUCCEEDED);
  EXPECT_EQ(MustTakeOver(a_, again).owner, Owner::kNobody);
  EXPECT_EQ(RowOf("x", "state, owner"), "SUCCEEDED|");
}

TEST_F(TwoReplicasTest, OnlyOneOfManyTakesItOver) {
  MustBegin(a_, "x");
  database_.Die(a_.id);
  JournalReplica c{database_, 3};
  for (int i = 0; i < 20; ++i) {
    const auto seen = MustFind(b_, "x").revision;
    auto one = database_.io.Start(b_.journal->TakeOver("acme", "x", seen));
    auto two = database_.io.Start(c.journal->TakeOver("acme", "x", seen));
    const auto b = database_.io.Get(std::move(one)), d = database_.io.Get(std::move(two));
    ASSERT_TRUE(b.ok() && d.ok()) << b.status() << d.status();
    EXPECT_NE(b->owner == Owner::kUs, d->owner == Owner::kUs);
    database_.Sql("UPDATE lease_gateway.operation SET owner = 1");
  }
}

TEST_F(TwoReplicasTest, EachIsAdoptedByOne) {
  std::vector<std::string> expected;
  for (int i = 0; i < 60; ++i) {
    expected.push_back(absl::StrCat("id-", i));
    MustBegin(a_, expected.back(), absl::StrCat("+", i));
  }
  database_.Die(a_.id);
  std::vector<std::unique_ptr<JournalReplica>> replicas;
  std::vector<std::future<absl::StatusOr<std::vector<Record>>>> calls;
  for (int i = 0; i < 4; ++i) {
    replicas.push_back(std::make_unique<JournalReplica>(database_, 10 + i));
  }
  std::vector<std::string> adopted;
  for (int round = 0; round < 8; ++round) {
    for (auto& replica : replicas) {
      calls.push_back(database_.io.Start(replica->journal->Adopt("acme", 3, false)));
    }
    for (auto& call : std::exchange(calls, {})) {
      const auto records = database_.io.Get(std::move(call));
      ASSERT_TRUE(records.ok()) << records.status();
      for (const auto& record : *records) {
        EXPECT_EQ(record.owner, Owner::kUs);
        EXPECT_EQ(record.revision, 2);
        adopted.push_back(record.entry.operation.request_id());
      }
    }
  }
  EXPECT_THAT(adopted, testing::UnorderedElementsAreArray(expected));
}

// --- who may send -------------------------------------------------------------------------------

TEST_F(TwoReplicasTest, NewOwnerWaitsForWhatTheFormerOneMayHaveOnItsWay) {
  const auto record = MustBegin(a_, "x");
  auto sent = ChangeOf(record, v1::OPERATION_STATE_SENT);
  sent.may_send_for = seconds(3);
  const auto before = Clock::now();
  const auto updated = Update(a_, sent);
  const auto after = Clock::now();
  ASSERT_TRUE(updated.ok()) << updated.status();
  EXPECT_GE(updated->send_before, before + seconds(3));
  EXPECT_LE(updated->send_before, after + seconds(3));
  database_.Die(a_.id);
  const auto adopted = Get(b_.journal->Adopt("acme", 10, false));
  ASSERT_TRUE(adopted.ok() && adopted->size() == 1) << adopted.status();
  // The time to begin, what bounds a request, and the clock's margin: 3 + 60 + 2 s.
  EXPECT_GE((*adopted)[0].quiet_at, before + seconds(65));
  EXPECT_LE((*adopted)[0].quiet_at, Clock::now() + seconds(65));
  database_.Die(b_.id);
  database_.Live(a_.id);
  const auto again = MustTakeOver(a_, "x");
  EXPECT_EQ(again.owner, Owner::kUs);
  EXPECT_GE(again.quiet_at, before + seconds(65));
}

TEST_F(TwoReplicasTest, OutcomeEndsTheWait) {
  const auto record = MustBegin(a_, "x");
  auto sent = ChangeOf(record, v1::OPERATION_STATE_SENT);
  sent.may_send_for = seconds(3);
  auto failed = ChangeOf(record, v1::OPERATION_STATE_FAILED);
  failed.revision = Update(a_, sent)->revision;
  ASSERT_TRUE(Update(a_, failed).ok());
  EXPECT_LE(MustTakeOver(b_, "x").quiet_at, Clock::now());
}

TEST_F(TwoReplicasTest, OutcomeOfANewOwnerDoesNotEndTheWaitForTheFormerOne) {
  auto sent = ChangeOf(MustBegin(a_, "x"), v1::OPERATION_STATE_SENT);
  sent.may_send_for = seconds(3);
  const auto before = Clock::now();
  ASSERT_TRUE(Update(a_, sent).ok());
  database_.Die(a_.id);
  ASSERT_TRUE(Update(b_, MustTakeOver(b_, "x"), v1::OPERATION_STATE_FAILED).ok());
  EXPECT_GE(MustTakeOver(b_, "x").quiet_at, before + seconds(65));
}

TEST_F(TwoReplicasTest, TimeToSendCountsFromBeforeTheFirstTry) {
  const auto record = MustBegin(a_, "x");
  auto sent = ChangeOf(record, v1::OPERATION_STATE_SENT);
  sent.may_send_for = seconds(3);
  a_.lossy->Lose("journal_update", Loss::kAnswer);
  a_.lossy->Before("journal_read", [] { std::this_thread::sleep_for(milliseconds(30)); });
  const auto before = Clock::now();
  const auto updated = Update(a_, sent);
  ASSERT_TRUE(updated.ok()) << updated.status();
  EXPECT_LT(updated->send_before, before + seconds(3) + milliseconds(30));
}

// --- numbers ------------------------------------------------------------------------------------

TEST_F(TwoReplicasTest, NumberIsOneOperationsUntilItIsSettled) {
  auto record = MustBegin(a_, "x", "+1");
  const auto begun = Begin(b_, "y", "+1");
  ASSERT_TRUE(begun.ok()) << begun.status();
  EXPECT_FALSE(begun->existed);
  EXPECT_FALSE(begun->claimed);
  auto claimed = MustClaim(b_, begun->record, "+1");
  EXPECT_FALSE(claimed.granted);
  EXPECT_EQ(claimed.holder, "x");
  EXPECT_FALSE(claimed.free_at);
  // Another account has its own.
  auto entry = MakeEntry("x", "other");
  entry.operation.set_phone_number("+1");
  EXPECT_TRUE(Get(b_.journal->Begin(entry, true))->claimed);

  auto done = ChangeOf(record, v1::OPERATION_STATE_SUCCEEDED);
  done.release_after = milliseconds(200);
  ASSERT_TRUE(Update(a_, done).ok());
  claimed = MustClaim(b_, begun->record, "+1");
  EXPECT_FALSE(claimed.granted);
  EXPECT_EQ(claimed.holder, "x");
  ASSERT_TRUE(claimed.free_at);
  EXPECT_LE(*claimed.free_at, Clock::now() + milliseconds(200));
  std::this_thread::sleep_until(*claimed.free_at);
  EXPECT_TRUE(MustClaim(b_, begun->record, "+1").granted);
  EXPECT_EQ(ClaimsOf("y"), "+1");
}

TEST_F(TwoReplicasTest, OperationHasOneNumber) {
  auto record = MustBegin(a_, "x", "+1");
  EXPECT_TRUE(MustClaim(a_, record, "+2").granted);
  EXPECT_EQ(ClaimsOf("x"), "+2");
  MustBegin(b_, "y", "+3");
  EXPECT_FALSE(MustClaim(a_, record, "+3").granted);
  EXPECT_EQ(ClaimsOf("x"), "+2");
  auto released = ChangeOf(record, v1::OPERATION_STATE_INTENDED);
  released.release = true;
  ASSERT_TRUE(Update(a_, released).ok());
  EXPECT_EQ(ClaimsOf("x"), "");
  EXPECT_THAT(a_.news->told, testing::SizeIs(1));
}

TEST_F(TwoReplicasTest, NumberOfADeadReplicaIsKeptForWhoTakesOver) {
  MustBegin(a_, "x", "+1");
  database_.Die(a_.id);
  const auto begun = Begin(b_, "y", "+1");
  EXPECT_FALSE(begun->claimed);
  EXPECT_FALSE(MustClaim(b_, begun->record, "+1").granted);
  const auto taken = MustTakeOver(b_, "x");
  EXPECT_TRUE(MustClaim(b_, taken, "+1").granted);
  ASSERT_TRUE(Update(b_, taken, v1::OPERATION_STATE_FAILED).ok());
  EXPECT_TRUE(MustClaim(b_, begun->record, "+1").granted);
}

TEST_F(TwoReplicasTest, OfManyClaimsOneIsGranted) {
  std::vector<Record> records;
  for (int i = 0; i < 8; ++i) {
    records.push_back(
        MustBegin(i % 2 == 0 ? a_ : b_, absl::StrCat("id-", i), absl::StrCat("+10", i)));
  }
  for (int number = 0; number < 10; ++number) {
    std::vector<std::future<absl::StatusOr<OperationJournal::Claimed>>> claims;
    for (int i = 0; i < 8; ++i) {
      claims.push_back(database_.io.Start(
          (i % 2 == 0 ? a_ : b_)
              .journal->Claim("acme", absl::StrCat("id-", i), 1, absl::StrCat("+", number))));
    }
    int granted = 0;
    for (auto& claim : claims) {
      const auto claimed = database_.io.Get(std::move(claim));
      ASSERT_TRUE(claimed.ok()) << claimed.status();
      granted += claimed->granted ? 1 : 0;
    }
    EXPECT_EQ(granted, 1) << number;
  }
}

// --- waiting ------------------------------------------------------------------------------------

TEST_F(TwoReplicasTest, OutcomeIsToldAndEndsTheWait) {
  const auto record = MustBegin(a_, "x");
  auto waiting =
      database_.io.Start(a_.journal->AwaitChange("acme", "x", Clock::now() + seconds(50)));
  ASSERT_TRUE(Update(a_, record, v1::OPERATION_STATE_SUCCEEDED).ok());
  database_.io.Get(std::move(waiting));
  EXPECT_THAT(a_.news->told, ElementsAre(std::pair(PostgresJournal::TopicOf("acme", "x"), 2)));
  EXPECT_LE(PostgresJournal::TopicOf("acme", "x").size(), 200u);
  while (a_.news->subscribed() > 0) std::this_thread::yield();
}

// --- pruning ------------------------------------------------------------------------------------

TEST_F(TwoReplicasTest, PrunesWhatIsSettledAndOldAndWhatIsFree) {
  for (const char* id : {"old", "young", "open", "again"}) {
    const auto record = MustBegin(a_, id, absl::StrCat("+", id));
    if (std::string(id) == "open") continue;
    auto done = ChangeOf(record, v1::OPERATION_STATE_FAILED);
    done.release_after = std::string(id) == "young" ? seconds(100) : milliseconds(1);
    ASSERT_TRUE(Update(a_, done).ok());
  }
  MustTakeOver(a_, "again");
  EXPECT_EQ(*Get(a_.journal->Prune()), 0);
  EXPECT_EQ(ClaimsOf("young"), "+young until");
  EXPECT_EQ(ClaimsOf("old"), "");
  database_.Sql(
      "UPDATE lease_gateway.operation SET create_time = create_time - interval '25 h',"
      " update_time = update_time - interval '25 h' WHERE request_id <> 'young'");
  auto one = database_.io.Start(a_.journal->Prune());
  auto two = database_.io.Start(b_.journal->Prune());
  EXPECT_EQ(*database_.io.Get(std::move(one)) + *database_.io.Get(std::move(two)), 1);
  EXPECT_EQ(RowOf("old", "state"), "none");
  EXPECT_EQ(RowOf("young", "state"), "FAILED");
  EXPECT_EQ(RowOf("again", "state"), "FAILED");
  EXPECT_EQ(RowOf("open", "state"), "INTENDED");
  EXPECT_EQ(ClaimsOf("open"), "+open");
  EXPECT_EQ(a_.journal->stats().open, 1);
  ASSERT_TRUE(a_.journal->stats().oldest_open);
  EXPECT_LT(*a_.journal->stats().oldest_open, std::chrono::system_clock::now() - seconds(3'600));
}

TEST_F(TwoReplicasTest, PurchasesThatSucceededAreKeptForAYearAndMore) {
  for (const auto& [id, kind] : {std::pair("lease", v1::OPERATION_KIND_LEASE),
                                 std::pair("any", v1::OPERATION_KIND_LEASE_ANY),
                                 std::pair("end", v1::OPERATION_KIND_TERMINATE)}) {
    auto record = MustBegin(a_, id, "+1");
    record.entry.operation.set_kind(kind);
    ASSERT_TRUE(Update(a_, record, v1::OPERATION_STATE_SUCCEEDED).ok());
  }
  const auto grow_older = [this](int hours) {
    database_.Sql(absl::StrCat("UPDATE lease_gateway.operation SET create_time = create_time - ",
                               hours, " * interval '1 h', update_time = update_time - ", hours,
                               " * interval '1 h'"));
  };
  grow_older(25);
  EXPECT_EQ(*Get(a_.journal->Prune()), 1);
  EXPECT_EQ(RowOf("end", "state"), "none");
  grow_older(24 * 400 - 26);
  EXPECT_EQ(*Get(a_.journal->Prune()), 0);
  PostgresJournal::Options options;
  options.retention = std::chrono::hours(24 * 500);
  JournalReplica longer{database_, 3, options};
  grow_older(2);
  EXPECT_EQ(*Get(longer.journal->Prune()), 0);
  EXPECT_EQ(*Get(a_.journal->Prune()), 2);
}

// A year's purchases of 20 callers, and other settled ones of a day.
TEST_F(TwoReplicasTest, ListsAndPruningLookAtNoMoreThanTheyHaveTo) {
  database_.Sql(
      "INSERT INTO lease_gateway.operation (account, request_id, fingerprint, kind, state,"
      " phone_number, lease_id, caller, revision, attempt, create_time, update_time, operation)"
      " SELECT 'acme', 'id-' || n, decode(repeat('00', 32), 'hex'), CASE WHEN n > 29900 THEN 3"
      " ELSE 1 END, CASE WHEN n > 29950 THEN 4 ELSE 3 END, '+' || n % 10000, '', 'c' || n % 20, 1,"
      " n, now() - (30000 - n) * interval '17 min', now() - (30000 - n) * interval '17 min', ''"
      " FROM generate_series(1, 30000) n; ANALYZE lease_gateway.operation");
  const auto plan = [this](const postgres::Statement& statement, const std::string& parameters) {
    return absl::StrJoin(
        database_.Sql(absl::StrCat("SET plan_cache_mode = force_generic_plan; PREPARE it AS ",
                                   statement.sql, "; EXPLAIN EXECUTE it(", parameters, ")")),
        "\n");
  };
  const std::string month =
      "1, 'acme', (extract(epoch FROM now() - interval '30 d') * 1000000)::bigint, '', 100,"
      " (extract(epoch FROM now() - interval '60 d') * 1000000)::bigint";
  for (const auto& [filters, rest, index] :
       {std::tuple(0U, "", "operation_list "), std::tuple(kOfState + 0U, ", 3", "operation_list"),
        std::tuple(kOfCaller + 0U, ", 'c7'", "operation_list_caller"),
        std::tuple(kOfKind + 0U, ", 3", "operation_list_kind"),
        std::tuple(kOfState | kOfCaller, ", 3, 'c7'", "operation_list_caller"),
        std::tuple(kOfState | kOfKind, ", 3, 1", "operation_list")}) {
    const std::string text = plan(ListOperations(filters), absl::StrCat(month, rest));
    SCOPED_TRACE(text);
    EXPECT_THAT(text, testing::HasSubstr(absl::StrCat("using ", index)));
    EXPECT_THAT(text, testing::ContainsRegex("Index Cond: .*create_time >= .*create_time.* < "));
    EXPECT_THAT(text, testing::Not(testing::HasSubstr("Sort")));
  }
  EXPECT_THAT(plan(kPruneOperations, "86400000000, 200"),
              testing::HasSubstr("using operation_passing"));
  EXPECT_THAT(plan(kPrunePurchases, "34560000000000, 200"),
              testing::HasSubstr("using operation_settled"));
}

// Its transaction was still under way when its operation ended.
TEST_F(TwoReplicasTest, ClaimThatOutlivesItsOperationIsPruned) {
  const auto record = MustBegin(a_, "x", "+1");
  MustBegin(a_, "open", "+2");
  ASSERT_TRUE(Update(a_, record, v1::OPERATION_STATE_FAILED).ok());
  database_.Sql(
      "INSERT INTO lease_gateway.number_claim (account, phone_number, request_id, revision, "
      "attempt)"
      " VALUES ('acme', '+1', 'x', 1, 1)");
  ASSERT_EQ(ClaimsOf("x"), "+1");
  ASSERT_TRUE(Get(a_.journal->Prune()).ok());
  EXPECT_EQ(ClaimsOf("x"), "");
  EXPECT_EQ(ClaimsOf("open"), "+2");
}

TEST_F(TwoReplicasTest, PrunesByItself) {
  PostgresJournal::Options options;
  options.prune_interval = milliseconds(1);
  JournalReplica c{database_, 3, options};
  PostgresJournal::KeepPruned(c.journal, database_.io.executor());
  ASSERT_TRUE(Update(a_, MustBegin(a_, "x"), v1::OPERATION_STATE_FAILED).ok());
  database_.Sql("UPDATE lease_gateway.operation SET update_time = now() - interval '25 h'");
  while (c.journal->stats().pruned == 0) std::this_thread::yield();
  EXPECT_EQ(RowOf("x", "state"), "none");
}

}  // namespace
}  // namespace leasegateway
