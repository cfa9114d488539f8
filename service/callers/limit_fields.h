#ifndef LEASE_GATEWAY_SERVICE_CALLERS_LIMIT_FIELDS_H_
#define LEASE_GATEWAY_SERVICE_CALLERS_LIMIT_FIELDS_H_

#include <cstdint>
#include <memory>
#include <string>

#include "absl/strings/string_view.h"
#include "service/callers/callers_policy.h"
#include "service/callers/file_field.h"
#include "upstream/leasing/journal/spending.h"

namespace leasegateway {

// An exact decimal of at most `decimals` places (at most nine) as billionths. Returns the rule that
// the text breaks; empty: none.
std::string ParseBillionths(absl::string_view text, int decimals, std::int64_t& billionths);

// The value of `quotas`.
void ReadQuotas(const FileField& field, QuotaLimits& quotas);
// The value of `spending`, without the limits that are not as they must be. Never null.
std::shared_ptr<const SpendingLimits> ReadSpending(const FileField& field);

}  // namespace leasegateway

#endif  // LEASE_GATEWAY_SERVICE_CALLERS_LIMIT_FIELDS_H_
