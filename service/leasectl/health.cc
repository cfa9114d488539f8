#include "service/leasectl/health.h"

#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/grpcpp.h>

#include <cstdint>
#include <iterator>
#include <memory>
#include <vector>

#include "absl/strings/str_cat.h"
#include "google/protobuf/empty.pb.h"
#include "google/protobuf/unknown_field_set.h"
#include "service/leasectl/table.h"

namespace leasegateway {

// grpc.health.v1.Health/Check. There is no generated code for it here; the request's `service` and
// the reply's `status` are both field 1, which an Empty keeps as an unknown field.
ExitCode Health(const GlobalOptions& options, const std::string& service) {
  google::protobuf::Empty request;
  google::protobuf::Empty reply;
  if (!service.empty()) {
    request.GetReflection()->MutableUnknownFields(&request)->AddLengthDelimited(1, service);
  }
  const auto failure =
      Client(options).Call(CallFacts(), [&](grpc::Channel& channel, grpc::ClientContext& context) {
        grpc::TemplatedGenericStub<google::protobuf::Empty, google::protobuf::Empty> stub(
            std::shared_ptr<grpc::Channel>(std::shared_ptr<grpc::Channel>(), &channel));
        grpc::CompletionQueue queue;
        grpc::Status status;
        const auto call =
            stub.PrepareUnaryCall(&context, "/grpc.health.v1.Health/Check", request, &queue);
        call->StartCall();
        call->Finish(&reply, &status, nullptr);
        void* tag = nullptr;
        bool ok = false;
        queue.Next(&tag, &ok);
        return status;
      });
  if (failure) return *failure == kLocalFailure ? kLocalFailure : kUnavailable;

  std::uint64_t value = 0;
  const auto& fields = reply.GetReflection()->GetUnknownFields(reply);
  for (int i = 0; i < fields.field_count(); ++i) {
    const auto& field = fields.field(i);
    if (field.number() == 1 && field.type() == google::protobuf::UnknownField::TYPE_VARINT) {
      value = field.varint();
    }
  }
  constexpr const char* kNames[] = {"UNKNOWN", "SERVING", "NOT_SERVING", "SERVICE_UNKNOWN"};
  const char* const name = kNames[value < std::size(kNames) ? value : 0];
  const bool serving = value == 1;
  std::string output;
  if (options.json) {
    output = absl::StrCat("{\n \"status\": \"", name, "\"\n}\n");
  } else {
    Table table(std::vector<Table::Column>(1));
    table.Add({Cell(name, serving ? Color::kGreen : Color::kRed)});
    output = table.Format(IsColored(options));
  }
  const ExitCode written = PrintOutput(output);
  return serving ? written : kUnavailable;
}

}  // namespace leasegateway
