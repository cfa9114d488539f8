#include "upstream/availability/change_log.h"

#include <utility>

namespace leasegateway {
namespace {

// That are kept.
constexpr std::size_t kMaxChanges = 64;
constexpr std::size_t kMaxChangedNumbers = 20'000;
constexpr std::size_t kMaxLogged = 2 * kMaxChanges;

}  // namespace

std::uint64_t ChangeLog::Restart() {
  changes_.clear();
  numbers_ = 0;
  logged_.clear();
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

void ChangeLog::SetLogged(std::uint64_t first, std::uint64_t last) {
  if (!logged_.empty() && logged_.back().version == version_ && first <= logged_.back().last) {
    logged_.back().last = last;
    return;
  }
  logged_.push_back({version_, first, last});
  if (logged_.size() > kMaxLogged) logged_.pop_front();
}

std::optional<std::uint64_t> ChangeLog::EntryOf(std::uint64_t version) const {
  for (auto each = logged_.rbegin(); each != logged_.rend(); ++each) {
    if (each->version == version) return each->last;
  }
  return std::nullopt;
}

std::optional<std::uint64_t> ChangeLog::VersionAt(std::uint64_t entry) const {
  for (auto each = logged_.rbegin(); each != logged_.rend(); ++each) {
    if (each->first <= entry && entry <= each->last) return each->version;
  }
  return std::nullopt;
}

}  // namespace leasegateway
