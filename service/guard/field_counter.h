#ifndef LEASE_GATEWAY_SERVICE_GUARD_FIELD_COUNTER_H_
#define LEASE_GATEWAY_SERVICE_GUARD_FIELD_COUNTER_H_

#include <cstdint>
#include <string_view>

namespace leasegateway {

// Counts the fields of a header block in HPACK (RFC 7541), which comes in pieces of any size: one
// byte is enough for a field that was sent before. What they say is passed over. Changes of the
// table's size count as well. One thread; it allocates nothing.
class FieldCounter {
 public:
  // A block begins. The one before need not have ended.
  void Begin() { *this = FieldCounter(); }
  // The next bytes of the block. How many fields have begun in it so far.
  std::uint32_t Read(std::string_view bytes);

 private:
  enum class Next : std::uint8_t { kField, kIndex, kStringLength, kLongStringLength, kString };

  void ReadField(unsigned char first);
  void ReadLength(unsigned char byte);
  void EndOfString();

  Next next_ = Next::kField;
  std::uint8_t strings_ = 0;  // of the field that are still to come, the one under way included
  std::uint8_t shift_ = 0;    // of the next byte of a long length
  std::uint32_t left_ = 0;    // bytes of the string under way
  std::uint32_t fields_ = 0;
};

}  // namespace leasegateway

#endif  // LEASE_GATEWAY_SERVICE_GUARD_FIELD_COUNTER_H_
