#ifndef LEASE_GATEWAY_SERVICE_GUARD_UNFINISHED_SUMS_H_
#define LEASE_GATEWAY_SERVICE_GUARD_UNFINISHED_SUMS_H_

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "service/guard/cut_reason.h"

namespace leasegateway {

// Decides who is cut while all connections together hold more of unfinished calls than they may:
// those that hold it, and not who comes meanwhile. Cuts none itself. Constant; any thread.
//
// Trusted proxies come after all others. Then those first of whose requests one has not grown for
// kSilence, whether or not others have. Then by what they hold times how long that one has stood
// still: 1,000 connections with a call each as well as one with 1,000.
class UnfinishedSums {
 public:
  using Clock = std::chrono::steady_clock;
  struct Connection {
    std::uint64_t calls = 0;   // begun, and the request not yet there
    std::uint64_t bytes = 0;   // of their requests
    Clock::duration silent{};  // of the one that has not grown for the longest time
    bool trusted = false;      // a proxy of `trusted_proxies`
  };
  struct Cut {
    std::size_t index;
    CutReason reason;  // kUnfinishedCalls or kUnfinishedBytes
    bool operator==(const Cut&) const = default;
  };
  static constexpr Clock::duration kSilence = std::chrono::seconds(1);
  static constexpr Clock::duration kLeast = std::chrono::milliseconds(100);  // as silence counts
  static constexpr std::uint64_t kUntil = 90;  // per cent of a limit, to which is cut

  UnfinishedSums(std::uint64_t max_calls, std::uint64_t max_bytes)
      : max_calls_(max_calls), max_bytes_(max_bytes) {}

  // Whom to cut of `connections`, in this order; none while both sums are within their limits.
  std::vector<Cut> Choose(std::span<const Connection> connections) const;

 private:
  const std::uint64_t max_calls_;
  const std::uint64_t max_bytes_;
};

}  // namespace leasegateway

#endif  // LEASE_GATEWAY_SERVICE_GUARD_UNFINISHED_SUMS_H_
