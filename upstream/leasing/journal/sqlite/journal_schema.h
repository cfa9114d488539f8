#ifndef LEASE_GATEWAY_UPSTREAM_LEASING_JOURNAL_SQLITE_JOURNAL_SCHEMA_H_
#define LEASE_GATEWAY_UPSTREAM_LEASING_JOURNAL_SQLITE_JOURNAL_SCHEMA_H_

#include <cstdint>

#include "upstream/leasing/journal/sqlite/sqlite_database.h"

namespace leasegateway {

// PRAGMA application_id, "LGOJ": tells a journal from any other SQLite file.
inline constexpr std::int64_t kJournalApplicationId = 0x4C474F4A;

// PRAGMA user_version of what this gateway writes.
inline constexpr std::int64_t kJournalVersion = 3;

// Brings the database from `version` to this one, in one transaction. SQLITE_OK, or the code of
// what failed, with the transaction open if it was begun.
int MigrateJournal(SqliteDatabase& database, std::int64_t version);

}  // namespace leasegateway

#endif  // LEASE_GATEWAY_UPSTREAM_LEASING_JOURNAL_SQLITE_JOURNAL_SCHEMA_H_
