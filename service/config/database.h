#ifndef LEASE_GATEWAY_SERVICE_CONFIG_DATABASE_H_
#define LEASE_GATEWAY_SERVICE_CONFIG_DATABASE_H_

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "service/config/config.h"
#include "upstream/postgres/options.h"

namespace leasegateway {

// The database that `key` names, database_url or database_listen_url. The error's message is the
// rule that it breaks, without its value.
absl::StatusOr<postgres::DatabaseUrl> ParseDatabaseUrl(const std::string& key,
                                                       const Config& config);

// The same, as key=value words that libpq reads, without the password.
std::string WithoutPassword(const postgres::DatabaseUrl& url);

}  // namespace leasegateway

#endif  // LEASE_GATEWAY_SERVICE_CONFIG_DATABASE_H_
