#include "upstream/availability/change_log.h"

#include <utility>

namespace leasegateway {
namespace {

// That are kept.
constexpr std::size_t kMaxChanges = 64;
constexpr std::size_t kMaxChangedNumbers = 20'000;

}  // namespace

std::uint64_t ChangeLog::Restart() {
  changes_.clear();
  numbers_ = 0;
  return ++version_;
}

std::uint64_t ChangeLog::Add(std::vector<NumberChange> changes) {
  if (changes.empty()) return version_;
  ++version_;
  numbers_ += changes.size();
  changes_.push_back(
      {version_, std::make_shared<const std::vector<NumberChange>>(std::move(changes))});
  while (changes_.size() > kMaxChanges || numbers_ > kMaxChangedNumbers) {
    numbers_ -= changes_.front().numbers->size();
    changes_.pop_front();
  }
  return version_;
}

std::optional<std::vector<AvailabilityChange>> ChangeLog::Since(std::uint64_t version) const {
  const std::uint64_t oldest = version_ - changes_.size();
  if (version < oldest || version > version_) return std::nullopt;
  return std::vector<AvailabilityChange>(
      changes_.begin() + static_cast<std::ptrdiff_t>(version - oldest), changes_.end());
}

}  // namespace leasegateway
