#ifndef LEASE_GATEWAY_SERVICE_GUARD_READ_TURN_H_
#define LEASE_GATEWAY_SERVICE_GUARD_READ_TURN_H_

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <utility>

namespace leasegateway {

// When gRPC's threads look which connections have something to read. Thread-safe.
class Looks {
 public:
  using Clock = std::chrono::steady_clock;
  // Two busy peers let the others wait for so long, and for a read of theirs, at each step of a
  // call, of which it has four or so. Ordinary load has looks much more often.
  static constexpr std::chrono::milliseconds kEvery{2};

  void Begin() { looking_.fetch_add(1, std::memory_order_relaxed); }
  void End() {
    ended_.fetch_add(1, std::memory_order_relaxed);
    looking_.fetch_sub(1, std::memory_order_relaxed);
  }
  // Nobody looks, and nobody has for a while: since this was asked first after the last look, as
  // ordinary load is to look without a clock.
  bool AreDue(Clock::time_point now) {
    const std::uint64_t ended = ended_.load(std::memory_order_relaxed);
    if (seen_.exchange(ended, std::memory_order_relaxed) != ended) {
      since_.store(now.time_since_epoch().count(), std::memory_order_relaxed);
      return false;
    }
    const Clock::time_point since{Clock::duration(since_.load(std::memory_order_relaxed))};
    return looking_.load(std::memory_order_relaxed) == 0 && now - since >= kEvery;
  }

 private:
  std::atomic<int> looking_{0};
  std::atomic<std::uint64_t> ended_{0};
  std::atomic<std::uint64_t> seen_{0};  // of them, when it was asked last
  std::atomic<Clock::rep> since_{0};    // when they were so many first
};

// How long one connection may keep the thread that reads it, and how much it may read at once.
// gRPC 1.51 reads a socket, parses what has come and reads again until there is nothing left, and
// looks at no other one meanwhile (src/core/lib/iomgr/tcp_posix.cc, tcp_read); what it reads at
// once grows with what it has read so far, without a limit (finish_estimate). Who sends faster than
// that is parsed keeps the thread for good, and up to five cores have two of them, which also run
// the calls (src/cpp/common/completion_queue_cc.cc): two such peers, and nobody else is served. So
// a turn ends when looks are due. One thread at a time.
class ReadTurn {
 public:
  // Of one read, which gRPC parses as a whole: 0.4 ms when all of it is the smallest frames.
  static constexpr std::size_t kMostBytes = 64 << 10;

  // Before a read: whether gRPC is to parse what it has, and read on then. Asked once a read.
  bool ParsesFirst() { return std::exchange(parses_first_, false); }
  // Whether gRPC reads on by itself, so that it has to be asked whether looks are due. A turn has
  // one read at least.
  bool goes_on() const { return goes_on_; }

  // After a read that left something. `is_short`: it had more room than was allowed, so that gRPC
  // would read on before it parses.
  void LeftMore(bool is_short) {
    goes_on_ = true;
    parses_first_ = is_short;
  }
  // After one that left nothing or found nothing, and at the end of a turn.
  void End() { goes_on_ = false; }

 private:
  bool goes_on_ = false;
  bool parses_first_ = false;
};

}  // namespace leasegateway

#endif  // LEASE_GATEWAY_SERVICE_GUARD_READ_TURN_H_
