#include "service/rpc/filter_checks.h"

#include <algorithm>
#include <cctype>
#include <cstddef>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "service/rpc/formats.h"
#include "upstream/upstream_error.h"

namespace leasegateway {
namespace {

constexpr int kMaxFilterValues = 100;
constexpr std::size_t kMaxFilterBytes = 64;
constexpr std::size_t kMaxDigits = 15;

// Without the plus sign that a prefix or pattern may have.
std::string_view Digits(std::string_view text) {
  return !text.empty() && text[0] == '+' ? text.substr(1) : text;
}

// Whether a pattern can begin like `prefix`: character by character, up to the first "*".
template <typename Iterator>
bool CanBegin(Iterator pattern, Iterator pattern_end, Iterator prefix, Iterator prefix_end) {
  for (; prefix != prefix_end; ++prefix, ++pattern) {
    if (pattern == pattern_end) return false;
    if (*pattern == '*') return true;
    if (*pattern != '?' && *pattern != *prefix) return false;
  }
  return true;
}

}  // namespace

void FilterChecks::Run() {
  Words("filter.countries", filter_.countries());
  for (int i = 0; i < std::min(filter_.countries_size(), kMaxFilterValues); ++i) {
    const std::string& country = filter_.countries(i);
    const auto is_letter = [](unsigned char c) { return std::isalpha(c) != 0; };
    if (country.size() == 2 && std::all_of(country.begin(), country.end(), is_letter)) continue;
    Add(absl::StrCat("filter.countries[", i, "]"),
        QuoteValue(country) + " is no country of two letters (ISO 3166-1 alpha-2), for example US");
  }
  Words("filter.regions", filter_.regions());
  Words("filter.cities", filter_.cities());
  Words("filter.carriers", filter_.carriers());
  Words("filter.channels", filter_.channels());
  Words("filter.allowed_requirements.requirements", filter_.allowed_requirements().requirements());
  if (filter_.has_min_reputation() &&
      !(filter_.min_reputation() >= 0 && filter_.min_reputation() <= 1)) {
    Add("filter.min_reputation", absl::StrCat(filter_.min_reputation(), " is not from 0 to 1"));
  }
  if (filter_.max_previous_owners() < 0) {
    Add("filter.max_previous_owners",
        absl::StrCat(filter_.max_previous_owners(), " must not be below zero"));
  }
  Statuses();
  Prices();
  Numbers();
}

void FilterChecks::Add(const std::string& field, const std::string& description) {
  violations_.Add(field, reason::kInvalidFilter, description);
}

template <typename List>
void FilterChecks::Words(const std::string& field, const List& words) {
  if (words.size() > kMaxFilterValues) {
    Add(field, absl::StrCat("has ", words.size(), " values, at most ", kMaxFilterValues));
    return;
  }
  for (int i = 0; i < words.size(); ++i) {
    if (words[i].empty() || words[i].size() > kMaxFilterBytes) {
      Add(absl::StrCat(field, "[", i, "]"),
          absl::StrCat(QuoteValue(words[i]), " must have 1 to ", kMaxFilterBytes, " bytes"));
    }
  }
}

void FilterChecks::Statuses() {
  if (filter_.statuses_size() > kMaxFilterValues) {
    Add("filter.statuses",
        absl::StrCat("has ", filter_.statuses_size(), " values, at most ", kMaxFilterValues));
    return;
  }
  for (int i = 0; i < filter_.statuses_size(); ++i) {
    const int status = filter_.statuses(i);
    if (!v1::NumberStatus_IsValid(status) || status == v1::NUMBER_STATUS_UNSPECIFIED) {
      Add(absl::StrCat("filter.statuses[", i, "]"),
          absl::StrCat(status, " is no status to look for"));
    }
  }
}

void FilterChecks::Prices() {
  constexpr auto kReason = reason::kInvalidFilter;
  if (filter_.has_max_monthly_rate()) {
    violations_.CheckMoney("filter.max_monthly_rate", filter_.max_monthly_rate(), kReason);
  }
  if (filter_.has_max_upfront_fee()) {
    violations_.CheckMoney("filter.max_upfront_fee", filter_.max_upfront_fee(), kReason);
  }
  if (filter_.has_max_monthly_rate() && filter_.has_max_upfront_fee() &&
      !absl::EqualsIgnoreCase(filter_.max_monthly_rate().currency_code(),
                              filter_.max_upfront_fee().currency_code())) {
    Add("filter.max_upfront_fee.currency_code",
        absl::StrCat(QuoteValue(filter_.max_upfront_fee().currency_code()),
                     " contradicts filter.max_monthly_rate, ",
                     QuoteValue(filter_.max_monthly_rate().currency_code()),
                     ": a number has its prices in one currency"));
  }
}

void FilterChecks::Digits(const std::string& field, std::string_view digits) {
  if (digits.empty() || digits.size() > kMaxDigits ||
      !std::all_of(digits.begin(), digits.end(), IsDigit)) {
    Add(field, absl::StrCat(QuoteValue(digits), " must have 1 to ", kMaxDigits, " digits"));
  }
}

void FilterChecks::Contradicts(std::string_view field, std::string_view value) {
  Add("filter.number_pattern", absl::StrCat(QuoteValue(filter_.number_pattern()), " contradicts ",
                                            absl::string_view(field.data(), field.size()), ", ",
                                            QuoteValue(value), ": no number matches both"));
}

void FilterChecks::Numbers() {
  const std::string_view prefix = leasegateway::Digits(filter_.number_prefix());
  const std::string_view suffix = filter_.number_suffix();
  const std::string_view pattern = leasegateway::Digits(filter_.number_pattern());
  if (!filter_.number_prefix().empty()) {
    Digits("filter.number_prefix", prefix);
    if (prefix.substr(0, 1) == "0") {
      Add("filter.number_prefix",
          QuoteValue(filter_.number_prefix()) + " matches nothing: no number begins with 0");
    }
  }
  if (!suffix.empty()) Digits("filter.number_suffix", suffix);
  if (!filter_.number_contains().empty()) {
    Digits("filter.number_contains", filter_.number_contains());
  }
  if (filter_.number_pattern().empty()) return;
  const auto may_stand = [](char c) { return IsDigit(c) || c == '?' || c == '*'; };
  const auto stars = std::count(pattern.begin(), pattern.end(), '*');
  if (pattern.empty() || pattern.size() > kMaxFilterBytes ||
      !std::all_of(pattern.begin(), pattern.end(), may_stand)) {
    Add("filter.number_pattern",
        absl::StrCat(QuoteValue(filter_.number_pattern()), " must have 1 to ", kMaxFilterBytes,
                     " of these: digits, ? for one digit, * for any; for example +1305*77??"));
  } else if (pattern.size() - static_cast<std::size_t>(stars) > kMaxDigits) {
    Add("filter.number_pattern", absl::StrCat(QuoteValue(filter_.number_pattern()),
                                              " asks for more than ", kMaxDigits, " digits"));
  } else if (pattern[0] == '0') {
    Add("filter.number_pattern",
        QuoteValue(filter_.number_pattern()) + " matches nothing: no number begins with 0");
  } else if (!CanBegin(pattern.begin(), pattern.end(), prefix.begin(), prefix.end())) {
    Contradicts("filter.number_prefix", filter_.number_prefix());
  } else if (!CanBegin(pattern.rbegin(), pattern.rend(), suffix.rbegin(), suffix.rend())) {
    Contradicts("filter.number_suffix", suffix);
  }
}
}  // namespace leasegateway
