#ifndef LEASE_GATEWAY_UPSTREAM_LOOKUP_COUNTS_H_
#define LEASE_GATEWAY_UPSTREAM_LOOKUP_COUNTS_H_

#include <atomic>
#include <cstdint>

namespace leasegateway {

// Look-ups of the name that is dialled on the road to the provider, by how they ended. Those that
// the end of the gateway broke off are not counted.
struct LookupCounts {
  std::atomic<std::uint64_t> found{0};   // an address of one family at least
  std::atomic<std::uint64_t> failed{0};  // also where the last addresses stand in
};

}  // namespace leasegateway

#endif  // LEASE_GATEWAY_UPSTREAM_LOOKUP_COUNTS_H_
