#ifndef LEASE_GATEWAY_UPSTREAM_LEASING_JOURNAL_SQLITE_SQLITE_JOURNAL_OPTIONS_H_
#define LEASE_GATEWAY_UPSTREAM_LEASING_JOURNAL_SQLITE_SQLITE_JOURNAL_OPTIONS_H_

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "leasegateway/v1/resources.pb.h"
#include "upstream/leasing/journal/journal_words.h"

namespace leasegateway {

// What the journal in SQLite is told.
struct SqliteJournalOptions {
  std::string path;  // ":memory:" keeps nothing, for tests
  // Of resolved operations, since their last change; 24 h at least. Others stay until resolved.
  std::chrono::hours retention{24};
  // The same of purchases that succeeded, if it is longer: kPurchaseRetention.
  std::chrono::hours purchase_retention = kPurchaseRetention;
  std::chrono::milliseconds prune_interval{60'000};
  // From a write that failed to a try whether the file can be written again.
  std::chrono::milliseconds recheck_interval{5'000};
  // About how long Open may look for damage; what is not looked at by then is taken as sound.
  std::chrono::milliseconds check_limit{10'000};
  // Of Begins, and of reads. Updates are taken always: they say what became of money.
  std::size_t max_queued = 10'000;
  // No operation has a `settle_time` that is later than this after its last change.
  std::chrono::milliseconds settle_limit{600'000};
  // Called on the journal's thread.
  std::function<std::chrono::system_clock::time_point()> now = &std::chrono::system_clock::now;
};

// What it tells of itself.
struct SqliteJournalStats {
  std::map<v1::OperationState, std::int64_t> entries;
  // When the oldest one that is INTENDED, SENT or UNKNOWN was written down first.
  std::optional<std::chrono::system_clock::time_point> oldest_unresolved;
  absl::Status last_write;     // how the latest transaction ended; OK before the first
  std::size_t queued = 0;      // that wait for the thread
  std::uint64_t commits = 0;   // transactions of Begins and Updates, since Open
  std::uint64_t failures = 0;  // of such transactions, since Open
  std::uint64_t pruned = 0;    // entries, since Open
};

}  // namespace leasegateway

#endif  // LEASE_GATEWAY_UPSTREAM_LEASING_JOURNAL_SQLITE_SQLITE_JOURNAL_OPTIONS_H_
