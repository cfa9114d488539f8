#ifndef LEASE_GATEWAY_SERVICE_LEASECTL_TLS_H_
#define LEASE_GATEWAY_SERVICE_LEASECTL_TLS_H_

#include <optional>
#include <string>

#include "absl/time/time.h"
#include "service/leasectl/global_options.h"

namespace leasegateway {

struct TlsFailure {
  std::string what;  // "the gateway's certificate expired"
  std::string hint;
};

// Why there is no TLS connection to the gateway, which gRPC does not say: makes a handshake of its
// own with the same files and lets it fail. Nothing when it succeeds, when nobody listens or when
// the target is no host and port.
std::optional<TlsFailure> ExplainTls(const GlobalOptions& options, absl::Duration timeout);

}  // namespace leasegateway

#endif  // LEASE_GATEWAY_SERVICE_LEASECTL_TLS_H_
