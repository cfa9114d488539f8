#ifndef LEASE_GATEWAY_UPSTREAM_CIRCUIT_BREAKER_H_
#define LEASE_GATEWAY_UPSTREAM_CIRCUIT_BREAKER_H_

#include <array>
#include <chrono>
#include <cstdint>
#include <mutex>
#include <optional>

namespace leasegateway {

// Closed: attempts go through, and open it when too many of the last ten seconds' failed. Open:
// none goes through, for a second, twice as long each time it opens again. Then half open: a few at
// a time go through as probes; the first failure opens it, some successes in a row close it.
// Thread-safe.
class CircuitBreaker {
 public:
  using TimePoint = std::chrono::steady_clock::time_point;
  using Duration = TimePoint::duration;

  struct Options {
    int min_volume = 20;       // attempts in the window, below which it never opens
    int failure_percent = 50;  // of them, at which it opens
    std::chrono::milliseconds first_open{1'000};
    std::chrono::milliseconds max_open{10'000};
    int probes = 3;     // at a time
    int successes = 3;  // in a row that close it
    // One success is enough when nothing has failed for so long, so that rare calls close it too.
    std::chrono::milliseconds settled{20'000};
  };
  enum class State { kClosed, kOpen, kHalfOpen };
  enum class Outcome { kSuccess, kFailure, kUnknown };

  // The right to one attempt; ends with Record.
  struct Permit {
    bool granted = false;
    Duration retry_in{0};  // when it was not
    std::uint64_t period = 0;
  };

  explicit CircuitBreaker(const Options& options) : options_(options) {}

  // How long it stays open; nothing when it is not open. Changes nothing.
  std::optional<Duration> OpenFor(TimePoint now) const;
  // Call before an attempt, and Record once after one that was granted.
  Permit Ask(TimePoint now);
  // kUnknown counts for nothing; `now` is not looked at then. Outcomes of attempts from before the
  // state changed are ignored.
  void Record(const Permit& permit, Outcome outcome, TimePoint now);

  State state(TimePoint now) const;

 private:
  static constexpr int kSlots = 10;
  struct Slot {
    std::int64_t second = -1;
    int successes = 0;
    int failures = 0;
  };

  State StateLocked(TimePoint now) const;
  void Open(TimePoint now);
  void Close();
  void Count(bool success, TimePoint now);

  const Options options_;
  mutable std::mutex mutex_;  // guards all below
  bool closed_ = true;
  std::uint64_t period_ = 0;         // grows with each change of state
  std::array<Slot, kSlots> window_;  // of a second each
  TimePoint opened_;
  Duration open_for_{0};  // 0: while closed
  int probing_ = 0;
  int succeeded_ = 0;  // probes in a row
};

}  // namespace leasegateway

#endif  // LEASE_GATEWAY_UPSTREAM_CIRCUIT_BREAKER_H_
