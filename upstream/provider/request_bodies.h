#ifndef LEASE_GATEWAY_UPSTREAM_PROVIDER_REQUEST_BODIES_H_
#define LEASE_GATEWAY_UPSTREAM_PROVIDER_REQUEST_BODIES_H_

#include <string>
#include <string_view>

#include "leasegateway/v1/resources.pb.h"

namespace leasegateway {

// The bodies of requests, as JSON.
std::string EncodeCreateLease(v1::BillingMethod method);  // UNSPECIFIED: "{}"
std::string EncodeFailover(const v1::Failover& failover);
std::string EncodeEnableCallForwarding(std::string_view forward_to);

}  // namespace leasegateway

#endif  // LEASE_GATEWAY_UPSTREAM_PROVIDER_REQUEST_BODIES_H_
