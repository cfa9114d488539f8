#include "upstream/transport/egress.h"

#include <boost/asio/ip/address.hpp>
#include <boost/asio/ip/network_v4.hpp>
#include <boost/asio/ip/network_v6.hpp>
#include <boost/url/parse.hpp>
#include <boost/url/url_view.hpp>
#include <initializer_list>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"
#include "absl/strings/strip.h"

namespace leasegateway {
namespace {

using boost::asio::ip::address;

constexpr const char* kProxyRule = "must be http://HOST[:PORT] or https://HOST[:PORT]";

std::optional<address> AsAddress(absl::string_view text) {
  if (absl::ConsumePrefix(&text, "[")) absl::ConsumeSuffix(&text, "]");
  boost::system::error_code error;
  auto parsed = boost::asio::ip::make_address(std::string(text), error);
  if (error) return std::nullopt;
  if (parsed.is_v6() && parsed.to_v6().is_v4_mapped()) {
    return boost::asio::ip::make_address_v4(boost::asio::ip::v4_mapped, parsed.to_v6());
  }
  return parsed;
}

bool BlockHas(absl::string_view block, const address& host) {
  boost::system::error_code error;
  const std::string text(block);
  if (host.is_v4()) {
    const auto network = boost::asio::ip::make_network_v4(text, error);
    return !error &&
           boost::asio::ip::network_v4(host.to_v4(), network.prefix_length()).canonical() ==
               network.canonical();
  }
  const auto network = boost::asio::ip::make_network_v6(text, error);
  return !error && boost::asio::ip::network_v6(host.to_v6(), network.prefix_length()).canonical() ==
                       network.canonical();
}

// Takes ":PORT" from the end of an entry; empty: there is none. An IPv6 address has colons itself,
// and a port only behind brackets.
absl::string_view TakePort(absl::string_view* entry) {
  const auto colon = entry->rfind(':');
  if (colon == absl::string_view::npos) return {};
  const bool bracketed = colon > 0 && (*entry)[colon - 1] == ']';
  if (!bracketed && entry->find(':') != colon) return {};
  const absl::string_view port = entry->substr(colon + 1);
  *entry = entry->substr(0, colon);
  return port;
}

bool EntryHas(absl::string_view entry, absl::string_view host, absl::string_view port) {
  if (entry == "*") return true;
  const absl::string_view only_port = TakePort(&entry);
  if (!only_port.empty() && only_port != port) return false;
  const auto number = AsAddress(host);
  if (number) {
    if (absl::StrContains(entry, '/')) return BlockHas(entry, *number);
    return AsAddress(entry) == number;
  }
  absl::ConsumePrefix(&entry, ".");
  absl::ConsumeSuffix(&entry, ".");
  absl::ConsumeSuffix(&host, ".");
  if (entry.empty() || !absl::EndsWithIgnoreCase(host, entry)) return false;
  return host.size() == entry.size() || host[host.size() - entry.size() - 1] == '.';
}

// The first of the variables that is not empty, with its name; both empty: none is.
std::pair<const char*, std::string> First(const std::function<std::string(const char*)>& variable,
                                          std::initializer_list<const char*> names) {
  for (const char* name : names) {
    std::string value = variable(name);
    if (!value.empty()) return {name, std::move(value)};
  }
  return {"", ""};
}

}  // namespace

std::string ProxyAddress::where() const {
  const bool brackets = absl::StrContains(host, ':');
  return absl::StrCat(tls ? "https://" : "http://", brackets ? "[" : "", host, brackets ? "]" : "",
                      ":", port);
}

std::string Egress::Describe() const {
  return absl::StrCat(proxy ? absl::StrCat("through the proxy ", proxy->where()) : "straight", " (",
                      why, ")");
}

absl::StatusOr<ProxyAddress> ParseProxy(const std::string& url, bool credentials_allowed) {
  const auto parsed = boost::urls::parse_uri(url);
  if (!parsed) return absl::InvalidArgumentError(kProxyRule);
  const bool tls = parsed->scheme() == "https";
  if ((!tls && parsed->scheme() != "http") || parsed->host().empty() || parsed->has_query() ||
      parsed->has_fragment() ||
      (!parsed->encoded_path().empty() && parsed->encoded_path() != "/")) {
    return absl::InvalidArgumentError(kProxyRule);
  }
  ProxyAddress proxy;
  proxy.tls = tls;
  proxy.host = parsed->host_address();
  proxy.port = tls ? "443" : "80";
  if (parsed->has_port() && !parsed->port().empty()) {
    if (parsed->port_number() == 0) {
      return absl::InvalidArgumentError("has a port that is not from 1 to 65535");
    }
    proxy.port = absl::StrCat(parsed->port_number());
  }
  if (parsed->has_userinfo()) {
    if (!credentials_allowed) {
      return absl::InvalidArgumentError(
          "must have no user and no password: name a file in upstream_proxy_credentials_file");
    }
    proxy.credentials =
        absl::StrCat(std::string(parsed->user()), ":", std::string(parsed->password()));
  }
  return proxy;
}

bool GoesAround(const std::string& no_proxy, const std::string& host, const std::string& port) {
  const std::vector<std::string> entries =
      absl::StrSplit(no_proxy, absl::ByAnyChar(", \t"), absl::SkipEmpty());
  for (const std::string& entry : entries) {
    if (EntryHas(entry, host, port)) return true;
  }
  return false;
}

absl::StatusOr<Egress> ChooseEgress(const std::string& upstream_proxy,
                                    const std::function<std::string(const char*)>& variable,
                                    const std::string& host, const std::string& port) {
  if (upstream_proxy == kDirect) return Egress{std::nullopt, "upstream_proxy says so"};
  if (!upstream_proxy.empty()) {
    auto proxy = ParseProxy(upstream_proxy, false);
    if (!proxy.ok()) {
      return absl::InvalidArgumentError(absl::StrCat("upstream_proxy: ", proxy.status().message()));
    }
    return Egress{*std::move(proxy), "upstream_proxy says so"};
  }
  const auto [name, url] =
      First(variable, {"https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"});
  if (url.empty()) return Egress{std::nullopt, "no proxy is set"};
  const auto [exception, list] = First(variable, {"no_proxy", "NO_PROXY"});
  if (GoesAround(list, host, port)) {
    return Egress{std::nullopt, absl::StrCat(exception, " has the provider's host")};
  }
  // curl takes an address without a scheme for an HTTP proxy.
  auto proxy = ParseProxy(absl::StrContains(url, "://") ? url : absl::StrCat("http://", url), true);
  if (!proxy.ok()) {
    return absl::InvalidArgumentError(absl::StrCat("environment ", name, ": ",
                                                   proxy.status().message(),
                                                   "; upstream_proxy=direct ignores it"));
  }
  return Egress{*std::move(proxy), absl::StrCat(name, " is set in the environment")};
}

}  // namespace leasegateway
