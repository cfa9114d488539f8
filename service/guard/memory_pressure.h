#ifndef LEASE_GATEWAY_SERVICE_GUARD_MEMORY_PRESSURE_H_
#define LEASE_GATEWAY_SERVICE_GUARD_MEMORY_PRESSURE_H_

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "service/guard/memory_gauge.h"

namespace leasegateway {

// Decides what to do as memory runs short: whom to cut, and when memory is to be given back to the
// system. Does neither. To be asked every 100 ms or so; one thread.
//
// From 85 % of the limit until it is below 80 % again, those that cost most are cut, as many as it
// takes by their costs to come to 80 %; those that take no answers before the others, and trusted
// proxies after all others. What was cut just now has
// half a second to be freed before more are cut in its place; from 95 % on, none. Who costs little
// is never cut: that memory is somebody else's doing.
class MemoryPressure {
 public:
  using Clock = std::chrono::steady_clock;
  // What a connection has cost the gateway, as far as it can be told.
  struct Connection {
    std::uint64_t open_calls = 0;        // begun, and not ended by either side
    std::uint64_t unfinished_bytes = 0;  // of requests that are not yet there
    std::uint64_t bytes = 0;             // that came since the last look
    std::uint64_t calls = 0;             // whose request came whole since the last look
    bool stalls = false;                 // has many calls, and takes no answers
    bool trusted = false;                // a proxy of `trusted_proxies`
  };
  struct Decision {
    std::vector<std::size_t> cut;  // indices, in this order
    bool return_memory = false;    // ReturnFreeMemory() now
  };
  static constexpr std::uint64_t kStart = 85;   // per cent of the limit
  static constexpr std::uint64_t kStop = 80;    // per cent
  static constexpr std::uint64_t kUrgent = 95;  // per cent
  static constexpr Clock::duration kTakesEffect = std::chrono::milliseconds(500);
  static constexpr std::uint64_t kLeastCost = 256 * 1024;  // bytes; who costs less stays
  // Memory is given back so long after a cut for whatever reason, and then after twice the time,
  // and so on up to the longest; under pressure each such time.
  static constexpr Clock::duration kReturn = std::chrono::seconds(1);
  static constexpr Clock::duration kLongestReturn = std::chrono::seconds(16);

  // Calls of a connection that cost it nothing here: an ordinary caller has no more.
  static constexpr std::uint64_t kFewCalls = 32;

  // Bytes, estimated: what is kept of calls and of requests that aren't whole, and what came just
  // now beyond what calls take.
  static std::uint64_t Cost(const Connection& connection);

  // `reading`: none if there is no limit. `connections`: in any order. `cuts`: how many connections
  // were cut so far for whatever reason, those that this asked for among them.
  Decision Look(const std::optional<MemoryGauge::Reading>& reading,
                std::span<const Connection> connections, std::uint64_t cuts, Clock::time_point now);

 private:
  std::vector<std::size_t> Choose(const MemoryGauge::Reading& reading,
                                  std::span<const Connection> connections, Clock::time_point now);
  bool ReturnIsDue(std::uint64_t cuts, Clock::time_point now);

  bool pressed_ = false;
  std::vector<std::pair<Clock::time_point, std::uint64_t>> underway_;  // cut at, bytes
  std::uint64_t cuts_ = 0;
  Clock::time_point return_at_ = Clock::time_point::max();
  Clock::duration return_after_ = kReturn;
};

}  // namespace leasegateway

#endif  // LEASE_GATEWAY_SERVICE_GUARD_MEMORY_PRESSURE_H_
