#ifndef LEASE_GATEWAY_UPSTREAM_POSTGRES_SQL_ERROR_H_
#define LEASE_GATEWAY_UPSTREAM_POSTGRES_SQL_ERROR_H_

#include <string>
#include <string_view>

#include "absl/status/status.h"

namespace leasegateway::postgres {

// An error of the server, or of a pooler in front of it.
struct SqlError {
  std::string sqlstate;  // five characters; empty: libpq's own, the connection is lost
  std::string severity;  // ERROR, FATAL, PANIC
  std::string message;   // without any value of a parameter
};

// SQLSTATEs that something depends on.
// https://www.postgresql.org/docs/current/errcodes-appendix.html
namespace sqlstate {
inline constexpr std::string_view kUniqueViolation = "23505";
inline constexpr std::string_view kReadOnly = "25006";
inline constexpr std::string_view kNoSuchStatement = "26000";
inline constexpr std::string_view kDuplicateStatement = "42P05";
inline constexpr std::string_view kFeatureNotSupported = "0A000";
inline constexpr std::string_view kNoRights = "42501";
inline constexpr std::string_view kSerializationFailure = "40001";
inline constexpr std::string_view kDeadlock = "40P01";
}  // namespace sqlstate

// Of a PGresult that holds an error, or of a notice. A message that may quote a value is left out;
// the SQLSTATE says what it was about.
SqlError SqlErrorOf(const void* result);

// The statement has to be repeated, nothing was changed.
bool IsConflict(const SqlError& error);
// A name of a prepared statement that another connection was meant with, as behind a pooler; or one
// whose table has been changed since. Nothing was changed; without a name it works.
bool IsAboutPreparedName(const SqlError& error);
// The server can't serve now, whatever the statement: shutting down, full, read-only, a time-out.
bool IsAway(const SqlError& error);
// An error of the server's own that ended the session, before it could commit.
bool EndsSession(const SqlError& error);

// The code that `database.h` promises for an error after which nothing was changed.
absl::StatusCode CodeOf(const SqlError& error);
// One line: "SQLSTATE 23505: duplicate key value violates …".
std::string Describe(const SqlError& error);

}  // namespace leasegateway::postgres

#endif  // LEASE_GATEWAY_UPSTREAM_POSTGRES_SQL_ERROR_H_
