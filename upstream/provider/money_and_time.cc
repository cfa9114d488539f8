#include "upstream/provider/money_and_time.h"

#include <algorithm>
#include <limits>
#include <string>

#include "absl/strings/ascii.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace leasegateway {
namespace {

// From here on a time is in milliseconds: it is 1973 in those, and the year 5138 in seconds.
constexpr int64_t kMillisecondsFrom = 100'000'000'000;
// What google.protobuf.Timestamp can hold: the years 1 to 9999.
constexpr int64_t kMinSeconds = -62'135'596'800;
constexpr int64_t kMaxSeconds = 253'402'300'799;
constexpr int32_t kNanosPerUnit = 1'000'000'000;

// Whether `text` starts with `prefix`, which is then cut off.
bool Consume(std::string_view prefix, std::string_view& text) {
  if (!text.starts_with(prefix)) return false;
  text.remove_prefix(prefix.size());
  return true;
}

// A JSON number taken apart: 0.DIGITS times ten to the power of `point`.
struct DecimalText {
  bool negative = false;
  std::string digits;  // without leading and trailing zeros; empty: zero
  int64_t point = 0;
};

// Nothing when the text does not follow the grammar of RFC 8259, section 6.
std::optional<DecimalText> SplitDecimal(std::string_view text) {
  const auto take_digits = [&text] {
    const size_t count = std::min(text.find_first_not_of("0123456789"), text.size());
    const std::string_view digits = text.substr(0, count);
    text.remove_prefix(count);
    return digits;
  };
  DecimalText result;
  result.negative = Consume("-", text);
  const std::string_view whole = take_digits();
  if (whole.empty() || (whole.size() > 1 && whole[0] == '0')) return std::nullopt;
  result.digits = whole;
  result.point = static_cast<int64_t>(whole.size());
  if (Consume(".", text)) {
    const std::string_view fraction = take_digits();
    if (fraction.empty()) return std::nullopt;
    result.digits += fraction;
  }
  if (Consume("e", text) || Consume("E", text)) {
    const bool negative_exponent = Consume("-", text);
    if (!negative_exponent) Consume("+", text);
    const std::string_view digits = take_digits();
    if (digits.empty()) return std::nullopt;
    // Clamped far beyond every number that fits, so that the sums below can't overflow.
    int64_t exponent = 0;
    for (const char c : digits) exponent = std::min<int64_t>(exponent * 10 + (c - '0'), 1LL << 40);
    result.point += negative_exponent ? -exponent : exponent;
  }
  if (!text.empty()) return std::nullopt;
  const size_t zeros = std::min(result.digits.find_first_not_of('0'), result.digits.size());
  result.digits.erase(0, zeros);
  result.point -= static_cast<int64_t>(zeros);
  result.digits.erase(result.digits.find_last_not_of('0') + 1);
  if (result.digits.empty()) result.point = 0;
  return result;
}

bool SetTimestamp(int64_t seconds, int64_t nanos, google::protobuf::Timestamp& out) {
  if (nanos < 0) {
    --seconds;
    nanos += kNanosPerUnit;
  }
  if (seconds < kMinSeconds || seconds > kMaxSeconds) return false;
  out.set_seconds(seconds);
  out.set_nanos(static_cast<int32_t>(nanos));
  return true;
}

// Seconds or milliseconds since the epoch: the provider has both, so the magnitude decides.
bool ParseEpoch(std::string_view text, google::protobuf::Timestamp& out) {
  const std::optional<FixedPoint> time = ParseFixedPoint(text);
  if (!time) return false;
  if (time->units < kMillisecondsFrom && time->units > -kMillisecondsFrom) {
    return SetTimestamp(time->units, time->nanos, out);
  }
  return SetTimestamp(time->units / 1000, time->units % 1000 * 1'000'000 + time->nanos / 1000, out);
}

// ISO 8601: a date with a time, or a date alone; UTC when it names no offset.
bool ParseIsoTime(std::string_view text, google::protobuf::Timestamp& out) {
  // ParseTime also takes "infinite-future" and leading spaces.
  if (text.empty() || !absl::ascii_isdigit(static_cast<unsigned char>(text.front()))) return false;
  for (const char* format : {absl::RFC3339_full, "%Y-%m-%d%ET%H:%M:%E*S", "%Y-%m-%d"}) {
    absl::Time time;
    if (!absl::ParseTime(format, absl::string_view(text.data(), text.size()), &time, nullptr))
      continue;
    const int64_t seconds = absl::ToUnixSeconds(time);
    const absl::Duration rest = time - absl::FromUnixSeconds(seconds);
    return SetTimestamp(seconds, absl::ToInt64Nanoseconds(rest), out);
  }
  return false;
}

}  // namespace

bool IsDecimal(std::string_view text) { return SplitDecimal(text).has_value(); }

std::optional<FixedPoint> ParseFixedPoint(std::string_view text) {
  const std::optional<DecimalText> decimal = SplitDecimal(text);
  if (!decimal) return std::nullopt;
  constexpr int64_t kMax = std::numeric_limits<int64_t>::max();
  constexpr int64_t kMostUnitDigits = 19;
  if (decimal->point > kMostUnitDigits) return std::nullopt;
  const auto size = static_cast<int64_t>(decimal->digits.size());
  const auto digit_at = [&](int64_t index) {
    return index >= 0 && index < size ? decimal->digits[static_cast<size_t>(index)] - '0' : 0;
  };
  FixedPoint result;
  for (int64_t i = 0; i < decimal->point; ++i) {
    if (result.units > (kMax - digit_at(i)) / 10) return std::nullopt;
    result.units = result.units * 10 + digit_at(i);
  }
  for (int64_t i = decimal->point; i < decimal->point + 9; ++i) {
    result.nanos = result.nanos * 10 + digit_at(i);
  }
  result.exact = decimal->point + 9 >= size;
  if (digit_at(decimal->point + 9) >= 5 && ++result.nanos == kNanosPerUnit) {
    if (result.units == kMax) return std::nullopt;
    ++result.units;
    result.nanos = 0;
  }
  if (decimal->negative) {
    result.units = -result.units;
    result.nanos = -result.nanos;
  }
  return result;
}

std::optional<int64_t> ParseInteger(std::string_view text) {
  const std::optional<FixedPoint> fixed = ParseFixedPoint(text);
  if (!fixed || !fixed->exact || fixed->nanos != 0) return std::nullopt;
  return fixed->units;
}

bool ParseProviderTime(std::string_view text, google::protobuf::Timestamp& out) {
  return ParseEpoch(text, out) || ParseIsoTime(text, out);
}

}  // namespace leasegateway
