#ifndef LEASE_GATEWAY_SERVICE_GUARD_UNFINISHED_CALLS_H_
#define LEASE_GATEWAY_SERVICE_GUARD_UNFINISHED_CALLS_H_

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "absl/container/flat_hash_map.h"

namespace leasegateway {

// A connection's calls whose requests have not come whole: what has come of each, and when the last
// of it did. Some 50 bytes a call, given back when there is none any more. One thread at a time.
class UnfinishedCalls {
 public:
  using Clock = std::chrono::steady_clock;

  // A call that is none yet, and that progresses by that.
  void Begin(std::uint32_t stream, Clock::time_point now);
  // `bytes` more of a call, whether there is one. Progressed also says that it isn't stuck.
  bool Grow(std::uint32_t stream, std::uint64_t bytes);
  bool Progressed(std::uint32_t stream, std::uint64_t bytes, Clock::time_point now);
  bool End(std::uint32_t stream);  // whether it was one
  // The call whose last progress is longest ago. There is one.
  std::uint32_t oldest() const { return calls_[calls_[kEnds].next].stream; }

  bool Has(std::uint32_t stream) const { return slots_.contains(stream); }
  std::uint32_t size() const { return static_cast<std::uint32_t>(slots_.size()); }
  std::uint64_t bytes() const { return bytes_; }
  // When the oldest one progressed; time_point::max() when there is none.
  Clock::time_point oldest_progress() const {
    return size() == 0 ? Clock::time_point::max() : calls_[calls_[kEnds].next].progressed;
  }
  // Calls that have not progressed since `time`.
  std::uint32_t StuckSince(Clock::time_point time) const;

 private:
  struct Call {
    Clock::time_point progressed;
    std::uint64_t bytes = 0;
    std::uint32_t stream = 0;
    std::uint32_t previous = 0;  // by progress, as slots
    std::uint32_t next = 0;
  };
  static constexpr std::uint32_t kEnds = 0;  // the slot before the oldest call, behind the newest
  static constexpr std::size_t kKept = 65;   // slots, when there is no call

  void Append(std::uint32_t slot);
  void Unlink(std::uint32_t slot);

  std::vector<Call> calls_{1};
  std::vector<std::uint32_t> free_;
  absl::flat_hash_map<std::uint32_t, std::uint32_t> slots_;  // by stream
  std::uint64_t bytes_ = 0;
};

}  // namespace leasegateway

#endif  // LEASE_GATEWAY_SERVICE_GUARD_UNFINISHED_CALLS_H_
