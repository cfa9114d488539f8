#ifndef LEASE_GATEWAY_UPSTREAM_LEASING_JOURNAL_POSTGRES_POSTGRES_JOURNAL_OPTIONS_H_
#define LEASE_GATEWAY_UPSTREAM_LEASING_JOURNAL_POSTGRES_POSTGRES_JOURNAL_OPTIONS_H_

#include <chrono>
#include <cstdint>
#include <optional>

#include "upstream/leasing/journal/journal_words.h"

namespace leasegateway {

// What the journal in PostgreSQL is told.
struct PostgresJournalOptions {
  // Bounds a request to the provider from its first byte to its end: all time-outs that follow one
  // another then. The same at all replicas, or the greatest of theirs.
  std::chrono::milliseconds request_limit{60'000};
  // How far the database's clock may jump ahead, by itself or from one server to the next.
  std::chrono::milliseconds clock_margin{2'000};
  // Of one call, with all that it takes to find out what became of a write.
  std::chrono::milliseconds call_limit{5'000};
  // Of settled operations, since their last change; 24 h at least. Others stay until settled.
  std::chrono::hours retention{24};
  // The same of purchases that succeeded, if it is longer: kPurchaseRetention.
  std::chrono::hours purchase_retention = kPurchaseRetention;
  std::chrono::milliseconds prune_interval{60'000};
};

// What it tells of itself.
struct PostgresJournalStats {
  std::uint64_t adopted = 0;         // operations of replicas that died
  std::uint64_t taken_over = 0;      // for callers who asked for them again
  std::uint64_t ownership_lost = 0;  // writes that were refused for that
  std::uint64_t answers_lost = 0;    // of writes: they had to be looked after
  std::uint64_t restored = 0;        // that the database had lost, all or the latest of
  std::uint64_t pruned = 0;
  // Of all replicas, as of the latest pruning.
  std::int64_t open = 0;
  std::optional<std::chrono::system_clock::time_point> oldest_open;
};

}  // namespace leasegateway

#endif  // LEASE_GATEWAY_UPSTREAM_LEASING_JOURNAL_POSTGRES_POSTGRES_JOURNAL_OPTIONS_H_
