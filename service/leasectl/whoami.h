#ifndef LEASE_GATEWAY_SERVICE_LEASECTL_WHOAMI_H_
#define LEASE_GATEWAY_SERVICE_LEASECTL_WHOAMI_H_

#include <string>

#include "leasegateway/v1/lease_service.pb.h"

namespace leasegateway {

// Who the caller is, its rights by account, and each limit with what is left of it, for people to
// read. A limit of which nothing is left is red.
std::string Print(const v1::WhoAmIResponse& reply, bool colored);

// Whether somebody with this access may see operations, and whether those of others too.
bool SeesOperations(const v1::AccountAccess& access);
bool SeesAllOperations(const v1::AccountAccess& access);

}  // namespace leasegateway

#endif  // LEASE_GATEWAY_SERVICE_LEASECTL_WHOAMI_H_
