#ifndef LEASE_GATEWAY_UPSTREAM_SANDBOX_SANDBOX_H_
#define LEASE_GATEWAY_UPSTREAM_SANDBOX_SANDBOX_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace leasegateway::sandbox {

class Server;

struct SandboxOptions {
  std::string address = "127.0.0.1";  // loopback, unless said otherwise
  std::uint16_t port = 0;             // 0: any free one
  std::uint16_t control_port = 0;     // plain HTTP on `address`; 0: any free one
  std::uint64_t seed = 1;             // of the inventory, the ids and the random faults
  int numbers = 100;                  // size of the inventory, 0 to 1,000,000
  // API keys that are accepted, each an account of its own. Empty: one is made from the seed.
  std::vector<std::string> keys;
  std::string certificate_host = "localhost";  // a SAN of the leaf, beside localhost and 127.0.0.1
  int certificate_days = 30;                   // <= 0: already expired
};

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

  std::string url() const;             // "https://localhost:PORT/numbers"
  std::string control_url() const;     // "http://127.0.0.1:PORT/_sandbox"
  std::string ca_certificate() const;  // PEM of the throw-away CA; its key never leaves memory
  std::string key() const;             // the first accepted API key

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
