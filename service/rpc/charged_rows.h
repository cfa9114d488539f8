#ifndef LEASE_GATEWAY_SERVICE_RPC_CHARGED_ROWS_H_
#define LEASE_GATEWAY_SERVICE_RPC_CHARGED_ROWS_H_

#include <grpcpp/support/byte_buffer.h>

#include <cstdint>

#include "service/rpc/call_caller.h"
#include "service/rpc/call_metrics.h"

namespace leasegateway {

// How many rows a serialised reply to a list has: those of its field 1. Parses none of them.
std::int64_t CountRows(const grpc::ByteBuffer& reply);

// Takes the rows of a list's reply from the caller's limit, if it has one.
void ChargeRows(const CallCaller& caller, Method method, const grpc::ByteBuffer& reply);

}  // namespace leasegateway

#endif  // LEASE_GATEWAY_SERVICE_RPC_CHARGED_ROWS_H_
