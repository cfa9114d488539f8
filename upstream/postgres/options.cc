#include "upstream/postgres/options.h"

#include <libpq-fe.h>

#include <algorithm>
#include <boost/asio/ip/address.hpp>
#include <map>
#include <memory>
#include <optional>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"

namespace leasegateway::postgres {
namespace {

// OpenSSL's own default would be another place in a container; libpq 15 has no word for the
// system's.
constexpr const char* kSystemCertificates = "/etc/ssl/certs/ca-certificates.crt";
constexpr const char* kDefaultPort = "5432";

using Keywords = std::map<std::string, std::string>;

struct FreeOptions {
  void operator()(PQconninfoOption* options) const { PQconninfoFree(options); }
};

// What libpq has against a URL, on one line. It quotes parts, of which one may be the password.
std::string WithoutSecrets(const std::string& url, std::string line) {
  absl::RemoveExtraAsciiWhitespace(&line);
  std::replace(line.begin(), line.end(), '\n', ' ');
  if (!absl::StrContains(url, '@') && !absl::StrContains(url, "password")) return line;
  const std::vector<std::string> parts = absl::StrSplit(line, '"');
  std::string shown;
  for (std::size_t i = 0; i < parts.size(); ++i) {
    absl::StrAppend(&shown, i % 2 == 0 ? parts[i] : "\"…\"");
  }
  return shown;
}

absl::StatusOr<Keywords> ParseKeywords(const std::string& url) {
  if (url.find('\0') != std::string::npos) return absl::InvalidArgumentError("has a zero byte");
  char* message = nullptr;
  const std::unique_ptr<PQconninfoOption, FreeOptions> options(
      PQconninfoParse(url.c_str(), &message));
  if (!options) {
    const std::string why = message == nullptr ? "out of memory" : WithoutSecrets(url, message);
    PQfreemem(message);
    return absl::InvalidArgumentError(absl::StrCat("can't be parsed: ", why));
  }
  Keywords keywords;
  for (const auto* option = options.get(); option->keyword != nullptr; ++option) {
    if (option->val != nullptr && option->val[0] != '\0') {
      keywords.emplace(option->keyword, option->val);
    }
  }
  return keywords;
}

// Takes a keyword out; empty: not there.
std::string Take(Keywords& keywords, const std::string& name) {
  auto node = keywords.extract(name);
  return node.empty() ? std::string() : std::move(node.mapped());
}

std::vector<std::string> TakeList(Keywords& keywords, const std::string& name) {
  const std::string text = Take(keywords, name);
  if (text.empty()) return {};
  return absl::StrSplit(text, ',');
}

absl::StatusOr<std::vector<Endpoint>> TakeEndpoints(Keywords& keywords) {
  const auto hosts = TakeList(keywords, "host");
  const auto addresses = TakeList(keywords, "hostaddr");
  const auto ports = TakeList(keywords, "port");
  if (hosts.empty() && addresses.empty()) return absl::InvalidArgumentError("names no host");
  if (!hosts.empty() && !addresses.empty() && hosts.size() != addresses.size()) {
    return absl::InvalidArgumentError("has not as many addresses (hostaddr) as hosts");
  }
  const std::size_t count = std::max(hosts.size(), addresses.size());
  if (ports.size() > 1 && ports.size() != count) {
    return absl::InvalidArgumentError("has not as many ports as hosts");
  }
  std::vector<Endpoint> endpoints;
  for (std::size_t i = 0; i < count; ++i) {
    Endpoint endpoint{hosts.empty() ? addresses[i] : hosts[i],
                      addresses.empty() ? std::string() : addresses[i],
                      ports.empty() ? std::string() : ports[ports.size() == 1 ? 0 : i]};
    if (endpoint.port.empty()) endpoint.port = kDefaultPort;
    if (endpoint.host.empty()) endpoint.host = endpoint.address;
    if (endpoint.host.empty()) return absl::InvalidArgumentError("has a host without a name");
    int port = 0;
    if (!absl::SimpleAtoi(endpoint.port, &port) || port < 1 || port > 65'535) {
      return absl::InvalidArgumentError(absl::StrCat("port ", endpoint.port, " is none"));
    }
    boost::system::error_code error;
    if (!endpoint.address.empty()) boost::asio::ip::make_address(endpoint.address, error);
    if (error) return absl::InvalidArgumentError("hostaddr is no IP address");
    endpoints.push_back(std::move(endpoint));
  }
  return endpoints;
}

bool IsLocal(const Endpoint& endpoint) {
  if (endpoint.is_socket()) return true;
  const std::string& place = endpoint.address.empty() ? endpoint.host : endpoint.address;
  if (place == "localhost") return true;
  boost::system::error_code error;
  const auto address = boost::asio::ip::make_address(place, error);
  return !error && address.is_loopback();
}

absl::Status SetTls(const std::vector<Endpoint>& endpoints, bool allow_insecure,
                    Keywords& keywords) {
  const auto remote = std::find_if_not(endpoints.begin(), endpoints.end(), IsLocal);
  const bool is_local = remote == endpoints.end();
  std::string& mode = keywords["sslmode"];
  if (mode.empty()) mode = is_local ? "prefer" : "verify-full";
  if (!is_local && mode != "verify-full" && !allow_insecure) {
    return absl::InvalidArgumentError(
        absl::StrCat("sslmode=", mode, " does not verify the server ", remote->host,
                     ": take verify-full, or set database_allow_insecure"));
  }
  std::string& certificates = keywords["sslrootcert"];
  if (absl::StartsWith(mode, "verify-") && (certificates.empty() || certificates == "system")) {
    certificates = kSystemCertificates;
  }
  if (certificates.empty()) keywords.erase("sslrootcert");
  return absl::OkStatus();
}

// What is set where the URL has nothing.
void SetDefaults(Keywords& keywords) {
  keywords.emplace("target_session_attrs", "read-write");
  keywords.emplace("client_encoding", "UTF8");
  // Asks the ticket cache, which may be across the network, and blocks.
  keywords.emplace("gssencmode", "disable");
  keywords.emplace("keepalives_idle", "10");
  keywords.emplace("keepalives_interval", "3");
  keywords.emplace("keepalives_count", "3");
  keywords.emplace("tcp_user_timeout", "10000");
}

absl::StatusOr<DatabaseUrl> Parse(const std::string& url, bool allow_insecure) {
  auto parsed = ParseKeywords(url);
  if (!parsed.ok()) return parsed.status();
  Keywords& keywords = *parsed;
  if (keywords.contains("service")) {
    return absl::InvalidArgumentError("names a service; name host and database instead");
  }
  auto endpoints = TakeEndpoints(keywords);
  if (!endpoints.ok()) return endpoints.status();
  DatabaseUrl result;
  result.endpoints = *std::move(endpoints);
  result.password = Take(keywords, "password");
  result.has_password = !result.password.empty();
  result.user = keywords.contains("user") ? keywords["user"] : "";
  result.database = keywords.contains("dbname") ? keywords["dbname"] : result.user;
  if (const std::string timeout = Take(keywords, "connect_timeout"); !timeout.empty()) {
    int seconds = 0;
    if (!absl::SimpleAtoi(timeout, &seconds) || seconds < 1 || seconds > 3'600) {
      return absl::InvalidArgumentError("connect_timeout is no number of seconds");
    }
    result.connect_timeout = std::chrono::seconds(seconds);
  }
  if (const auto wanted = keywords.find("target_session_attrs");
      wanted != keywords.end() && (wanted->second == "read-only" || wanted->second == "standby")) {
    return absl::InvalidArgumentError(absl::StrCat("target_session_attrs=", wanted->second,
                                                   " finds no server that takes writes"));
  }
  if (auto status = SetTls(result.endpoints, allow_insecure, keywords); !status.ok()) return status;
  SetDefaults(keywords);
  std::vector<std::string> places;
  for (const auto& endpoint : result.endpoints) {
    places.push_back(absl::StrCat(endpoint.host, ":", endpoint.port));
  }
  result.where = absl::StrCat(absl::StrJoin(places, ","), "/", result.database);
  result.settings.assign(keywords.begin(), keywords.end());
  return result;
}

}  // namespace

absl::StatusOr<DatabaseUrl> ParseDatabaseUrl(const std::string& url, bool allow_insecure,
                                             std::string_view key) {
  auto parsed = Parse(url, allow_insecure);
  if (parsed.ok()) return parsed;
  return absl::InvalidArgumentError(
      absl::StrCat(std::string(key), ": ", parsed.status().message()));
}

}  // namespace leasegateway::postgres
