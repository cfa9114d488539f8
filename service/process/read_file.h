#ifndef LEASE_GATEWAY_SERVICE_PROCESS_READ_FILE_H_
#define LEASE_GATEWAY_SERVICE_PROCESS_READ_FILE_H_

#include <cstddef>
#include <string>

#include "absl/status/statusor.h"

namespace leasegateway {

// The file's content. The error's message is the rule that the file breaks, as "cannot be read: No
// such file or directory". `max_bytes` is whole KiB.
absl::StatusOr<std::string> ReadFile(const std::string& path, std::size_t max_bytes);

}  // namespace leasegateway

#endif  // LEASE_GATEWAY_SERVICE_PROCESS_READ_FILE_H_
