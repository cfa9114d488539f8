#ifndef LEASE_GATEWAY_UPSTREAM_POSTGRES_POOLED_CONNECTION_H_
#define LEASE_GATEWAY_UPSTREAM_POSTGRES_POOLED_CONNECTION_H_

#include <boost/asio/awaitable.hpp>
#include <memory>

#include "upstream/wakeup.h"

namespace leasegateway::postgres {

class ConnectionPool;

// One connection of the pool: connects, runs what the pool has, and connects again, until the pool
// says that it is not needed. Spawned on the wakeup's strand.
boost::asio::awaitable<void> ServeRequests(std::shared_ptr<ConnectionPool> pool,
                                           std::shared_ptr<Wakeup> wakeup);

}  // namespace leasegateway::postgres

#endif  // LEASE_GATEWAY_UPSTREAM_POSTGRES_POOLED_CONNECTION_H_
