#ifndef LEASE_GATEWAY_SERVICE_RPC_RAW_REQUEST_H_
#define LEASE_GATEWAY_SERVICE_RPC_RAW_REQUEST_H_

#include <grpcpp/impl/codegen/proto_utils.h>
#include <grpcpp/support/byte_buffer.h>
#include <grpcpp/support/slice.h>

#include <algorithm>
#include <boost/uuid/random_generator.hpp>
#include <boost/uuid/uuid_io.hpp>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <type_traits>

#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "leasegateway/v1/lease_service.pb.h"
#include "service/rpc/compressed_request.h"
#include "service/rpc/formats.h"
#include "upstream/availability/caching_lease_api.h"
#include "upstream/upstream_error.h"

namespace leasegateway {

inline absl::Status UnreadableError() {
  return MakeError(absl::StatusCode::kInvalidArgument, reason::kInvalidRequest,
                   "the request is no message of this method");
}

// Reads a request as it came over the wire. INVALID_ARGUMENT, INVALID_REQUEST: it is not one;
// otherwise it fails as Inflate does.
template <typename Request>
absl::Status Parse(const grpc::ByteBuffer& bytes, std::size_t most_inflated, Request* request) {
  grpc::Slice slice;
  if (bytes.TrySingleSlice(&slice).ok()) {  // as most come, and not compressed
    const bool read = request->ParseFromArray(slice.begin(), static_cast<int>(slice.size()));
    return read ? absl::OkStatus() : UnreadableError();
  }
  grpc::ByteBuffer copy(bytes);
  absl::Status status = Inflate(grpc::internal::GrpcByteBufferPeer::Inside(&copy), most_inflated);
  if (status.ok() && !grpc::SerializationTraits<Request>::Deserialize(&copy, request).ok()) {
    status = UnreadableError();
  }
  return status;
}

// Whether it would spend or give up, and has no name by which it could be known again.
template <typename Request>
bool IsUnnamed(const Request& request) {
  if constexpr (requires { request.request_id(); } &&
                !std::is_same_v<Request, v1::GetOperationRequest>) {
    if constexpr (requires { request.validate_only(); }) {
      if (request.validate_only()) return false;
    }
    return request.request_id().empty();
  }
  return false;
}

// Names what has to have a name, so that the caller can find out about it whatever it is told; a
// UUID is the same one in upper and in lower case. Returns the name; empty: none, or not a UUID.
template <typename Request>
std::string NameRequest(Request* request) {
  if constexpr (requires { request->mutable_request_id(); }) {
    std::string& id = *request->mutable_request_id();
    if (id.empty() && !std::is_same_v<Request, v1::GetOperationRequest>) {
      thread_local boost::uuids::random_generator make;
      id = boost::uuids::to_string(make());
    }
    if (IsUuid(id)) {
      absl::AsciiStrToLower(&id);
      return id;
    }
  }
  return "";
}

// Of a request whose max_staleness has been validated, or will be. A year is the most: memory keeps
// nothing for so long, and it can be told in nanoseconds, in which ages are compared.
template <typename Request>
MaxStaleness MaxStalenessOf(const Request& request) {
  if constexpr (requires { request.max_staleness(); }) {
    if (!request.has_max_staleness()) return std::nullopt;
    constexpr std::int64_t kYear = 366 * 86'400;
    return std::chrono::seconds(std::clamp(request.max_staleness().seconds(), -kYear, kYear)) +
           std::chrono::milliseconds(request.max_staleness().nanos() / 1'000'000);
  }
  return std::nullopt;
}

}  // namespace leasegateway

#endif  // LEASE_GATEWAY_SERVICE_RPC_RAW_REQUEST_H_
