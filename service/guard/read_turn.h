#ifndef LEASE_GATEWAY_SERVICE_GUARD_READ_TURN_H_
#define LEASE_GATEWAY_SERVICE_GUARD_READ_TURN_H_

#include <chrono>
#include <optional>

namespace leasegateway {

// How long one connection may keep the thread that reads it. gRPC 1.51 reads a socket, parses what
// has come and reads again until there is nothing left, and looks at no other one meanwhile
// (src/core/lib/iomgr/tcp_posix.cc, tcp_read). Who sends faster than that is parsed keeps the
// thread for good, and on up to five cores there are two (src/cpp/common/completion_queue_cc.cc),
// which also run the calls: two such peers and nobody else is served. So a turn has an end. One
// thread at a time.
class ReadTurn {
 public:
  using Clock = std::chrono::steady_clock;
  // Two peers at full speed let the others wait for one or two turns at each step of a call.
  // Shorter ones cost those two more, a few microseconds a turn.
  static constexpr std::chrono::microseconds kLength{500};

  // Before a read, unless what gRPC has read before it still waits to be parsed (`Read`): whether
  // it is the others' turn now. This one's next turn has begun then.
  bool IsOver(Clock::time_point now) {
    if (!began_ || now - *began_ < kLength) return false;
    began_.reset();
    return true;
  }
  // Whether IsOver needs to be asked.
  bool goes_on() const { return began_ && parsed_; }

  // A read left something at `now`, so that gRPC reads on by itself. `filled`: it had no more room,
  // so gRPC parses first what it has.
  void Read(bool filled, Clock::time_point now) {
    parsed_ = filled;
    if (!began_) began_ = now;
  }
  // A read left or found nothing.
  void Ended() { began_.reset(); }

 private:
  std::optional<Clock::time_point> began_;  // with the first read that left something
  bool parsed_ = false;                     // before the next read
};

}  // namespace leasegateway

#endif  // LEASE_GATEWAY_SERVICE_GUARD_READ_TURN_H_
