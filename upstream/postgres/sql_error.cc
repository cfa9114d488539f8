#include "upstream/postgres/sql_error.h"

#include <libpq-fe.h>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"

namespace leasegateway::postgres {
namespace {

std::string Field(const PGresult* result, int code) {
  const char* const text = PQresultErrorField(result, code);
  return text == nullptr ? std::string() : std::string(text);
}

// Whether the primary message of this class names things of the schema and the server only. Those
// of data exceptions (22) and of RAISE (P0) quote what was given.
bool IsMessageSafe(const std::string& code) {
  for (const auto* const safe :
       {"08", "0A", "23", "25", "26", "28", "3D", "3F", "40", "42", "53", "54", "55", "57", "58"}) {
    if (absl::StartsWith(code, safe)) return true;
  }
  return false;
}

}  // namespace

SqlError SqlErrorOf(const void* result) {
  const auto* const pg = static_cast<const PGresult*>(result);
  SqlError error{Field(pg, PG_DIAG_SQLSTATE), Field(pg, PG_DIAG_SEVERITY_NONLOCALIZED), ""};
  if (error.sqlstate.empty()) {
    error.message = PQresultErrorMessage(pg);
  } else if (IsMessageSafe(error.sqlstate)) {
    error.message = Field(pg, PG_DIAG_MESSAGE_PRIMARY);
  }
  absl::RemoveExtraAsciiWhitespace(&error.message);
  absl::StrReplaceAll({{"\n", " "}, {"\t", " "}}, &error.message);
  return error;
}

bool IsConflict(const SqlError& error) {
  return error.sqlstate == sqlstate::kSerializationFailure || error.sqlstate == sqlstate::kDeadlock;
}

bool IsAboutPreparedName(const SqlError& error) {
  return error.sqlstate == sqlstate::kNoSuchStatement ||
         error.sqlstate == sqlstate::kDuplicateStatement ||
         error.sqlstate == sqlstate::kFeatureNotSupported;
}

bool IsAway(const SqlError& error) {
  for (const auto* const away : {"08", "53", "57", "58", "25006", "25P03", "55P03"}) {
    if (absl::StartsWith(error.sqlstate, away)) return true;
  }
  return IsConflict(error);
}

bool EndsSession(const SqlError& error) {
  if (error.severity != "FATAL") return false;
  return absl::StartsWith(error.sqlstate, "57P") || absl::StartsWith(error.sqlstate, "53") ||
         error.sqlstate == "25P03";
}

absl::StatusCode CodeOf(const SqlError& error) {
  if (error.sqlstate == sqlstate::kUniqueViolation) return absl::StatusCode::kAlreadyExists;
  return IsAway(error) ? absl::StatusCode::kUnavailable : absl::StatusCode::kInternal;
}

std::string Describe(const SqlError& error) {
  if (error.sqlstate.empty()) return error.message;
  if (error.message.empty()) return absl::StrCat("SQLSTATE ", error.sqlstate);
  return absl::StrCat("SQLSTATE ", error.sqlstate, ": ", error.message);
}

}  // namespace leasegateway::postgres
