#ifndef LEASE_GATEWAY_UPSTREAM_PHASE_TIMES_H_
#define LEASE_GATEWAY_UPSTREAM_PHASE_TIMES_H_

#include <array>
#include <chrono>
#include <cstddef>
#include <string_view>

#include "upstream/time_histogram.h"

namespace leasegateway {

// The parts of an exchange with the provider, in their order.
enum class Phase { kResolve, kConnect, kTunnel, kHandshake, kSend, kWait, kRead };
inline constexpr std::array<std::string_view, 7> kPhaseNames{
    "resolve", "connect", "tunnel", "handshake", "send", "wait", "read"};
// How long each took, whether it succeeded or not.
struct PhaseTimes {
  std::array<TimeHistogram, kPhaseNames.size()> times;
  void Observe(Phase phase, std::chrono::nanoseconds time) {
    times[static_cast<std::size_t>(phase)].Observe(time);
  }
};

}  // namespace leasegateway

#endif  // LEASE_GATEWAY_UPSTREAM_PHASE_TIMES_H_
