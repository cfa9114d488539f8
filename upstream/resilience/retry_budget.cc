#include "upstream/resilience/retry_budget.h"

#include <algorithm>

namespace leasegateway {
namespace {

// What was earned in quiet times must not become a storm.
constexpr double kMaxEarned = 100;
// Sums of tenths miss the whole by a little.
constexpr double kOne = 1 - 1e-9;

}  // namespace

RetryBudget::RetryBudget(const Options& options) : options_(options), floor_(options.floor) {}

void RetryBudget::Earn() {
  const std::lock_guard lock(mutex_);
  earned_ = std::min(kMaxEarned, earned_ + options_.percent / 100.0);
}

bool RetryBudget::Take(bool background, TimePoint now) {
  const std::lock_guard lock(mutex_);
  const bool taken = TakeLocked(background, now);
  ++(taken ? allowed_ : refused_);
  return taken;
}

double RetryBudget::FloorAt(TimePoint now) const {
  if (refilled_ == TimePoint::min()) return floor_;
  const std::chrono::duration<double> passed = std::max(now - refilled_, TimePoint::duration(0));
  return std::min<double>(options_.floor, floor_ + passed.count() * options_.floor);
}

RetryBudget::Stats RetryBudget::stats(TimePoint now) const {
  const std::lock_guard lock(mutex_);
  return {earned_ + FloorAt(now), allowed_, refused_};
}

bool RetryBudget::TakeLocked(bool background, TimePoint now) {
  if (earned_ >= kOne) {
    earned_ -= 1;
    return true;
  }
  if (background) return false;
  floor_ = FloorAt(now);
  refilled_ = now;
  if (floor_ < kOne) return false;
  floor_ -= 1;
  return true;
}

}  // namespace leasegateway
