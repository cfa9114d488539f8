#ifndef LEASE_GATEWAY_UPSTREAM_RESILIENCE_RETRY_POLICY_H_
#define LEASE_GATEWAY_UPSTREAM_RESILIENCE_RETRY_POLICY_H_

#include <chrono>
#include <string_view>

#include "absl/status/status.h"
#include "upstream/operations.h"

namespace leasegateway {

// Why there was no further attempt: `retry_stopped` in the metadata of the error.
namespace retry_stopped {
inline constexpr std::string_view kPermanent = "permanent";  // it would fail again
inline constexpr std::string_view kUnsafe = "unsafe";        // it may have been applied
inline constexpr std::string_view kExhausted = "exhausted";  // all attempts are made
inline constexpr std::string_view kDeadline = "deadline";    // the next could not finish in time
inline constexpr std::string_view kBudget = "budget";        // too many calls are retried
}  // namespace retry_stopped

// What may be tried again, and when. Pure: no clock, no chance, no state.
struct RetryPolicy {
  int max_attempts = 3;  // the first included
  std::chrono::milliseconds first_backoff{50};
  std::chrono::milliseconds max_backoff{2'000};

  // An attempt that failed, and what is left for the next.
  struct Failed {
    OperationKind kind = OperationKind::kRead;
    absl::Status status;
    int attempts = 1;                           // made so far
    std::chrono::steady_clock::duration left;   // until the deadline
    std::chrono::steady_clock::duration usual;  // time that an attempt takes
    double random = 0;                          // [0, 1)
  };
  struct Decision {
    std::string_view stopped;  // one of retry_stopped; empty: try again
    std::chrono::steady_clock::duration wait{0};
  };

  // Full jitter: a random share of first_backoff, doubled with each attempt up to max_backoff. A
  // Retry-After of the provider comes on top; without it, a wait is cut so that the attempt fits.
  Decision Decide(const Failed& failed) const;
  // The part that looks at the failure alone: kPermanent, kUnsafe, or empty where a further attempt
  // does no harm and may succeed. proto/README.md has it as a table.
  static std::string_view WhyFinal(OperationKind kind, const absl::Status& status);
};

}  // namespace leasegateway

#endif  // LEASE_GATEWAY_UPSTREAM_RESILIENCE_RETRY_POLICY_H_
