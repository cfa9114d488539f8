#include "service/guard/field_counter.h"

#include <algorithm>
#include <iterator>

namespace leasegateway {
namespace {

// Integers go on in further bytes when their first one's bits are all set, and in each further one
// with the highest bit (RFC 7541, 5.1).
constexpr unsigned char kGoesOn = 0x80;
constexpr unsigned char kShortLength = 0x7f;
constexpr unsigned char kHuffman = 0x80;
// Beyond this a length is longer than any block, and an index than any table.
constexpr std::uint8_t kMaxShift = 21;

// Appendix A.
struct StaticField {
  std::string_view name;
  std::string_view value;
};
constexpr StaticField kStaticTable[] = {
    {":authority", ""},
    {":method", "GET"},
    {":method", "POST"},
    {":path", "/"},
    {":path", "/index.html"},
    {":scheme", "http"},
    {":scheme", "https"},
    {":status", "200"},
    {":status", "204"},
    {":status", "206"},
    {":status", "304"},
    {":status", "400"},
    {":status", "404"},
    {":status", "500"},
    {"accept-charset", ""},
    {"accept-encoding", "gzip, deflate"},
    {"accept-language", ""},
    {"accept-ranges", ""},
    {"accept", ""},
    {"access-control-allow-origin", ""},
    {"age", ""},
    {"allow", ""},
    {"authorization", ""},
    {"cache-control", ""},
    {"content-disposition", ""},
    {"content-encoding", ""},
    {"content-language", ""},
    {"content-length", ""},
    {"content-location", ""},
    {"content-range", ""},
    {"content-type", ""},
    {"cookie", ""},
    {"date", ""},
    {"etag", ""},
    {"expect", ""},
    {"expires", ""},
    {"from", ""},
    {"host", ""},
    {"if-match", ""},
    {"if-modified-since", ""},
    {"if-none-match", ""},
    {"if-range", ""},
    {"if-unmodified-since", ""},
    {"last-modified", ""},
    {"link", ""},
    {"location", ""},
    {"max-forwards", ""},
    {"proxy-authenticate", ""},
    {"proxy-authorization", ""},
    {"range", ""},
    {"referer", ""},
    {"refresh", ""},
    {"retry-after", ""},
    {"server", ""},
    {"set-cookie", ""},
    {"strict-transport-security", ""},
    {"transfer-encoding", ""},
    {"user-agent", ""},
    {"vary", ""},
    {"via", ""},
    {"www-authenticate", ""},
};
constexpr std::size_t kStaticFields = std::size(kStaticTable);
static_assert(kStaticFields == 61);

}  // namespace

void FieldCounter::Begin() {
  next_ = Next::kField;
  fields_ = 0;
  decoded_ = 0;
}

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
        ReadIndex(byte);
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
  unsigned char prefix = 0x0f;
  kind_ = Kind::kLiteral;  // one that is not indexed
  if ((first & 0x80) != 0) {
    prefix = 0x7f;
    kind_ = Kind::kIndexed;
  } else if ((first & 0x40) != 0) {
    prefix = 0x3f;
    kind_ = Kind::kAdded;
  } else if ((first & 0x20) != 0) {
    prefix = 0x1f;
    kind_ = Kind::kTableSize;
  }
  index_ = first & prefix;
  shift_ = 0;
  if (index_ == prefix) {
    next_ = Next::kIndex;
  } else {
    EndOfIndex();
  }
}

void FieldCounter::ReadIndex(unsigned char byte) {
  if (shift_ <= kMaxShift) index_ += static_cast<std::uint32_t>(byte & 0x7f) << shift_;
  shift_ = std::min<std::uint8_t>(shift_ + 7, kMaxShift + 7);
  if ((byte & kGoesOn) == 0) EndOfIndex();
}

void FieldCounter::EndOfIndex() {
  next_ = Next::kField;
  if (kind_ == Kind::kTableSize) return;
  const Entry entry = EntryAt(index_);
  if (kind_ == Kind::kIndexed) {
    decoded_ += entry.size;
    return;
  }
  name_ = entry.name;
  strings_ = index_ == 0 ? 2 : 1;  // a new name comes before the value
  next_ = Next::kStringLength;
}

FieldCounter::Entry FieldCounter::EntryAt(std::uint32_t index) const {
  static constexpr auto kSizes = [] {
    std::array<Entry, kStaticFields + 1> sizes{};
    for (std::size_t i = 0; i < kStaticFields; ++i) {
      const auto& [name, value] = kStaticTable[i];
      sizes[i + 1] = {static_cast<std::uint16_t>(name.size()),
                      static_cast<std::uint16_t>(name.size() + value.size() + kEntryBytes)};
    }
    return sizes;
  }();
  if (index < kSizes.size()) return kSizes[index];
  const std::size_t age = index - kSizes.size();
  if (age >= table_.size()) return {};
  return table_[(newest_ - age) % table_.size()];
}

void FieldCounter::ReadLength(unsigned char byte) {
  if (next_ == Next::kStringLength) {
    is_huffman_ = (byte & kHuffman) != 0;
    length_ = byte & kShortLength;
    shift_ = 0;
    if (length_ == kShortLength) {
      next_ = Next::kLongStringLength;
      return;
    }
  } else {
    if (shift_ <= kMaxShift) length_ += static_cast<std::uint32_t>(byte & 0x7f) << shift_;
    shift_ = std::min<std::uint8_t>(shift_ + 7, kMaxShift + 7);
    if ((byte & kGoesOn) != 0) return;
  }
  next_ = Next::kString;
  left_ = length_;
  if (left_ == 0) EndOfString();
}

void FieldCounter::EndOfString() {
  const std::uint64_t decoded = is_huffman_ ? std::uint64_t{length_} * 8 / 5 : length_;
  if (--strings_ > 0) {
    name_ = decoded;
    next_ = Next::kStringLength;
    return;
  }
  EndOfLiteral(decoded);
}

// What is larger than the table empties it, and is no entry of it (4.4). It may be one here: only
// what comes after it is ever found behind an index.
void FieldCounter::EndOfLiteral(std::uint64_t value) {
  next_ = Next::kField;
  const std::uint64_t size = name_ + value + kEntryBytes;
  decoded_ += size;
  if (kind_ != Kind::kAdded) return;
  const auto bounded = [](std::uint64_t bytes) {
    return static_cast<std::uint16_t>(std::min<std::uint64_t>(bytes, kTableBytes));
  };
  table_[++newest_ % table_.size()] = {bounded(name_), bounded(size)};
}

}  // namespace leasegateway
