#ifndef LEASE_GATEWAY_SERVICE_GUARD_PEER_LOG_H_
#define LEASE_GATEWAY_SERVICE_GUARD_PEER_LOG_H_

#include <spdlog/spdlog.h>

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>

#include "absl/container/flat_hash_set.h"

namespace leasegateway {

// Says a thing of a peer once a minute, and then how often it was so. Each kind of line has a quota
// of its own: a flood of one hides no other. One thread.
class PeerLog {
 public:
  using Clock = std::chrono::steady_clock;
  enum class Kind { kRefused, kCut, kFailure };
  static constexpr std::array<const char*, 3> kKindNames{"refused connections", "cut connections",
                                                         "failures"};
  static constexpr std::chrono::minutes kInterval{1};
  static constexpr std::size_t kPeers = 100;  // of a kind, in an interval

  // Whether this line is to be written.
  bool Says(Kind kind, const std::string& peer, Clock::time_point now = Clock::now()) {
    Said& said = said_[static_cast<std::size_t>(kind)];
    if (now >= said.next) {
      if (said.unsaid > 0) {
        spdlog::warn("callers' connections: {} more lines of {} were left out", said.unsaid,
                     kKindNames[static_cast<std::size_t>(kind)]);
      }
      said.peers.clear();
      said.unsaid = 0;
      said.next = now + kInterval;
    }
    if (said.peers.size() < kPeers && said.peers.insert(peer).second) return true;
    ++said.unsaid;
    return false;
  }

 private:
  struct Said {
    absl::flat_hash_set<std::string> peers;
    std::uint64_t unsaid = 0;
    Clock::time_point next{};
  };
  std::array<Said, kKindNames.size()> said_;
};

}  // namespace leasegateway

#endif  // LEASE_GATEWAY_SERVICE_GUARD_PEER_LOG_H_
