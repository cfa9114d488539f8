#ifndef LEASE_GATEWAY_SERVICE_GUARD_FREE_MEMORY_H_
#define LEASE_GATEWAY_SERVICE_GUARD_FREE_MEMORY_H_

namespace leasegateway {

// Gives memory that is free back to the system, as far as the allocator keeps it.
void ReturnFreeMemory();

}  // namespace leasegateway

#endif  // LEASE_GATEWAY_SERVICE_GUARD_FREE_MEMORY_H_
