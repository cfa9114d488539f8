#ifndef LEASE_GATEWAY_SERVICE_GUARD_FIELD_COUNTER_H_
#define LEASE_GATEWAY_SERVICE_GUARD_FIELD_COUNTER_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace leasegateway {

// Counts the fields of a connection's header blocks in HPACK (RFC 7541), which come in pieces of
// any size, and what they are when decoded: one byte is enough for a field that was sent before,
// with up to 4 KiB. Changes of the table's size count as fields. One thread; it allocates nothing.
//
// A field is taken for no less than gRPC takes it for, and for no more than 8/5 of its size: how
// long strings are is read, but not what they say, and Huffman's shortest code has five bits. As
// that is no measure to evict by, nothing leaves the table but by 128 later entries: an index
// counts from the newest one, so that it means the entry that gRPC finds, if gRPC still has it.
class FieldCounter {
 public:
  // SETTINGS_HEADER_TABLE_SIZE as gRPC leaves it, and what an entry takes beside its strings (4.1).
  static constexpr std::uint32_t kTableBytes = 4'096;
  static constexpr std::uint32_t kEntryBytes = 32;

  // A block begins. The one before has ended, or gRPC closes the connection.
  void Begin();
  // The next bytes of the block. How many fields have begun in it so far.
  std::uint32_t Read(std::string_view bytes);
  std::uint32_t fields() const { return fields_; }
  // What the block's fields that are whole have when decoded, by the table's measure (4.1): at most
  // so many bytes.
  std::uint64_t decoded() const { return decoded_; }

 private:
  enum class Next : std::uint8_t { kField, kIndex, kStringLength, kLongStringLength, kString };
  enum class Kind : std::uint8_t { kIndexed, kAdded, kLiteral, kTableSize };
  struct Entry {
    std::uint16_t name = 0;
    std::uint16_t size = 0;  // 0: there is none
  };

  void ReadField(unsigned char first);
  void ReadIndex(unsigned char byte);
  void ReadLength(unsigned char byte);
  void EndOfIndex();
  void EndOfString();
  void EndOfLiteral(std::uint64_t value);
  Entry EntryAt(std::uint32_t index) const;

  // Of the block.
  Next next_ = Next::kField;
  Kind kind_ = Kind::kIndexed;  // of the field under way
  bool is_huffman_ = false;     // the string under way
  std::uint8_t strings_ = 0;    // of the field that are still to come, the one under way included
  std::uint8_t shift_ = 0;      // of the next byte of a long number
  std::uint32_t index_ = 0;
  std::uint32_t length_ = 0;  // of the string under way
  std::uint32_t left_ = 0;    // bytes of it
  std::uint64_t name_ = 0;    // bytes of the field's, decoded
  std::uint32_t fields_ = 0;
  std::uint64_t decoded_ = 0;

  // Of the connection: entries, each behind the one before; no more have room.
  std::array<Entry, kTableBytes / kEntryBytes> table_{};
  std::uint32_t newest_ = 0;
};

}  // namespace leasegateway

#endif  // LEASE_GATEWAY_SERVICE_GUARD_FIELD_COUNTER_H_
