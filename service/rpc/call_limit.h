#ifndef LEASE_GATEWAY_SERVICE_RPC_CALL_LIMIT_H_
#define LEASE_GATEWAY_SERVICE_RPC_CALL_LIMIT_H_

#include <atomic>
#include <cstdint>

#include "absl/status/status.h"

namespace leasegateway {

// The unary calls under way in the process, those that memory answers at once and watches left out,
// and how many of them there may be. Thread-safe, without waiting.
class CallLimit {
 public:
  struct Stats {
    int calls = 0;  // under way
    std::uint64_t refused = 0;
  };

  explicit CallLimit(int most) : most_(most) {}

  // A call begins, of a caller that has `held` under way already; 0 also where nobody knows whose
  // they are. RESOURCE_EXHAUSTED, OVERLOADED, with RetryInfo, when there are `most`, or fewer
  // places are free than it holds and one more. So one caller alone has half of them, two have a
  // third each, and whoever has none finds a place.
  absl::Status Enter(int held = 0);
  // One that has entered has ended.
  void Leave() { calls_.fetch_sub(1, std::memory_order_relaxed); }

  Stats stats() const {
    return {calls_.load(std::memory_order_relaxed), refused_.load(std::memory_order_relaxed)};
  }

 private:
  const int most_;
  std::atomic<int> calls_{0};
  std::atomic<std::uint64_t> refused_{0};
};

}  // namespace leasegateway

#endif  // LEASE_GATEWAY_SERVICE_RPC_CALL_LIMIT_H_
