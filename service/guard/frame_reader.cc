#include "service/guard/frame_reader.h"

#include <algorithm>

namespace leasegateway {
namespace {

constexpr std::string_view kPreface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

}  // namespace

FrameReader::FrameReader(Sender sender)
    : preface_read_(sender == Sender::kClient ? 0 : kPreface.size()),
      is_in_pieces_(sender == Sender::kClient) {}

bool FrameReader::NextInPieces(std::string_view& bytes, FrameHeader& frame) {
  if (preface_read_ < kPreface.size() && !TakePreface(bytes)) return false;
  const std::size_t passed = std::min<std::size_t>(payload_left_, bytes.size());
  bytes.remove_prefix(passed);
  payload_left_ -= static_cast<std::uint32_t>(passed);
  const std::size_t taken = bytes.copy(&held_[held_bytes_], kHeaderBytes - held_bytes_);
  bytes.remove_prefix(taken);
  held_bytes_ += static_cast<std::uint8_t>(taken);
  is_in_pieces_ = held_bytes_ > 0 && held_bytes_ < kHeaderBytes;
  if (held_bytes_ < kHeaderBytes) return false;
  held_bytes_ = 0;
  Begin(held_.data(), frame);
  payload_left_ = frame.length;
  return true;
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

}  // namespace leasegateway
