#include "service/guard/field_counter.h"

#include <algorithm>
#include <cstddef>

namespace leasegateway {
namespace {

// Integers go on in further bytes when their first one's bits are all set, and in each further one
// with the highest bit (RFC 7541, 5.1).
constexpr unsigned char kGoesOn = 0x80;
constexpr unsigned char kShortLength = 0x7f;
// Beyond this a length is longer than any block.
constexpr std::uint8_t kMaxShift = 21;

}  // namespace

std::uint32_t FieldCounter::Read(std::string_view bytes) {
  std::size_t at = 0;
  while (at < bytes.size()) {
    if (next_ == Next::kString) {
      const std::size_t passed = std::min<std::size_t>(left_, bytes.size() - at);
      at += passed;
      left_ -= static_cast<std::uint32_t>(passed);
      if (left_ == 0) EndOfString();
      continue;
    }
    const auto byte = static_cast<unsigned char>(bytes[at++]);
    switch (next_) {
      case Next::kField:
        ReadField(byte);
        break;
      case Next::kIndex:
        if ((byte & kGoesOn) == 0) next_ = strings_ > 0 ? Next::kStringLength : Next::kField;
        break;
      default:
        ReadLength(byte);
    }
  }
  return fields_;
}

// The representations of section 6.
void FieldCounter::ReadField(unsigned char first) {
  ++fields_;
  unsigned char prefix = 0x0f;  // a literal that is not indexed
  bool is_literal = true;
  if ((first & 0x80) != 0) {  // indexed
    prefix = 0x7f;
    is_literal = false;
  } else if ((first & 0x40) != 0) {  // a literal that is indexed
    prefix = 0x3f;
  } else if ((first & 0x20) != 0) {  // a change of the table's size
    prefix = 0x1f;
    is_literal = false;
  }
  const unsigned char index = first & prefix;
  strings_ = !is_literal ? 0 : index == 0 ? 2 : 1;  // a new name comes before the value
  next_ = index == prefix ? Next::kIndex : strings_ > 0 ? Next::kStringLength : Next::kField;
}

void FieldCounter::ReadLength(unsigned char byte) {
  if (next_ == Next::kStringLength) {
    left_ = byte & kShortLength;  // the highest bit says how it is coded
    shift_ = 0;
    if (left_ == kShortLength) {
      next_ = Next::kLongStringLength;
      return;
    }
  } else {
    if (shift_ <= kMaxShift) left_ += static_cast<std::uint32_t>(byte & 0x7f) << shift_;
    shift_ = std::min<std::uint8_t>(shift_ + 7, kMaxShift + 7);
    if ((byte & kGoesOn) != 0) return;
  }
  next_ = Next::kString;
  if (left_ == 0) EndOfString();
}

void FieldCounter::EndOfString() { next_ = --strings_ > 0 ? Next::kStringLength : Next::kField; }

}  // namespace leasegateway
