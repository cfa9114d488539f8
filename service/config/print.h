#ifndef LEASE_GATEWAY_SERVICE_CONFIG_PRINT_H_
#define LEASE_GATEWAY_SERVICE_CONFIG_PRINT_H_

#include <string>
#include <vector>

#include "service/config/config.h"

namespace leasegateway {

// The text of --help.
std::string Help();

// The config as YAML that LoadConfig reads back, secrets as "REDACTED" in comments. `sources` say
// where each option of the table was set; empty: not said.
std::string PrintConfig(const Config& config, const std::vector<std::string>& sources = {});

}  // namespace leasegateway

#endif  // LEASE_GATEWAY_SERVICE_CONFIG_PRINT_H_
