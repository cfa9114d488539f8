#ifndef LEASE_GATEWAY_UPSTREAM_POSTGRES_BRING_UP_H_
#define LEASE_GATEWAY_UPSTREAM_POSTGRES_BRING_UP_H_

#include <boost/asio/awaitable.hpp>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "upstream/postgres/connector.h"
#include "upstream/postgres/migrations.h"

namespace leasegateway::postgres {

struct BroughtUp {
  int server_version = 0;  // 150020
  int schema_version = 0;
  // What the server promises less of than purchases deserve, a line each; the operator decides.
  std::vector<std::string> warnings;
};

// What a program does with a database before it counts on it: connects, checks the server and the
// role's rights, applies what is missing of the schema. Over a connection of its own; to be called
// again after UNAVAILABLE. Each status is one line that names the cause:
//   FAILED_PRECONDITION  waiting does not mend it: password, database, rights, certificate, a
//   server
//                        older than 13, a schema that is newer or another program's
//   UNAVAILABLE          refused, unknown host, no answer in time, starting up, read-only
//   INTERNAL             a migration is wrong
// Awaited on a strand.
boost::asio::awaitable<absl::StatusOr<BroughtUp>> BringUp(std::shared_ptr<Connector> connector,
                                                          std::vector<Migration> migrations);

}  // namespace leasegateway::postgres

#endif  // LEASE_GATEWAY_UPSTREAM_POSTGRES_BRING_UP_H_
