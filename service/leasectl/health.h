#ifndef LEASE_GATEWAY_SERVICE_LEASECTL_HEALTH_H_
#define LEASE_GATEWAY_SERVICE_LEASECTL_HEALTH_H_

#include <string>

#include "service/leasectl/client.h"
#include "service/leasectl/errors.h"

namespace leasegateway {

// Asks whether the gateway is serving `service`, or at all when that is empty, and prints it.
ExitCode Health(const GlobalOptions& options, const std::string& service);

}  // namespace leasegateway

#endif  // LEASE_GATEWAY_SERVICE_LEASECTL_HEALTH_H_
