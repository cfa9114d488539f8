#include "service/config/config.h"

#include <boost/url/parse.hpp>
#include <boost/url/url_view.hpp>

#include "absl/strings/str_cat.h"
#include "service/process/tls.h"

namespace leasegateway {

std::string JournalPath(const Config& config) {
  if (!config.journal.empty()) return config.journal;
  return config.sandbox ? ":memory:" : "lease-gateway.db";
}

std::vector<std::string> Warnings(const Config& config) {
  if (!config.callers_file.empty() || IsLoopbackListener(config.listen)) return {};
  return {absl::StrCat("everybody whom ", config.listen,
                       " lets in has all rights, and no limit: callers_file is not set")};
}

absl::StatusOr<Egress> RoadOf(const Config& config) {
  if (config.sandbox) return Egress{std::nullopt, "the sandbox is embedded"};
  const auto url = boost::urls::parse_uri(config.upstream_url);
  const bool has_port = url && url->has_port() && !url->port().empty();
  return ChooseEgress(
      config.upstream_proxy,
      [&config](const char* name) {
        const auto found = config.proxy_variables.find(name);
        return found == config.proxy_variables.end() ? std::string() : found->second;
      },
      url ? url->host_address() : "", has_port ? std::string(url->port()) : "443");
}

TlsOptions TlsOptionsOf(const Config& config) {
  TlsOptions options;
  options.listen = config.listen;
  options.tls_cert_file = config.tls_cert_file;
  options.tls_key_file = config.tls_key_file;
  options.tls_client_ca_file = config.tls_client_ca_file;
  options.tls_client_optional = config.tls_client_auth == "request";
  options.file_refresh = config.file_refresh;
  options.allow_plaintext = config.allow_plaintext;
  return options;
}

}  // namespace leasegateway
