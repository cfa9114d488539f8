#ifndef LEASE_GATEWAY_UPSTREAM_POSTGRES_MIGRATIONS_H_
#define LEASE_GATEWAY_UPSTREAM_POSTGRES_MIGRATIONS_H_

#include <boost/asio/awaitable.hpp>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "upstream/postgres/connection.h"

namespace leasegateway::postgres {

// One step of the schema: a file schema/NNNN_name.sql, with any number of statements that may stand
// in a transaction.
struct Migration {
  int version = 0;   // NNNN, from 1
  std::string name;  // "0001_journal"
  std::string sql;
};

// Those of this program, in order; made of the files at build time.
std::vector<Migration> ProgramMigrations();

// A program's version is the last migration that it knows. This is the oldest one that works with
// the schema once this migration is applied: the number in its line "-- oldest_program: N", or its
// own version where there is no such line.
int OldestProgram(const Migration& migration);

// Applies what is missing, all in one transaction and one replica at a time, and notes it in
// lease_gateway.schema_version. The version that the schema has then; a newer one than the last of
// `migrations` is accepted if it says that this program may.
//   FAILED_PRECONDITION  newer than the program, not ours, or the role may not
//   UNAVAILABLE          the connection was lost, or the time is over: call it again
//   INTERNAL             a migration is wrong; nothing was changed
boost::asio::awaitable<absl::StatusOr<int>> Migrate(Connection& connection,
                                                    std::vector<Migration> migrations,
                                                    Connection::TimePoint deadline);

}  // namespace leasegateway::postgres

#endif  // LEASE_GATEWAY_UPSTREAM_POSTGRES_MIGRATIONS_H_
