#include "upstream/leasing/journal/sqlite/operation_table.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "upstream/leasing/journal/sqlite/journal_schema.h"
#include "upstream/leasing/journal/sqlite/sqlite_database.h"

namespace leasegateway {
namespace {

using testing::HasSubstr;
using testing::Not;

class OperationTableTest : public testing::Test {
 protected:
  OperationTableTest() {
    EXPECT_EQ(database_.Open(":memory:"), SQLITE_OK);
    EXPECT_EQ(MigrateJournal(database_, 0), SQLITE_OK);
    EXPECT_EQ(table_.Prepare(), SQLITE_OK);
  }
  // The statements that it has prepared and that have this part.
  std::vector<std::string> StatementsWith(const std::string& part) const {
    std::vector<std::string> found;
    for (sqlite3_stmt* each = sqlite3_next_stmt(database_.get(), nullptr); each != nullptr;
         each = sqlite3_next_stmt(database_.get(), each)) {
      if (absl::StrContains(sqlite3_sql(each), part)) found.emplace_back(sqlite3_sql(each));
    }
    return found;
  }
  std::string PlanOf(const std::string& sql) {
    SqliteStatement plan;
    EXPECT_EQ(database_.Prepare("EXPLAIN QUERY PLAN " + sql, plan), SQLITE_OK);
    std::string text;
    while (plan.Step() == SQLITE_ROW) absl::StrAppend(&text, std::string(plan.Text(3)), "\n");
    return text;
  }

  SqliteDatabase database_;
  OperationTable table_{database_, &std::chrono::system_clock::now, std::chrono::hours(1)};
};

// Of a year's purchases, a month's are looked at and no others, in the order of the list.
TEST_F(OperationTableTest, ListsGoByAnIndexFromTheirStartToTheirEnd) {
  const auto lists = StatementsWith("ORDER BY create_time DESC");
  EXPECT_EQ(lists.size(), 16u);
  for (const std::string& sql : lists) {
    const std::string plan = PlanOf(sql);
    SCOPED_TRACE(absl::StrCat(sql, "\n", plan));
    EXPECT_THAT(plan, HasSubstr("SEARCH operation USING INDEX operation_list"));
    EXPECT_THAT(plan, HasSubstr("create_time>? AND (create_time,request_id)<(?,?)"));
    EXPECT_THAT(plan, Not(HasSubstr("TEMP B-TREE")));
    const bool is_cut_down = !absl::StrContains(sql, "?1 AND create_time");
    EXPECT_EQ(is_cut_down, !absl::StrContains(plan, "INDEX operation_list (")) << "by a filter";
  }
}

TEST_F(OperationTableTest, PruningLooksAtWhatGoes) {
  const auto prunes = StatementsWith("DELETE");
  EXPECT_EQ(prunes.size(), 2u);
  for (const std::string& sql : prunes) {
    const std::string plan = PlanOf(sql);
    SCOPED_TRACE(absl::StrCat(sql, "\n", plan));
    const bool is_of_purchases = absl::StrContains(sql, "kind IN (1, 2)");
    EXPECT_THAT(plan, HasSubstr(is_of_purchases ? "INDEX operation_resolved (update_time<?)"
                                                : "INDEX operation_passing (update_time<?)"));
  }
}

}  // namespace
}  // namespace leasegateway
