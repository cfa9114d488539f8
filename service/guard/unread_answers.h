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
// long as all that stall have no more than kMost of them. Above that, those that stall are cut, who
// has most calls first, until there are so many. Stalling is to have many and to take next to
// nothing: a side-car with a thousand calls on the way to slow callers takes something all the
// time, and does not count. With too many in all there is less time, as a peer begins a call in
// some 10 us: half a second for who has taken many answers before, and a tenth for others. Trusted
// proxies come last, and have the longest time always.
class UnreadAnswers {
 public:
  using Clock = std::chrono::steady_clock;

  // Calls, each of some 17 KiB, that wait on all connections that have stalled for kStalled.
  static constexpr std::uint64_t kMost = 2'048;
  static constexpr std::uint64_t kTooMany = 3'072;
  static constexpr Clock::duration kStalled = std::chrono::milliseconds(20);
  // Of a connection: so many never count.
  static constexpr std::uint64_t kFew = 128;
  static constexpr Clock::duration kPatience = std::chrono::seconds(2);
  // With too many: for those that have been sent so many answers, or bytes of them, for each call
  // that they have open, and for the others. These may then begin no more than kFew calls, either.
  static constexpr Clock::duration kSooner = std::chrono::milliseconds(500);
  static constexpr Clock::duration kAtOnce = std::chrono::milliseconds(100);
  static constexpr std::uint64_t kProven = 4;
  static constexpr std::uint64_t kProvenBytes = 16 * 1'024;
  // With more than this many in all it is looked at who stalls, so often.
  static constexpr std::int64_t kAttention = 512;
  static constexpr Clock::duration kLook = std::chrono::milliseconds(10);
  // Bytes of answers for each open call end a stall, whenever they have been sent.
  static constexpr std::uint64_t kTaken = 64;

  // How long a connection has stalled, by its looks, of which each counts for no more than twice
  // the time: a gateway that stood still blames nobody.
  class Stall {
   public:
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
    bool proven = false;   // has been sent many answers
    bool trusted = false;  // a proxy of `trusted_proxies`
  };
  // Indices, in the order in which they are to be cut; `stalled`: calls in all.
  static std::vector<std::size_t> Choose(std::span<const Connection> connections,
                                         std::uint64_t stalled);
};

}  // namespace leasegateway

#endif  // LEASE_GATEWAY_SERVICE_GUARD_UNREAD_ANSWERS_H_
