#ifndef LEASE_GATEWAY_UPSTREAM_SANDBOX_CERTIFICATES_H_
#define LEASE_GATEWAY_UPSTREAM_SANDBOX_CERTIFICATES_H_

#include <chrono>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace leasegateway::sandbox {

struct CertificateRequest {
  std::string common_name;
  std::vector<std::string> names = {};  // DNS names, IP addresses, URIs (what has "://")
  // From now.
  std::chrono::seconds not_before = std::chrono::hours(-1);
  std::chrono::seconds not_after = std::chrono::hours(24);
  bool is_authority = false;         // may sign others
  std::string usage = "serverAuth";  // extended key usage, as OpenSSL writes it; not of authorities
};

struct CertificateAndKey {
  std::string certificate;  // PEM
  std::string key;          // PEM
};

// A certificate (EC P-256) signed by `issuer`; without one it signs itself.
absl::StatusOr<CertificateAndKey> MakeCertificate(const CertificateRequest& request,
                                                  const CertificateAndKey* issuer = nullptr);

struct Certificates {
  std::string ca;        // PEM
  std::string leaf;      // PEM
  std::string leaf_key;  // PEM; the key of the CA is gone once the leaf is signed
};

// A throw-away CA and a server certificate for `names`. `days` <= 0: the leaf expired yesterday.
absl::StatusOr<Certificates> MakeCertificates(const std::vector<std::string>& names, int days);

}  // namespace leasegateway::sandbox

#endif  // LEASE_GATEWAY_UPSTREAM_SANDBOX_CERTIFICATES_H_
