#ifndef LEASE_GATEWAY_SERVICE_GUARD_UNREAD_ANSWERS_H_
#define LEASE_GATEWAY_SERVICE_GUARD_UNREAD_ANSWERS_H_

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace leasegateway {

// Bounds the memory of calls that wait for peers who don't take their answers (OpenCalls::waiting),
// where no limit of memory is known too. Decides whom to cut, and does not do it. One thread.
//
// Nobody is cut for not reading: with few such calls a peer may dawdle for ever, and with many as
// long as all connections together have no more than kMost of them. Above that, those that stall
// are cut, who has most calls first, until there are so many; the more there are, the less time
// they have. Stalling is to have many and to take next to nothing: a side-car with a thousand calls
// on the way to slow callers takes something all the time. Trusted proxies come last, and have the
// longest time always.
class UnreadAnswers {
 public:
  using Clock = std::chrono::steady_clock;

  // Calls of all connections that wait for their peers, each of some 17 KiB.
  static constexpr std::uint64_t kMost = 4'096;
  static constexpr std::uint64_t kTooMany = 6'144;  // then kSooner
  static constexpr std::uint64_t kUrgent = 8'192;   // then kAtOnce
  // Of a connection: so many never count.
  static constexpr std::uint64_t kFew = 128;
  static constexpr Clock::duration kPatience = std::chrono::seconds(2);
  static constexpr Clock::duration kSooner = std::chrono::milliseconds(500);
  static constexpr Clock::duration kAtOnce = std::chrono::milliseconds(100);
  // Below this many it is not looked at who stalls.
  static constexpr std::uint64_t kAttention = 512;
  // Bytes of answers for each open call end a stall, whenever they have been sent.
  static constexpr std::uint64_t kTaken = 64;

  // How long a connection has stalled. To be asked every 100 ms or so while it matters; what was
  // not looked at, as the gateway stood still, is nobody's stall.
  class Stall {
   public:
    static constexpr Clock::duration kLook = std::chrono::milliseconds(250);

    Clock::duration Look(std::uint64_t open, std::uint64_t waiting, std::uint64_t answered,
                         Clock::time_point now);
    Clock::duration time() const { return time_; }  // at the last look

   private:
    Clock::duration time_{};
    Clock::time_point looked_;
    std::uint64_t answered_ = 0;
  };

  struct Connection {
    std::uint64_t waiting = 0;
    Clock::duration stalled{};
    bool trusted = false;  // a proxy of `trusted_proxies`
  };
  // Indices, in the order in which they are to be cut; `waiting`: in all.
  static std::vector<std::size_t> Choose(std::span<const Connection> connections,
                                         std::uint64_t waiting);
};

}  // namespace leasegateway

#endif  // LEASE_GATEWAY_SERVICE_GUARD_UNREAD_ANSWERS_H_
