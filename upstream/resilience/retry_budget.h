#ifndef LEASE_GATEWAY_UPSTREAM_RESILIENCE_RETRY_BUDGET_H_
#define LEASE_GATEWAY_UPSTREAM_RESILIENCE_RETRY_BUDGET_H_

#include <chrono>
#include <cstdint>
#include <mutex>

namespace leasegateway {

// Limits the retries of all calls together to a share of the calls, so that retries can't multiply
// the load on a provider that is in trouble; and a few a second, so that a quiet gateway retries at
// all. Thread-safe.
class RetryBudget {
 public:
  using TimePoint = std::chrono::steady_clock::time_point;
  struct Options {
    int percent = 10;  // retries that 100 calls earn
    int floor = 5;     // retries a second besides; not for background calls
  };
  explicit RetryBudget(const Options& options);

  // Call once a call, before its first attempt.
  void Earn();
  // Call before a retry, never before the first attempt. False: do not retry.
  bool Take(bool background, TimePoint now);

  struct Stats {
    double left = 0;            // retries that a caller's calls could make now
    std::uint64_t allowed = 0;  // retries, since the start
    std::uint64_t refused = 0;
  };
  Stats stats(TimePoint now) const;

 private:
  bool TakeLocked(bool background, TimePoint now);
  double FloorAt(TimePoint now) const;

  const Options options_;
  mutable std::mutex mutex_;  // guards all below
  double earned_ = 0;
  double floor_;
  TimePoint refilled_ = TimePoint::min();
  std::uint64_t allowed_ = 0;
  std::uint64_t refused_ = 0;
};

}  // namespace leasegateway

#endif  // LEASE_GATEWAY_UPSTREAM_RESILIENCE_RETRY_BUDGET_H_
