#ifndef LEASE_GATEWAY_UPSTREAM_AVAILABILITY_ORDER_BY_H_
#define LEASE_GATEWAY_UPSTREAM_AVAILABILITY_ORDER_BY_H_

#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

namespace leasegateway {

// One key of an order (AIP-132). Amounts are ordered by currency code, in which upper and lower
// case are the same, then amount. Numbers without the value come last, ascending or descending.
struct OrderKey {
  enum class Field {
    kMonthlyRate,
    kUpfrontFee,
    kReputation,
    kPreviousOwners,
    kCreateTime,
    kPhoneNumber
  };
  Field field = Field::kPhoneNumber;
  bool descending = false;
  bool operator==(const OrderKey&) const = default;
};
using Order = std::vector<OrderKey>;
// "pricing.monthly_rate desc, phone_number". Empty text: no keys. INVALID_ARGUMENT whose message is
// the rule that was broken, with the offending part.
absl::StatusOr<Order> ParseOrderBy(std::string_view text);

}  // namespace leasegateway

#endif  // LEASE_GATEWAY_UPSTREAM_AVAILABILITY_ORDER_BY_H_
