#ifndef LEASE_GATEWAY_UPSTREAM_RESILIENCE_RATE_LIMITER_H_
#define LEASE_GATEWAY_UPSTREAM_RESILIENCE_RATE_LIMITER_H_

#include <chrono>
#include <cstdint>
#include <mutex>
#include <optional>

namespace leasegateway {

// A token bucket that finds the provider's rate. A 429 halves the rate, at most once a second,
// beginning with what was sent in the last second where there was no limit; then it grows by 5 % a
// second of what it was before, up to the configured rate, or without one until a minute has gone
// by without a 429: then there is no limit again. Thread-safe.
class RateLimiter {
 public:
  using TimePoint = std::chrono::steady_clock::time_point;
  using Duration = TimePoint::duration;

  // Calls a second; 0: no limit.
  explicit RateLimiter(double rate) : configured_(rate), rate_(rate) {}

  struct Token {
    bool granted = false;
    Duration wait{0};  // granted: before the call is sent; otherwise it would be that long
  };
  // Takes a token, perhaps one of the future. Not granted when the wait is longer than `patience`.
  Token Take(TimePoint now, Duration patience);
  // Of a call that was granted a token and is not sent.
  void GiveBack();
  void Sent(TimePoint now);
  // The provider answered 429. Its Retry-After stops all calls, for a few seconds at most.
  void Refused(TimePoint now, std::optional<std::chrono::milliseconds> retry_after);

  // In force; 0: no limit.
  double rate(TimePoint now);

 private:
  void Refill(TimePoint now);
  double ObservedRate(TimePoint now) const;

  const double configured_;
  std::mutex mutex_;  // guards all below
  double rate_;
  double good_rate_ = 0;  // before the last 429
  double tokens_ = 1;     // below 0: promised
  TimePoint refilled_;    // in the future while the provider wants no calls
  TimePoint grown_;
  std::optional<TimePoint> refused_;  // the last 429
  std::optional<TimePoint> halved_;
  std::int64_t second_ = 0;
  int sent_ = 0;         // in `second_`
  int sent_before_ = 0;  // in the second before
};

}  // namespace leasegateway

#endif  // LEASE_GATEWAY_UPSTREAM_RESILIENCE_RATE_LIMITER_H_
