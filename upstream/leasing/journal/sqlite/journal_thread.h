#ifndef LEASE_GATEWAY_UPSTREAM_LEASING_JOURNAL_SQLITE_JOURNAL_THREAD_H_
#define LEASE_GATEWAY_UPSTREAM_LEASING_JOURNAL_SQLITE_JOURNAL_THREAD_H_

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "upstream/leasing/journal/sqlite/journal_file.h"
#include "upstream/leasing/journal/sqlite/journal_queue.h"
#include "upstream/leasing/journal/sqlite/operation_table.h"
#include "upstream/leasing/journal/sqlite/spending_table.h"
#include "upstream/leasing/journal/sqlite/sqlite_journal_options.h"

namespace leasegateway {

// The thread that owns the database: it does the queue's jobs, many writes in one transaction, and
// between them prunes and, after a failure, tries whether the file can be written again.
class JournalThread {
 public:
  JournalThread(SqliteJournalOptions options, std::shared_ptr<JournalQueue> queue);
  // Does what is queued first.
  ~JournalThread();

  // Blocks, on the caller's thread. Errors as JournalFile's.
  absl::Status Open();
  // Once, after Open. From now on the database is the thread's alone. It takes no signals but those
  // of its own faults.
  void Start();

  // --- for jobs, on the thread

  OperationTable& table() { return table_; }
  SpendingTable& spending() { return spending_; }
  std::chrono::system_clock::time_point now() const { return options_.now(); }
  // Of leases that the gateway bought and did not end. In a transaction of its own.
  absl::Status EndLeases(const std::string& account, const std::vector<std::string>& lease_ids);
  // Deletes what is older than the retention. Returns how many there were.
  absl::StatusOr<std::int64_t> PruneAll();

 private:
  void Run();
  void WriteAll(const std::vector<std::shared_ptr<JournalQueue::Write>>& writes);
  // Without any it writes all the same, but nothing new.
  absl::Status Transact(const std::vector<OperationWrite*>& writes);
  // An operation and what it spends. As OperationTable::Apply; `half_done`: some of it is written,
  // and the transaction has to be undone when it fails.
  int Apply(OperationWrite& write, bool& half_done);
  // Undoes the transaction in which the latest call failed with `code`.
  absl::Status Abort(int code);
  absl::StatusOr<std::int64_t> PruneSome();
  void FindOldest();
  void NoteState(const absl::Status& status);
  void Publish();

  const SqliteJournalOptions options_;
  const std::shared_ptr<JournalQueue> queue_;
  JournalFile file_;
  OperationTable table_;    // after file_, so that it goes before it
  SpendingTable spending_;  // likewise
  SqliteJournalStats stats_;
  OperationTable::Counts change_;  // of stats_.entries, by this transaction
  std::thread thread_;
};

}  // namespace leasegateway

#endif  // LEASE_GATEWAY_UPSTREAM_LEASING_JOURNAL_SQLITE_JOURNAL_THREAD_H_
