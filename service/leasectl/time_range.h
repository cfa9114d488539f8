#ifndef LEASE_GATEWAY_SERVICE_LEASECTL_TIME_RANGE_H_
#define LEASE_GATEWAY_SERVICE_LEASECTL_TIME_RANGE_H_

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "google/protobuf/timestamp.pb.h"

namespace leasegateway {

// A month of UTC: from `start` on, before `end`.
struct Month {
  std::string name;  // "2026-11"
  absl::Time start;
  absl::Time end;
};

// "2026-11", from 1970 on. The error is the rule, without the value.
absl::StatusOr<Month> ParseMonth(absl::string_view text);

// A time of RFC 3339, or a date, which is its midnight in UTC, from 1970 on. The error is the rule,
// without the value.
absl::StatusOr<absl::Time> ParseInstant(absl::string_view text);

// To the nanosecond, rounded down.
google::protobuf::Timestamp ToTimestamp(absl::Time time);

// For CLI11: what is wrong with a value, or nothing.
std::string CheckMonth(const std::string& value);
std::string CheckInstant(const std::string& value);

}  // namespace leasegateway

#endif  // LEASE_GATEWAY_SERVICE_LEASECTL_TIME_RANGE_H_
