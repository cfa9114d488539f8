#include "service/config/option_table.h"

#include <chrono>
#include <cstdint>
#include <string>

#include "service/config/rules.h"

namespace leasegateway {

// As long as the table is.
const std::vector<Option>& Options() {
  using namespace std::chrono_literals;  // NOLINT(build/namespaces)
  static const auto* const options = new std::vector<Option>{
      Text(
          "listen", "HOST:PORT",
          "Where to serve gRPC: IPv4 address, [IPv6 address] or name; port 0 to 65535, 0: any free",
          &Config::listen, CheckListen),
      Text("tls_cert_file", "FILE",
           "PEM file of the certificate to serve, its intermediates after it; empty: no TLS",
           &Config::tls_cert_file, CheckPath),
      Text("tls_key_file", "FILE", "PEM file of its private key, without passphrase",
           &Config::tls_key_file, CheckPath),
      Text("tls_client_ca_file", "FILE",
           "PEM file of the authorities that sign callers' certificates; empty: callers need none",
           &Config::tls_client_ca_file, CheckPath),
      Choice("tls_client_auth",
             "Whether callers must have a certificate, or may do without, as with a token",
             &Config::tls_client_auth, {"require", "request"}),
      Text(
          "callers_file", "FILE",
          "YAML file of accounts, callers, their rights and limits; empty: one account, all rights",
          &Config::callers_file, CheckPath),
      Duration("file_refresh", "How often the files of TLS, secrets and callers are read anew",
               &Config::file_refresh, 100ms, 1h),
      Boolean("allow_plaintext", "Serve without TLS beyond loopback, as behind a mesh's side-car",
              &Config::allow_plaintext),
      Duration("default_deadline", "Deadline of a call that came without one",
               &Config::default_deadline, 1ms, 1h),
      Duration("drain_wait", "At SIGTERM, from NOT_SERVING until no new calls are taken",
               &Config::drain_wait, 0ms, 1h),
      Duration("grace", "Then, until calls in flight are cancelled", &Config::grace, 0ms, 1h),
      Duration("max_connection_age", "Age at which a caller's connection is closed, 0: no limit",
               &Config::max_connection_age, 0ms, 24h),
      Duration("max_connection_age_grace", "Then, until its calls in flight are cancelled",
               &Config::max_connection_age_grace, 0ms, 24h),
      Duration("keepalive_time", "Silence on a caller's connection until a ping is sent",
               &Config::keepalive_time, 1s, 24h),
      Duration("keepalive_timeout", "Wait for the ping's answer until the connection is closed",
               &Config::keepalive_timeout, 1s, 1h),
      Size("max_request_bytes", "Longest request taken", &Config::max_request_bytes, 1 << 10,
           256 << 20),
      Size("max_response_bytes", "Longest response sent", &Config::max_response_bytes, 1 << 10,
           1 << 30),
      Integer("max_streams", "Calls at a time on a caller's connection", &Config::max_streams, 1,
              1'000'000),
      Size("max_metadata_bytes", "Longest metadata of a call taken", &Config::max_metadata_bytes,
           1 << 10, 1 << 20),
      Integer("max_calls", "Calls at a time in all, watches not counted", &Config::max_calls, 1,
              1'000'000),
      Integer("max_connections", "Callers' connections at a time", &Config::max_connections, 1,
              1'000'000),
      Integer("max_connections_per_peer", "Of these, from one address (IPv6: one /64 network)",
              &Config::max_connections_per_peer, 1, 1'000'000),
      Text("trusted_proxies", "NETWORK,…",
           "Networks of proxies: no such limits, and believed in what x-forwarded-client-cert says",
           &Config::trusted_proxies, CheckNetworks),
      Size<std::int64_t>("max_memory", "Memory that the guard keeps to; 0: container's,",
                         &Config::max_memory, 0, std::int64_t{1} << 40),
      Boolean("reflection", "Serve gRPC server reflection", &Config::reflection),
      Boolean("channelz", "Serve gRPC channelz, which costs throughput", &Config::channelz),
      Duration("watch_heartbeat", "Silence until a watcher is sent a message without changes",
               &Config::watch_heartbeat, 100ms, 1h),
      Integer("max_watchers", "Calls of WatchAvailability at a time", &Config::max_watchers, 0,
              1'000'000),

      Text("admin_listen", "HOST:PORT",
           "Where to serve the admin port: plain HTTP for the platform, not for callers; empty: "
           "nowhere",
           &Config::admin_listen,
           [](absl::string_view value) { return value.empty() ? "" : CheckListen(value); }),

      Url("upstream_url", "The provider's API; https only, no user info, query or fragment",
          &Config::upstream_url),
      Text("upstream_ca_file", "FILE",
           "PEM file of the authorities trusted for upstream_url; empty: the system's",
           &Config::upstream_ca_file, CheckPath),
      Text("upstream_token_file", "FILE",
           "File that holds the API key, at most 512 bytes; stronger than the environment's",
           &Config::upstream_token_file, CheckPath),
      ProxyOption("upstream_proxy",
                  "HTTP proxy to go through; direct: none; empty: as HTTPS_PROXY and NO_PROXY say",
                  &Config::upstream_proxy),
      Text("upstream_proxy_credentials_file", "FILE",
           "File that holds USER:PASSWORD for it; stronger than the environment's",
           &Config::upstream_proxy_credentials_file, CheckPath),
      Text("upstream_proxy_ca_file", "FILE",
           "PEM file of the authorities trusted for an https:// proxy; empty: the system's",
           &Config::upstream_proxy_ca_file, CheckPath),
      Choice("auth_scheme", "Scheme of the Authorization header", &Config::auth_scheme,
             {"Bearer", "Token"}),
      Integer("threads", "Threads that serve the provider's connections", &Config::threads, 1, 64),
      Integer("pool_size", "Connections to the provider at most", &Config::pool_size, 1, 4096),
      Integer("pool_warm", "Of those, kept open though nobody calls", &Config::pool_warm, 0, 4096),
      Integer("pool_queue", "Calls that may wait for a connection", &Config::pool_queue, 0,
              1'000'000),
      Duration("pool_wait",
               "Expected wait for a connection at which calls are refused, 0: what a call takes",
               &Config::pool_wait, 0ms, 10min),
      Text("dns_servers", "ADDRESS[:PORT],…",
           "Name servers to ask for the provider's address; empty: the system's",
           &Config::dns_servers, CheckDnsServers),
      Duration("resolve_timeout", "Limit of the name lookup", &Config::resolve_timeout, 1ms, 10min),
      Duration("connect_timeout", "Limit of connecting to one address", &Config::connect_timeout,
               1ms, 10min),
      Duration("handshake_timeout", "Limit of the TLS handshake", &Config::handshake_timeout, 1ms,
               10min),
      Duration("send_timeout", "Limit of sending a request", &Config::send_timeout, 1ms, 10min),
      Duration("response_timeout", "Limit from the request's last byte to the answer's header",
               &Config::response_timeout, 1ms, 10min),
      Duration("read_timeout", "Limit of reading the answer's body", &Config::read_timeout, 1ms,
               10min),
      Duration("idle_timeout", "Time an unused connection to the provider is kept",
               &Config::idle_timeout, 0ms, 1h),
      Duration("pool_max_age",
               "Age at which a connection to the provider is replaced once idle, 0: no limit",
               &Config::pool_max_age, 0ms, 24h),
      Duration("dns_ttl",
               "Longest use of an address until it is looked up anew; its TTL may be shorter",
               &Config::dns_ttl, 0ms, 24h),
      Size<std::int64_t>("max_body_bytes", "Longest inflated answer of the provider taken",
                         &Config::max_body_bytes, 1 << 10, 1 << 30),
      Size<std::int64_t>("max_header_bytes", "Longest header of its answers taken",
                         &Config::max_header_bytes, 1 << 10, 1 << 20),
      Integer("retry_attempts", "Attempts at a call of the provider at most, with the first",
              &Config::retry_attempts, 1, 10),
      Integer("retry_budget_percent", "Retries that 100 calls make room for",
              &Config::retry_budget_percent, 0, 100),
      Integer("retry_budget_floor", "Retries a second besides, for callers only",
              &Config::retry_budget_floor, 0, 1'000),
      Integer("upstream_rate", "Calls of the provider a second at most, 0: no limit",
              &Config::upstream_rate, 0, 1'000'000),

      Duration("cache_fresh", "Age up to which memory answers reads", &Config::cache_fresh, 0ms,
               24h),
      Duration("cache_stale_while_revalidate",
               "Then, time in which memory still answers, and is refreshed meanwhile",
               &Config::cache_stale_while_revalidate, 0ms, 24h),
      Duration("cache_stale_if_error", "Age up to which memory answers when the provider does not",
               &Config::cache_stale_if_error, 0ms, 168h),
      Duration("cache_negative", "Time it is remembered that a number does not exist",
               &Config::cache_negative, 0ms, 1h),
      Duration("cache_idle", "Time after the last read in which lists are still refreshed",
               &Config::cache_idle, 0ms, 168h),
      Integer("cache_numbers", "Single numbers kept in memory, beside the lists",
              &Config::cache_numbers, 0, 10'000'000),
      Size<std::int64_t>("cache_history_bytes", "Memory for page walks and watches,",
                         &Config::cache_history_bytes, 1 << 20, std::int64_t{16} << 30),

      Text(
          "journal", "FILE",
          "SQLite file of the journal of purchases; empty: ./lease-gateway.db, with sandbox memory",
          &Config::journal, CheckPath),
      DatabaseUrlOption(
          "database_url",
          "PostgreSQL instead of journal, for replicas to share: libpq's URL or key=value words",
          &Config::database_url),
      Text("database_password_file", "FILE",
           "File that holds its password; stronger than the environment's",
           &Config::database_password_file, CheckPath),
      DatabaseUrlOption(
          "database_listen_url",
          "The same database past a pooler of transactions, for LISTEN; empty: database_url",
          &Config::database_listen_url),
      Integer("database_connections", "Connections to it, and one for LISTEN",
              &Config::database_connections, 1, 64),
      Boolean("database_allow_insecure", "Take less than sslmode=verify-full beyond loopback",
              &Config::database_allow_insecure),
      Duration("ownership_time", "Silence of a replica until others take over its operations",
               &Config::ownership_time, 2s, 60s),
      Duration("settle_time",
               "Time after which a purchase whose answer was lost can't arrive any more",
               &Config::settle_time, 100ms, 10min),
      Duration("journal_retention",
               "Time that what is settled is kept; purchases that succeeded 400 days at least",
               &Config::journal_retention, 24h, 87'600h),

      Boolean("sandbox", "Serve from the embedded sandbox instead of the provider; needs no key",
              &Config::sandbox),
      Integer("sandbox_numbers", "Numbers that the sandbox offers", &Config::sandbox_numbers, 0,
              100'000),
      Integer<std::uint64_t>("sandbox_seed", "Seed of the sandbox's data", &Config::sandbox_seed, 0,
                             UINT64_MAX),
      Integer<std::uint16_t>("sandbox_control_port",
                             "Port of the sandbox's control interface, 0: any free",
                             &Config::sandbox_control_port, 0, UINT16_MAX),

      Choice("log_level", "Least severe level logged", &Config::log_level,
             {"trace", "debug", "info", "warn", "error", "off"}),
      Choice("log_format", "Format of the log on standard error", &Config::log_format,
             {"text", "json"}),
      Integer("access_log_hits", "Log one in so many reads that memory answered; 0: none, 1: all",
              &Config::access_log_hits, 0, 1'000'000),
  };
  return *options;
}

const Option* FindOption(absl::string_view key) {
  for (const Option& option : Options()) {
    if (option.key == key) return &option;
  }
  return nullptr;
}

bool IsUpstreamOnly(const Option& option) {
  for (const char* key :
       {"upstream_url", "upstream_ca_file", "upstream_token_file", "upstream_proxy",
        "upstream_proxy_credentials_file", "upstream_proxy_ca_file"}) {
    if (option.key == key) return true;
  }
  return false;
}

}  // namespace leasegateway
