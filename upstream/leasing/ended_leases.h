#ifndef LEASE_GATEWAY_UPSTREAM_LEASING_ENDED_LEASES_H_
#define LEASE_GATEWAY_UPSTREAM_LEASING_ENDED_LEASES_H_

#include <boost/asio/awaitable.hpp>
#include <memory>

#include "upstream/call_context.h"
#include "upstream/leasing/leasing_parts.h"

namespace leasegateway {

// Looks past memory whether leases of the account that count as live have ended outside the
// gateway, and makes room for what they took. That one is not in the provider's list is no proof:
// items that can't be read are left out of it, so its number is looked at as well, of a few leases
// at a time. One that was bought within the settle time is left alone. True: some have ended.
//
// Once a settle time for all who ask, since a caller that has reached its limit may ask for ever.
boost::asio::awaitable<bool> FindEndedLeases(std::shared_ptr<const LeasingParts> parts,
                                             CallContext context);

}  // namespace leasegateway

#endif  // LEASE_GATEWAY_UPSTREAM_LEASING_ENDED_LEASES_H_
