#include "service/rpc/call_metrics.h"

namespace leasegateway {

CacheResult ResultOf(const CacheOutcome& outcome) {
  using Forward = CacheOutcome::Forward;
  if (outcome.stale_if_error) return CacheResult::kStaleIfError;
  switch (outcome.forward) {
    case Forward::kHit:
      return outcome.ttl && outcome.ttl->count() < 0 ? CacheResult::kStale : CacheResult::kFresh;
    case Forward::kMiss:
      return CacheResult::kMiss;
    case Forward::kStale:
      return CacheResult::kExpired;
    case Forward::kRequest:
      return CacheResult::kRequest;
    case Forward::kBypass:
      break;
  }
  return CacheResult::kBypass;
}

std::size_t CallMetrics::NextShard() {
  static std::atomic<std::size_t> next{0};
  return next.fetch_add(1, std::memory_order_relaxed) % kShards;
}

void CallMetrics::Handled(Method method, absl::StatusCode code, std::chrono::nanoseconds time) {
  Calls& calls = Mine().calls[static_cast<std::size_t>(method)];
  const auto index = static_cast<std::size_t>(code);
  Add(calls.handled[index < kCodes ? index : static_cast<std::size_t>(absl::StatusCode::kUnknown)]);
  calls.time.Observe(time);
}

void CallMetrics::Answered(const CacheOutcome& outcome) {
  Shard& shard = Mine();
  Add(shard.cache[static_cast<std::size_t>(ResultOf(outcome))]);
  if (outcome.collapsed) Add(shard.collapsed);
}

bool CallMetrics::any() const {
  constexpr auto kRelaxed = std::memory_order_relaxed;
  for (const Shard& shard : shards_) {
    for (const Calls& calls : shard.calls) {
      if (calls.hits.load(kRelaxed) + calls.started.load(kRelaxed) > 0) return true;
    }
  }
  return false;
}

CallMetrics::Totals CallMetrics::totals() const {
  constexpr auto kRelaxed = std::memory_order_relaxed;
  Totals totals;
  for (const Shard& shard : shards_) {
    for (std::size_t i = 0; i < kMethods; ++i) {
      const Calls& calls = shard.calls[i];
      Totals::Of& of = totals.methods[i];
      const std::uint64_t hits = calls.hits.load(kRelaxed);
      for (std::size_t code = 0; code < kCodes; ++code) {
        of.handled[code] += calls.handled[code].load(kRelaxed);
      }
      of.handled[static_cast<std::size_t>(absl::StatusCode::kOk)] += hits;
      of.started += hits + calls.started.load(kRelaxed);
      of.time += calls.time.snapshot();
    }
    for (std::size_t i = 0; i < totals.cache.size(); ++i) {
      totals.cache[i] += shard.cache[i].load(kRelaxed);
    }
    totals.collapsed += shard.collapsed.load(kRelaxed);
  }
  return totals;
}

}  // namespace leasegateway
