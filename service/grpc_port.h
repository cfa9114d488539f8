#ifndef LEASE_GATEWAY_SERVICE_GRPC_PORT_H_
#define LEASE_GATEWAY_SERVICE_GRPC_PORT_H_

#include <grpcpp/grpcpp.h>

#include <chrono>
#include <functional>
#include <memory>

#include "absl/status/statusor.h"
#include "service/config/config.h"
#include "service/guard/connection_guard.h"

namespace leasegateway {

// The port that callers use: the service, with health, reflection and channelz. One thread but for
// what says otherwise.
class GrpcPort {
 public:
  // Serves from now on. `service` outlives it, and so does what `has_served` asks: whether it has
  // begun a call, from any thread. FAILED_PRECONDITION when the address can't be listened on,
  // INVALID_ARGUMENT for networks that are none.
  static absl::StatusOr<std::unique_ptr<GrpcPort>> Listen(
      const Config& config, const std::shared_ptr<grpc::ServerCredentials>& credentials,
      grpc::Service& service, std::function<bool()> has_served);
  // Ends what is left, as Close without grace does.
  ~GrpcPort();
  GrpcPort(const GrpcPort&) = delete;
  GrpcPort& operator=(const GrpcPort&) = delete;
  int number() const { return guard_->port(); }                           // as bound
  ConnectionGuard::Stats connections() const { return guard_->stats(); }  // on any thread

  // Health says NOT_SERVING, but for "liveness"; calls are served on.
  void SayNotServing();
  // Takes no more connections, says GOAWAY, and returns when all calls have ended, at the latest
  // after `grace`, when those that are left are cancelled.
  void Close(std::chrono::milliseconds grace);
  // After Close: returns when the port is shut down. To be called before its end.
  void Wait() { server_->Wait(); }

 private:
  using Acceptor = grpc::experimental::ExternalConnectionAcceptor;
  GrpcPort(std::unique_ptr<ConnectionGuard> guard, std::unique_ptr<Acceptor> acceptor,
           std::unique_ptr<grpc::Server> server);

  const std::unique_ptr<ConnectionGuard> guard_;  // outlives what it hands connections to
  const std::unique_ptr<Acceptor> acceptor_;
  const std::unique_ptr<grpc::Server> server_;
};

}  // namespace leasegateway

#endif  // LEASE_GATEWAY_SERVICE_GRPC_PORT_H_
