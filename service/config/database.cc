#include "service/config/database.h"

#include <chrono>
#include <cstddef>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "service/process/error_text.h"

namespace leasegateway {
namespace {

// libpq quotes parts of what it can't parse, of which one may be a password.
std::string HideUnshown(absl::string_view rule, const std::string& shown) {
  std::vector<std::string> parts = absl::StrSplit(rule, '"');
  for (std::size_t i = 1; i < parts.size(); i += 2) {
    if (parts[i] != "=" && !absl::StrContains(shown, parts[i])) parts[i] = "***";
  }
  return absl::StrJoin(parts, "\"");
}

}  // namespace

absl::StatusOr<postgres::DatabaseUrl> ParseDatabaseUrl(const std::string& key,
                                                       const Config& config) {
  const std::string& text =
      key == "database_url" ? config.database_url : config.database_listen_url;
  auto url = postgres::ParseDatabaseUrl(text, config.database_allow_insecure, key);
  if (!url.ok()) {
    absl::string_view rule = url.status().message();
    absl::ConsumePrefix(&rule, absl::StrCat(key, ": "));
    return absl::InvalidArgumentError(HideUnshown(rule, QuoteDatabaseUrl(text)));
  }
  for (const auto& [name, value] : url->settings) {
    if (name == "sslpassword" && !value.empty()) {
      return absl::InvalidArgumentError(
          "must have no sslpassword: use a sslkey without passphrase");
    }
  }
  return url;
}

std::string WithoutPassword(const postgres::DatabaseUrl& url) {
  std::vector<std::string> hosts, addresses, ports;
  bool has_address = false;
  for (const postgres::Endpoint& endpoint : url.endpoints) {
    hosts.push_back(endpoint.host);
    addresses.push_back(endpoint.address);
    ports.push_back(endpoint.port);
    has_address = has_address || !endpoint.address.empty();
  }
  std::string text;
  const auto add = [&](absl::string_view name, const std::string& value) {
    absl::StrAppend(&text, text.empty() ? "" : " ", name, "='",
                    absl::StrReplaceAll(value, {{"\\", "\\\\"}, {"'", "\\'"}}), "'");
  };
  add("host", absl::StrJoin(hosts, ","));
  if (has_address) add("hostaddr", absl::StrJoin(addresses, ","));
  add("port", absl::StrJoin(ports, ","));
  for (const auto& [name, value] : url.settings) add(name, value);
  add("connect_timeout",
      absl::StrCat(std::chrono::ceil<std::chrono::seconds>(url.connect_timeout).count()));
  return text;
}

}  // namespace leasegateway
