#include "upstream/leasing/journal/sqlite/journal_schema.h"

#include <array>
#include <string>

#include "absl/strings/str_cat.h"
#include "leasegateway/v1/resources.pb.h"

namespace leasegateway {
namespace {

// The n-th step makes version n of the schema from version n - 1. A step that was released is never
// changed.
constexpr std::array kMigrations = {
    R"sql(
      CREATE TABLE operation (
        id INTEGER PRIMARY KEY,
        account TEXT NOT NULL,
        request_id TEXT NOT NULL CHECK (request_id <> ''),
        fingerprint BLOB NOT NULL CHECK (length(fingerprint) = 32),
        kind INTEGER NOT NULL,
        state INTEGER NOT NULL CHECK (state > 0),
        phone_number TEXT NOT NULL,
        create_time INTEGER NOT NULL, -- ns since 1970
        update_time INTEGER NOT NULL, -- ns since 1970
        operation BLOB NOT NULL,      -- leasegateway.v1.Operation
        checksum INTEGER NOT NULL,    -- of fingerprint and operation
        UNIQUE (account, request_id)
      ) STRICT;
      CREATE INDEX operation_list ON operation (account, create_time, request_id);
      CREATE INDEX operation_list_state ON operation (account, state, create_time, request_id);
      CREATE INDEX operation_list_number
        ON operation (account, phone_number, create_time, request_id);
      CREATE INDEX operation_unresolved
        ON operation (create_time, request_id) WHERE state NOT IN (3, 4);
      CREATE INDEX operation_resolved ON operation (update_time) WHERE state IN (3, 4);
    )sql",
    // What a month's purchases cost whom is asked for a year later, so lists have to be short ways
    // through many.
    R"sql(
      ALTER TABLE operation ADD COLUMN caller TEXT NOT NULL DEFAULT '';
      UPDATE operation SET caller = lease_gateway_caller(operation);
      CREATE INDEX operation_list_caller ON operation (account, caller, create_time, request_id);
      CREATE INDEX operation_list_kind ON operation (account, kind, create_time, request_id);
      CREATE INDEX operation_passing
        ON operation (update_time) WHERE state = 4 OR state = 3 AND kind NOT IN (1, 2);
    )sql",
    // What purchases take of limits: a row each, from the reservation on.
    R"sql(
      CREATE TABLE spending (
        id INTEGER PRIMARY KEY,
        account TEXT NOT NULL,
        request_id TEXT NOT NULL,
        caller TEXT NOT NULL,
        phone_number TEXT NOT NULL,
        lease_id TEXT NOT NULL DEFAULT '',          -- once it is bought
        currency TEXT NOT NULL,                     -- '': the price is not known
        upfront INTEGER NOT NULL CHECK (upfront >= 0), -- billionths
        monthly INTEGER NOT NULL CHECK (monthly >= 0), -- billionths
        last_day INTEGER,    -- that it counts on, UTC, since 1970; NULL: its outcome is open
        settle_time INTEGER, -- ns since 1970, when it was bought
        end_time INTEGER     -- ns since 1970; NULL: its lease is live, or may be
      ) STRICT;
      CREATE UNIQUE INDEX spending_open ON spending (account, request_id) WHERE last_day IS NULL;
      CREATE INDEX spending_account ON spending (account, lease_id);
      CREATE INDEX spending_caller ON spending (caller, account);
      CREATE INDEX spending_ended ON spending (last_day) WHERE end_time IS NOT NULL;
    )sql"};
static_assert(kMigrations.size() == kJournalVersion);

// Of the SQL function `lease_gateway_caller`: of an operation's bytes, its caller. Rows that are
// damaged are found later.
void CallerOf(sqlite3_context* context, int /*count*/, sqlite3_value** values) {
  v1::Operation operation;
  const void* bytes = sqlite3_value_blob(values[0]);
  static_cast<void>(operation.ParseFromArray(bytes, sqlite3_value_bytes(values[0])));
  const std::string& caller = operation.caller();
  sqlite3_result_text(context, caller.data(), static_cast<int>(caller.size()), SQLITE_TRANSIENT);
}

}  // namespace

int MigrateJournal(SqliteDatabase& database, std::int64_t version) {
  if (version == kJournalVersion) return SQLITE_OK;
  int code = sqlite3_create_function(database.get(), "lease_gateway_caller", 1,
                                     SQLITE_UTF8 | SQLITE_DETERMINISTIC | SQLITE_DIRECTONLY,
                                     nullptr, &CallerOf, nullptr, nullptr);
  if (code != SQLITE_OK) return code;
  code = database.Execute("BEGIN IMMEDIATE");
  for (auto step = version; code == SQLITE_OK && step < kJournalVersion; ++step) {
    code = database.Execute(kMigrations[static_cast<std::size_t>(step)]);
  }
  if (code != SQLITE_OK) return code;
  return database.Execute(absl::StrCat("PRAGMA user_version = ", kJournalVersion,
                                       "; PRAGMA application_id = ", kJournalApplicationId,
                                       "; COMMIT"));
}

}  // namespace leasegateway
