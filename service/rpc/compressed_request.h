#ifndef LEASE_GATEWAY_SERVICE_RPC_COMPRESSED_REQUEST_H_
#define LEASE_GATEWAY_SERVICE_RPC_COMPRESSED_REQUEST_H_

#include <grpc/byte_buffer.h>
#include <grpcpp/support/byte_buffer.h>

#include <cstddef>

#include "absl/status/status.h"

// Declared by gRPC as a friend of its ByteBuffer, for whoever needs what is inside.
namespace grpc::internal {
class GrpcByteBufferPeer {
 public:
  static grpc_byte_buffer* Inside(ByteBuffer* buffer) { return buffer->c_buffer(); }  // null: none
};
}  // namespace grpc::internal

namespace leasegateway {

// gRPC 1.51 inflates a request whole before it looks at its size, so its port has that turned off
// (GRPC_ARG_ENABLE_PER_MESSAGE_DECOMPRESSION) and requests arrive as they were sent.
//
// Where a service of gRPC's own reads one (health, reflection, channelz), it does so with
// grpc_byte_buffer_reader_init, which the program that links this defines in the library's place:
// there they are inflated as well, to at most kMostOfOwnServices bytes. What is larger or broken is
// a request that can't be read, to them.

inline constexpr std::size_t kMostOfOwnServices = 64 << 10;

// Inflates a message in place; one that is not compressed (null as well) stays as it is. Never
// takes more than `limit` bytes and one step besides. RESOURCE_EXHAUSTED, REQUEST_TOO_LARGE, for
// one that would be larger; INVALID_ARGUMENT, INVALID_REQUEST, for what is broken: gRPC would say
// INTERNAL, which leaves open whether anything was done. Then it is of no more use.
absl::Status Inflate(grpc_byte_buffer* message, std::size_t limit);

}  // namespace leasegateway

#endif  // LEASE_GATEWAY_SERVICE_RPC_COMPRESSED_REQUEST_H_
