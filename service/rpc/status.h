#ifndef LEASE_GATEWAY_SERVICE_RPC_STATUS_H_
#define LEASE_GATEWAY_SERVICE_RPC_STATUS_H_

#include <grpcpp/support/status.h>

#include "absl/status/status.h"
#include "google/rpc/status.pb.h"

namespace leasegateway {

// The same code and message, the payloads as google.rpc.Status details (AIP-193). An error without
// an ErrorInfo gets one with reason INTERNAL.
grpc::Status ToGrpcStatus(absl::Status status);
google::rpc::Status ToStatusProto(absl::Status status);

}  // namespace leasegateway

#endif  // LEASE_GATEWAY_SERVICE_RPC_STATUS_H_
