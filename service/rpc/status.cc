#include "service/rpc/status.h"

#include <string>
#include <utility>

#include "absl/strings/cord.h"
#include "upstream/upstream_error.h"

namespace leasegateway {

google::rpc::Status ToStatusProto(absl::Status status) {
  if (ReasonOf(status).empty()) {
    status = MakeError(status.code(), reason::kInternal, std::string(status.message()));
  }
  google::rpc::Status proto;
  proto.set_code(static_cast<int>(status.code()));
  proto.set_message(std::string(status.message()));
  // ErrorInfo first: it is what most callers look for.
  constexpr absl::string_view kErrorInfo = "type.googleapis.com/google.rpc.ErrorInfo";
  auto& info = *proto.add_details();
  status.ForEachPayload([&](absl::string_view type_url, const absl::Cord& payload) {
    auto& detail = type_url == kErrorInfo ? info : *proto.add_details();
    detail.set_type_url(std::string(type_url));
    detail.set_value(std::string(payload));
  });
  return proto;
}

grpc::Status ToGrpcStatus(absl::Status status) {
  if (status.ok()) return grpc::Status::OK;
  const google::rpc::Status proto = ToStatusProto(std::move(status));
  return grpc::Status(static_cast<grpc::StatusCode>(proto.code()), proto.message(),
                      proto.SerializeAsString());
}

}  // namespace leasegateway
