#ifndef LEASE_GATEWAY_SERVICE_GUARD_FRAME_READER_H_
#define LEASE_GATEWAY_SERVICE_GUARD_FRAME_READER_H_

#include <array>
#include <boost/endian/conversion.hpp>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace leasegateway {

// The frame types that mean something here (RFC 9113, section 6).
enum class FrameType : std::uint8_t {
  kData = 0,
  kHeaders = 1,
  kResetStream = 3,
  kSettings = 4,
  kWindowUpdate = 8,
  kContinuation = 9,
};

// What a frame says before its payload.
struct FrameHeader {
  std::uint32_t length = 0;  // bytes of payload, padding among them
  FrameType type = FrameType::kData;
  std::uint8_t flags = 0;
  std::uint32_t stream = 0;

  static constexpr std::uint8_t kAck = 0x1;  // of SETTINGS
  static constexpr std::uint8_t kEndStream = 0x1;
  static constexpr std::uint8_t kEndHeaders = 0x4;
  static constexpr std::uint8_t kPriority = 0x20;  // of HEADERS
  bool Has(std::uint8_t flag) const { return (flags & flag) != 0; }
};

// The frames of what one side sends, in pieces of any size. Payloads are passed over, not looked
// at. One thread; it allocates nothing.
class FrameReader {
 public:
  enum class Sender { kClient, kServer };  // a client begins with a preface

  explicit FrameReader(Sender sender = Sender::kClient);

  // Takes bytes off the front of `bytes` up to the next frame's payload. False: they are used up,
  // or are not HTTP/2. (Not an optional, which a compiler keeps in memory.)
  bool Next(std::string_view& bytes, FrameHeader& frame) {
    if (bytes.size() < payload_left_ + kHeaderBytes || is_in_pieces_) {
      return NextInPieces(bytes, frame);
    }
    Begin(bytes.data() + payload_left_, frame);
    bytes.remove_prefix(payload_left_ + kHeaderBytes);
    payload_left_ = frame.length;
    return true;
  }

  // The preface was another's (section 3.4): nothing that follows is read.
  bool is_foreign() const { return is_foreign_; }
  // Bytes that the last frame has still to bring.
  std::uint32_t payload_left() const { return payload_left_; }

 private:
  static constexpr std::size_t kHeaderBytes = 9;

  bool TakePreface(std::string_view& bytes);
  bool NextInPieces(std::string_view& bytes, FrameHeader& frame);
  static void Begin(const char* bytes, FrameHeader& frame) {
    const auto* const at = reinterpret_cast<const unsigned char*>(bytes);
    frame.length = boost::endian::load_big_u24(at);
    frame.type = static_cast<FrameType>(at[3]);
    frame.flags = at[4];
    // The highest bit is reserved.
    frame.stream = boost::endian::load_big_u32(at + 5) & 0x7fff'ffff;
  }

  std::uint32_t payload_left_ = 0;
  std::uint8_t preface_read_ = 0;
  std::uint8_t held_bytes_ = 0;
  bool is_foreign_ = false;
  bool is_in_pieces_;  // the preface is to come, or a frame's front has come in part
  std::array<char, kHeaderBytes> held_{};  // the front of a frame that came in pieces
};

}  // namespace leasegateway

#endif  // LEASE_GATEWAY_SERVICE_GUARD_FRAME_READER_H_
