#include "service/guard/client_hello.h"

#include <algorithm>

namespace leasegateway {
namespace {

constexpr char kHandshakeRecord = 22;
constexpr char kClientHello = 1;
// The message's type, its length and a version are before it.
constexpr std::size_t kRandomAt = 1 + 3 + 2;

}  // namespace

void ClientHello::Read(std::string_view bytes) {
  while (!bytes.empty() && !is_over_) {
    if (record_left_ > 0) {
      const std::size_t taken =
          bytes.substr(0, record_left_)
              .copy(&message_[message_size_], message_.size() - message_size_);
      bytes.remove_prefix(taken);
      record_left_ -= taken;
      message_size_ += taken;
      is_over_ = message_size_ == message_.size();
      continue;
    }
    const std::size_t taken = bytes.copy(&header_[header_size_], header_.size() - header_size_);
    bytes.remove_prefix(taken);
    header_size_ += taken;
    is_over_ = header_[0] != kHandshakeRecord;
    if (header_size_ < header_.size()) continue;
    header_size_ = 0;
    record_left_ = static_cast<std::size_t>(static_cast<unsigned char>(header_[3])) << 8 |
                   static_cast<unsigned char>(header_[4]);
  }
}

std::optional<ClientHello::Random> ClientHello::RandomOf(std::string_view message) {
  Random random;
  if (message.size() < kRandomAt + random.size() || message[0] != kClientHello) return std::nullopt;
  std::copy_n(message.begin() + kRandomAt, random.size(), random.begin());
  return random;
}

}  // namespace leasegateway
