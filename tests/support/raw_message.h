#ifndef LEASE_GATEWAY_TESTS_SUPPORT_RAW_MESSAGE_H_
#define LEASE_GATEWAY_TESTS_SUPPORT_RAW_MESSAGE_H_

#include <grpcpp/support/byte_buffer.h>
#include <grpcpp/support/slice.h>

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "service/rpc/compressed_request.h"

namespace leasegateway {

// A message in slices of `step` bytes, which says of itself that it is compressed like that.
inline grpc::ByteBuffer RawMessage(std::string_view bytes,
                                   grpc_compression_algorithm compression = GRPC_COMPRESS_NONE,
                                   std::size_t step = std::string_view::npos) {
  std::vector<grpc::Slice> slices;
  for (std::size_t at = 0; at < bytes.size(); at += slices.back().size()) {
    slices.emplace_back(std::string(bytes.substr(at, step)));
  }
  grpc::ByteBuffer buffer(slices.data(), slices.size());
  grpc::internal::GrpcByteBufferPeer::Inside(&buffer)->data.raw.compression = compression;
  return buffer;
}

// Of one that can be read.
inline std::string BytesOf(const grpc::ByteBuffer& buffer) {
  std::vector<grpc::Slice> slices;
  if (!buffer.Dump(&slices).ok()) return "can't be read";
  std::string bytes;
  for (const grpc::Slice& slice : slices) {
    bytes.append(reinterpret_cast<const char*>(slice.begin()), slice.size());
  }
  return bytes;
}

}  // namespace leasegateway

#endif  // LEASE_GATEWAY_TESTS_SUPPORT_RAW_MESSAGE_H_
