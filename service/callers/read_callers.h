#ifndef LEASE_GATEWAY_SERVICE_CALLERS_READ_CALLERS_H_
#define LEASE_GATEWAY_SERVICE_CALLERS_READ_CALLERS_H_

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "service/callers/callers_policy.h"

namespace leasegateway {

struct ReadCallersOptions {
  bool sandbox = false;     // accounts need no key, and the key files of those that name one stay
  bool reads_files = true;  // that the callers file names; false: their paths alone are checked
};

// Reads a callers file (README.md has its format) and the files that it names. INVALID_ARGUMENT: a
// line each problem, `FILE:LINE:COLUMN: key.path: "value": rule`; FILE: "FILE: cannot be read:
// ...".
absl::StatusOr<CallersPolicy> ReadCallers(const std::string& path,
                                          const ReadCallersOptions& options);
// The same of the text that the file has.
absl::StatusOr<CallersPolicy> ParseCallers(absl::string_view text, const std::string& path,
                                           const ReadCallersOptions& options);

// The text of a callers file. INVALID_ARGUMENT: `FILE: rule`.
absl::StatusOr<std::string> ReadCallersText(const std::string& path);

}  // namespace leasegateway

#endif  // LEASE_GATEWAY_SERVICE_CALLERS_READ_CALLERS_H_
