#ifndef LEASE_GATEWAY_SERVICE_PROCESS_CONNECTION_DRAIN_H_
#define LEASE_GATEWAY_SERVICE_PROCESS_CONNECTION_DRAIN_H_

#include <grpcpp/server.h>

#include <chrono>
#include <cstdint>
#include <functional>

namespace leasegateway {

// From one GOAWAY to each connection to the next, so long after the first: those that were in their
// handshake have none yet. gRPC goes through all connections for it, so where many stay, it must
// not be often.
std::chrono::milliseconds UntilNextGoaway(std::chrono::steady_clock::duration since_first);

// Ends the connections to `server`, which gets no new ones any more, without losing a call. To be
// called before Shutdown of gRPC 1.51, which from its first moment kills the calls that arrive,
// also on connections whose clients can't have read its GOAWAY yet: to them the call is CANCELLED,
// which no client retries. Here each open connection gets a GOAWAY, and the server answers what
// comes until the client has confirmed it and the calls have ended.
//
// Returns when `connections` says that none is left, at the latest at `deadline`. Threads may use
// the server meanwhile. With another gRPC than 1.51 it does nothing and says so in the log.
void DrainConnections(grpc::Server& server, const std::function<std::uint64_t()>& connections,
                      std::chrono::steady_clock::time_point deadline);

}  // namespace leasegateway

#endif  // LEASE_GATEWAY_SERVICE_PROCESS_CONNECTION_DRAIN_H_
