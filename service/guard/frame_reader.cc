#include "service/guard/frame_reader.h"

#include <algorithm>

namespace leasegateway {
namespace {

constexpr std::string_view kPreface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

std::uint32_t Byte(std::string_view bytes, std::size_t at) {
  return static_cast<unsigned char>(bytes[at]);
}

}  // namespace

FrameReader::FrameReader(Sender sender)
    : preface_read_(sender == Sender::kClient ? 0 : kPreface.size()) {}

std::optional<FrameHeader> FrameReader::Next(std::string_view& bytes) {
  if (preface_read_ < kPreface.size() && !TakePreface(bytes)) return std::nullopt;
  const std::size_t passed = std::min<std::size_t>(payload_left_, bytes.size());
  bytes.remove_prefix(passed);
  payload_left_ -= static_cast<std::uint32_t>(passed);
  if (bytes.empty()) return std::nullopt;
  if (held_bytes_ == 0 && bytes.size() >= kHeaderBytes) {
    const FrameHeader frame = Begin(bytes);
    bytes.remove_prefix(kHeaderBytes);
    return frame;
  }
  const std::size_t taken = bytes.copy(&held_[held_bytes_], kHeaderBytes - held_bytes_);
  bytes.remove_prefix(taken);
  held_bytes_ += static_cast<std::uint8_t>(taken);
  if (held_bytes_ < kHeaderBytes) return std::nullopt;
  held_bytes_ = 0;
  return Begin({held_.data(), held_.size()});
}

bool FrameReader::TakePreface(std::string_view& bytes) {
  if (is_foreign_) return false;
  const std::string_view expected = kPreface.substr(preface_read_, bytes.size());
  if (!bytes.starts_with(expected)) {
    is_foreign_ = true;
    return false;
  }
  bytes.remove_prefix(expected.size());
  preface_read_ += static_cast<std::uint8_t>(expected.size());
  return preface_read_ == kPreface.size();
}

FrameHeader FrameReader::Begin(std::string_view bytes) {
  FrameHeader frame;
  frame.length = Byte(bytes, 0) << 16 | Byte(bytes, 1) << 8 | Byte(bytes, 2);
  frame.type = static_cast<FrameType>(Byte(bytes, 3));
  frame.flags = static_cast<std::uint8_t>(Byte(bytes, 4));
  frame.stream = (Byte(bytes, 5) & 0x7f) << 24 | Byte(bytes, 6) << 16 | Byte(bytes, 7) << 8 |
                 Byte(bytes, 8);  // the highest bit is reserved
  payload_left_ = frame.length;
  return frame;
}

}  // namespace leasegateway
