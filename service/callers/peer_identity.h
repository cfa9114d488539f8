#ifndef LEASE_GATEWAY_SERVICE_CALLERS_PEER_IDENTITY_H_
#define LEASE_GATEWAY_SERVICE_CALLERS_PEER_IDENTITY_H_

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "service/callers/bearer_token.h"
#include "service/callers/identity.h"
#include "service/guard/networks.h"

namespace leasegateway {

// What one call brings of who made it.
struct PeerFacts {
  std::string address;           // numeric IP, no port; empty: a Unix socket
  bool has_certificate = false;  // verified by mutual TLS
  std::vector<std::string> uris = {};
  std::vector<std::string> dns_names = {};
  std::string common_name = {};
  // The header x-forwarded-client-cert, all its values joined with ",".
  std::optional<std::string> forwarded_certificate = {};
  std::optional<std::string> authorization = {};  // the header, values joined likewise
};

// Finds who makes a call. Thread-safe.
class IdentityReader {
 public:
  // `trusted`: peers that are believed in x-forwarded-client-cert, besides loopback and Unix
  // sockets. `tokens`: null when there is no issuer.
  IdentityReader(Networks trusted, std::shared_ptr<TokenVerifier> tokens);

  // The first of: what a trusted proxy forwards, the certificate of mutual TLS, the bearer token,
  // nobody. What comes first is the answer, right or wrong: a bad proof is never passed over.
  // UNAUTHENTICATED, IDENTITY_INVALID: it is bad, or forwarded by a stranger.
  absl::StatusOr<Identity> Read(const PeerFacts& facts, TokenTime now = TokenTime::Now()) const;

 private:
  bool IsTrusted(const std::string& address) const;

  const Networks trusted_;
  const std::shared_ptr<TokenVerifier> tokens_;
};

}  // namespace leasegateway

#endif  // LEASE_GATEWAY_SERVICE_CALLERS_PEER_IDENTITY_H_
