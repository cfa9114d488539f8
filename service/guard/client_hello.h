#ifndef LEASE_GATEWAY_SERVICE_GUARD_CLIENT_HELLO_H_
#define LEASE_GATEWAY_SERVICE_GUARD_CLIENT_HELLO_H_

#include <array>
#include <cstddef>
#include <optional>
#include <string_view>

namespace leasegateway {

// The ClientHello with which what a TLS client sends begins (RFC 8446, 4.1.2), in pieces of any
// size and in records of any size (5.1), as OpenSSL takes them. One thread; it allocates nothing.
class ClientHello {
 public:
  using Random = std::array<unsigned char, 32>;

  // The next bytes of the wire.
  void Read(std::string_view bytes);
  // Nothing more is to be read: the random is known, or what came first is no ClientHello.
  bool is_over() const { return is_over_; }
  std::optional<Random> random() const { return RandomOf({message_.data(), message_size_}); }

  // Of the beginning of a handshake message.
  static std::optional<Random> RandomOf(std::string_view message);

 private:
  std::array<char, 5> header_{};  // of the record under way
  std::size_t header_size_ = 0;
  std::size_t record_left_ = 0;
  std::array<char, 38> message_{};  // type, length, version, random
  std::size_t message_size_ = 0;
  bool is_over_ = false;
};

}  // namespace leasegateway

#endif  // LEASE_GATEWAY_SERVICE_GUARD_CLIENT_HELLO_H_
