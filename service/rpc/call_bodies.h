#ifndef LEASE_GATEWAY_SERVICE_RPC_CALL_BODIES_H_
#define LEASE_GATEWAY_SERVICE_RPC_CALL_BODIES_H_

#include <boost/asio/awaitable.hpp>
#include <type_traits>

#include "absl/status/status.h"
#include "leasegateway/v1/lease_service.pb.h"
#include "upstream/availability/caching_lease_api.h"
#include "upstream/call_context.h"
#include "upstream/leasing/recorded_lease_api.h"

namespace leasegateway {

// What a call does that memory has not answered: a coroutine an RPC, which awaits the provider and
// moves its answer into `response`. `request` is valid; both live until it ends. On the call's
// strand.

boost::asio::awaitable<absl::Status> Do(RecordedLeaseApi& api, CallContext context,
                                        const v1::CreateLeaseRequest* request,
                                        v1::CreateLeaseResponse* response);
boost::asio::awaitable<absl::Status> Do(RecordedLeaseApi& api, CallContext context,
                                        const v1::LeaseAnyNumberRequest* request,
                                        v1::LeaseAnyNumberResponse* response);
boost::asio::awaitable<absl::Status> Do(RecordedLeaseApi& api, CallContext context,
                                        const v1::TerminateLeaseRequest* request,
                                        v1::TerminateLeaseResponse* response);
boost::asio::awaitable<absl::Status> Do(RecordedLeaseApi& api, CallContext context,
                                        const v1::GetOperationRequest* request,
                                        v1::GetOperationResponse* response);
boost::asio::awaitable<absl::Status> Do(RecordedLeaseApi& api, CallContext context,
                                        const v1::ListOperationsRequest* request,
                                        v1::ListOperationsResponse* response);
boost::asio::awaitable<absl::Status> Do(CachingLeaseApi& api, CallContext context,
                                        const v1::GetLeaseRequest* request,
                                        v1::GetLeaseResponse* response);
boost::asio::awaitable<absl::Status> Do(CachingLeaseApi& api, CallContext context,
                                        const v1::BatchGetNumbersRequest* request,
                                        v1::BatchGetNumbersResponse* response);
boost::asio::awaitable<absl::Status> Do(CachingLeaseApi& api, CallContext context,
                                        const v1::ConfigureFailoverRequest* request,
                                        v1::ConfigureFailoverResponse* response);
boost::asio::awaitable<absl::Status> Do(CachingLeaseApi& api, CallContext context,
                                        const v1::GetCallForwardingRequest* request,
                                        v1::GetCallForwardingResponse* response);
boost::asio::awaitable<absl::Status> Do(CachingLeaseApi& api, CallContext context,
                                        const v1::EnableCallForwardingRequest* request,
                                        v1::EnableCallForwardingResponse* response);
boost::asio::awaitable<absl::Status> Do(CachingLeaseApi& api, CallContext context,
                                        const v1::DisableCallForwardingRequest* request,
                                        v1::DisableCallForwardingResponse* response);

// Whether RecordedLeaseApi answers it.
template <typename Request>
concept Recorded = std::is_same_v<Request, v1::CreateLeaseRequest> ||
    std::is_same_v<Request, v1::LeaseAnyNumberRequest> ||
    std::is_same_v<Request, v1::TerminateLeaseRequest> ||
    std::is_same_v<Request, v1::GetOperationRequest> ||
    std::is_same_v<Request, v1::ListOperationsRequest>;

}  // namespace leasegateway

#endif  // LEASE_GATEWAY_SERVICE_RPC_CALL_BODIES_H_
