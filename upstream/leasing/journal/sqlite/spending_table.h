#ifndef LEASE_GATEWAY_UPSTREAM_LEASING_JOURNAL_SQLITE_SPENDING_TABLE_H_
#define LEASE_GATEWAY_UPSTREAM_LEASING_JOURNAL_SQLITE_SPENDING_TABLE_H_

#include <chrono>
#include <cstdint>
#include <functional>
#include <set>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "leasegateway/v1/resources.pb.h"
#include "upstream/leasing/journal/spending.h"
#include "upstream/leasing/journal/spending_rules.h"
#include "upstream/leasing/journal/sqlite/sqlite_database.h"

namespace leasegateway {

// The table `spending`, through statements prepared once: a row a purchase that may have gone out,
// from its reservation until its lease has ended and its day is over. Sums are made of the rows
// when they are asked for: one thread writes, so nothing can change between a sum and the write
// that keeps within it, in the same transaction. One thread at a time; goes before its database.
//
// Returns the extended code of SQLite where a caller needs it: then the database has the message.
class SpendingTable {
 public:
  using SystemTime = std::chrono::system_clock::time_point;

  SpendingTable(SqliteDatabase& database, std::function<SystemTime()> now);

  // SQLITE_OK. Before all else, when the schema is there.
  int Prepare();

  // Whether the purchase may go out at the price that it has. SPEND_LIMIT_EXCEEDED;
  // JOURNAL_UNAVAILABLE.
  absl::Status Check(const v1::Operation& operation, const SpendingRules& rules);
  // What follows of a write to the operation, in its transaction. SQLITE_DONE.
  int Follow(const v1::Operation& operation, bool may_send);

  // As the journal's functions.
  absl::StatusOr<SpendingCounts> Spent(const SpendingQuery& query);
  absl::StatusOr<std::vector<HeldLease>> HeldWithout(const std::string& account,
                                                     const std::set<std::string>& lease_ids,
                                                     SystemTime as_of, int limit);
  // SQLITE_DONE.
  int End(const std::string& account, const std::string& lease_id);
  // Deletes what counts no more, `limit` at most. SQLITE_DONE.
  int Prune(std::int64_t limit);

 private:
  // Of all rows, but for the reservation of the operation of that name.
  absl::StatusOr<SpendingCounts> Sum(const SpendingQuery& query, const std::string& without);
  absl::Status SumInto(SqliteStatement& sum, SpendingUse& use);
  int Reserve(const v1::Operation& operation);
  int GiveBack(const v1::Operation& operation);
  int Settle(const v1::Operation& operation);
  std::int64_t Today() const;

  SqliteDatabase& database_;
  const std::function<SystemTime()> now_;
  SqliteStatement sum_of_caller_;
  SqliteStatement sum_of_account_;
  SqliteStatement sum_of_both_;
  SqliteStatement reserved_;
  SqliteStatement reserve_;
  SqliteStatement give_back_;
  SqliteStatement settle_;
  SqliteStatement settle_anew_;
  SqliteStatement end_;
  SqliteStatement held_;
  SqliteStatement prune_;
};

}  // namespace leasegateway

#endif  // LEASE_GATEWAY_UPSTREAM_LEASING_JOURNAL_SQLITE_SPENDING_TABLE_H_
