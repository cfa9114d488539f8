#ifndef LEASE_GATEWAY_UPSTREAM_PROVIDER_MONEY_AND_TIME_H_
#define LEASE_GATEWAY_UPSTREAM_PROVIDER_MONEY_AND_TIME_H_

#include <cstdint>
#include <optional>
#include <string_view>

#include "google/protobuf/timestamp.pb.h"

namespace leasegateway {

// What the texts of numbers and times mean, exactly: no double on the way. Thread-safe.

// Whether it is a number by the grammar of RFC 8259, section 6, however large.
bool IsDecimal(std::string_view text);

struct FixedPoint {
  int64_t units = 0;
  int32_t nanos = 0;   // of the same sign as `units`
  bool exact = false;  // false: rounded, because there are decimals after the ninth
};

// To the nearest billionth, halves away from zero. Nothing when the text is not a number or its
// units don't fit.
std::optional<FixedPoint> ParseFixedPoint(std::string_view text);

// The same of a whole number; nothing for any other.
std::optional<int64_t> ParseInteger(std::string_view text);

// A number of seconds or milliseconds since the epoch, or ISO 8601. False, with `out` as it was,
// for anything else and for what a Timestamp can't hold.
bool ParseProviderTime(std::string_view text, google::protobuf::Timestamp& out);

}  // namespace leasegateway

#endif  // LEASE_GATEWAY_UPSTREAM_PROVIDER_MONEY_AND_TIME_H_
