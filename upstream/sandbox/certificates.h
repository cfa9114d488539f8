#ifndef LEASE_GATEWAY_UPSTREAM_SANDBOX_CERTIFICATES_H_
#define LEASE_GATEWAY_UPSTREAM_SANDBOX_CERTIFICATES_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace leasegateway::sandbox {

struct Certificates {
  std::string ca;        // PEM
  std::string leaf;      // PEM
  std::string leaf_key;  // PEM; the key of the CA is gone once the leaf is signed
};

// A throw-away CA (EC P-256) and a server certificate for `names`, each a DNS name or an IP
// address. `days` <= 0: the leaf expired yesterday.
absl::StatusOr<Certificates> MakeCertificates(const std::vector<std::string>& names, int days);

}  // namespace leasegateway::sandbox

#endif  // LEASE_GATEWAY_UPSTREAM_SANDBOX_CERTIFICATES_H_
