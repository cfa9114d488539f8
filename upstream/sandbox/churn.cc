#include "upstream/sandbox/churn.h"

#include <utility>

#include "upstream/sandbox/text.h"

namespace leasegateway::sandbox {
namespace {

namespace json = boost::json;

constexpr std::int64_t kMostChanges = 100'000;

// A value of [low, low + range) that is not `old`, if `old` is one of them.
std::uint64_t DrawOther(std::mt19937_64& random, std::uint64_t old, std::uint64_t low,
                        std::uint64_t range) {
  const std::uint64_t offset = old >= low && old < low + range ? old - low : 0;
  return low + (offset + 1 + Draw(random, range - 1)) % range;
}

// Takes a random element out.
std::size_t DrawFrom(std::mt19937_64& random, std::vector<std::size_t>& indexes) {
  std::swap(indexes[Draw(random, indexes.size())], indexes.back());
  const std::size_t index = indexes.back();
  indexes.pop_back();
  return index;
}

}  // namespace

absl::StatusOr<std::int64_t> Churn::ReadCount(const json::value& value) {
  if (!value.is_object()) return BadField("body", value, "must be an object");
  for (const auto& member : value.get_object()) {
    if (member.key() == "count") continue;
    return BadField({member.key().data(), member.key().size()}, member.value(),
                    "is not a key of churn; there is count");
  }
  const json::value* count = value.get_object().if_contains("count");
  if (count == nullptr || !count->is_int64() || count->get_int64() < 1 ||
      count->get_int64() > kMostChanges) {
    return BadField("count", count != nullptr ? *count : json::value(),
                    Cat("must be an integer from 1 to ", kMostChanges));
  }
  return count->get_int64();
}

json::object Churn::Change(std::int64_t count, std::vector<std::size_t> shown,
                           std::vector<std::size_t> hidden,
                           std::vector<InventoryNumber>* inventory) {
  std::int64_t gone = 0;
  std::int64_t back = 0;
  std::int64_t prices = 0;
  std::int64_t reputations = 0;
  for (std::int64_t i = 0; i < count && !(shown.empty() && hidden.empty()); ++i) {
    std::uint64_t kind = shown.empty() ? 1 : Draw(random_, 3);
    if (kind == 1 && hidden.empty()) kind = Draw(random_, 2) * 2;
    const std::size_t index = DrawFrom(random_, kind == 1 ? hidden : shown);
    if (kind == 0) {
      hidden_.insert(index);
      ++gone;
    } else if (kind == 1) {
      hidden_.erase(index);
      ++back;
    } else {
      const bool price = Draw(random_, 2) == 0;
      Reprice(index, price, &(*inventory)[index]);
      ++(price ? prices : reputations);
    }
  }
  json::object done;
  done["became_unavailable"] = gone;
  done["came_back"] = back;
  done["changed_price"] = prices;
  done["changed_reputation"] = reputations;
  return done;
}

void Churn::Reprice(std::size_t index, bool price, InventoryNumber* number) {
  unchanged_.try_emplace(index, *number);
  if (price) {
    number->monthly_cents = static_cast<std::int32_t>(
        DrawOther(random_, static_cast<std::uint64_t>(number->monthly_cents), 100, 2900));
  } else {
    number->reputation = static_cast<std::uint8_t>(DrawOther(random_, number->reputation, 50, 50));
  }
}

void Churn::Reset(std::vector<InventoryNumber>* inventory) {
  Seed();
  hidden_.clear();
  for (auto& [index, number] : unchanged_) (*inventory)[index] = std::move(number);
  unchanged_.clear();
}

}  // namespace leasegateway::sandbox
