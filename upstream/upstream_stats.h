#ifndef LEASE_GATEWAY_UPSTREAM_UPSTREAM_STATS_H_
#define LEASE_GATEWAY_UPSTREAM_UPSTREAM_STATS_H_

#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "upstream/operations.h"
#include "upstream/time_histogram.h"

namespace leasegateway {

// The moving mean time of attempts that succeeded, by operation. Thread-safe.
class UsualTimes {
 public:
  using Duration = std::chrono::steady_clock::duration;

  // Lost updates do no harm: it is an estimate.
  void Took(UpstreamOperation operation, Duration time) {
    auto& mean = means_[static_cast<std::size_t>(operation)];
    const auto before = mean.load(std::memory_order_relaxed);
    mean.store(before == 0 ? time.count() : before + (time.count() - before) / 8,
               std::memory_order_relaxed);
  }
  // 0: none has succeeded yet.
  Duration Of(UpstreamOperation operation) const {
    return Duration(means_[static_cast<std::size_t>(operation)].load(std::memory_order_relaxed));
  }

 private:
  std::array<std::atomic<Duration::rep>, kUpstreamOperationNames.size()> means_{};
};

// How an attempt ended.
enum class AttemptOutcome {
  kOk,
  kRejected,             // 4xx that is about the request
  kCredentialsRejected,  // 401
  kRateLimited,          // 429
  kFailed,               // 5xx
  kIntermediary,         // an answer that isn't the provider's
  kMalformed,            // an answer that is none
  kUnreachable,          // no answer
  kProxy,                // no tunnel through the egress proxy
  kTls,                  // no TLS connection
  kUnknown,              // a write whose answer got lost
  kTooLate,              // a write that another process may send by now
  kDeadline,
  kCancelled,
  kOther,
};
inline constexpr std::array<std::string_view, 15> kAttemptOutcomeNames{
    "ok",           "rejected",    "credentials_rejected",
    "rate_limited", "failed",      "intermediary",
    "malformed",    "unreachable", "proxy",
    "tls",          "unknown",     "too_late",
    "deadline",     "cancelled",   "other"};

// The attempts of ObservedLeaseApi.
struct AttemptStats {
  using Outcomes = std::array<std::atomic<std::uint64_t>, kAttemptOutcomeNames.size()>;
  std::array<Outcomes, kUpstreamOperationNames.size()> outcomes{};
  std::array<TimeHistogram, kUpstreamOperationNames.size()> times;
  // The latest answer of the provider was that it doesn't know the gateway's key.
  std::atomic<bool> credentials_rejected{false};
  // By operation, a bit each: those on lists whose latest answer was that the key's account may not
  // have them. A refusal of one number says nothing of the key.
  std::atomic<std::uint32_t> lists_forbidden{0};

  bool is_forbidden(UpstreamOperation list) const {
    const std::uint32_t bit = std::uint32_t{1} << static_cast<std::size_t>(list);
    return (lists_forbidden.load(std::memory_order_relaxed) & bit) != 0;
  }
  bool is_key_refused() const {
    return credentials_rejected.load(std::memory_order_relaxed) ||
           lists_forbidden.load(std::memory_order_relaxed) != 0;
  }
};

}  // namespace leasegateway

#endif  // LEASE_GATEWAY_UPSTREAM_UPSTREAM_STATS_H_
