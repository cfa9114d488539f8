#include "service/leasectl/search_options.h"

#include <algorithm>
#include <cstddef>

#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/strip.h"

namespace leasegateway {
namespace {

constexpr absl::string_view kDigits = "0123456789";

// Takes the digits at the beginning.
absl::string_view TakeDigits(absl::string_view& text) {
  const std::size_t end = std::min(text.find_first_not_of(kDigits), text.size());
  const absl::string_view digits = text.substr(0, end);
  text.remove_prefix(end);
  return digits;
}

std::string Complaint(const std::string& value, absl::string_view rule) {
  return absl::StrCat("\"", value, "\" ", rule);
}

template <class Parse>
auto CheckWith(Parse parse) {
  return [parse](const std::string& value) {
    const auto parsed = parse(value);
    return parsed.ok() ? std::string() : Complaint(value, parsed.status().message());
  };
}

std::string CheckTruth(const std::string& value) {
  return value == "true" || value == "false" ? "" : Complaint(value, "must be true or false");
}

std::string CheckReputation(const std::string& value) {
  double number = 0;
  // NaN is not in the range.
  if (absl::SimpleAtod(value, &number) && number >= 0 && number <= 1) return "";
  return Complaint(value, "must be a number from 0 to 1, such as 0.8");
}

std::string CheckOwners(const std::string& value) {
  std::int32_t number = 0;
  if (absl::SimpleAtoi(value, &number) && number >= 0) return "";
  return Complaint(value, "must be a whole number from 0 to 2147483647");
}

// Digits and `more`, perhaps behind a plus sign.
auto CheckNumberPart(bool plus, absl::string_view more, absl::string_view rule) {
  return [=](const std::string& value) {
    absl::string_view rest = value;
    if (plus) absl::ConsumePrefix(&rest, "+");
    const bool good =
        !rest.empty() && rest.find_first_not_of(absl::StrCat(kDigits, more)) == rest.npos;
    return good ? std::string() : Complaint(value, rule);
  };
}

bool IsTrue(const std::string& text) { return text == "true"; }

v1::NumberStatus StatusOf(const std::string& word) {
  if (word == "available") return v1::NUMBER_STATUS_AVAILABLE;
  if (word == "g-available") return v1::NUMBER_STATUS_G_AVAILABLE;
  if (word == "leased") return v1::NUMBER_STATUS_LEASED;
  return v1::NUMBER_STATUS_UNAVAILABLE;
}

}  // namespace

absl::StatusOr<google::type::Money> ParseMoney(absl::string_view text) {
  const auto wrong = [] {
    return absl::InvalidArgumentError(
        "must be an amount from 0 with at most 9 decimals and its currency, such as \"5.00 USD\"");
  };
  google::type::Money money;
  absl::string_view rest = absl::StripAsciiWhitespace(text);
  std::int64_t units = 0;
  if (!absl::SimpleAtoi(TakeDigits(rest), &units)) return wrong();
  money.set_units(units);
  if (absl::ConsumePrefix(&rest, ".")) {
    std::string decimals(TakeDigits(rest));
    if (decimals.empty() || decimals.size() > 9) return wrong();
    decimals.resize(9, '0');
    std::int32_t nanos = 0;
    if (!absl::SimpleAtoi(decimals, &nanos)) return wrong();
    money.set_nanos(nanos);
  }
  rest = absl::StripLeadingAsciiWhitespace(rest);
  if (rest.size() != 3) return wrong();
  for (const char letter : rest) {
    if (!absl::ascii_isalpha(static_cast<unsigned char>(letter))) return wrong();
  }
  money.set_currency_code(absl::AsciiStrToUpper(rest));
  return money;
}

absl::StatusOr<google::protobuf::Duration> ParseStaleness(absl::string_view text) {
  constexpr std::int64_t kMostSeconds = 315'576'000'000;
  absl::Duration duration;
  if (!absl::ParseDuration(text, &duration) || duration < absl::ZeroDuration() ||
      duration > absl::Seconds(kMostSeconds)) {
    return absl::InvalidArgumentError("must be a duration from 0s, such as 500ms, 10s or 1m30s");
  }
  google::protobuf::Duration result;
  result.set_seconds(absl::IDivDuration(duration, absl::Seconds(1), &duration));
  result.set_nanos(static_cast<std::int32_t>(absl::ToInt64Nanoseconds(duration)));
  return result;
}

absl::StatusOr<absl::Duration> ParsePositiveDuration(absl::string_view text) {
  absl::Duration duration;
  if (absl::ParseDuration(text, &duration) && duration > absl::ZeroDuration() &&
      duration < absl::InfiniteDuration()) {
    return duration;
  }
  return absl::InvalidArgumentError("must be a positive duration such as 500ms, 10s or 1m30s");
}

std::string CheckNotEmpty(const std::string& value) {
  return value.empty() ? "must not be empty" : "";
}

std::string CheckPositiveDuration(const std::string& value) {
  return CheckWith(ParsePositiveDuration)(value);
}

std::string CheckMoney(const std::string& value) { return CheckWith(ParseMoney)(value); }

// As long as the filter has fields.
void SearchOptions::AddTo(CLI::App& command, Prices prices) {
  const auto add = [&command](const std::string& name, auto& value, const std::string& description,
                              const std::string& type, auto check) {
    return command.add_option(name, value, description)
        ->type_name(type)
        ->check(check, "")
        ->group("Search");
  };
  // Each value is an option of its own, so that what follows it is not one more.
  const auto add_list = [&](const std::string& name, std::vector<std::string>& values,
                            const std::string& description, const std::string& type) {
    return add(name, values, description, type, CheckNotEmpty)->allow_extra_args(false);
  };
  const auto add_truth = [&command](const std::string& name, std::optional<std::string>& value,
                                    const std::string& description) {
    command.add_flag(name, value, description)->check(CheckTruth, "")->group("Search");
  };
  add_list("--country", countries_, "Any of these countries: US, or US,CA", "CODE")->delimiter(',');
  add_list("--region", regions_, "Any of these states or regions: FL, or FL,NY", "REGION")
      ->delimiter(',');
  // Names may have commas in them.
  add_list("--city", cities_, "Any of these cities; one each time", "CITY");
  add_list("--carrier", carriers_, "Any of these carriers; one each time", "CARRIER");
  add_list("--channel", channels_, "All of these channels: sms, or sms,voice", "CHANNEL")
      ->delimiter(',');
  add_truth("--intl-sms", intl_sms_, "Can send SMS to other countries; =false: can not");
  add("--min-reputation", min_reputation_, "The least reputation, 0 to 1", "NUMBER",
      CheckReputation);
  add("--max-previous-owners", max_previous_owners_, "How many may have leased it before", "COUNT",
      CheckOwners);
  add("--max-monthly", max_monthly_, "The highest price a month: \"5.00 USD\", or 5USD", "AMOUNT",
      CheckMoney)
      ->required(prices == Prices::kRequired);
  add("--max-upfront", max_upfront_, "The highest price at the beginning", "AMOUNT", CheckMoney)
      ->required(prices == Prices::kRequired);
  add_truth("--e911", e911_, "Emergency calls can be enabled; =false: can not");
  CLI::Option* allow = add_list("--allow-requirement", requirements_,
                                "The entitlements that it may require: A, or A,B", "WORD")
                           ->delimiter(',');
  command.add_flag("--no-requirements", no_requirements_, "Requires no entitlement")
      ->excludes(allow)
      ->group("Search");
  command
      .add_option("--status", statuses_, "Any of these statuses: leased, or leased,unavailable")
      // As the tables print it, too.
      ->transform(
          [](const std::string& word) {
            return absl::StrReplaceAll(word, {{"_", "-"}});
          },
          "")
      ->check(CLI::IsMember(
          std::vector<std::string>{"available", "g-available", "leased", "unavailable"}))
      ->allow_extra_args(false)
      ->delimiter(',')
      ->group("Search");
  add("--prefix", prefix_, "How the number begins: +1305, or 1305", "DIGITS",
      CheckNumberPart(true, "", "must be digits, with or without a plus sign before them"));
  const auto digits = CheckNumberPart(false, "", "must be digits");
  add("--suffix", suffix_, "How the number ends: 77", "DIGITS", digits);
  add("--contains", contains_, "What the number has somewhere: 305", "DIGITS", digits);
  add("--pattern", pattern_, "The whole number, ?: any digit, *: any digits or none: '+1305*7?'",
      "PATTERN",
      CheckNumberPart(true, "?*",
                      "must be digits, ? and *, with or without a plus sign before them"));
}

v1::AvailabilityFilter SearchOptions::Filter() const {
  v1::AvailabilityFilter filter;
  filter.mutable_countries()->Add(countries_.begin(), countries_.end());
  filter.mutable_regions()->Add(regions_.begin(), regions_.end());
  filter.mutable_cities()->Add(cities_.begin(), cities_.end());
  filter.mutable_carriers()->Add(carriers_.begin(), carriers_.end());
  filter.mutable_channels()->Add(channels_.begin(), channels_.end());
  if (intl_sms_) filter.set_intl_sms(IsTrue(*intl_sms_));
  if (min_reputation_) filter.set_min_reputation(*min_reputation_);
  if (max_previous_owners_) filter.set_max_previous_owners(*max_previous_owners_);
  if (max_monthly_) *filter.mutable_max_monthly_rate() = ParseMoney(*max_monthly_).value();
  if (max_upfront_) *filter.mutable_max_upfront_fee() = ParseMoney(*max_upfront_).value();
  if (e911_) filter.set_e911_capable(IsTrue(*e911_));
  if (no_requirements_) filter.mutable_allowed_requirements();
  for (const std::string& word : requirements_) {
    filter.mutable_allowed_requirements()->add_requirements(word);
  }
  for (const std::string& word : statuses_) filter.add_statuses(StatusOf(word));
  filter.set_number_prefix(prefix_);
  filter.set_number_suffix(suffix_);
  filter.set_number_contains(contains_);
  filter.set_number_pattern(pattern_);
  return filter;
}

void StalenessOption::AddTo(CLI::App& command) {
  command
      .add_option("--max-staleness", text_,
                  "How old the answer may be at most; 0s: ask the provider now")
      ->type_name("DURATION")
      ->check(CheckWith(ParseStaleness), "");
}

}  // namespace leasegateway
