#ifndef LEASE_GATEWAY_UPSTREAM_LEASING_JOURNAL_SQLITE_JOURNAL_ERRORS_H_
#define LEASE_GATEWAY_UPSTREAM_LEASING_JOURNAL_SQLITE_JOURNAL_ERRORS_H_

#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "upstream/leasing/journal/sqlite/sqlite_database.h"

namespace leasegateway {

// What to do with a file that is damaged; the end of a message.
inline constexpr std::string_view kRestoreAdvice =
    ": restore the file, or move it away after reading it with \".recover\" of the program "
    "sqlite3; "
    "what was bought is at the provider";

// FAILED_PRECONDITION, JOURNAL_UNAVAILABLE. Callers see it.
absl::Status JournalUnavailable(std::string_view message);
absl::Status DamagedEntryError();
// The latest call of the database failed with `code`. Callers see it: without the path.
absl::Status JournalFailed(const SqliteDatabase& database, int code, std::string_view doing);

// A file that isn't opened. The operator sees it: with the path.
absl::Status JournalRefused(const std::string& path, std::string_view why);

}  // namespace leasegateway

#endif  // LEASE_GATEWAY_UPSTREAM_LEASING_JOURNAL_SQLITE_JOURNAL_ERRORS_H_
