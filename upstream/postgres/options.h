#ifndef LEASE_GATEWAY_UPSTREAM_POSTGRES_OPTIONS_H_
#define LEASE_GATEWAY_UPSTREAM_POSTGRES_OPTIONS_H_

#include <chrono>
#include <cstddef>
#include <functional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"

namespace leasegateway::postgres {

// Where a server may be. A host that begins with '/' is the folder of a Unix socket.
struct Endpoint {
  std::string host;
  std::string address;  // its IP address where the URL has one (hostaddr); empty: look `host` up
  std::string port;
  bool is_socket() const { return host.starts_with('/') || host.starts_with('@'); }
};

// A database_url that was parsed and found to be allowed.
struct DatabaseUrl {
  std::vector<Endpoint> endpoints;  // one or more, in the order in which they are tried
  // libpq's keywords with what the URL, or a default of ours, has for them; none of host, hostaddr,
  // port, password and connect_timeout.
  std::vector<std::pair<std::string, std::string>> settings;
  std::string password;  // the one in the URL
  bool has_password = false;
  std::string database;
  std::string user;
  std::chrono::milliseconds connect_timeout{3'000};  // for each address
  std::string where;  // "host1:5432,host2:5432/name": for logs and messages
};

// Takes libpq's URLs and its key=value syntax, with several hosts. Beyond loopback and Unix sockets
// sslmode is verify-full, and anything weaker is refused unless `allow_insecure`; the system's
// certificates are trusted where the URL has no sslrootcert. target_session_attrs is read-write
// where the URL has none. INVALID_ARGUMENT, one line that names the key `key`, never the password.
absl::StatusOr<DatabaseUrl> ParseDatabaseUrl(const std::string& url, bool allow_insecure,
                                             std::string_view key = "database_url");

struct DatabaseOptions {
  DatabaseUrl url;
  // Asked at each connect, on any io thread and on several at once: the file may have changed.
  // Empty: the URL's.
  std::function<std::string()> password;
  std::string application_name = "lease-gateway";
  int connections = 4;
  // Callers that wait for a connection; more are turned away.
  std::size_t queue_limit = 4'096;
  // Statements of RunShared that are committed together.
  std::size_t batch_limit = 64;
  // On the server, for what outlives our own deadlines: a statement whose connection is lost or was
  // given up, and which holds locks. The wait for a standby at the commit is no part of it.
  std::chrono::milliseconds statement_timeout{10'000};
  std::chrono::milliseconds idle_in_transaction_timeout{30'000};
  // Pauses between tries to connect: from the first, doubling up to the last, each times a random
  // number between 0 and 1.
  std::chrono::milliseconds first_pause{100};
  std::chrono::milliseconds last_pause{5'000};
};

}  // namespace leasegateway::postgres

#endif  // LEASE_GATEWAY_UPSTREAM_POSTGRES_OPTIONS_H_
