#include "service/callers/limit_fields.h"

#include <algorithm>
#include <charconv>
#include <limits>
#include <optional>
#include <system_error>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"

namespace leasegateway {
namespace {

using Presence = FileField::Presence;

constexpr int kMoneyDecimals = 9;
constexpr int kRateDecimals = 3;
constexpr std::int64_t kBillion = 1'000'000'000;
constexpr std::int64_t kMaxRate = 1'000'000;  // a second
constexpr std::int64_t kMaxCount = 1'000'000'000;

bool AllDigits(absl::string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(),
                                      [](unsigned char c) { return absl::ascii_isdigit(c); });
}

// An integer within bounds; nothing: it is none.
std::optional<std::int64_t> ReadCount(const FileField& field, std::int64_t min, std::int64_t max) {
  const std::string* const text = field.Text();
  if (text == nullptr) return std::nullopt;
  std::int64_t count = 0;
  if (AllDigits(*text)) {
    const auto [end, error] = std::from_chars(text->data(), text->data() + text->size(), count);
    if (error == std::errc() && count >= min && count <= max) return count;
  }
  field.RefuseValue(absl::StrCat("must be an integer from ", min, " to ", max));
  return std::nullopt;
}

std::optional<double> ReadRate(const FileField& field) {
  const std::string* const text = field.Text();
  if (text == nullptr) return std::nullopt;
  std::int64_t billionths = 0;
  if (ParseBillionths(*text, kRateDecimals, billionths).empty() && billionths > 0 &&
      billionths <= kMaxRate * kBillion) {
    return static_cast<double>(billionths) / static_cast<double>(kBillion);
  }
  field.RefuseValue(
      absl::StrCat("must be a number from 0.001 to ", kMaxRate, " with at most three decimals"));
  return std::nullopt;
}

std::optional<std::int64_t> ReadMoney(const FileField& field) {
  const std::string* const text = field.Text();
  if (text == nullptr) return std::nullopt;
  std::int64_t billionths = 0;
  const std::string rule = ParseBillionths(*text, kMoneyDecimals, billionths);
  if (rule.empty()) return billionths;
  field.RefuseValue(rule);
  return std::nullopt;
}

void ReadCurrencies(const FileField& field, SpendingLimits& limits) {
  if (field.IsEmpty()) field.Refuse("must have at least one currency");
  field.ReadEntries([&](const YamlNode& key, const FileField& value) {
    const bool is_code =
        key.text.size() == 3 && std::all_of(key.text.begin(), key.text.end(),
                                            [](unsigned char c) { return absl::ascii_isupper(c); });
    if (!is_code) {
      field.RefuseKey(key, "must be a currency's code of three capital letters (ISO 4217), as USD");
    }
    CurrencyLimits& currency = limits.currencies[key.text];
    const auto read = [](std::optional<std::int64_t>& limit) {
      return [&limit](const FileField& money) { limit = ReadMoney(money); };
    };
    value.ReadKeys({
        {"monthly_rate", Presence::kOptional, read(currency.monthly_rate)},
        {"upfront_fee", Presence::kOptional, read(currency.upfront_fee)},
        {"money_per_day", Presence::kOptional, read(currency.money_per_day)},
        {"money_per_month", Presence::kOptional, read(currency.money_per_month)},
    });
  });
}

}  // namespace

std::string ParseBillionths(absl::string_view text, int decimals, std::int64_t& billionths) {
  const std::string form = absl::StrCat("must be a decimal number with at most ", decimals,
                                        " places after the point, as 12.50");
  if (absl::StartsWith(text, "-")) return "must not be negative";
  const std::size_t point = text.find('.');
  const absl::string_view whole = text.substr(0, point);
  const absl::string_view fraction = point == text.npos ? "0" : text.substr(point + 1);
  if (!AllDigits(whole) || !AllDigits(fraction) ||
      fraction.size() > static_cast<std::size_t>(decimals)) {
    return form;
  }
  constexpr std::int64_t kMax = std::numeric_limits<std::int64_t>::max();
  std::int64_t units = 0, parts = 0;
  const bool fits = absl::SimpleAtoi(whole, &units) && units <= kMax / kBillion &&
                    absl::SimpleAtoi(fraction, &parts);
  for (std::size_t i = fraction.size(); i < kMoneyDecimals; ++i) parts *= 10;
  if (!fits || units * kBillion > kMax - parts) return "must be at most 9223372036.854775807";
  billionths = units * kBillion + parts;
  return "";
}

void ReadQuotas(const FileField& field, QuotaLimits& quotas) {
  const auto rate = [](std::optional<double>& limit) {
    return [&limit](const FileField& value) { limit = ReadRate(value); };
  };
  const auto burst = [&field](const char* needs, double& limit) {
    return [&field, needs, &limit](const FileField& value) {
      if (const auto count = ReadCount(value, 1, kMaxRate)) limit = static_cast<double>(*count);
      if (!field.Has(needs)) value.RefuseValue(absl::StrCat("needs ", needs));
    };
  };
  const auto count = [](std::optional<std::int64_t>& limit, std::int64_t min, std::int64_t max) {
    return [&limit, min, max](const FileField& value) { limit = ReadCount(value, min, max); };
  };
  if (field.IsEmpty()) field.Refuse("must have at least one limit");
  field.ReadKeys({
      {"reads_per_second", Presence::kOptional, rate(quotas.reads_per_second)},
      {"reads_burst", Presence::kOptional, burst("reads_per_second", quotas.reads_burst)},
      {"writes_per_second", Presence::kOptional, rate(quotas.writes_per_second)},
      {"writes_burst", Presence::kOptional, burst("writes_per_second", quotas.writes_burst)},
      {"calls_in_flight", Presence::kOptional, count(quotas.calls_in_flight, 1, 1'000'000)},
      {"watchers", Presence::kOptional, count(quotas.watchers, 0, 1'000'000)},
      {"rows_per_minute", Presence::kOptional, count(quotas.rows_per_minute, 1, kMaxCount)},
  });
}

std::shared_ptr<const SpendingLimits> ReadSpending(const FileField& field) {
  auto limits = std::make_shared<SpendingLimits>();
  const auto count = [](std::optional<std::int64_t>& limit) {
    return [&limit](const FileField& value) { limit = ReadCount(value, 0, kMaxCount); };
  };
  const auto misplaced = [](const FileField& value) {
    value.Refuse("a limit of money stands below currencies.CODE, as currencies.USD");
  };
  if (field.IsEmpty()) field.Refuse("must have at least one limit");
  field.ReadKeys({
      {"purchases_per_day", Presence::kOptional, count(limits->purchases_per_day)},
      {"live_leases", Presence::kOptional, count(limits->live_leases)},
      {"currencies", Presence::kOptional,
       [&](const FileField& value) { ReadCurrencies(value, *limits); }},
      {"monthly_rate", Presence::kRefused, misplaced},
      {"upfront_fee", Presence::kRefused, misplaced},
      {"money_per_day", Presence::kRefused, misplaced},
      {"money_per_month", Presence::kRefused, misplaced},
  });
  return limits;
}

}  // namespace leasegateway
