#ifndef LEASE_GATEWAY_UPSTREAM_CLUSTER_REPLICA_H_
#define LEASE_GATEWAY_UPSTREAM_CLUSTER_REPLICA_H_

#include <cstdint>

namespace leasegateway {

// This process among those that share a database: table lease_gateway.replica. It is alive by the
// database's clock until `alive_until`, which it moves on once a second (`ownership_time`, 6 s by
// default, ahead). Whoever finds it dead may take over what it owns.
class Replica {
 public:
  virtual ~Replica() = default;

  // Chosen at random at the start, 63 bits, above 0: the owner in other tables.
  virtual std::int64_t id() const = 0;
  // Replicas that are alive, this one included, as of the latest heartbeat; 1 while the database is
  // away and none is known. Never waits. Thread-safe.
  virtual int alive() const = 0;
};

}  // namespace leasegateway

#endif  // LEASE_GATEWAY_UPSTREAM_CLUSTER_REPLICA_H_
