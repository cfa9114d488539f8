#ifndef LEASE_GATEWAY_UPSTREAM_CACHE_STATUS_H_
#define LEASE_GATEWAY_UPSTREAM_CACHE_STATUS_H_

#include <chrono>
#include <optional>
#include <string>

namespace leasegateway {

// How a call was answered, as RFC 9211 tells it.
struct CacheOutcome {
  enum class Forward {
    kHit,      // not forwarded: memory had the answer
    kMiss,     // memory had nothing
    kStale,    // what memory had was too old, or older than a write through this gateway
    kRequest,  // the caller asked for a newer answer than memory had
    kBypass    // the operation is never answered from memory
  };
  Forward forward = Forward::kBypass;
  bool collapsed = false;       // waited for a request to the provider that others wait for too
  bool stored = false;          // the provider's answer was kept
  bool stale_if_error = false;  // memory's answer was used because the provider gave none
  // How long the answer is still fresh; negative: since when it isn't.
  std::optional<std::chrono::milliseconds> ttl;
};

// The value of the `cache-status` metadata: "lease-gateway; hit; ttl=4". Seconds of `ttl` are
// rounded down.
std::string FormatCacheStatus(const CacheOutcome& outcome);

}  // namespace leasegateway

#endif  // LEASE_GATEWAY_UPSTREAM_CACHE_STATUS_H_
