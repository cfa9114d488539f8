#ifndef LEASE_GATEWAY_SERVICE_LEASECTL_COMPLETION_H_
#define LEASE_GATEWAY_SERVICE_LEASECTL_COMPLETION_H_

#include <string>

#include "CLI/CLI.hpp"

namespace leasegateway {

// A completion script for "bash", "zsh" or "fish", read off the commands and options of `app`.
std::string CompletionScript(const CLI::App& app, const std::string& shell);

}  // namespace leasegateway

#endif  // LEASE_GATEWAY_SERVICE_LEASECTL_COMPLETION_H_
