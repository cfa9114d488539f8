#ifndef LEASE_GATEWAY_SERVICE_PROCESS_PROVIDER_URL_H_
#define LEASE_GATEWAY_SERVICE_PROCESS_PROVIDER_URL_H_

#include <string>

#include "absl/strings/string_view.h"

namespace leasegateway {

// The rule that a URL of the provider breaks; empty: none. `secrets_rule` says where keys come from
// instead.
std::string CheckProviderUrl(absl::string_view value, absl::string_view secrets_rule);

}  // namespace leasegateway

#endif  // LEASE_GATEWAY_SERVICE_PROCESS_PROVIDER_URL_H_
