#ifndef LEASE_GATEWAY_SERVICE_CALLERS_FORWARDED_CERTIFICATE_H_
#define LEASE_GATEWAY_SERVICE_CALLERS_FORWARDED_CERTIFICATE_H_

#include <cstddef>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "service/callers/identity.h"

namespace leasegateway {

// What one proxy says of the certificate of its caller: an element of the header
// x-forwarded-client-cert, as Envoy and Istio write it. The values stand as they do there, between
// quotes if they had any, with the backslashes; those that are empty are left out. `By` is the
// proxy itself, `Hash`, `Cert` and `Chain` prove nothing more: they are not kept, nor are keys that
// are not known.
struct ForwardedCertificate {
  std::string subject;  // RFC 4514
  std::vector<std::string> uris;
  std::vector<std::string> dns_names;

  bool operator==(const ForwardedCertificate&) const = default;
};

inline constexpr std::size_t kMaxForwardedCertificateBytes = 16 << 10;

// All elements of a header, in their order: the last one is of the proxy that is nearest. The
// error's message is the rule that the header breaks, without a word of the header.
absl::StatusOr<std::vector<ForwardedCertificate>> ParseForwardedCertificates(
    absl::string_view header);

// The common name in a subject (RFC 4514, and RFC 2253's spaces); empty: it has none. The error's
// message is the rule that it breaks, more than one common name among them.
absl::StatusOr<std::string> CommonNameOf(absl::string_view subject);

// The names of a certificate, of which at most one proves who it is.
struct CertificateNames {
  const std::vector<std::string>& uris;
  const std::vector<std::string>& dns_names;
  absl::string_view common_name;
};

// The SPIFFE ID, else the first DNS name, else the common name. IDENTITY_INVALID: that is no valid
// name, there are two SPIFFE IDs (X.509-SVID allows one), or nothing.
absl::StatusOr<Identity> IdentityOf(const CertificateNames& names);

// The identity in the last element of a header, which must come from who is trusted. Otherwise
// IDENTITY_INVALID.
absl::StatusOr<Identity> ReadForwardedCertificate(absl::string_view header);

}  // namespace leasegateway

#endif  // LEASE_GATEWAY_SERVICE_CALLERS_FORWARDED_CERTIFICATE_H_
