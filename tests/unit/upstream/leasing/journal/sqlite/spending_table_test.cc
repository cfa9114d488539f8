#include "upstream/leasing/journal/sqlite/spending_table.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <memory>
#include <string>

#include "tests/support/journal_fixture.h"
#include "tests/support/spending_entries.h"

// What is spent, in a file of a process.

namespace leasegateway {
namespace {

using std::chrono::hours;

class SqliteSpendingTest : public SqliteJournalTest {
 protected:
  absl::Status Send(const std::string& id, std::shared_ptr<const SpendingRules> rules = nullptr) {
    auto begun = Begin(PurchaseOf(id));
    if (!begun.ok()) return begun.status();
    return callers_->Get(journal_->Update(SendingOf(begun->record, std::move(rules), Price(1, 5))))
        .status();
  }
  void MustBuy(const std::string& id) {
    ASSERT_TRUE(Send(id).ok());
    const auto record = **Find(id, "sales");
    ASSERT_TRUE(callers_->Get(journal_->Update(BoughtOf(record, Price(1, 5)))).ok());
  }
  std::string Used() { return Show(callers_->Get(journal_->Spent(kOrders))->account); }

  const std::shared_ptr<const SpendingRules> one_ = Rules({.of_account = Count(1, {})});
};

TEST_F(SqliteSpendingTest, FileOfTheVersionBeforeCountsFromThenOn) {
  Open();
  MustBuy("old");
  Close();
  Sql("DROP TABLE spending; PRAGMA user_version = 2");
  Open();
  EXPECT_EQ(Used(), "0 today, 0 live");
  EXPECT_TRUE(Send("new", one_).ok());
  EXPECT_EQ(Used(), "1 today, 1 live, USD 6 today, 5 a month");
}

TEST_F(SqliteSpendingTest, PurchaseThatWasSentBeforeThereWereRowsIsCountedWhenItIsSettled) {
  Open();
  ASSERT_TRUE(Send("old").ok());
  const auto record = **Find("old", "sales");
  Close();
  Sql("DROP TABLE spending; PRAGMA user_version = 2");
  Open();
  for (int i = 0; i < 2; ++i) {
    ASSERT_TRUE(callers_->Get(journal_->Update(BoughtOf(record, Price(1, 5)))).ok());
    EXPECT_EQ(Used(), "1 today, 1 live, USD 6 today, 5 a month");
  }
}

TEST_F(SqliteSpendingTest, ReservationOutlivesTheProcess) {
  Open();
  ASSERT_TRUE(Send("a", one_).ok());
  Open();
  EXPECT_EQ(ReasonOf(Send("b", one_)), reason::kSpendLimitExceeded);
}

TEST_F(SqliteSpendingTest, RefusalLeavesTheOtherWritesOfItsTransaction) {
  Open();
  auto a = Begin(PurchaseOf("a"))->record;
  auto b = Begin(PurchaseOf("b"))->record;
  auto one = callers_->Start(journal_->Update(SendingOf(a, one_, Price(1, 5))));
  auto two = callers_->Start(journal_->Update(SendingOf(b, one_, Price(1, 5))));
  EXPECT_NE(one.get().ok(), two.get().ok());
  EXPECT_EQ(Used(), "1 today, 1 live, USD 6 today, 5 a month");
  EXPECT_EQ(journal_->stats().failures, 0u);
}

TEST_F(SqliteSpendingTest, FailedCommitReservesNothing) {
  Open();
  auto record = Begin(PurchaseOf("a"))->record;
  disk.flush_error = SQLITE_IOERR_FSYNC;
  EXPECT_FALSE(callers_->Get(journal_->Update(SendingOf(record, one_, Price(1, 5)))).ok());
  disk.flush_error = SQLITE_OK;
  EXPECT_EQ(Used(), "0 today, 0 live");
  EXPECT_TRUE(callers_->Get(journal_->Update(SendingOf(record, one_, Price(1, 5)))).ok());
}

TEST_F(SqliteSpendingTest, RowsGoWhenTheirLeaseHasEndedAndTheirDayIsOver) {
  Open();
  MustBuy("live");
  MustBuy("old");
  Advance(hours(72));
  MustBuy("young");
  ASSERT_TRUE(callers_->Get(journal_->EndedElsewhere("sales", {"lsd_old", "lsd_young"})).ok());
  ASSERT_TRUE(callers_->Get(journal_->Prune()).ok());
  EXPECT_EQ(Used(), "1 today, 1 live, USD 6 today, 5 a month");
  Close();
  Sql("CREATE TEMP TABLE rows (n INTEGER CHECK (n = 2));"
      "INSERT INTO rows SELECT count(*) FROM spending WHERE request_id IN ('live', 'young')");
  Sql("CREATE TEMP TABLE rows (n INTEGER CHECK (n = 2));"
      "INSERT INTO rows SELECT count(*) FROM spending");
}

TEST_F(SqliteSpendingTest, SumsThatHaveNoRoomStayAtTheMost) {
  Open();
  Close();
  Sql("WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 20)"
      " INSERT INTO spending (account, request_id, caller, phone_number, lease_id, currency,"
      " upfront, monthly, last_day, settle_time)"
      " SELECT 'sales', i, 'orders', '+1', i, 'USD', 0, 999999999999999999, 9999999, 0 FROM n");
  Open();
  EXPECT_EQ(ReasonOf(Send("a", Rules({.of_account = Money({}, 9e9)}))),
            reason::kSpendLimitExceeded);
}

}  // namespace
}  // namespace leasegateway
