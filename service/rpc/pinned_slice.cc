#include "service/rpc/pinned_slice.h"

#include <grpc/slice.h>
#include <grpcpp/support/slice.h>

#include <utility>

namespace leasegateway {
namespace {

grpc::Slice TakeOver(std::string bytes) {
  auto* const owned = new std::string(std::move(bytes));
  return grpc::Slice(
      owned->data(), owned->size(), [](void* string) { delete static_cast<std::string*>(string); },
      owned);
}

class PinnedSlice final : public SharedBytes {
 public:
  explicit PinnedSlice(std::string bytes) : slice_(TakeOver(std::move(bytes))) {}
  std::string_view view() const override {
    return {reinterpret_cast<const char*>(slice_.begin()), slice_.size()};
  }
  const grpc::Slice& slice() const { return slice_; }

 private:
  const grpc::Slice slice_;
};

const grpc::Slice& SliceOf(const SharedBytes& bytes) {
  return static_cast<const PinnedSlice&>(bytes).slice();
}

// Not Slice::sub, which in gRPC 1.51 takes one reference too many. The part inherits the one that
// c_slice took.
grpc::Slice PartOf(const SharedBytes& bytes, BytesRange range) {
  return {grpc_slice_sub_no_ref(SliceOf(bytes).c_slice(), range.offset, range.offset + range.size),
          grpc::Slice::STEAL_REF};
}

}  // namespace

std::shared_ptr<const SharedBytes> PinSlice(std::string bytes) {
  return std::make_shared<PinnedSlice>(std::move(bytes));
}

grpc::ByteBuffer ToByteBuffer(const SharedBytes& bytes) {
  return grpc::ByteBuffer(&SliceOf(bytes), 1);
}

grpc::ByteBuffer ToByteBuffer(const SharedBytes& bytes, BytesRange range) {
  const grpc::Slice part = PartOf(bytes, range);
  return grpc::ByteBuffer(&part, 1);
}

grpc::ByteBuffer ToByteBuffer(const ReplyBytes& reply) {
  if (!reply.end) return ToByteBuffer(*reply.bytes, reply.range);
  const grpc::Slice parts[] = {PartOf(*reply.bytes, reply.range), SliceOf(*reply.end)};
  return grpc::ByteBuffer(parts, 2);
}

grpc::ByteBuffer ToByteBuffer(std::string bytes) {
  const grpc::Slice slice = TakeOver(std::move(bytes));
  return grpc::ByteBuffer(&slice, 1);
}

}  // namespace leasegateway
