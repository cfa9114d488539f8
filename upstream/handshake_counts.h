#ifndef LEASE_GATEWAY_UPSTREAM_HANDSHAKE_COUNTS_H_
#define LEASE_GATEWAY_UPSTREAM_HANDSHAKE_COUNTS_H_

#include <atomic>
#include <cstdint>

namespace leasegateway {

// TLS handshakes with the provider, by how they ended. Those that a cancellation or a deadline
// ended are not counted.
struct HandshakeCounts {
  std::atomic<std::uint64_t> full{0};     // the certificate was sent and verified
  std::atomic<std::uint64_t> resumed{0};  // a session of before went on (RFC 8446, 2.2)
  std::atomic<std::uint64_t> failed{0};
};

}  // namespace leasegateway

#endif  // LEASE_GATEWAY_UPSTREAM_HANDSHAKE_COUNTS_H_
