#include "upstream/resilience/retry_policy.h"

#include <algorithm>

#include "upstream/upstream_error.h"

namespace leasegateway {

std::string_view RetryPolicy::WhyFinal(OperationKind kind, const absl::Status& status) {
  const std::string why = ReasonOf(status);
  auto metadata = MetadataOf(status);
  if (why == reason::kOutcomeUnknown) return retry_stopped::kUnsafe;
  // The gateway's own limiter uses the same reason, once it has found out that waiting is no use. A
  // purchase or an end is looked after before it is sent again, by RecordedLeaseApi.
  if (why == reason::kUpstreamRateLimited && metadata["http_status"] == "429") {
    const bool look_first = kind == OperationKind::kSpend || kind == OperationKind::kEnd;
    return look_first ? retry_stopped::kUnsafe : std::string_view();
  }
  if (why != reason::kUpstreamUnreachable && why != reason::kUpstreamProxy &&
      why != reason::kUpstreamTls && why != reason::kUpstreamFailed &&
      why != reason::kUpstreamIntermediary) {
    return retry_stopped::kPermanent;
  }
  const bool harmless = kind == OperationKind::kRead || metadata["request_sent"] == "false";
  return harmless ? std::string_view() : retry_stopped::kUnsafe;
}

RetryPolicy::Decision RetryPolicy::Decide(const Failed& failed) const {
  using std::chrono::milliseconds;
  Decision decision;
  decision.stopped = WhyFinal(failed.kind, failed.status);
  if (!decision.stopped.empty()) return decision;
  if (failed.attempts >= max_attempts) return {retry_stopped::kExhausted};

  const auto spare = failed.left - failed.usual;
  const auto at_least = RetryAfterOf(failed.status).value_or(milliseconds(0));
  if (spare <= spare.zero() || at_least > spare) return {retry_stopped::kDeadline};
  const auto longest =
      std::min(max_backoff, first_backoff * (1 << std::min(failed.attempts - 1, 16)));
  const auto jitter = std::chrono::duration_cast<std::chrono::steady_clock::duration>(
      std::chrono::duration<double, std::milli>(static_cast<double>(longest.count()) *
                                                failed.random));
  decision.wait = std::min(spare, at_least + jitter);
  return decision;
}

}  // namespace leasegateway
