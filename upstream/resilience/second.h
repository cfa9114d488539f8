#ifndef LEASE_GATEWAY_UPSTREAM_RESILIENCE_SECOND_H_
#define LEASE_GATEWAY_UPSTREAM_RESILIENCE_SECOND_H_

#include <chrono>
#include <cstdint>

namespace leasegateway {

// The second of the clock that a moment is in: what is counted by the second goes by it.
inline std::int64_t SecondOf(std::chrono::steady_clock::time_point moment) {
  return std::chrono::duration_cast<std::chrono::seconds>(moment.time_since_epoch()).count();
}

}  // namespace leasegateway

#endif  // LEASE_GATEWAY_UPSTREAM_RESILIENCE_SECOND_H_
