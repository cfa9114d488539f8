#ifndef LEASE_GATEWAY_SERVICE_CALLERS_IDENTITY_H_
#define LEASE_GATEWAY_SERVICE_CALLERS_IDENTITY_H_

#include <cstddef>
#include <string>

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

}  // namespace leasegateway

#endif  // LEASE_GATEWAY_SERVICE_CALLERS_IDENTITY_H_
