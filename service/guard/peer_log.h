#ifndef LEASE_GATEWAY_SERVICE_GUARD_PEER_LOG_H_
#define LEASE_GATEWAY_SERVICE_GUARD_PEER_LOG_H_

#include <spdlog/spdlog.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>

#include "absl/container/flat_hash_map.h"

namespace leasegateway {

// Says a thing of a peer once a minute, and then how often it was so. One thread.
class PeerLog {
 public:
  bool Says(const std::string& peer) {
    const Clock::time_point now = Clock::now();
    if (now >= next_) {
      if (unsaid_ > 0)
        spdlog::warn("callers' connections: {} more such lines were left out", unsaid_);
      said_.clear();
      unsaid_ = 0;
      next_ = now + kLogInterval;
    }
    if (said_.size() < kLoggedPeers && said_.try_emplace(peer).second) return true;
    ++unsaid_;
    return false;
  }

 private:
  using Clock = std::chrono::steady_clock;
  static constexpr std::chrono::minutes kLogInterval{1};
  static constexpr std::size_t kLoggedPeers = 100;

  absl::flat_hash_map<std::string, bool> said_;
  std::uint64_t unsaid_ = 0;
  Clock::time_point next_{};
};

}  // namespace leasegateway

#endif  // LEASE_GATEWAY_SERVICE_GUARD_PEER_LOG_H_
