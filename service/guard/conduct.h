#ifndef LEASE_GATEWAY_SERVICE_GUARD_CONDUCT_H_
#define LEASE_GATEWAY_SERVICE_GUARD_CONDUCT_H_

#include <chrono>
#include <cstdint>
#include <optional>
#include <string_view>

#include "service/guard/cut_reason.h"

namespace leasegateway {

// What one caller's connection has sent by HTTP/2 (RFC 9113), judged before gRPC sees it: frames
// that bring no call, header blocks, resets, calls whose requests don't come. One thread at a time,
// but for what says otherwise.
class Conduct {
 public:
  using Clock = std::chrono::steady_clock;

  // The next bytes as the peer sent them, without TLS; `now` may be coarse. Why the connection is
  // to be cut; none: go on. After a reason it is not called again.
  std::optional<CutReason> Read(std::string_view bytes, Clock::time_point now);
  // Without bytes: what only time makes an offence.
  std::optional<CutReason> Look(Clock::time_point now);

  // From any thread.
  std::uint64_t calls() const;             // whose requests have come whole
  std::uint32_t unfinished_calls() const;  // begun, and the request not yet there
  std::uint64_t unfinished_bytes() const;  // of their requests, so far
};

}  // namespace leasegateway

#endif  // LEASE_GATEWAY_SERVICE_GUARD_CONDUCT_H_
