#ifndef LEASE_GATEWAY_SERVICE_CALLERS_IDENTITY_H_
#define LEASE_GATEWAY_SERVICE_CALLERS_IDENTITY_H_

#include <cstddef>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "leasegateway/v1/resources.pb.h"

namespace leasegateway {

// What a caller has proved of itself.
struct Identity {
  v1::IdentityKind kind = v1::IDENTITY_KIND_ANONYMOUS;
  // A SPIFFE ID, a DNS name in lower case, a common name, or a token's issuer and subject with a
  // space between; empty: anonymous.
  std::string name;

  bool operator==(const Identity&) const = default;
};

// Bytes of a name, at most.
inline constexpr std::size_t kMaxSpiffeIdBytes = 2048;
inline constexpr std::size_t kMaxDnsNameBytes = 253;
inline constexpr std::size_t kMaxCommonNameBytes = 256;
inline constexpr std::size_t kMaxTokenTextBytes = 1024;  // of an issuer, of a subject

// The rule that a name breaks, as "must begin with spiffe://"; empty: none.
std::string CheckSpiffeId(absl::string_view id);       // the standard SPIFFE-ID, section 2
std::string CheckDnsName(absl::string_view name);      // RFC 1123, and `_`; upper case is as lower
std::string CheckCommonName(absl::string_view name);   // UTF-8 without control characters
std::string CheckTokenIssuer(absl::string_view text);  // as a common name, without spaces
std::string CheckTokenSubject(absl::string_view text);

// What matches a name that keeps the rule.
Identity SpiffeIdentity(absl::string_view id);
Identity DnsIdentity(absl::string_view name);
Identity CommonNameIdentity(absl::string_view name);
Identity TokenIdentity(absl::string_view issuer, absl::string_view subject);

// UNAUTHENTICATED, IDENTITY_INVALID with `why`, a few words for programs. Neither quotes the proof.
absl::Status IdentityInvalid(absl::string_view why, absl::string_view message);

}  // namespace leasegateway

#endif  // LEASE_GATEWAY_SERVICE_CALLERS_IDENTITY_H_
