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
// by without a 429: then there is no limit again. Several processes may share the rate: each then
// takes its part. Thread-safe.
class RateLimiter {
 public:
  using TimePoint = std::chrono::steady_clock::time_point;
  using Duration = TimePoint::duration;

  // Calls a second of all who share it; 0: no limit.
  explicit RateLimiter(double rate) : all_(rate), rate_(rate) {}

  // From now on so many processes share the rate, this one included: at first there is none but
  // this. A rate that was found after a 429 is shared out anew in the same proportion.
  void ShareAmong(TimePoint now, int processes);

  struct Token {
    bool granted = false;
    Duration wait{0};  // granted: before the call is sent; otherwise it would be that long
  };
  // Takes a token, perhaps one of the future. Not granted when the wait is longer than `patience`.
  Token Take(TimePoint now, Duration patience);
  // How long a call that comes now would have to wait.
  Duration Wait(TimePoint now);
  // Of a call that was granted a token and is not sent.
  void GiveBack();
  void Sent(TimePoint now);
  // The provider answered 429, here or to another process. Its Retry-After stops all calls, for a
  // few seconds at most. Returns whether that was new: it halved the rate or stops calls for
  // longer.
  bool Refused(TimePoint now, std::optional<std::chrono::milliseconds> retry_after);

  // In force; 0: no limit.
  double rate(TimePoint now);

 private:
  void Refill(TimePoint now);
  Duration WaitOfOne(TimePoint now);
  double ObservedRate(TimePoint now) const;
  double Configured() const { return all_ / processes_; }  // this process's part; 0: no limit
  double MinRate() const;

  const double all_;  // as configured
  std::mutex mutex_;  // guards all below
  int processes_ = 1;
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
