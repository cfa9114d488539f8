#ifndef LEASE_GATEWAY_UPSTREAM_LEASING_JOURNAL_SQLITE_OPERATION_TABLE_H_
#define LEASE_GATEWAY_UPSTREAM_LEASING_JOURNAL_SQLITE_OPERATION_TABLE_H_

#include <array>
#include <chrono>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "leasegateway/v1/resources.pb.h"
#include "upstream/leasing/journal/operation_journal.h"
#include "upstream/leasing/journal/spending.h"
#include "upstream/leasing/journal/sqlite/sqlite_database.h"

namespace leasegateway {

// A Begin or an Update.
struct OperationWrite {
  bool is_update = false;
  OperationJournal::Entry entry;                  // of an update, without fingerprint
  bool may_send = false;                          // of an update: a request may go out
  std::shared_ptr<const SpendingRules> spending;  // as of OperationJournal::Change
  absl::Status status;   // of this one alone; that of its transaction comes on top
  bool existed = false;  // `entry` is what was there
};

// The table `operation`, through statements prepared once. A row is an entry, with a checksum: what
// was damaged is reported, never returned. One thread at a time; goes before its database.
//
// Fails with JOURNAL_UNAVAILABLE, or returns the extended code of SQLite where a caller needs it:
// then the database has the message.
class OperationTable {
 public:
  using Entry = OperationJournal::Entry;
  using SystemTime = std::chrono::system_clock::time_point;
  using Counts = std::map<v1::OperationState, std::int64_t>;  // of entries

  OperationTable(SqliteDatabase& database, std::function<SystemTime()> now,
                 std::chrono::milliseconds settle_limit);

  // SQLITE_OK. Before all else, when the schema is there.
  int Prepare();
  // Looks at all rows, of which none may be damaged. False: there was no time for all of them.
  absl::StatusOr<bool> Check(std::chrono::steady_clock::time_point until);

  absl::StatusOr<std::optional<Entry>> Find(const std::string& account,
                                            const std::string& request_id);
  // As OperationJournal::List; 1 to 1000 at a time.
  absl::StatusOr<OperationJournal::Page> List(const OperationJournal::Query& query);
  // Notes what another process has left behind. SQLITE_OK. Once, before anything is written.
  int FindOrphans();
  // The next of them, as OperationJournal::Adopt; but for those that were taken already.
  absl::StatusOr<std::vector<OperationJournal::Record>> Adopt(const std::string& account,
                                                              int limit);
  void NoteTaken(const std::string& account, const std::string& request_id);
  // SQLITE_OK.
  int Count(Counts& counts);
  // When the oldest unresolved one was written down first. Asked only when there are any.
  std::optional<SystemTime> Oldest();

  // In a transaction: does it, and adds what changes to `change`. SQLITE_DONE also when it is the
  // status of `write` that says why nothing was done.
  int Apply(OperationWrite& write, Counts& change);

  // Deletes purchases that succeeded and whose last change was before `purchases`, and other
  // resolved ones whose last change was before `others`, `limit` at most, and counts them.
  // SQLITE_DONE.
  int Prune(SystemTime others, SystemTime purchases, std::int64_t limit, Counts& gone);

 private:
  int Insert(OperationWrite& write, Counts& change);
  int Replace(OperationWrite& write, Counts& change);
  static int PruneBy(SqliteStatement& prune, SystemTime before, std::int64_t limit, Counts& gone);

  SqliteDatabase& database_;
  const std::function<SystemTime()> now_;
  const std::chrono::milliseconds settle_limit_;
  std::map<std::string, std::deque<std::string>> orphans_;  // request_ids by account
  SqliteStatement find_;
  SqliteStatement insert_;
  SqliteStatement update_;
  std::array<SqliteStatement, 16> list_;  // by the bits of ListFilter
  SqliteStatement orphans_of_;
  SqliteStatement oldest_;
  SqliteStatement prune_others_;
  SqliteStatement prune_purchases_;
};

}  // namespace leasegateway

#endif  // LEASE_GATEWAY_UPSTREAM_LEASING_JOURNAL_SQLITE_OPERATION_TABLE_H_
