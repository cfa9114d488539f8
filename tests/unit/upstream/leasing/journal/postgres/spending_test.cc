#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <memory>
#include <set>
#include <string>

#include "absl/strings/str_cat.h"
#include "tests/support/spending_entries.h"
#include "tests/support/two_replicas_fixture.h"

// What replicas that share a database count, and what gets lost on the way to it.

namespace leasegateway {
namespace {

using testing::HasSubstr;

class SharedSpendingTest : public TwoReplicasTest {
 protected:
  Record MustIntend(JournalReplica& replica, const std::string& id) {
    auto begun = Get(replica.journal->Begin(PurchaseOf(id), true));
    EXPECT_TRUE(begun.ok()) << begun.status();
    return begun.ok() ? std::move(begun->record) : Record();
  }
  absl::StatusOr<OperationJournal::Updated> Send(
      JournalReplica& replica, const Record& record,
      std::shared_ptr<const SpendingRules> rules = nullptr) {
    return Update(replica, SendingOf(record, std::move(rules), Price(1, 5)));
  }
  std::string Used() {
    const auto counts = Get(b_.journal->Spent(kOrders));
    return counts.ok() ? Show(counts->account) : std::string(counts.status().message());
  }
  std::string Rows() { return database_.Sql("SELECT count(*) FROM lease_gateway.spending").at(0); }

