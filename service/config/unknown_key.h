#ifndef LEASE_GATEWAY_SERVICE_CONFIG_UNKNOWN_KEY_H_
#define LEASE_GATEWAY_SERVICE_CONFIG_UNKNOWN_KEY_H_

#include <functional>
#include <string>

#include "absl/strings/string_view.h"
#include "service/config/option.h"

namespace leasegateway {

// What to say of a key that is none: where secrets belong, or which option may be meant. `name`
// tells how an option is called where `key` was found.
std::string UnknownRule(absl::string_view key,
                        const std::function<std::string(const Option&)>& name);

}  // namespace leasegateway

#endif  // LEASE_GATEWAY_SERVICE_CONFIG_UNKNOWN_KEY_H_
