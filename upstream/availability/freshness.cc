#include "upstream/availability/freshness.h"

#include <algorithm>
#include <cstdint>
#include <string>

#include "upstream/upstream_error.h"

namespace leasegateway {

using std::chrono::milliseconds;
using Forward = CacheOutcome::Forward;

namespace {

// The longest pause between two tries to refresh while the provider gives no answer.
constexpr milliseconds kMaxPause{60'000};

// Before the next try after so many failures; half of it is left to chance.
milliseconds Pause(int failures, const CachePolicy& policy, double random) {
  const auto longest =
      std::min<std::int64_t>(kMaxPause.count(), std::max<std::int64_t>(policy.fresh.count(), 1'000)
                                                    << std::min(failures - 1, 6));
  return milliseconds(
      static_cast<std::int64_t>(static_cast<double>(longest) * (0.5 + 0.5 * random)));
}

}  // namespace

void RefreshPace::Failed(TimePoint now, bool outage, const CachePolicy& policy, double random) {
  ++failures_;
  retry_at_ = now + Pause(failures_, policy, random);
  outage_ = outage;
}

FreshnessDecision Decide(const std::optional<Remembered>& remembered, MaxStaleness max_staleness,
                         const RefreshPace& pace, const CachePolicy& policy,
                         std::chrono::steady_clock::time_point now) {
  FreshnessDecision decision;
  CacheOutcome& outcome = decision.outcome;
  if (!remembered) {
    outcome.forward = Forward::kMiss;
    return decision;
  }
  const auto age = std::chrono::duration_cast<milliseconds>(now - remembered->sent);
  const milliseconds fresh = remembered->is_negative ? policy.negative : policy.fresh;
  outcome.forward = Forward::kStale;
  outcome.ttl = fresh - age;
  if (max_staleness) {
    decision.use = !remembered->is_outdated && max_staleness->count() > 0 && age <= *max_staleness;
    if (!decision.use) outcome.forward = Forward::kRequest;
  } else if (remembered->is_negative) {
    decision.use = age <= fresh;
  } else {
    const bool usable = !remembered->is_outdated && age <= fresh + policy.stale_while_revalidate;
    const bool outage = pace.IsOutage(now) && age <= policy.stale_if_error;
    decision.use = usable || outage;
    outcome.stale_if_error = !usable && outage;
  }
  if (decision.use) {
    outcome.forward = Forward::kHit;
    decision.refresh = age > fresh && now >= pace.retry_at();
  }
  return decision;
}

bool MayStandIn(const std::optional<Remembered>& remembered, MaxStaleness max_staleness,
                const CachePolicy& policy, std::chrono::steady_clock::time_point now) {
  return remembered && !remembered->is_negative && !max_staleness &&
         now - remembered->sent <= policy.stale_if_error;
}

bool IsOutage(const absl::Status& status) {
  switch (status.code()) {
    case absl::StatusCode::kUnavailable:
    case absl::StatusCode::kDeadlineExceeded:
    case absl::StatusCode::kResourceExhausted:
    case absl::StatusCode::kInternal:
      return true;
    default:
      break;
  }
  const std::string why = ReasonOf(status);
  return why == reason::kUpstreamCredentialsRejected || why == reason::kUpstreamForbidden ||
         why == reason::kAgreementRequired;
}

}  // namespace leasegateway
