#ifndef LEASE_GATEWAY_UPSTREAM_LEASING_JOURNAL_SQLITE_SQLITE_JOURNAL_H_
#define LEASE_GATEWAY_UPSTREAM_LEASING_JOURNAL_SQLITE_SQLITE_JOURNAL_H_

#include <boost/asio/awaitable.hpp>
#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "upstream/leasing/journal/operation_journal.h"
#include "upstream/leasing/journal/sqlite/sqlite_journal_options.h"

namespace leasegateway {

class JournalQueue;
class JournalThread;

// The journal in one SQLite file, for one process: a second one is refused. WAL, synchronous=FULL.
//
// A thread of its own does all the work. Writes that wait at the same moment are committed
// together, so one flush of the disk serves them all, and each is told its own result when all of
// it is on the disk. A write that was queued is done, whether its caller still waits or not; Begin,
// TakeOver, Update and Adopt don't end when the caller is cancelled, the others do. No function
// throws.
//
// Every operation is this process's, whoever wrote it down, and one that is settled is nobody's
// until it is taken over. So there are no revisions, they are 0, and a stale write isn't noticed; a
// claim is always granted and not kept, because callers keep numbers apart within a process;
// nothing is quiet later than now but what Adopt says so of; and nobody else changes anything.
//
// A write that failed is not there for anyone who asks. After a failed flush and a loss of power it
// may be there after all, as if the process had ended before it could tell.
//
// When the disk is full or broken, writes fail and reads go on as far as the file can be read; the
// next write tries anew, and so does the journal by itself every `recheck_interval`, so there is
// nothing to do once the cause is gone. Every row has a checksum: what was damaged is reported,
// never returned.
class SqliteJournal final : public OperationJournal {
 public:
  using Options = SqliteJournalOptions;
  using Stats = SqliteJournalStats;

  // Makes the file, for its owner only, if it isn't there, or brings it to this version's schema.
  // Blocks. FAILED_PRECONDITION, JOURNAL_UNAVAILABLE, with the path and what to do about it: no
  // directory, no right to write, not a journal, of a newer version, damaged, or in use by another
  // process. INVALID_ARGUMENT for options out of their range.
  static absl::StatusOr<std::unique_ptr<SqliteJournal>> Open(Options options);

  // Does what is queued first. The executors of those who wait must outlive it.
  ~SqliteJournal() override;

  boost::asio::awaitable<absl::StatusOr<Begun>> Begin(Entry entry, bool claim) override;
  // Nobody else writes, so it is always had.
  boost::asio::awaitable<absl::StatusOr<Record>> TakeOver(std::string account,
                                                          std::string request_id,
                                                          std::int64_t revision) override;
  // What was there when the file was opened, also what is settled and has a `settle_time` that is
  // still to come. Not what has come back from Begin or TakeOver meanwhile.
  boost::asio::awaitable<absl::StatusOr<std::vector<Record>>> Adopt(std::string account, int limit,
                                                                    bool own) override;
  boost::asio::awaitable<absl::StatusOr<Updated>> Update(Change change) override;
  boost::asio::awaitable<absl::StatusOr<Claimed>> Claim(std::string account, std::string request_id,
                                                        std::int64_t revision,
                                                        std::string phone_number) override;
  boost::asio::awaitable<absl::StatusOr<std::optional<Record>>> Find(
      std::string account, std::string request_id) override;
  // Until `until`, or a cancellation.
  boost::asio::awaitable<void> AwaitChange(std::string account, std::string request_id,
                                           TimePoint until) override;
  // 1 to 1000 at a time; a limit out of that is taken as the nearest.
  boost::asio::awaitable<absl::StatusOr<Page>> List(Query query) override;

  boost::asio::awaitable<absl::StatusOr<SpendingCounts>> Spent(SpendingQuery query) override;
  boost::asio::awaitable<absl::StatusOr<std::vector<HeldLease>>> HeldWithout(
      std::string account, std::vector<std::string> lease_ids, TimePoint as_of, int limit) override;
  boost::asio::awaitable<absl::Status> EndedElsewhere(std::string account,
                                                      std::vector<std::string> lease_ids) override;

  // Deletes what is older than the retention, now instead of when the interval is over. Returns how
  // many there were.
  boost::asio::awaitable<absl::StatusOr<std::int64_t>> Prune();

  // Cheap: never waits for the disk.
  Stats stats() const;

 private:
  SqliteJournal(std::shared_ptr<JournalQueue> queue, std::unique_ptr<JournalThread> thread);

  const std::shared_ptr<JournalQueue> queue_;
  const std::unique_ptr<JournalThread> thread_;
};

}  // namespace leasegateway

#endif  // LEASE_GATEWAY_UPSTREAM_LEASING_JOURNAL_SQLITE_SQLITE_JOURNAL_H_
