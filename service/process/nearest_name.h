#ifndef LEASE_GATEWAY_SERVICE_PROCESS_NEAREST_NAME_H_
#define LEASE_GATEWAY_SERVICE_PROCESS_NEAREST_NAME_H_

#include <string>
#include <vector>

#include "absl/strings/string_view.h"

namespace leasegateway {

// Which of `names` somebody may have meant who wrote `word`: the one that the fewest changes of
// letters make of it; empty: none is near.
std::string NearestName(absl::string_view word, const std::vector<std::string>& names);

}  // namespace leasegateway

#endif  // LEASE_GATEWAY_SERVICE_PROCESS_NEAREST_NAME_H_
