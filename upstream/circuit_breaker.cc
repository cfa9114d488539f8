#include "upstream/circuit_breaker.h"

#include <algorithm>

namespace leasegateway {
namespace {

// While the probes are out, their answers decide; nobody knows when.
constexpr auto kProbeWait = std::chrono::milliseconds(100);

}  // namespace

CircuitBreaker::State CircuitBreaker::StateLocked(TimePoint now) const {
  if (closed_) return State::kClosed;
  return now < opened_ + open_for_ ? State::kOpen : State::kHalfOpen;
}

CircuitBreaker::State CircuitBreaker::state(TimePoint now) const {
  const std::lock_guard lock(mutex_);
  return StateLocked(now);
}

std::optional<CircuitBreaker::Duration> CircuitBreaker::OpenFor(TimePoint now) const {
  const std::lock_guard lock(mutex_);
  if (StateLocked(now) != State::kOpen) return std::nullopt;
  return opened_ + open_for_ - now;
}

CircuitBreaker::Permit CircuitBreaker::Ask(TimePoint now) {
  const std::lock_guard lock(mutex_);
  switch (StateLocked(now)) {
    case State::kClosed:
      break;
    case State::kOpen:
      return {false, opened_ + open_for_ - now};
    case State::kHalfOpen:
      if (probing_ >= options_.probes) return {false, kProbeWait};
      ++probing_;
      break;
  }
  return {true, Duration(0), period_};
}

void CircuitBreaker::Record(const Permit& permit, Outcome outcome, TimePoint now) {
  const std::lock_guard lock(mutex_);
  if (permit.period != period_) return;
  if (closed_) {
    if (outcome != Outcome::kUnknown) Count(outcome == Outcome::kSuccess, now);
    return;
  }
  --probing_;
  if (outcome == Outcome::kFailure) Open(now);
  if (outcome == Outcome::kSuccess) {
    ++succeeded_;
    if (succeeded_ >= options_.successes || now - opened_ >= options_.settled) Close();
  }
}

void CircuitBreaker::Count(bool success, TimePoint now) {
  const auto second =
      std::chrono::duration_cast<std::chrono::seconds>(now.time_since_epoch()).count();
  Slot& slot = window_[static_cast<std::size_t>(second % kSlots)];
  if (slot.second != second) slot = {second};
  ++(success ? slot.successes : slot.failures);
  if (success) return;
  int successes = 0;
  int failures = 0;
  for (const Slot& each : window_) {
    if (each.second <= second - kSlots || each.second > second) continue;
    successes += each.successes;
    failures += each.failures;
  }
  const int all = successes + failures;
  if (all >= options_.min_volume && failures * 100LL >= all * 1LL * options_.failure_percent) {
    Open(now);
  }
}

void CircuitBreaker::Open(TimePoint now) {
  closed_ = false;
  ++period_;
  opened_ = now;
  open_for_ = open_for_ == Duration(0) ? options_.first_open
                                       : std::min<Duration>(open_for_ * 2, options_.max_open);
  probing_ = 0;
  succeeded_ = 0;
}

void CircuitBreaker::Close() {
  closed_ = true;
  ++period_;
  open_for_ = Duration(0);
  window_ = {};
}

}  // namespace leasegateway
