#ifndef LEASE_GATEWAY_SERVICE_GUARD_READ_TURN_H_
#define LEASE_GATEWAY_SERVICE_GUARD_READ_TURN_H_

#include <chrono>
#include <cstddef>
#include <optional>
#include <utility>

namespace leasegateway {

// How long one connection may keep the thread that reads it, and how much it may read at once.
// gRPC 1.51 reads a socket, parses what has come and reads again until there is nothing left, and
// looks at no other one meanwhile (src/core/lib/iomgr/tcp_posix.cc, tcp_read); what it reads at
// once grows with what it has read so far, without a limit (finish_estimate). Who sends faster than
// that is parsed keeps the thread for good, and up to five cores have two of them, which also run
// the calls (src/cpp/common/completion_queue_cc.cc): two such peers, and nobody else is served. So
// a turn has an end. One thread at a time.
class ReadTurn {
 public:
  using Clock = std::chrono::steady_clock;
  // Others wait for a turn of each busy peer at each step of a call, of which it has four or so.
  // Whose turn ends pays some 10 microseconds for it.
  static constexpr std::chrono::microseconds kLength{200};
  // Of one read, which gRPC parses as a whole: 0.4 ms when all of it is the smallest frames.
  static constexpr std::size_t kMostBytes = 64 << 10;

  // Before a read: whether gRPC is to parse what it has, and read on then. Asked once a read.
  bool ParsesFirst() { return std::exchange(parses_first_, false); }
  // Else: whether it is the others' turn now. If so the next one of this connection is a new one.
  bool IsOver(Clock::time_point now) {
    if (!began_ || now - *began_ < kLength) return false;
    began_.reset();
    return true;
  }
  // Whether IsOver needs to be asked.
  bool goes_on() const { return began_.has_value(); }

  // After a read at `now` that left something, so that gRPC reads on by itself. `filled`: it had
  // room for no more, so that gRPC parses first by itself as well.
  void LeftMore(bool filled, Clock::time_point now) {
    if (!began_) began_ = now;
    parses_first_ = !filled;
  }
  // After one that left nothing or found nothing.
  void LeftNothing() { began_.reset(); }

 private:
  std::optional<Clock::time_point> began_;  // with the first read that left something
  bool parses_first_ = false;
};

}  // namespace leasegateway

#endif  // LEASE_GATEWAY_SERVICE_GUARD_READ_TURN_H_
