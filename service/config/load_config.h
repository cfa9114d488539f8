#ifndef LEASE_GATEWAY_SERVICE_CONFIG_LOAD_CONFIG_H_
#define LEASE_GATEWAY_SERVICE_CONFIG_LOAD_CONFIG_H_

#include <functional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "service/config/invocation.h"

namespace leasegateway {

// Reads flags, environment and the YAML file; the stronger wins: flag, environment, file, default.
// INVALID_ARGUMENT with all errors at once, a line each, as
//   FILE:LINE: key: "value": rule      environment NAME: "value": rule      flag --name: …
// `getenv` returns null for what is not set. `environment_names` are the names of all variables, so
// that a LEASE_GATEWAY_ one that sets nothing is an error; empty: not checked.
// Reads files; no other side effect.
absl::StatusOr<Invocation> LoadConfig(int argc, const char* const* argv,
                                      const std::function<const char*(const char*)>& getenv,
                                      const std::vector<std::string>& environment_names = {});

// The names of the process's environment variables.
std::vector<std::string> EnvironmentNames();

}  // namespace leasegateway

#endif  // LEASE_GATEWAY_SERVICE_CONFIG_LOAD_CONFIG_H_
