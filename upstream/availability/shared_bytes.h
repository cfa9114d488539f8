#ifndef LEASE_GATEWAY_UPSTREAM_AVAILABILITY_SHARED_BYTES_H_
#define LEASE_GATEWAY_UPSTREAM_AVAILABILITY_SHARED_BYTES_H_

#include <cstddef>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

namespace leasegateway {

// Immutable bytes that many replies share. The service makes them of a kind that gRPC sends
// without a copy.
class SharedBytes {
 public:
  virtual ~SharedBytes() = default;
  virtual std::string_view view() const = 0;
};
using PinBytes = std::function<std::shared_ptr<const SharedBytes>(std::string)>;
// Plain memory.
std::shared_ptr<const SharedBytes> PinInMemory(std::string bytes);

// A part of shared bytes.
struct BytesRange {
  std::size_t offset = 0;
  std::size_t size = 0;
};

// A serialised reply: a part of shared bytes, and what follows it. So a reply whose numbers are
// those of another one shares them with it, and has metadata of its own.
struct ReplyBytes {
  std::shared_ptr<const SharedBytes> bytes;  // null: there is no reply
  BytesRange range = {};
  std::shared_ptr<const SharedBytes> end = nullptr;  // null: nothing follows

  explicit operator bool() const { return bytes != nullptr; }
  std::string_view view() const { return bytes->view().substr(range.offset, range.size); }
  std::size_t size() const { return range.size + (end ? end->view().size() : 0); }
};
// All of the bytes.
inline ReplyBytes WholeReply(std::shared_ptr<const SharedBytes> bytes) {
  const std::size_t size = bytes->view().size();
  return {std::move(bytes), {0, size}};
}
// The message that a gateway has serialised; of other bytes, what can be read of them.
template <typename Message>
Message ParseBytes(std::string_view bytes) {
  Message message;
  static_cast<void>(message.ParseFromArray(bytes.data(), static_cast<int>(bytes.size())));
  return message;
}
// The message that a reply is.
template <typename Message>
Message ParseReply(const ReplyBytes& reply) {
  Message message = ParseBytes<Message>(reply.view());
  if (reply.end) message.MergeFrom(ParseBytes<Message>(reply.end->view()));
  return message;
}

}  // namespace leasegateway

#endif  // LEASE_GATEWAY_UPSTREAM_AVAILABILITY_SHARED_BYTES_H_
