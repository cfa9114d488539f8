#ifndef LEASE_GATEWAY_UPSTREAM_TRANSPORT_EGRESS_H_
#define LEASE_GATEWAY_UPSTREAM_TRANSPORT_EGRESS_H_

#include <array>
#include <functional>
#include <optional>
#include <string>

#include "absl/status/statusor.h"

namespace leasegateway {

// An HTTP proxy that makes a tunnel on CONNECT (RFC 9110, section 9.3.6).
struct ProxyAddress {
  bool tls = false;         // speak TLS to the proxy itself
  std::string host;         // a name or an IP literal without brackets
  std::string port;         // always there
  std::string credentials;  // "user:password", decoded; a secret; empty: none
  // "https://host:port", without the credentials: for logs, errors and --print-config.
  std::string where() const;

  bool operator==(const ProxyAddress&) const = default;
};

// The road to the provider.
struct Egress {
  std::optional<ProxyAddress> proxy;  // none: straight
  std::string why;                    // what chose it, for the log: no secret in it
  // "through the proxy https://host:port (why)" or "straight (why)".
  std::string Describe() const;
};

// What upstream_proxy says when the environment's proxy shall not be used.
inline constexpr const char* kDirect = "direct";

// The variables of the environment that ChooseEgress asks for.
inline constexpr std::array<const char*, 6> kProxyVariables{
    "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY", "no_proxy", "NO_PROXY"};

// Parses http://HOST[:PORT] or https://HOST[:PORT], the ports 80 and 443 where it has none. A user
// and a password in it are taken, if `credentials_allowed`. INVALID_ARGUMENT has the rule alone:
// whoever knows the key puts it in front, and shows no value that may hold a password.
absl::StatusOr<ProxyAddress> ParseProxy(const std::string& url, bool credentials_allowed);

// Whether a list such as NO_PROXY has the host. Entries, apart by commas or spaces, are as curl has
// them: a name stands for itself and all below it, with or without a dot in front; an IP address; a
// CIDR block; "*". With ":PORT" behind it an entry is good for that port alone, as Go has it. What
// is none of these matches nothing. `host` is a name or an IP literal without brackets.
bool GoesAround(const std::string& no_proxy, const std::string& host, const std::string& port);

// Chooses by `upstream_proxy`; when that is empty by https_proxy, HTTPS_PROXY, all_proxy or
// ALL_PROXY, the first that isn't empty, unless no_proxy or else NO_PROXY has the host: as curl
// does. `variable` returns a variable of the environment, empty when it is not set.
// INVALID_ARGUMENT names the key or variable and the rule, never the value.
absl::StatusOr<Egress> ChooseEgress(const std::string& upstream_proxy,
                                    const std::function<std::string(const char*)>& variable,
                                    const std::string& host, const std::string& port);

}  // namespace leasegateway

#endif  // LEASE_GATEWAY_UPSTREAM_TRANSPORT_EGRESS_H_
