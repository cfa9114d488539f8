#ifndef LEASE_GATEWAY_SERVICE_GUARD_FREE_MEMORY_H_
#define LEASE_GATEWAY_SERVICE_GUARD_FREE_MEMORY_H_

namespace leasegateway {

// Gives memory that is free back to the system, whoever allocated it: by jemalloc or mimalloc if
// the program has one of them, else by glibc. mimalloc 2.0 can give back only what the calling
// thread allocated; for the rest each thread has to call ReturnFreeMemoryOfThisThread. May take 100
// ms and more for each GiB. Thread-safe.
void ReturnFreeMemory();

// To be called often by threads that allocate, as beside each read from a socket: gives back, with
// mimalloc, what this thread allocated, once after each call of ReturnFreeMemory. Costs a load
// else.
void ReturnFreeMemoryOfThisThread();

}  // namespace leasegateway

#endif  // LEASE_GATEWAY_SERVICE_GUARD_FREE_MEMORY_H_
