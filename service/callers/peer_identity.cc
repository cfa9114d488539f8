#include "service/callers/peer_identity.h"

#include <boost/asio/ip/address.hpp>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/string_view.h"
#include "service/callers/forwarded_certificate.h"

namespace leasegateway {
namespace {

// The token of the header's value (RFC 6750); IDENTITY_INVALID: another scheme.
absl::StatusOr<absl::string_view> BearerToken(absl::string_view authorization) {
  const std::size_t space = authorization.find(' ');
  if (!absl::EqualsIgnoreCase(authorization.substr(0, space), "Bearer")) {
    return IdentityInvalid("unknown scheme", "authorization must be of the scheme Bearer");
  }
  const std::size_t begin = authorization.find_first_not_of(' ', space);
  if (space == authorization.npos || begin == authorization.npos) {
    return IdentityInvalid("malformed", "authorization must have a token after Bearer");
  }
  return authorization.substr(begin);
}

}  // namespace

IdentityReader::IdentityReader(Networks trusted, std::shared_ptr<TokenVerifier> tokens)
    : trusted_(std::move(trusted)), tokens_(std::move(tokens)) {}

absl::StatusOr<Identity> IdentityReader::Read(const PeerFacts& facts, TokenTime now) const {
  if (facts.forwarded_certificate) {
    if (!IsTrusted(facts.address)) {
      return IdentityInvalid("untrusted proxy",
                             "x-forwarded-client-cert is believed only from trusted_proxies, of "
                             "which this peer is none");
    }
    return ReadForwardedCertificate(*facts.forwarded_certificate);
  }
  if (facts.has_certificate) {
    return IdentityOf({facts.uris, facts.dns_names, facts.common_name});
  }
  if (!facts.authorization) return Identity();
  const auto token = BearerToken(*facts.authorization);
  if (!token.ok()) return token.status();
  if (tokens_ == nullptr) {
    return IdentityInvalid("unknown issuer", "tokens are not believed: no issuer is configured");
  }
  return tokens_->Verify(*token, now);
}

bool IdentityReader::IsTrusted(const std::string& address) const {
  if (address.empty()) return true;
  boost::system::error_code error;
  const auto parsed = boost::asio::ip::make_address(address, error);
  if (error) return false;
  return Unmapped(parsed).is_loopback() || trusted_.Contains(parsed);
}

}  // namespace leasegateway
