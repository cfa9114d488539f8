#include "service/process/nearest_name.h"

#include <algorithm>
#include <cstddef>
#include <numeric>
#include <utility>

namespace leasegateway {
namespace {

constexpr std::size_t kMaxComparedBytes = 64;  // longer words than any name aren't worth comparing

std::size_t EditDistance(absl::string_view a, absl::string_view b) {
  std::vector<std::size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), 0);
  for (std::size_t i = 1; i <= a.size(); ++i) {
    std::size_t diagonal = std::exchange(row[0], i);
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const std::size_t changed = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);
      diagonal = std::exchange(row[j], std::min({row[j] + 1, row[j - 1] + 1, changed}));
    }
  }
  return row.back();
}

}  // namespace

std::string NearestName(absl::string_view word, const std::vector<std::string>& names) {
  if (word.size() > kMaxComparedBytes) return "";
  std::string nearest;
  std::size_t distance = std::max<std::size_t>(2, word.size() / 3) + 1;
  for (const std::string& name : names) {
    if (name.size() > kMaxComparedBytes) continue;
    const std::size_t candidate = EditDistance(word, name);
    // Of a name that shares no letter all would be changed.
    if (candidate < distance && candidate < std::max(word.size(), name.size())) {
      distance = candidate;
      nearest = name;
    }
  }
  return nearest;
}

}  // namespace leasegateway
