#ifndef LEASE_GATEWAY_SERVICE_RPC_CALL_METRICS_H_
#define LEASE_GATEWAY_SERVICE_RPC_CALL_METRICS_H_

#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>

#include "absl/status/status.h"
#include "upstream/cache_status.h"
#include "upstream/time_histogram.h"

namespace leasegateway {

enum class Method : std::uint8_t {
  kListAvailableNumbers,
  kWatchAvailability,
  kGetNumber,
  kBatchGetNumbers,
  kCreateLease,
  kLeaseAnyNumber,
  kGetOperation,
  kListOperations,
  kListLeases,
  kGetLease,
  kTerminateLease,
  kConfigureFailover,
  kGetCallForwarding,
  kEnableCallForwarding,
  kDisableCallForwarding,
  kWhoAmI,
};
inline constexpr std::array<const char*, 16> kMethodNames{"ListAvailableNumbers",
                                                          "WatchAvailability",
                                                          "GetNumber",
                                                          "BatchGetNumbers",
                                                          "CreateLease",
                                                          "LeaseAnyNumber",
                                                          "GetOperation",
                                                          "ListOperations",
                                                          "ListLeases",
                                                          "GetLease",
                                                          "TerminateLease",
                                                          "ConfigureFailover",
                                                          "GetCallForwarding",
                                                          "EnableCallForwarding",
                                                          "DisableCallForwarding",
                                                          "WhoAmI"};
inline const char* NameOf(Method method) { return kMethodNames[static_cast<std::size_t>(method)]; }

// Where the answer to a call came from.
enum class CacheResult : std::uint8_t {
  kFresh,
  kStale,         // memory, which is refreshed meanwhile
  kStaleIfError,  // memory, as the provider gave no answer
  kMiss,          // the provider: memory had nothing
  kExpired,       // the provider: what memory had was too old
  kRequest,       // the provider: the caller wanted it newer than memory had it
  kBypass,        // the provider: never answered from memory
};
inline constexpr std::array<const char*, 7> kCacheResultNames{
    "fresh", "stale", "stale_if_error", "miss", "expired", "request", "bypass"};
CacheResult ResultOf(const CacheOutcome& outcome);

// Counts the calls that callers make. Thread-safe: a thread counts in a shard that it shares with
// few others, without waiting, looking up or allocating, so that a read from memory hardly pays.
class CallMetrics {
 public:
  static constexpr std::size_t kMethods = kMethodNames.size();
  static constexpr std::size_t kCodes = 17;  // of gRPC

  // A call that memory answered at once: begun and ended.
  void Hit(Method method, const CacheOutcome& outcome, std::chrono::nanoseconds time) {
    Shard& shard = Mine();
    Calls& calls = shard.calls[static_cast<std::size_t>(method)];
    Add(calls.hits);
    calls.time.Observe(time);
    Add(shard.cache[static_cast<std::size_t>(ResultOf(outcome))]);
  }
  // Any other.
  void Started(Method method) { Add(Mine().calls[static_cast<std::size_t>(method)].started); }
  void Handled(Method method, absl::StatusCode code, std::chrono::nanoseconds time);
  void Answered(const CacheOutcome& outcome);

  struct Totals {
    struct Of {
      std::uint64_t started = 0;
      std::array<std::uint64_t, kCodes> handled{};
      TimeHistogram::Snapshot time;
    };
    std::array<Of, kMethods> methods;
    std::array<std::uint64_t, kCacheResultNames.size()> cache{};
    std::uint64_t collapsed = 0;
  };
  Totals totals() const;
  bool any() const;  // was begun

 private:
  using Count = std::atomic<std::uint64_t>;
  struct Calls {
    Count hits{0};  // that are not in the next two
    Count started{0};
    std::array<Count, kCodes> handled{};
    TimeHistogram time;
  };
  struct alignas(64) Shard {
    std::array<Calls, kMethods> calls;
    std::array<Count, kCacheResultNames.size()> cache{};
    Count collapsed{0};
  };
  static constexpr std::size_t kShards = 16;

  static void Add(Count& count) { count.fetch_add(1, std::memory_order_relaxed); }
  Shard& Mine() {
    thread_local const std::size_t mine = NextShard();
    return shards_[mine];
  }
  static std::size_t NextShard();

  std::array<Shard, kShards> shards_;
};

}  // namespace leasegateway

#endif  // LEASE_GATEWAY_SERVICE_RPC_CALL_METRICS_H_
