#include "upstream/resilience/rate_limiter.h"

#include <algorithm>

#include "upstream/resilience/second.h"

namespace leasegateway {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

// Below, a lower rate protects nobody: what the provider wants then is in its Retry-After. Of all
// processes together, and of one of many.
constexpr double kMinRate = 5;
constexpr double kMinRateOfOne = 1;
constexpr double kGrowth = 0.05;  // a second
constexpr auto kHalveEvery = seconds(1);
constexpr auto kForgetAfter = seconds(60);
constexpr auto kMaxPause = milliseconds(5'000);
// By less, a longer pause is nothing new.
constexpr auto kSamePause = milliseconds(100);
// Tokens that may be saved up, as a share of a second's.
constexpr double kBurst = 0.1;

double Seconds(RateLimiter::Duration duration) {
  return std::chrono::duration<double>(duration).count();
}

}  // namespace

void RateLimiter::Refill(TimePoint now) {
  if (refused_ && now > grown_) {
    const double configured = Configured();
    if (configured == 0 && now - *refused_ >= kForgetAfter) {
      rate_ = 0;
      refused_.reset();
    } else {
      rate_ += good_rate_ * kGrowth * Seconds(now - grown_);
      if (configured > 0 && rate_ >= configured) {
        rate_ = configured;
        refused_.reset();
      }
    }
    grown_ = now;
  }
  if (now <= refilled_) return;
  tokens_ = std::min(std::max(1.0, rate_ * kBurst), tokens_ + rate_ * Seconds(now - refilled_));
  refilled_ = now;
}

RateLimiter::Duration RateLimiter::WaitOfOne(TimePoint now) {
  Refill(now);
  if (rate_ == 0) return Duration(0);
  Duration wait{0};
  if (refilled_ > now) wait = refilled_ - now;
  if (tokens_ < 1) {
    wait +=
        std::chrono::duration_cast<Duration>(std::chrono::duration<double>((1 - tokens_) / rate_));
  }
  return wait;
}

RateLimiter::Duration RateLimiter::Wait(TimePoint now) {
  const std::lock_guard lock(mutex_);
  return WaitOfOne(now);
}

RateLimiter::Token RateLimiter::Take(TimePoint now, Duration patience) {
  const std::lock_guard lock(mutex_);
  Token token;
  token.wait = WaitOfOne(now);
  token.granted = token.wait <= patience;
  if (token.granted && rate_ != 0) tokens_ -= 1;
  return token;
}

void RateLimiter::GiveBack() {
  const std::lock_guard lock(mutex_);
  tokens_ += 1;
}

void RateLimiter::Sent(TimePoint now) {
  const std::lock_guard lock(mutex_);
  const std::int64_t second = SecondOf(now);
  if (second != second_) {
    sent_before_ = second == second_ + 1 ? sent_ : 0;
    sent_ = 0;
    second_ = second;
  }
  ++sent_;
}

double RateLimiter::ObservedRate(TimePoint now) const {
  const std::int64_t ago = SecondOf(now) - second_;
  if (ago == 0) return std::max(sent_, sent_before_);
  return ago == 1 ? sent_ : 0;
}

double RateLimiter::MinRate() const {
  const double least = std::max(kMinRate / processes_, kMinRateOfOne);
  return all_ > 0 ? std::min(Configured(), least) : least;
}

void RateLimiter::ShareAmong(TimePoint now, int processes) {
  const std::lock_guard lock(mutex_);
  if (processes == processes_) return;
  Refill(now);
  const double change = static_cast<double>(processes_) / processes;
  processes_ = processes;
  good_rate_ *= change;
  rate_ = refused_ ? rate_ * change : Configured();
}

bool RateLimiter::Refused(TimePoint now, std::optional<milliseconds> retry_after) {
  const std::lock_guard lock(mutex_);
  Refill(now);
  refused_ = now;
  bool is_new = false;
  // What else was on the way at the time is refused too, and says nothing new.
  if (!halved_ || now - *halved_ >= kHalveEvery) {
    is_new = true;
    good_rate_ = std::max(MinRate(), rate_ == 0 ? ObservedRate(now) : rate_);
    rate_ = std::max(MinRate(), good_rate_ / 2);
    tokens_ = std::min(tokens_, 0.0);
    refilled_ = std::max(refilled_, now);
    grown_ = now;
    halved_ = now;
  }
  if (retry_after && refilled_ < now + std::min(*retry_after, kMaxPause)) {
    // Times of answers that came together are as good as one.
    is_new = is_new || refilled_ + kSamePause < now + std::min(*retry_after, kMaxPause);
    refilled_ = now + std::min(*retry_after, kMaxPause);
  }
  return is_new;
}

double RateLimiter::rate(TimePoint now) {
  const std::lock_guard lock(mutex_);
  Refill(now);
  return rate_;
}

}  // namespace leasegateway
