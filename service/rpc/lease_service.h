#ifndef LEASE_GATEWAY_SERVICE_RPC_LEASE_SERVICE_H_
#define LEASE_GATEWAY_SERVICE_RPC_LEASE_SERVICE_H_

#include <grpcpp/impl/codegen/service_type.h>

#include <memory>

#include "service/rpc/search.h"
#include "service/rpc/unary_call.h"
#include "service/rpc/watch.h"
#include "upstream/availability/caching_lease_api.h"
#include "upstream/leasing/recorded_lease_api.h"

namespace leasegateway {

// A function an RPC: validates, answers from memory on gRPC's thread where that is possible, and
// asks `api` otherwise, or `recorded` for what spends and gives back. `api` pins bytes with
// PinSlice. All arguments must outlive it.
std::unique_ptr<grpc::Service> MakeLeaseService(const CallRuntime& runtime, CachingLeaseApi& api,
                                                RecordedLeaseApi& recorded,
                                                AvailabilitySearch& search, WatchHub& watches);

}  // namespace leasegateway

#endif  // LEASE_GATEWAY_SERVICE_RPC_LEASE_SERVICE_H_
