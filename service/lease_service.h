#ifndef LEASE_GATEWAY_SERVICE_LEASE_SERVICE_H_
#define LEASE_GATEWAY_SERVICE_LEASE_SERVICE_H_

#include <memory>

#include "leasegateway/v1/lease_service.grpc.pb.h"
#include "service/unary_call.h"
#include "upstream/lease_api.h"

namespace leasegateway {

// A function an RPC: validates, then asks `api`. Both arguments must outlive it.
std::unique_ptr<v1::LeaseService::CallbackService> MakeLeaseService(const CallRuntime& runtime,
                                                                    LeaseApi& api);

}  // namespace leasegateway

#endif  // LEASE_GATEWAY_SERVICE_LEASE_SERVICE_H_
