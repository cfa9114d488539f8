#include "service/config/rules.h"

#include <arpa/inet.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "service/guard/networks.h"
#include "service/process/error_text.h"
#include "service/process/provider_url.h"
#include "service/process/read_file.h"
#include "service/process/tls.h"
#include "upstream/transport/egress.h"

namespace leasegateway {
namespace {

std::string CheckHost(absl::string_view host) {
  if (absl::StartsWith(host, "[")) {
    in6_addr address;
    if (!absl::EndsWith(host, "]") ||
        inet_pton(AF_INET6, std::string(host.substr(1, host.size() - 2)).c_str(), &address) != 1) {
      return "is not an IPv6 address in brackets";
    }
    return "";
  }
  if (host.empty()) return "has no host; for all addresses use 0.0.0.0 or [::]";
  if (absl::StrContains(host, ":")) return "needs an IPv6 address in brackets, as [::1]:50051";
  if (host.find_first_not_of("0123456789.") == host.npos) {
    in_addr address;
    return inet_pton(AF_INET, std::string(host).c_str(), &address) == 1 ? ""
                                                                        : "is not an IPv4 address";
  }
  if (host.size() > 253) return "has a host name of more than 253 bytes";
  for (absl::string_view label : absl::StrSplit(host, '.')) {
    const bool valid =
        !label.empty() && label.size() <= 63 && label.front() != '-' && label.back() != '-' &&
        std::all_of(label.begin(), label.end(),
                    [](unsigned char c) { return absl::ascii_isalnum(c) || c == '-' || c == '_'; });
    if (!valid) return "is not a host name";
  }
  return "";
}

bool IsAddress(absl::string_view text, int family) {
  in6_addr address;  // has room for either
  return inet_pton(family, std::string(text).c_str(), &address) == 1;
}

// ADDRESS, ADDRESS:PORT, [IPv6] or [IPv6]:PORT.
bool IsDnsServer(absl::string_view server) {
  const bool is_ipv6 = absl::ConsumePrefix(&server, "[");
  const std::size_t end = server.find(is_ipv6 ? ']' : ':');
  if (!IsAddress(server.substr(0, end), is_ipv6 ? AF_INET6 : AF_INET)) return false;
  if (end == server.npos) return !is_ipv6;
  server.remove_prefix(end + (is_ipv6 ? 1 : 0));
  std::uint16_t port;
  return (is_ipv6 && server.empty()) ||
         (absl::ConsumePrefix(&server, ":") && ParseNumber(server, port) && port != 0);
}

}  // namespace

std::string CheckListen(absl::string_view value) {
  const std::size_t colon = value.rfind(':');
  std::string broken;
  std::uint16_t port;
  if (colon == value.npos) {
    broken = "has no port";
  } else if (!ParseNumber(value.substr(colon + 1), port)) {
    broken = "needs a port from 0 to 65535";
  } else {
    broken = CheckHost(value.substr(0, colon));
  }
  return broken.empty() ? "" : absl::StrCat("must be HOST:PORT: ", broken);
}

std::string CheckUrl(absl::string_view value) { return CheckProviderUrl(value, kSecretsRule); }

std::string CheckPath(absl::string_view value) {
  const bool control = std::any_of(value.begin(), value.end(),
                                   [](unsigned char c) { return absl::ascii_iscntrl(c); });
  return control ? "must be a path without control characters" : "";
}

std::string CheckDnsServers(absl::string_view value) {
  if (value.empty()) return "";
  const std::vector<absl::string_view> servers = absl::StrSplit(value, ',');
  return servers.size() <= 3 && std::all_of(servers.begin(), servers.end(), IsDnsServer)
             ? ""
             : "must be up to three of ADDRESS, ADDRESS:PORT or [IPv6 address]:PORT, separated by "
               "commas";
}

std::string CheckNetworks(absl::string_view value) {
  return std::string(Networks::Parse(value).status().message());
}

std::string CheckProxy(absl::string_view value) {
  if (value.empty() || value == kDirect) return "";
  const auto proxy = ParseProxy(std::string(value), false);
  return std::string(proxy.status().message());
}

std::string CheckCaFile(const std::string& path) {
  const absl::StatusOr<std::string> pem = ReadFile(path, kMaxCaFileBytes);
  if (!pem.ok()) return std::string(pem.status().message());
  return std::string(ReadCertificates(*pem).status().message());
}

}  // namespace leasegateway
