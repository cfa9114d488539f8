#ifndef LEASE_GATEWAY_SERVICE_CONFIG_CONFIG_H_
#define LEASE_GATEWAY_SERVICE_CONFIG_CONFIG_H_

#include <chrono>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "service/process/tls_options.h"
#include "upstream/transport/egress.h"

namespace leasegateway {

// All that can be set, with its default. option_table.cc says how, and what is allowed.
// service/README.md has the table, which is checked against --help.
struct Config {
  using Milliseconds = std::chrono::milliseconds;

  // The gRPC side.
  std::string listen = "127.0.0.1:50051";    // HOST:PORT; port 0: any free one
  std::string tls_cert_file;                 // PEM, the leaf first; empty: no TLS
  std::string tls_key_file;                  // PEM
  std::string tls_client_ca_file;            // PEM; empty: callers need no certificate
  std::string tls_client_auth = "require";   // or "request": callers may do without one
  std::string callers_file;                  // YAML; empty: everybody has all rights on one account
  Milliseconds file_refresh{10'000};         // how often files that may change are read anew
  bool allow_plaintext = false;              // beyond loopback
  Milliseconds default_deadline{10'000};     // of a call that came without one
  Milliseconds drain_wait{0};                // from NOT_SERVING to GOAWAY at SIGTERM
  Milliseconds grace{20'000};                // from GOAWAY until calls in flight are cancelled
  Milliseconds max_connection_age{600'000};  // 0: no limit
  Milliseconds max_connection_age_grace{30'000};
  Milliseconds keepalive_time{60'000};
  Milliseconds keepalive_timeout{20'000};
  int max_request_bytes = 1 << 20;
  int max_response_bytes = 64 << 20;
  int max_streams = 1'000;               // calls at a time on a connection
  int max_metadata_bytes = 16 << 10;     // of a call, inflated
  int max_calls = 10'000;                // at a time in all, watches beside them
  int max_connections = 8'000;           // of callers, in all
  int max_connections_per_peer = 1'000;  // of one address
  std::string trusted_proxies;           // networks, comma-separated; no such share for them
  std::int64_t max_memory = 0;           // bytes; 0: the container's limit
  bool reflection = true;
  bool channelz = false;
  Milliseconds watch_heartbeat{15'000};  // silence until a watcher is sent a message
  int max_watchers = 10'000;             // calls of WatchAvailability at a time

  std::string admin_listen;  // HOST:PORT of the admin port; empty: none

  // The provider's side.
  std::string upstream_url = "https://api.contiguity.com/numbers";
  std::string upstream_ca_file;     // PEM; empty: the system's
  std::string upstream_token_file;  // the API key, surrounding white space ignored
  std::string upstream_proxy;       // of tunnels; "direct": none; empty: the environment says
  std::string upstream_proxy_credentials_file;  // USER:PASSWORD, white space around it ignored
  std::string upstream_proxy_ca_file;           // PEM; empty: the system's
  std::string auth_scheme = "Bearer";           // or "Token"
  int threads = 2;                              // of the Asio context
  int pool_size = 64;                           // connections
  int pool_warm = 0;                            // of those, kept open though nobody calls
  int pool_queue = 4096;                        // calls that may wait for one
  Milliseconds pool_wait{0};                    // for one; 0: about as long as a call takes
  std::string dns_servers;  // ADDRESS[:PORT], comma-separated; empty: the system's
  Milliseconds resolve_timeout{2'000};
  Milliseconds connect_timeout{2'000};  // an address
  Milliseconds handshake_timeout{3'000};
  Milliseconds send_timeout{5'000};
  Milliseconds response_timeout{10'000};  // from the request's last byte to the answer's header
  Milliseconds read_timeout{10'000};      // of the answer's body
  Milliseconds idle_timeout{30'000};      // of a pooled connection
  Milliseconds pool_max_age{300'000};     // of one; 0: no limit
  Milliseconds dns_ttl{30'000};
  std::int64_t max_body_bytes = 64 << 20;
  std::int64_t max_header_bytes = 16 << 10;
  int retry_attempts = 3;         // the first included
  int retry_budget_percent = 10;  // of calls
  int retry_budget_floor = 5;     // retries a second besides
  int upstream_rate = 0;          // calls a second; 0: no limit

  // What memory answers.
  Milliseconds cache_fresh{5'000};
  Milliseconds cache_stale_while_revalidate{60'000};  // after that
  Milliseconds cache_stale_if_error{900'000};         // in all
  Milliseconds cache_negative{2'000};                 // that a number does not exist
  Milliseconds cache_idle{300'000};                   // from the last read to the last refresh
  int cache_numbers = 10'000;                         // single ones, beside the lists
  std::int64_t cache_history_bytes = 64 << 20;        // of replaced lists and of changes

  // What is leased and given back is written down before it is done: in a file, or in a database
  // that replicas share.
  std::string journal;                   // SQLite file; empty: see JournalPath
  std::string database_url;              // libpq's, without a password; empty: the file
  std::string database_password_file;    // surrounding white space ignored
  std::string database_listen_url;       // for LISTEN alone, past a pooler; empty: database_url
  int database_connections = 4;          // besides the one for LISTEN
  bool database_allow_insecure = false;  // TLS below verify-full beyond loopback
  Milliseconds ownership_time{6'000};    // a silent replica's, until others take over
  Milliseconds settle_time{10'000};      // of RecordedLeaseApi
  Milliseconds journal_retention{86'400'000};  // of settled operations

  // The embedded sandbox instead of the provider.
  bool sandbox = false;
  int sandbox_numbers = 100;
  std::uint64_t sandbox_seed = 1;
  std::uint16_t sandbox_control_port = 0;  // 0: any free one

  // Logs.
  std::string log_level = "info";   // trace, debug, info, warn, error, off
  std::string log_format = "text";  // or "json"
  int access_log_hits = 0;          // one in so many reads that memory answered; 0: none

  // The API key. From CONTIGUITY_API_KEY, CONTIGUITY_TOKEN or `upstream_token_file` (strongest);
  // never from a flag or the YAML file, never printed.
  std::string api_key;
  // The password of database_url. From LEASE_GATEWAY_DATABASE_URL, LEASE_GATEWAY_DATABASE_PASSWORD
  // or `database_password_file` (strongest); likewise never from elsewhere, and never printed.
  std::string database_password;

  // Of kProxyVariables those that are set. From the environment alone; they may hold a password,
  // and are never printed.
  std::map<std::string, std::string> proxy_variables{};

  bool operator==(const Config&) const = default;
};

// The journal's file, where there is no `database_url`: the one that is set, or "lease-gateway.db"
// in the working directory. The embedded sandbox forgets all leases at its end, so its journal is
// in memory: ":memory:".
std::string JournalPath(const Config& config);

// What is allowed and should be known all the same, a line each.
std::vector<std::string> Warnings(const Config& config);

// The road to the provider that `upstream_proxy` or else the environment chooses; straight to the
// embedded sandbox, whatever they say. INVALID_ARGUMENT: the key or variable and the rule that it
// breaks.
absl::StatusOr<Egress> RoadOf(const Config& config);

// The part of it that the gRPC port's transport is made by.
TlsOptions TlsOptionsOf(const Config& config);

}  // namespace leasegateway

#endif  // LEASE_GATEWAY_SERVICE_CONFIG_CONFIG_H_
