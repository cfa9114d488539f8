#include "upstream/postgres/haste.h"

#include <algorithm>
#include <utility>

namespace leasegateway::postgres {

void Haste::Begin() {
  const std::lock_guard lock(mutex_);
  since_ = std::min(since_, std::chrono::steady_clock::now());
  for (const auto& waiter : waiters_) Wakeup::Wake(waiter);
}

bool Haste::has_begun() const {
  const std::lock_guard lock(mutex_);
  return since_ != TimePoint::max();
}

Haste::TimePoint Haste::Limit(TimePoint begun, TimePoint deadline) const {
  const std::lock_guard lock(mutex_);
  if (since_ == TimePoint::max()) return deadline;
  return std::min(deadline, std::max(begun, since_) + kPatience);
}

Haste::Waiter::Waiter(std::shared_ptr<Haste> haste, std::shared_ptr<Wakeup> wakeup)
    : haste_(std::move(haste)), wakeup_(std::move(wakeup)) {
  const std::lock_guard lock(haste_->mutex_);
  haste_->waiters_.insert(wakeup_);
}

Haste::Waiter::~Waiter() {
  const std::lock_guard lock(haste_->mutex_);
  haste_->waiters_.erase(haste_->waiters_.find(wakeup_));
}

}  // namespace leasegateway::postgres
