#ifndef LEASE_GATEWAY_SERVICE_ADMIN_ADMIN_STATS_H_
#define LEASE_GATEWAY_SERVICE_ADMIN_ADMIN_STATS_H_

#include <array>
#include <atomic>
#include <boost/asio/ip/address.hpp>
#include <chrono>
#include <cstddef>
#include <cstdint>

namespace leasegateway {

// Why the admin port refused a connection or ended it early, and its word in metrics and logs.
enum class AdminLoss {
  kMaxConnections,  // all there may be are there, and each waits for its answer
  kPeerShare,       // likewise, those of its peer
  kMadeRoom,        // it was the oldest of those that could make room for another
  kSlowRequest,     // its request was not whole in time
  kUnreadAnswer,    // it didn't read its answer in time
  kBadRequest,      // what it sent is no request, or too long, or could be read in two ways
  kNoDescriptor,    // the process has no file descriptor for it
};
inline constexpr std::size_t kAdminLosses = 7;
inline constexpr const char* kAdminLossNames[kAdminLosses] = {
    "max_connections", "max_connections_per_peer",
    "made_room",       "slow_request",
    "unread_answer",   "bad_request",
    "no_descriptor"};

// Counts them, and says so in the log once a minute at most. Note() on one thread, the rest from
// any.
class AdminStats {
 public:
  using TimePoint = std::chrono::steady_clock::time_point;

  void Note(AdminLoss why, const boost::asio::ip::address& peer, TimePoint now);
  std::uint64_t losses(AdminLoss why) const {
    return losses_[static_cast<std::size_t>(why)].load(std::memory_order_relaxed);
  }

  std::atomic<int> connections{0};  // that have a place

 private:
  std::array<std::atomic<std::uint64_t>, kAdminLosses> losses_{};
  std::array<std::uint64_t, kAdminLosses> unsaid_{};  // since the last line
  TimePoint next_line_{};                             // before it there is none
};

}  // namespace leasegateway

#endif  // LEASE_GATEWAY_SERVICE_ADMIN_ADMIN_STATS_H_
