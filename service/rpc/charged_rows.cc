#include "service/rpc/charged_rows.h"

#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/wire_format_lite.h>
#include <grpcpp/support/proto_buffer_reader.h>

#include <chrono>

#include "service/rpc/method_rights.h"

namespace leasegateway {

std::int64_t CountRows(const grpc::ByteBuffer& reply) {
  using google::protobuf::internal::WireFormatLite;
  grpc::ByteBuffer copy(reply);  // shares the bytes
  grpc::ProtoBufferReader reader(&copy);
  google::protobuf::io::CodedInputStream stream(&reader);
  std::int64_t rows = 0;
  while (const std::uint32_t tag = stream.ReadTag()) {
    if (WireFormatLite::GetTagFieldNumber(tag) == 1) ++rows;
    if (!WireFormatLite::SkipField(&stream, tag)) break;
  }
  return rows;
}

void ChargeRows(const CallCaller& caller, Method method, const grpc::ByteBuffer& reply) {
  if (!caller.setting || !caller.setting->quotas.rows_per_minute || !RightFor(method).lists) return;
  caller.use->ChargeRows(*caller.setting, CountRows(reply), std::chrono::steady_clock::now());
}

}  // namespace leasegateway
