#ifndef LEASE_GATEWAY_SERVICE_GUARD_CONNECTION_GUARD_H_
#define LEASE_GATEWAY_SERVICE_GUARD_CONNECTION_GUARD_H_

#include <array>
#include <boost/asio/ip/tcp.hpp>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "service/guard/cut_reason.h"
#include "service/guard/peer_ledger.h"

namespace leasegateway {

// Stands before gRPC's port: listens in its place, takes connections or not, sees what each sends
// before gRPC does, and cuts those that cost much and ask for little. Thread-safe; it has a thread
// of its own.
class ConnectionGuard {
 public:
  struct Options {
    PeerLedger::Options peers;
    std::uint64_t max_memory = 0;  // bytes; 0: the container's limit
    bool tls = false;              // what comes is TLS, and gRPC's OpenSSL sees the frames
  };
  struct Stats {
    std::uint64_t connections = 0;
    std::uint64_t accepted = 0;
    std::array<std::uint64_t, kRefusals> refused{};
    std::array<std::uint64_t, kCutReasons> cut{};
  };

  // Listens on HOST:PORT, all addresses that the name has. FAILED_PRECONDITION when it can't.
  static absl::StatusOr<std::unique_ptr<ConnectionGuard>> Listen(const std::string& listen,
                                                                 Options options);
  ~ConnectionGuard();

  int port() const;  // as bound
  // Hands each connection from now on to `take`, which owns the descriptor then.
  void Start(std::function<void(int descriptor)> take);
  // Takes no more connections. Returns when none is handed over any more.
  void StopListening();
  Stats stats() const;
};

}  // namespace leasegateway

#endif  // LEASE_GATEWAY_SERVICE_GUARD_CONNECTION_GUARD_H_
