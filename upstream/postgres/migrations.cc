#include "upstream/postgres/migrations.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <string_view>
#include <utility>

#include "absl/strings/str_cat.h"

namespace leasegateway::postgres {
namespace {

namespace asio = boost::asio;

// The rest of the number is "lease" in ASCII; any other would do.
// A large table takes longer than any other statement may.
constexpr std::string_view kLock =
    "BEGIN; SET LOCAL statement_timeout = '110s'; SELECT "
    "pg_catalog.pg_advisory_xact_lock(435510634341)";

// 0: no such schema; 1: it is empty; 2: it is ours; 3: it has something else.
constexpr std::string_view kWhose = R"sql(
SELECT CASE
  WHEN pg_catalog.to_regnamespace('lease_gateway') IS NULL THEN 0
  WHEN pg_catalog.to_regclass('lease_gateway.schema_version') IS NOT NULL THEN
    CASE WHEN (SELECT pg_catalog.count(*) FROM pg_catalog.pg_attribute
               WHERE attrelid = pg_catalog.to_regclass('lease_gateway.schema_version')
                 AND attname IN ('version', 'name', 'oldest_program', 'applied_at')) = 4
    THEN 2 ELSE 3 END
  WHEN EXISTS (SELECT FROM pg_catalog.pg_class
               WHERE relnamespace = pg_catalog.to_regnamespace('lease_gateway')) THEN 3
  ELSE 1 END)sql";
constexpr std::int64_t kMissing = 0;
constexpr std::int64_t kEmpty = 1;
constexpr std::int64_t kOurs = 2;

constexpr std::string_view kCreateSchema = "CREATE SCHEMA lease_gateway";
constexpr std::string_view kCreateTable = R"sql(
CREATE TABLE lease_gateway.schema_version (
  version integer PRIMARY KEY,
  name text NOT NULL,
  oldest_program integer NOT NULL,
  applied_at timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp()))sql";
constexpr std::string_view kVersion =
    "SELECT COALESCE(pg_catalog.max(version), 0)::bigint, "
    "COALESCE(pg_catalog.max(oldest_program), 0)::bigint FROM lease_gateway.schema_version";

// What to do about missing rights.
constexpr const char* kGrantTables =
    "GRANT USAGE ON SCHEMA lease_gateway, and all rights on its tables";
constexpr const char* kMigrateAsAnother =
    "run lease-gateway --migrate as a role that may, or GRANT CREATE ON DATABASE";

// One migrating, with what it is about to do for messages.
class Migrating {
 public:
  Migrating(Connection& connection, Connection::TimePoint deadline)
      : connection_(connection), deadline_(deadline) {}

  asio::awaitable<absl::StatusOr<Rows>> Do(std::string what, std::string sql,
                                           const char* advice = kGrantTables) {
    auto running = connection_.RunScript(std::move(sql), deadline_);
    auto outcome = co_await std::move(running);
    if (outcome.fate == Fate::kCommitted) {
      Rows last;
      if (!outcome.rows.empty()) last = std::move(outcome.rows.back());
      co_return last;
    }
    const auto message =
        absl::StrCat("the database's schema: ", what, ": ", Describe(outcome.error));
    if (outcome.error.sqlstate.empty() || outcome.fate == Fate::kUnknown || IsAway(outcome.error)) {
      co_return absl::UnavailableError(message);
    }
    if (outcome.error.sqlstate == sqlstate::kNoRights) {
      co_return absl::FailedPreconditionError(absl::StrCat(message, "; ", advice));
    }
    co_return absl::InternalError(message);
  }

 private:
  Connection& connection_;
  const Connection::TimePoint deadline_;
};

struct SchemaState {
  std::int64_t whose = kMissing;
  std::int64_t version = 0;
  std::int64_t oldest_program = 0;
};

asio::awaitable<absl::StatusOr<SchemaState>> Look(Migrating& migrating) {
  SchemaState state;
  auto asking = migrating.Do("looking", std::string(kWhose));
  auto whose = co_await std::move(asking);
  if (!whose.ok()) co_return whose.status();
  state.whose = whose->Int(0, 0);
  if (state.whose != kOurs) co_return state;
  auto reading = migrating.Do("reading schema_version", std::string(kVersion));
  auto version = co_await std::move(reading);
  if (!version.ok()) co_return version.status();
  state.version = version->Int(0, 0);
  state.oldest_program = version->Int(0, 1);
  co_return state;
}

absl::Status Check(const SchemaState& state, int program) {
  if (state.whose != kMissing && state.whose != kEmpty && state.whose != kOurs) {
    return absl::FailedPreconditionError(
        "the database has a schema lease_gateway that is another program's: name another database");
  }
  if (state.version > program && state.oldest_program > program) {
    return absl::FailedPreconditionError(
        absl::StrCat("the database's schema has version ", state.version, ", this program knows ",
                     program, " and does not work with it: take a newer one"));
  }
  return absl::OkStatus();
}

// All statements after BEGIN, with the lock held.
std::string ScriptFor(const SchemaState& state, const std::vector<Migration>& migrations) {
  std::string script;
  if (state.whose == kMissing) absl::StrAppend(&script, std::string(kCreateSchema), ";\n");
  if (state.whose != kOurs) absl::StrAppend(&script, std::string(kCreateTable), ";\n");
  for (const auto& migration : migrations) {
    if (migration.version <= state.version) continue;
    absl::StrAppend(&script, migration.sql,
                    "\n;\nINSERT INTO lease_gateway.schema_version VALUES (", migration.version,
                    ", '", migration.name, "', ", OldestProgram(migration), ");\n");
  }
  return script;
}

}  // namespace

int OldestProgram(const Migration& migration) {
  static constexpr std::string_view kLine = "-- oldest_program: ";
  const auto at = migration.sql.find(kLine);
  if (at == std::string::npos) return migration.version;
  return std::atoi(migration.sql.c_str() + at + kLine.size());
}

asio::awaitable<absl::StatusOr<int>> Migrate(Connection& connection,
                                             std::vector<Migration> migrations,
                                             Connection::TimePoint deadline) {
  const int program = migrations.empty() ? 0 : migrations.back().version;
  Migrating migrating(connection, deadline);
  // Most starts change nothing, and need neither the lock nor the right to.
  auto looking = Look(migrating);
  auto state = co_await std::move(looking);
  if (!state.ok()) co_return state.status();
  if (auto status = Check(*state, program); !status.ok()) co_return status;
  if (state->whose == kOurs && state->version >= program) co_return state->version;

  auto locking = migrating.Do("waiting for other replicas", std::string(kLock));
  auto locked = co_await std::move(locking);
  if (!locked.ok()) co_return locked.status();
  auto looking_again = Look(migrating);
  state = co_await std::move(looking_again);
  if (!state.ok()) co_return state.status();
  if (auto status = Check(*state, program); !status.ok()) co_return status;
  auto applying = migrating.Do("applying", ScriptFor(*state, migrations), kMigrateAsAnother);
  auto applied = co_await std::move(applying);
  if (!applied.ok()) co_return applied.status();
  auto committing = migrating.Do("committing", "COMMIT");
  auto committed = co_await std::move(committing);
  if (!committed.ok()) co_return committed.status();
  if (state->version < program) {
    spdlog::info("database: schema {} is now {}", state->version, program);
  }
  co_return std::max<int>(program, static_cast<int>(state->version));
}

}  // namespace leasegateway::postgres
