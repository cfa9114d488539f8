#ifndef LEASE_GATEWAY_UPSTREAM_AVAILABILITY_FRESHNESS_H_
#define LEASE_GATEWAY_UPSTREAM_AVAILABILITY_FRESHNESS_H_

#include <chrono>
#include <cstddef>
#include <optional>

#include "absl/status/status.h"
#include "upstream/cache_status.h"

namespace leasegateway {

// How old what memory has may be, by the time since the provider was asked (the terms are those of
// RFC 9111 and RFC 5861).
struct CachePolicy {
  std::chrono::milliseconds fresh{5'000};                    // answered from memory
  std::chrono::milliseconds stale_while_revalidate{60'000};  // after that: the same, and refreshed
  std::chrono::milliseconds stale_if_error{900'000};  // in all: used when the provider gives none
  std::chrono::milliseconds negative{2'000};          // that the provider does not know a number
  std::chrono::milliseconds idle{300'000};            // lists nobody reads are no longer refreshed
  std::size_t max_numbers = 10'000;                   // single numbers kept beside the lists
  std::size_t max_change_bytes = 16 << 20;            // of changes, for those who watch
};

// How old an answer may be for its caller, when the call comes; 0: ask the provider. Nothing: by
// the policy.
using MaxStaleness = std::optional<std::chrono::milliseconds>;

// When to ask the provider again for one value: at once while it answers, after growing pauses
// while it doesn't. A plain value.
class RefreshPace {
 public:
  using TimePoint = std::chrono::steady_clock::time_point;

  void Succeeded() { *this = RefreshPace(); }
  // A request that ended at `now`. `outage`: for want of the provider. `random`: [0, 1), decides
  // half of the pause.
  void Failed(TimePoint now, bool outage, const CachePolicy& policy, double random);

  // Until then, a failed refresh is not tried again.
  TimePoint retry_at() const { return retry_at_; }
  bool is_failing() const { return failures_ > 0; }
  // Whether the provider gives no answer at `now`, as far as the latest refresh shows.
  bool IsOutage(TimePoint now) const { return outage_ && now < retry_at_; }

 private:
  int failures_ = 0;  // of refreshes, since the last that succeeded
  TimePoint retry_at_ = TimePoint::min();
  bool outage_ = false;  // the latest refresh failed for want of the provider
};

// What memory has for a read.
struct Remembered {
  std::chrono::steady_clock::time_point sent;  // when the provider was asked for it
  bool is_negative = false;                    // the provider does not know the number
  bool is_outdated = false;                    // by a write
};

// What is done for a read.
struct FreshnessDecision {
  bool use = false;      // memory answers
  bool refresh = false;  // and the provider is asked, for the next
  CacheOutcome outcome;
};
// The one place where memory's age is weighed. `remembered` is nothing where memory has nothing;
// `pace` is that of its source.
FreshnessDecision Decide(const std::optional<Remembered>& remembered, MaxStaleness max_staleness,
                         const RefreshPace& pace, const CachePolicy& policy,
                         std::chrono::steady_clock::time_point now);

// Whether memory may stand in for a provider that gives no answer to this read.
bool MayStandIn(const std::optional<Remembered>& remembered, MaxStaleness max_staleness,
                const CachePolicy& policy, std::chrono::steady_clock::time_point now);

// Whether the provider, not the request, is why there is no answer; or that it does not take the
// gateway's key, which is no reader's fault.
bool IsOutage(const absl::Status& status);

}  // namespace leasegateway

#endif  // LEASE_GATEWAY_UPSTREAM_AVAILABILITY_FRESHNESS_H_
