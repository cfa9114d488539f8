#include "service/upstream_options.h"

#include <cstddef>
#include <memory>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "service/process/secret.h"
#include "service/rpc/pinned_slice.h"

namespace leasegateway {

namespace {

// For each connection, so that a change counts from the next one on.
absl::StatusOr<std::string> ReadProxyCredentials(const std::string& path) {
  auto credentials = ReadSecret(kProxyCredentials, path);
  if (credentials.ok()) return credentials;
  return absl::Status(
      credentials.status().code(),
      absl::StrCat(kProxyCredentials.option, ": \"", path, "\": ", credentials.status().message()));
}

}  // namespace

absl::StatusOr<UpstreamOptions> UpstreamOptionsOf(const Config& config) {
  auto road = RoadOf(config);
  if (!road.ok()) return road.status();
  UpstreamOptions options;
  options.url = config.upstream_url;
  options.ca_file = config.upstream_ca_file;
  options.egress = *std::move(road);
  options.proxy_ca_file = config.upstream_proxy_ca_file;
  if (const std::string& path = config.upstream_proxy_credentials_file; !path.empty()) {
    options.proxy_credentials = [path] { return ReadProxyCredentials(path); };
  }
  options.auth_scheme = config.auth_scheme;
  options.user_agent = "lease-gateway/" LEASE_GATEWAY_VERSION;
  options.https.dns_servers = config.dns_servers;
  options.https.resolve_timeout = config.resolve_timeout;
  options.https.connect_timeout = config.connect_timeout;
  options.https.handshake_timeout = config.handshake_timeout;
  options.https.send_timeout = config.send_timeout;
  options.https.response_timeout = config.response_timeout;
  options.https.read_timeout = config.read_timeout;
  options.https.idle_timeout = config.idle_timeout;
  options.https.max_age = config.pool_max_age;
  options.https.dns_ttl = config.dns_ttl;
  options.https.max_body_bytes = config.max_body_bytes;
  options.https.max_header_bytes = config.max_header_bytes;
  options.https.max_connections = config.pool_size;
  options.https.warm_connections = config.pool_warm;
  options.https.max_waiters = config.pool_queue;
  options.max_wait = config.pool_wait;
  options.rate = config.upstream_rate;
  options.retry.max_attempts = config.retry_attempts;
  options.retry_budget = std::make_shared<RetryBudget>(RetryBudget::Options{
      .percent = config.retry_budget_percent, .floor = config.retry_budget_floor});
  options.cache.fresh = config.cache_fresh;
  options.cache.stale_while_revalidate = config.cache_stale_while_revalidate;
  options.cache.stale_if_error = config.cache_stale_if_error;
  options.cache.negative = config.cache_negative;
  options.cache.idle = config.cache_idle;
  options.cache.max_numbers = static_cast<std::size_t>(config.cache_numbers);
  options.cache.max_change_bytes = static_cast<std::size_t>(config.cache_history_bytes) / 4;
  options.pin = PinSlice;
  return options;
}

}  // namespace leasegateway
