#ifndef LEASE_GATEWAY_SERVICE_RPC_PINNED_SLICE_H_
#define LEASE_GATEWAY_SERVICE_RPC_PINNED_SLICE_H_

#include <grpcpp/support/byte_buffer.h>

#include <memory>
#include <string>

#include "upstream/availability/shared_bytes.h"

namespace leasegateway {

// Takes over bytes in the form in which gRPC sends them without a copy: a PinBytes. The
// functions below take only bytes that it made.
std::shared_ptr<const SharedBytes> PinSlice(std::string bytes);

// A message that shares the bytes, which live until it is sent.
grpc::ByteBuffer ToByteBuffer(const SharedBytes& bytes);
grpc::ByteBuffer ToByteBuffer(const SharedBytes& bytes, BytesRange range);
grpc::ByteBuffer ToByteBuffer(const ReplyBytes& reply);
// A message that owns its bytes.
grpc::ByteBuffer ToByteBuffer(std::string bytes);

}  // namespace leasegateway

#endif  // LEASE_GATEWAY_SERVICE_RPC_PINNED_SLICE_H_
