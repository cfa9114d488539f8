#ifndef LEASE_GATEWAY_UPSTREAM_SANDBOX_SANDBOX_H_
#define LEASE_GATEWAY_UPSTREAM_SANDBOX_SANDBOX_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "upstream/sandbox/options.h"

namespace leasegateway::sandbox {

class Server;

// An emulator of the provider, honest about money: HTTPS on one port, control routes over plain
// HTTP on another, both on one thread of its own. Thread-safe.
class Sandbox {
 public:
  // Starts to listen. FAILED_PRECONDITION when a port is taken or an address unusable.
  static absl::StatusOr<std::unique_ptr<Sandbox>> Start(const SandboxOptions& options);
  // Stops, closes every connection and joins the thread.
  ~Sandbox();
  Sandbox(const Sandbox&) = delete;
  Sandbox& operator=(const Sandbox&) = delete;

  std::string url() const;                // "https://localhost:PORT/numbers"
  std::vector<std::string> urls() const;  // the same, then those of the other ports
  std::string control_url() const;        // "http://127.0.0.1:PORT/_sandbox"
  std::string ca_certificate() const;     // PEM of the throw-away CA; its key never leaves memory
  std::string key() const;                // the first accepted API key

  // A control request without the network: `method` and `path` as on the control port
  // ("POST", "/_sandbox/faults"). Returns the JSON body; INVALID_ARGUMENT for a bad request.
  absl::StatusOr<std::string> Control(const std::string& method, const std::string& path,
                                      const std::string& body);

 private:
  explicit Sandbox(std::unique_ptr<Server> server);
  std::unique_ptr<Server> server_;
};

}  // namespace leasegateway::sandbox

#endif  // LEASE_GATEWAY_UPSTREAM_SANDBOX_SANDBOX_H_
