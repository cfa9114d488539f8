#ifndef LEASE_GATEWAY_SERVICE_CONFIG_RULES_H_
#define LEASE_GATEWAY_SERVICE_CONFIG_RULES_H_

#include <charconv>
#include <string>
#include <system_error>

#include "absl/strings/string_view.h"

namespace leasegateway {

// What a value must be. Each returns the rule that the value breaks; empty when it breaks none.

std::string CheckListen(absl::string_view value);  // HOST:PORT
std::string CheckUrl(absl::string_view value);     // of the provider
std::string CheckPath(absl::string_view value);    // reads nothing
// Name servers: ADDRESS[:PORT] or [IPv6]:PORT, comma-separated, three at most as glibc; or none.
std::string CheckDnsServers(absl::string_view value);
std::string CheckNetworks(absl::string_view value);  // ADDRESS[/LENGTH], comma-separated, or none
std::string CheckProxy(absl::string_view value);     // "", "direct" or a URL without credentials
// Reads the file. Expired certificates are no error here: bundles carry them, and the handshake
// decides.
std::string CheckCaFile(const std::string& path);

// All of `text` as an integer. False: it isn't one, or not of T.
template <typename T>
bool ParseNumber(absl::string_view text, T& value) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc() && end == text.data() + text.size();
}

}  // namespace leasegateway

#endif  // LEASE_GATEWAY_SERVICE_CONFIG_RULES_H_
