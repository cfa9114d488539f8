#ifndef LEASE_GATEWAY_UPSTREAM_AVAILABILITY_CACHE_STATS_H_
#define LEASE_GATEWAY_UPSTREAM_AVAILABILITY_CACHE_STATS_H_

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>

namespace leasegateway {

// What memory has and has done, for the metrics. A plain value.
struct CacheStats {
  struct Refreshes {  // requests to the provider for memory
    std::uint64_t ok = 0;
    std::uint64_t failed = 0;
    std::uint64_t given_up = 0;   // because nobody waited any more, or too little time was left
    std::uint64_t unchanged = 0;  // of those that are ok: lists of which this was all that was said
  };
  Refreshes available;
  Refreshes leases;
  Refreshes numbers;  // single ones
  // Since the provider was asked for the list that memory has; nothing: it has none.
  std::optional<std::chrono::steady_clock::duration> available_age;
  std::optional<std::chrono::steady_clock::duration> leases_age;
  std::size_t available_numbers = 0;  // in the list
  std::size_t bytes = 0;              // of the lists
  std::size_t single_numbers = 0;     // kept beside the lists

  struct Shared {                      // with other replicas
    bool is_up = false;                // the latest exchange with the log succeeded
    std::uint64_t sequence = 0;        // of the log, as far as it was read
    std::size_t pending = 0;           // writes that are not in the log yet
    std::uint64_t appended = 0;        // writes of this process that are
    std::uint64_t loaded = 0;          // refreshes that were read, whoever made them
    std::uint64_t made = 0;            // refreshes of this process that the log took
    std::uint64_t made_bytes = 0;      // of the lists and differences in them
    std::uint64_t claims_given = 0;    // the right to ask the provider for all
    std::uint64_t claims_refused = 0;  // others ask, or have asked
    std::uint64_t restored = 0;        // times the lists were read anew from a checkpoint
    std::uint64_t failed = 0;          // exchanges
  };
  std::optional<Shared> shared;  // nothing: they are this process's own
};

}  // namespace leasegateway

#endif  // LEASE_GATEWAY_UPSTREAM_AVAILABILITY_CACHE_STATS_H_
