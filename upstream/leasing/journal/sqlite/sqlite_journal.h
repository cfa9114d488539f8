#ifndef LEASE_GATEWAY_UPSTREAM_LEASING_JOURNAL_SQLITE_SQLITE_JOURNAL_H_
#define LEASE_GATEWAY_UPSTREAM_LEASING_JOURNAL_SQLITE_SQLITE_JOURNAL_H_

#include <boost/asio/awaitable.hpp>
#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "upstream/leasing/journal/operation_journal.h"

namespace leasegateway {

// The journal in one SQLite file, for one process: a second one is refused. WAL, synchronous=FULL.
//
// A thread of its own does all the work. Writes that wait at the same moment are committed
// together, so one flush of the disk serves them all, and each is told its own result when all of
// it is on the disk. A write that was queued is done, whether its caller still waits or not; Begin
// and Update don't end when the caller is cancelled, the others do. No function throws.
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
  struct Options {
    std::string path;  // ":memory:" keeps nothing, for tests
    // Of resolved operations, since their last change; 24 h at least. Others stay until resolved.
    std::chrono::hours retention{24};
    std::chrono::milliseconds prune_interval{60'000};
    // From a write that failed to a try whether the file can be written again.
    std::chrono::milliseconds recheck_interval{5'000};
    // About how long Open may look for damage; what is not looked at by then is taken as sound.
    std::chrono::milliseconds check_limit{10'000};
    // Of Begins, and of reads. Updates are taken always: they say what became of money.
    std::size_t max_queued = 10'000;
    // Called on the journal's thread.
    std::function<std::chrono::system_clock::time_point()> now = &std::chrono::system_clock::now;
  };

  // Makes the file, for its owner only, if it isn't there, or brings it to this version's schema.
  // Blocks. FAILED_PRECONDITION, JOURNAL_UNAVAILABLE, with the path and what to do about it: no
  // directory, no right to write, not a journal, of a newer version, damaged, or in use by another
  // process. INVALID_ARGUMENT for options out of their range.
  static absl::StatusOr<std::unique_ptr<SqliteJournal>> Open(Options options);

  // Does what is queued first. The executors of those who wait must outlive it.
  ~SqliteJournal() override;

  boost::asio::awaitable<absl::StatusOr<Begun>> Begin(Entry entry) override;
  boost::asio::awaitable<absl::Status> Update(v1::Operation operation) override;
  boost::asio::awaitable<absl::StatusOr<std::optional<Entry>>> Find(
      std::string account, std::string request_id) override;
  // 1 to 1000 at a time; a limit out of that is taken as the nearest.
  boost::asio::awaitable<absl::StatusOr<Page>> List(Query query) override;
  boost::asio::awaitable<absl::StatusOr<std::vector<Entry>>> Unresolved(
      std::chrono::system_clock::time_point changed_since) override;

  // Deletes what is older than the retention, now instead of when the interval is over. Returns how
  // many there were.
  boost::asio::awaitable<absl::StatusOr<std::int64_t>> Prune();

  struct Stats {
    std::map<v1::OperationState, std::int64_t> entries;
    // When the oldest one that is INTENDED, SENT or UNKNOWN was written down first.
    std::optional<std::chrono::system_clock::time_point> oldest_unresolved;
    absl::Status last_write;     // how the latest transaction ended; OK before the first
    std::size_t queued = 0;      // that wait for the thread
    std::uint64_t commits = 0;   // transactions of Begins and Updates, since Open
    std::uint64_t failures = 0;  // of such transactions, since Open
    std::uint64_t pruned = 0;    // entries, since Open
  };
  // Cheap: never waits for the disk.
  Stats stats() const;

 private:
  class Thread;
  struct Shared;

  SqliteJournal(std::shared_ptr<Shared> shared, std::unique_ptr<Thread> work);

  const std::shared_ptr<Shared> shared_;
  const std::unique_ptr<Thread> work_;
  std::thread thread_;
};

}  // namespace leasegateway

#endif  // LEASE_GATEWAY_UPSTREAM_LEASING_JOURNAL_SQLITE_SQLITE_JOURNAL_H_
