#include "upstream/availability/change_log.h"

#include <algorithm>
#include <utility>

namespace leasegateway {

std::size_t ChangeLog::BytesOf(const std::vector<NumberChange>& changes) {
  std::size_t bytes = sizeof(Kept) + changes.size() * sizeof(NumberChange);
  for (const NumberChange& change : changes) {
    for (const auto* number : {&change.before, &change.after}) {
      if (*number) bytes += (*number)->SpaceUsedLong() - sizeof(v1::Number);
    }
  }
  return bytes;
}

std::uint64_t ChangeLog::Restart() {
  changes_.clear();
  bytes_ = 0;
  logged_.clear();
  return ++version_;
}

std::uint64_t ChangeLog::Add(std::vector<NumberChange> changes, std::size_t bytes) {
  if (changes.empty()) return version_;
  ++version_;
  bytes_ += bytes;
  changes_.push_back(
      {{version_, std::make_shared<const std::vector<NumberChange>>(std::move(changes))}, bytes});
  Trim();
  return version_;
}

void ChangeLog::Trim() {
  while (!changes_.empty() && bytes() > max_bytes_) {
    bytes_ -= changes_.front().bytes;
    changes_.pop_front();
  }
  const std::uint64_t oldest = version_ - changes_.size();
  while (logged_.size() > 1 && (logged_.front().version < oldest || bytes() > max_bytes_)) {
    logged_.pop_front();
  }
}

std::optional<std::vector<AvailabilityChange>> ChangeLog::Since(std::uint64_t version,
                                                                std::size_t limit) const {
  const std::uint64_t oldest = version_ - changes_.size();
  if (version < oldest || version > version_) return std::nullopt;
  std::vector<AvailabilityChange> changes;
  for (std::size_t i = version - oldest; i < changes_.size() && changes.size() < limit; ++i) {
    changes.push_back(changes_[i].change);
  }
  return changes;
}

void ChangeLog::SetLogged(std::uint64_t first, std::uint64_t last) {
  if (!logged_.empty() && logged_.back().version == version_ && first <= logged_.back().last) {
    logged_.back().last = last;
    return;
  }
  logged_.push_back({version_, first, last});
  Trim();
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
