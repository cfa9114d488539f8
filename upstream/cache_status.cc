#include "upstream/cache_status.h"

#include "absl/strings/str_cat.h"

namespace leasegateway {

std::string FormatCacheStatus(const CacheOutcome& outcome) {
  using Forward = CacheOutcome::Forward;
  std::string text = "lease-gateway";
  switch (outcome.forward) {
    case Forward::kHit:
      text += "; hit";
      break;
    case Forward::kMiss:
      text += "; fwd=miss";
      break;
    case Forward::kStale:
      text += "; fwd=stale";
      break;
    case Forward::kRequest:
      text += "; fwd=request";
      break;
    case Forward::kBypass:
      text += "; fwd=bypass";
      break;
  }
  if (outcome.collapsed) text += "; collapsed";
  if (outcome.stored) text += "; stored";
  if (outcome.ttl) {
    absl::StrAppend(&text,
                    "; ttl=", std::chrono::floor<std::chrono::seconds>(*outcome.ttl).count());
  }
  if (outcome.stale_if_error) text += "; detail=stale-if-error";
  return text;
}

}  // namespace leasegateway
