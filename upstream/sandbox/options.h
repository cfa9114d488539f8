#ifndef LEASE_GATEWAY_UPSTREAM_SANDBOX_OPTIONS_H_
#define LEASE_GATEWAY_UPSTREAM_SANDBOX_OPTIONS_H_

#include <cstdint>
#include <string>
#include <vector>

namespace leasegateway::sandbox {

struct SandboxOptions {
  std::string address = "127.0.0.1";  // loopback, unless said otherwise
  std::uint16_t port = 0;             // 0: any free one
  // More ports of the provider, any free ones: by the one that it calls a client can be told apart.
  int more_ports = 0;
  std::uint16_t control_port = 0;  // plain HTTP on `address`; 0: any free one
  std::uint64_t seed = 1;          // of the inventory, the ids and the random faults
  int numbers = 100;               // size of the inventory, 0 to 1,000,000
  // API keys that are accepted, each an account of its own. Empty: one is made from the seed.
  std::vector<std::string> keys;
  std::string certificate_host = "localhost";  // a SAN of the leaf, beside localhost and 127.0.0.1
  int certificate_days = 30;                   // <= 0: already expired
  // Nothing published says that the provider does either, but what stands in front of one often
  // does: the two lists come in gzip to whoever takes it; they have validators, and 304 answers
  // who has the list already (RFC 9110, 8.4 and 13).
  bool gzip = false;
  bool validators = false;
};

}  // namespace leasegateway::sandbox

#endif  // LEASE_GATEWAY_UPSTREAM_SANDBOX_OPTIONS_H_
