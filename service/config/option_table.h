#ifndef LEASE_GATEWAY_SERVICE_CONFIG_OPTION_TABLE_H_
#define LEASE_GATEWAY_SERVICE_CONFIG_OPTION_TABLE_H_

#include <vector>

#include "absl/strings/string_view.h"
#include "service/config/option.h"

namespace leasegateway {

// All options, in the order in which they are listed. A new one is a field of Config and a line of
// the table in option_table.cc.
const std::vector<Option>& Options();

// The option whose key is `key`, or null.
const Option* FindOption(absl::string_view key);

// Whether it says nothing where the embedded sandbox takes the provider's place.
bool IsUpstreamOnly(const Option& option);

}  // namespace leasegateway

#endif  // LEASE_GATEWAY_SERVICE_CONFIG_OPTION_TABLE_H_
