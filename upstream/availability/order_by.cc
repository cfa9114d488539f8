#include "upstream/availability/order_by.h"

#include <algorithm>
#include <iterator>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"

namespace leasegateway {
namespace {

struct KnownField {
  absl::string_view path;
  OrderKey::Field field;
};
constexpr KnownField kFields[] = {
    {"pricing.monthly_rate", OrderKey::Field::kMonthlyRate},
    {"pricing.upfront_fee", OrderKey::Field::kUpfrontFee},
    {"health.reputation", OrderKey::Field::kReputation},
    {"health.previous_owners", OrderKey::Field::kPreviousOwners},
    {"create_time", OrderKey::Field::kCreateTime},
    {"phone_number", OrderKey::Field::kPhoneNumber},
};

// Short and printable, whatever a caller sends.
std::string Quote(absl::string_view text) {
  constexpr std::size_t kMost = 64;
  return absl::StrCat("\"", absl::CHexEscape(text.substr(0, kMost)),
                      text.size() > kMost ? "…\"" : "\"");
}

absl::StatusOr<OrderKey> ParseKey(absl::string_view part) {
  const std::vector<absl::string_view> words = absl::StrSplit(part, ' ', absl::SkipEmpty());
  if (words.empty()) {
    return absl::InvalidArgumentError(
        "has nothing before, between or after commas where a field is wanted");
  }
  const auto* const known = std::find_if(std::begin(kFields), std::end(kFields),
                                         [&](const KnownField& f) { return f.path == words[0]; });
  if (known == std::end(kFields)) {
    std::string paths;
    for (const KnownField& field : kFields) {
      absl::StrAppend(&paths, paths.empty() ? "" : ", ", field.path);
    }
    return absl::InvalidArgumentError(
        absl::StrCat(Quote(words[0]), " is not a field to order by: ", paths));
  }
  if (words.size() == 1) return OrderKey{.field = known->field, .descending = false};
  if (words.size() == 2 && words[1] == "desc") {
    return OrderKey{.field = known->field, .descending = true};
  }
  if (words.size() == 2 && words[1] == "asc") {
    return absl::InvalidArgumentError(absl::StrCat(
        Quote(part), ": \"asc\" is not written, a field without \"desc\" is ascending"));
  }
  return absl::InvalidArgumentError(
      absl::StrCat(Quote(part), ": only \"desc\" can follow a field, then a comma"));
}

}  // namespace

absl::StatusOr<Order> ParseOrderBy(std::string_view text) {
  Order order;
  if (text.find_first_not_of(' ') == std::string_view::npos) return order;
  for (absl::string_view part : absl::StrSplit(absl::string_view(text.data(), text.size()), ',')) {
    part = absl::StripAsciiWhitespace(part);
    const absl::StatusOr<OrderKey> key = ParseKey(part);
    if (!key.ok()) return key.status();
    const bool is_there = std::any_of(order.begin(), order.end(), [&](const OrderKey& before) {
      return before.field == key->field;
    });
    if (is_there) return absl::InvalidArgumentError(absl::StrCat(Quote(part), " is there twice"));
    order.push_back(*key);
  }
  return order;
}

}  // namespace leasegateway
