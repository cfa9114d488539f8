#ifndef LEASE_GATEWAY_SERVICE_SERVER_H_
#define LEASE_GATEWAY_SERVICE_SERVER_H_

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "service/config/config.h"

namespace leasegateway {

// The running gateway: the Asio threads, the provider's stack (or the embedded sandbox's), the gRPC
// port with health, reflection and channelz, and the admin port, which is there from the beginning
// of the start to the end of the stop. Thread-safe.
class Server {
 public:
  // FAILED_PRECONDITION when the address can't be listened on, the TLS files not be used or the
  // journal not be opened, INVALID_ARGUMENT for a provider that can't be used.
  static absl::StatusOr<std::unique_ptr<Server>> Start(const Config& config);
  // Drains without waiting, if Drain was not called.
  ~Server();

  int port() const;                         // of gRPC, as bound
  int admin_port() const;                   // as bound; 0: none
  std::string sandbox_control_url() const;  // empty without the sandbox

  // NOT_SERVING, `drain_wait`, no more connections, GOAWAY; returns when the calls in flight have
  // ended, at the latest after `grace`, when those that are left are cancelled. Called once.
  void Drain();

 private:
  struct Parts;
  explicit Server(std::unique_ptr<Parts> parts);
  std::unique_ptr<Parts> parts_;
};

}  // namespace leasegateway

#endif  // LEASE_GATEWAY_SERVICE_SERVER_H_
