#include "upstream/availability/number_filter.h"

#include <algorithm>
#include <string>
#include <string_view>
#include <utility>

#include "absl/strings/match.h"
#include "upstream/availability/digit_pattern.h"

namespace leasegateway {
namespace {

using Words = google::protobuf::RepeatedPtrField<std::string>;

void DropPlus(std::string& digits) {
  if (digits.starts_with('+')) digits.erase(0, 1);
}

bool Contains(const Words& words, const std::string& word) {
  return std::any_of(words.begin(), words.end(),
                     [&](const std::string& each) { return absl::EqualsIgnoreCase(each, word); });
}

bool IsAnyOf(const Words& wanted, const std::string& word) {
  return wanted.empty() || Contains(wanted, word);
}

// Whether `set` has all of `words`.
bool Includes(const Words& set, const Words& words) {
  return std::all_of(words.begin(), words.end(),
                     [&](const std::string& word) { return Contains(set, word); });
}

bool IsWithin(const google::type::Money& amount, const google::type::Money& ceiling) {
  return absl::EqualsIgnoreCase(amount.currency_code(), ceiling.currency_code()) &&
         std::pair(amount.units(), amount.nanos()) <= std::pair(ceiling.units(), ceiling.nanos());
}

}  // namespace

NumberFilter::NumberFilter(v1::AvailabilityFilter filter) : filter_(std::move(filter)) {
  DropPlus(*filter_.mutable_number_prefix());
  DropPlus(*filter_.mutable_number_pattern());
  matches_all_ = filter_.ByteSizeLong() == 0;
}

bool NumberFilter::Matches(const v1::Number& number) const {
  if (matches_all_) return true;
  const v1::Location& location = number.location();
  if (!IsAnyOf(filter_.countries(), location.country()) ||
      !IsAnyOf(filter_.regions(), location.region()) ||
      !IsAnyOf(filter_.cities(), location.city()) ||
      !IsAnyOf(filter_.carriers(), number.carrier())) {
    return false;
  }
  const v1::Capabilities& capabilities = number.capabilities();
  if (!Includes(capabilities.channels(), filter_.channels())) return false;
  if (filter_.has_intl_sms() &&
      !(capabilities.has_intl_sms() && capabilities.intl_sms() == filter_.intl_sms())) {
    return false;
  }
  if (filter_.has_e911_capable() &&
      !(number.has_e911_capable() && number.e911_capable() == filter_.e911_capable())) {
    return false;
  }
  const v1::Health& health = number.health();
  if (filter_.has_min_reputation() &&
      !(number.has_health() && health.reputation() >= filter_.min_reputation())) {
    return false;
  }
  if (filter_.has_max_previous_owners() &&
      !(number.has_health() && health.previous_owners() <= filter_.max_previous_owners())) {
    return false;
  }
  const v1::Pricing& pricing = number.pricing();
  if (filter_.has_max_monthly_rate() &&
      !(pricing.has_monthly_rate() &&
        IsWithin(pricing.monthly_rate(), filter_.max_monthly_rate()))) {
    return false;
  }
  if (filter_.has_max_upfront_fee() &&
      !(pricing.has_upfront_fee() && IsWithin(pricing.upfront_fee(), filter_.max_upfront_fee()))) {
    return false;
  }
  if (filter_.has_allowed_requirements() &&
      !Includes(filter_.allowed_requirements().requirements(), number.requirements())) {
    return false;
  }
  if (!filter_.statuses().empty() && std::find(filter_.statuses().begin(), filter_.statuses().end(),
                                               number.status()) == filter_.statuses().end()) {
    return false;
  }
  const auto has_digits = [&](std::string_view before, const std::string& digits,
                              std::string_view after) {
    if (digits.empty()) return true;
    std::string pattern(before);
    (pattern += digits) += after;
    const auto key = ParsePhoneKey(number.phone_number());
    return key.has_value() && DigitPattern(pattern).Matches(*key);
  };
  return has_digits("", filter_.number_prefix(), "*") &&
         has_digits("*", filter_.number_suffix(), "") &&
         has_digits("*", filter_.number_contains(), "*") &&
         has_digits("", filter_.number_pattern(), "");
}

}  // namespace leasegateway