  const std::shared_ptr<const SpendingRules> one_ = Rules({.of_account = Count(1, {})});
};

TEST_F(SharedSpendingTest, PurchaseThatIsLimitedTakesThreeStatementsToo) {
  const int before = a_.lossy->statements();
  auto record = MustIntend(a_, "x");
  record.revision = Send(a_, record, one_)->revision;
  EXPECT_TRUE(Update(a_, BoughtOf(record, Price(1, 5))).ok());
  EXPECT_EQ(a_.lossy->statements() - before, 3);
}

TEST_F(SharedSpendingTest, AnswerThatGotLostIsNoSecondReservation) {
  for (const Loss loss : {Loss::kAnswer, Loss::kRequest, Loss::kLate}) {
    database_.Sql("DELETE FROM lease_gateway.operation; DELETE FROM lease_gateway.spending");
    const auto record = MustIntend(a_, "x");
    a_.lossy->Lose("journal_update", loss);
    EXPECT_TRUE(Send(a_, record, one_).ok());
    if (loss == Loss::kLate) {
      ASSERT_TRUE(Get(a_.lossy->RunLate()).ok());
    }
    EXPECT_EQ(Used(), "1 today, 1 live, USD 6 today, 5 a month");
  }
}

// A write that is lost and comes late takes what is left, after its caller was refused; it is given
// back with the outcome that the caller heard.
TEST_F(SharedSpendingTest, ReservationThatCameLateIsGivenBackWithTheOutcome) {
  const auto record = MustIntend(a_, "x");
  auto other = MustIntend(b_, "y");
  a_.lossy->Lose("journal_update", Loss::kLate);
  bool taken = false;
  a_.lossy->Before("journal_read", [&] {
    if (!taken) other.revision = Send(b_, other, one_)->revision;
    taken = true;
  });
  EXPECT_EQ(ReasonOf(Send(a_, record, one_).status()), reason::kSpendLimitExceeded);
  ASSERT_TRUE(Update(b_, other, v1::OPERATION_STATE_FAILED).ok());
  ASSERT_TRUE(Get(a_.lossy->RunLate()).ok());
  EXPECT_EQ(Used(), "1 today, 1 live, USD 6 today, 5 a month");
  EXPECT_TRUE(Update(a_, record, v1::OPERATION_STATE_FAILED).ok());
  EXPECT_EQ(Used(), "0 today, 0 live");
}

TEST_F(SharedSpendingTest, FormerOwnerTakesNothingAndIsToldSo) {
  const auto record = MustIntend(a_, "x");
  database_.Die(a_.id);
  const auto taken = *Get(b_.journal->TakeOver("sales", "x", record.revision));
  ExpectLost(Send(a_, record, one_).status());
  // Also where there is no room.
  const auto none = Rules({.of_account = Count(0, {})});
  ExpectLost(Send(a_, record, none).status());
  EXPECT_EQ(Rows(), "0");
  EXPECT_TRUE(Send(b_, taken, one_).ok());
}

TEST_F(SharedSpendingTest, NewOwnerHasTheReservationOfTheFormer) {
  ASSERT_TRUE(Send(a_, MustIntend(a_, "x"), one_).ok());
  database_.Die(a_.id);
  const auto adopted = Get(b_.journal->Adopt("sales", 10, false));
  ASSERT_EQ(adopted->size(), 1u);
  const Record& taken = adopted->front();
  EXPECT_EQ(Used(), "1 today, 1 live, USD 6 today, 5 a month");
  auto again = taken;
  again.revision = Send(b_, taken, one_)->revision;  // the same price
  ASSERT_TRUE(Update(b_, again, v1::OPERATION_STATE_FAILED).ok());
  EXPECT_EQ(Used(), "0 today, 0 live");
}

TEST_F(SharedSpendingTest, WhatTheServerHasForgottenIsCountedAgain) {
  auto record = MustIntend(a_, "x");
  record.revision = Send(a_, record)->revision;
  record.entry.operation.set_state(v1::OPERATION_STATE_SENT);
  *record.entry.operation.mutable_price() = Price(1, 5);
  database_.Sql("DELETE FROM lease_gateway.operation; DELETE FROM lease_gateway.spending");
  record.revision = Update(a_, record, v1::OPERATION_STATE_UNKNOWN)->revision;
  EXPECT_EQ(Used(), "1 today, 1 live, USD 6 today, 5 a month");
  database_.Sql("DELETE FROM lease_gateway.operation; DELETE FROM lease_gateway.spending");
  ASSERT_TRUE(Update(a_, BoughtOf(record, Price(1, 5))).ok());
  EXPECT_EQ(Used(), "1 today, 1 live, USD 6 today, 5 a month");
}

TEST_F(SharedSpendingTest, NameThatIsUsedAgainKeepsTheLeaseOfTheFirst) {
  for (int i = 0; i < 2; ++i) {
    auto record = MustIntend(a_, "x");
    record.revision = Send(a_, record)->revision;
    auto bought = BoughtOf(record, Price(1, 5));
    bought.operation.set_lease_id(absl::StrCat("lsd_", i));
    ASSERT_TRUE(Update(a_, bought).ok());
    database_.Sql("DELETE FROM lease_gateway.operation");  // as when it is pruned
  }
  EXPECT_EQ(Used(), "2 today, 2 live, USD 12 today, 10 a month");
}

TEST_F(SharedSpendingTest, RowsGoWhenTheirLeaseHasEndedAndTheirDayIsOver) {
  for (const char* id : {"live", "young", "old"}) {
    auto record = MustIntend(a_, id);
    record.revision = Send(a_, record)->revision;
    ASSERT_TRUE(Update(a_, BoughtOf(record, Price(1, 5))).ok());
  }
  ASSERT_TRUE(Send(a_, MustIntend(a_, "open")).ok());
  ASSERT_TRUE(Get(a_.journal->EndedElsewhere("sales", {"lsd_young", "lsd_old"})).ok());
  database_.Sql(
      "UPDATE lease_gateway.spending SET last_day = last_day - 3"
      " WHERE request_id IN ('live', 'old')");
  ASSERT_TRUE(Get(a_.journal->Prune()).ok());
  EXPECT_THAT(database_.Sql("SELECT request_id FROM lease_gateway.spending ORDER BY id"),
              testing::ElementsAre("live", "young", "open"));
}

// A limit is kept in a transaction that sees what was committed before its locks were had, whatever
// the server's settings are.
TEST_F(SharedSpendingTest, SettingsOfTheDatabaseDoNotLoosenLimits) {
  const auto name = database_.Sql("SELECT current_database()").at(0);
  database_.Sql(absl::StrCat("ALTER DATABASE ", name,
                             " SET default_transaction_isolation = 'repeatable read'"));
  JournalReplica c{database_, 3};
  EXPECT_TRUE(Send(c, MustIntend(c, "x"), one_).ok());
  EXPECT_EQ(ReasonOf(Send(c, MustIntend(c, "y"), one_).status()), reason::kSpendLimitExceeded);
}

// --- programs of before --------------------------------------------------------------------------

class MigrationTest : public testing::Test {
 protected:
  void Apply(int from, int to) {
    std::set<std::filesystem::path> files;
    for (const auto& file :
         std::filesystem::directory_iterator(SOURCE_DIR "/upstream/postgres/schema")) {
      files.insert(file.path());
    }
    int version = 0;
    for (const auto& file : files) {
      ++version;
      if (version < from || version > to) continue;
      std::ifstream in(file);
      Sql(std::string(std::istreambuf_iterator<char>(in), {}));
    }
  }
  std::vector<std::string> Sql(const std::string& sql) { return server_.Query(name_, sql); }
  void Insert(const std::string& id, int state, int kind = 1) {
    Sql(absl::StrCat(
        "INSERT INTO lease_gateway.operation (account, request_id, fingerprint, kind, state,"
        " phone_number, lease_id, caller, revision, attempt, create_time, update_time, operation)"
        " VALUES ('sales', '",
        id, "', decode(repeat('00', 32), 'hex'), ", kind, ", ", state,
        ", '', '', '', 1, 1, now(), now(), '')"));
  }
  std::string Set(const std::string& id, int state) {
    try {
      Sql(absl::StrCat("UPDATE lease_gateway.operation SET state = ", state,
                       " WHERE request_id = '", id, "'"));
    } catch (const std::exception& error) {
      return error.what();
    }
    return "done";
  }

  PostgresServer& server_ = PostgresServer::Shared();
  const std::string name_ = server_.CreateDatabase();
};

TEST_F(MigrationTest, OlderProgramSettlesWhatItHasSentAndSendsNoPurchaseMore) {
  Sql("CREATE SCHEMA lease_gateway");
  Apply(1, 3);
  Insert("intended", 1);
  Insert("sent", 2);
  Insert("unknown", 5);
  Apply(4, 4);
  EXPECT_EQ(Set("sent", 5), "done");
  EXPECT_EQ(Set("sent", 3), "done");
  EXPECT_EQ(Set("unknown", 4), "done");
  EXPECT_THAT(Set("intended", 2), HasSubstr("operation_counted"));
  EXPECT_EQ(Set("intended", 4), "done");
  Insert("end", 1, 3);
  EXPECT_EQ(Set("end", 2), "done");
  // What a newer one has counted is left to newer ones.
  Insert("newer", 1);
  Sql("UPDATE lease_gateway.operation SET state = 2, counted = true WHERE request_id = 'newer'");
  for (const int state : {1, 3, 4})
    EXPECT_THAT(Set("newer", state), HasSubstr("operation_counted"));
  EXPECT_EQ(Set("newer", 5), "done");
}

}  // namespace
}  // namespace leasegateway
