#ifndef LEASE_GATEWAY_SERVICE_GUARD_CONNECTION_GUARD_H_
#define LEASE_GATEWAY_SERVICE_GUARD_CONNECTION_GUARD_H_

#include <array>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "service/guard/cut_reason.h"
#include "service/guard/peer_ledger.h"

namespace leasegateway {

// Stands before gRPC's port: listens in its place, takes connections or not, sees what each sends
// before gRPC does, and cuts those that cost much and ask for little. It has a thread of its own.
// Thread-safe.
class ConnectionGuard {
 public:
  struct Options {
    PeerLedger::Options peers;
    std::uint64_t max_memory = 0;                 // bytes; 0: the container's limit
    bool tls = false;                             // gRPC decrypts what comes
    std::uint32_t max_streams = 1'000;            // that gRPC announces
    std::uint32_t max_metadata_bytes = 16 << 10;  // that gRPC announces
    std::uint64_t max_request_bytes = 1 << 20;
    std::uint64_t max_descriptors = 0;  // of the process; 0: RLIMIT_NOFILE
    // What has been sent and not been confirmed for so long ends a connection.
    std::chrono::milliseconds user_timeout{20'000};
    // Whether the service has begun a call, on the guard's thread; empty: not known.
    std::function<bool()> has_served;
  };
  struct Stats {
    std::uint64_t connections = 0;
    std::uint64_t accepted = 0;
    std::array<std::uint64_t, kRefusals> refused{};
    std::array<std::uint64_t, kCutReasons> cut{};
    // No: calls were served of which it has seen nothing, as gRPC reads otherwise than it did, and
    // nothing of what comes is judged (intercepted_reads.h).
    bool sees = true;
  };

  // Listens on HOST:PORT, on all addresses that the name has. Connections wait until Start.
  // FAILED_PRECONDITION: it can't.
  static absl::StatusOr<std::unique_ptr<ConnectionGuard>> Listen(const std::string& listen,
                                                                 const Options& options);
  // To be called when what took the connections has closed them.
  ~ConnectionGuard();
  ConnectionGuard(const ConnectionGuard&) = delete;
  ConnectionGuard& operator=(const ConnectionGuard&) = delete;

  int port() const;  // as bound
  // Hands each connection to `take`, on the guard's thread; the descriptor is its own then.
  void Start(std::function<void(int descriptor)> take);
  // Takes no more connections: the kernel refuses them, and resets those that are not taken yet.
  // Returns when none is handed over any more. Also if Start was never called.
  void StopListening();
  Stats stats() const;

 private:
  class Port;
  explicit ConnectionGuard(std::unique_ptr<Port> port);

  const std::unique_ptr<Port> port_;
};

}  // namespace leasegateway

#endif  // LEASE_GATEWAY_SERVICE_GUARD_CONNECTION_GUARD_H_
