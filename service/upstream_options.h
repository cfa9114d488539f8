#ifndef LEASE_GATEWAY_SERVICE_UPSTREAM_OPTIONS_H_
#define LEASE_GATEWAY_SERVICE_UPSTREAM_OPTIONS_H_

#include "absl/status/statusor.h"
#include "service/config/config.h"
#include "upstream/lease_api_factory.h"

namespace leasegateway {

// The part of the configuration that the provider's stack is made by, but for the API key.
// INVALID_ARGUMENT: see RoadOf.
absl::StatusOr<UpstreamOptions> UpstreamOptionsOf(const Config& config);

}  // namespace leasegateway

#endif  // LEASE_GATEWAY_SERVICE_UPSTREAM_OPTIONS_H_
