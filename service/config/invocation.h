#ifndef LEASE_GATEWAY_SERVICE_CONFIG_INVOCATION_H_
#define LEASE_GATEWAY_SERVICE_CONFIG_INVOCATION_H_

#include <string>

#include "service/config/config.h"

namespace leasegateway {

// What the command line asks for.
struct Invocation {
  enum class Action { kServe, kCheckConfig, kPrintConfig, kPrintMetrics, kMigrate, kExit };
  Action action = Action::kServe;
  Config config;
  std::string config_file;  // empty: none
  std::string output;       // for kExit (--help, --version) and kPrintConfig: what to print
};

}  // namespace leasegateway

#endif  // LEASE_GATEWAY_SERVICE_CONFIG_INVOCATION_H_
