#include "service/leasectl/time_range.h"

#include <cstddef>
#include <cstdint>

#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"

namespace leasegateway {
namespace {

// Whether the text begins so: '0' stands for a digit, and another character for itself.
bool HasShape(absl::string_view text, absl::string_view shape) {
  if (text.size() < shape.size()) return false;
  for (std::size_t i = 0; i < shape.size(); ++i) {
    const auto byte = static_cast<unsigned char>(text[i]);
    if (shape[i] == '0' ? !absl::ascii_isdigit(byte) : text[i] != shape[i]) return false;
  }
  return true;
}

// What is after the seconds: "Z" or "+01:00", perhaps behind decimals.
bool IsFractionAndOffset(absl::string_view text) {
  if (!text.empty() && text[0] == '.') {
    const std::size_t end = text.find_first_not_of("0123456789", 1);
    if (end == text.npos || end == 1) return false;
    text.remove_prefix(end);
  }
  if (text == "Z" || text == "z") return true;
  return text.size() == 6 && (HasShape(text, "+00:00") || HasShape(text, "-00:00"));
}

template <class Parsed>
std::string Check(const std::string& value, const absl::StatusOr<Parsed>& parsed) {
  return parsed.ok() ? "" : absl::StrCat("\"", value, "\" ", parsed.status().message());
}

}  // namespace

absl::StatusOr<Month> ParseMonth(absl::string_view text) {
  int year = 0;
  int month = 0;
  // No timestamp is of the year 10000, in which the last month of 9999 ends.
  if (text.size() != 7 || !HasShape(text, "0000-00") ||
      !absl::SimpleAtoi(text.substr(0, 4), &year) || !absl::SimpleAtoi(text.substr(5), &month) ||
      year < 1970 || year > 9998 || month < 1 || month > 12) {
    return absl::InvalidArgumentError("must be a month from 1970 on, such as 2026-11");
  }
  // The thirteenth month is the first of the next year.
  return Month{std::string(text),
               absl::FromCivil(absl::CivilMonth(year, month), absl::UTCTimeZone()),
               absl::FromCivil(absl::CivilMonth(year, month + 1), absl::UTCTimeZone())};
}

absl::StatusOr<absl::Time> ParseInstant(absl::string_view text) {
  const bool is_date = text.size() == 10 && HasShape(text, "0000-00-00");
  const bool is_time =
      (HasShape(text, "0000-00-00T00:00:00") || HasShape(text, "0000-00-00t00:00:00")) &&
      IsFractionAndOffset(text.substr(19));
  absl::Time time;
  std::string error;
  if ((!is_date && !is_time) ||
      !absl::ParseTime(is_date ? "%Y-%m-%d" : absl::RFC3339_full, text, &time, &error) ||
      time < absl::UnixEpoch()) {
    return absl::InvalidArgumentError(
        "must be a date such as 2026-11-30 or a time such as 2026-11-30T12:00:00Z, from 1970 on");
  }
  return time;
}

google::protobuf::Timestamp ToTimestamp(absl::Time time) {
  google::protobuf::Timestamp timestamp;
  const std::int64_t seconds = absl::ToUnixSeconds(time);
  timestamp.set_seconds(seconds);
  timestamp.set_nanos(
      static_cast<std::int32_t>(absl::ToInt64Nanoseconds(time - absl::FromUnixSeconds(seconds))));
  return timestamp;
}

std::string CheckMonth(const std::string& value) { return Check(value, ParseMonth(value)); }

std::string CheckInstant(const std::string& value) { return Check(value, ParseInstant(value)); }

}  // namespace leasegateway
