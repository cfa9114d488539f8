#include "upstream/postgres/bring_up.h"

#include <boost/asio/this_coro.hpp>
#include <utility>

#include "absl/strings/str_cat.h"

namespace leasegateway::postgres {
namespace {

namespace asio = boost::asio;
using Clock = std::chrono::steady_clock;

constexpr int kOldestServer = 130'000;
// Migrations of large tables and the wait for another replica that applies them; the server's
// statement_timeout is shorter.
constexpr std::chrono::seconds kLimit{120};
constexpr std::chrono::seconds kCheckLimit{10};

constexpr Statement kServer{"bring_up_server", R"sql(
SELECT pg_catalog.current_setting('transaction_read_only') = 'on',
       pg_catalog.current_setting('server_encoding'),
       pg_catalog.current_setting('fsync') = 'on',
       pg_catalog.current_setting('full_page_writes') = 'on',
       pg_catalog.current_setting('synchronous_commit'),
       pg_catalog.current_setting('synchronous_standby_names') <> '',
       (SELECT pg_catalog.count(*) FROM pg_catalog.pg_stat_replication),
       (SELECT pg_catalog.count(*) FROM pg_catalog.pg_stat_replication WHERE sync_state = 'async'),
       (SELECT pg_catalog.count(*) FROM pg_catalog.pg_stat_replication WHERE sync_state IS NULL))sql"};

// Tables that the role may not use in full, and its name.
constexpr Statement kRights{"bring_up_rights", R"sql(
SELECT COALESCE(pg_catalog.string_agg(relname::text, ', ' ORDER BY relname), ''), current_user::text
FROM pg_catalog.pg_class
WHERE relnamespace = pg_catalog.to_regnamespace('lease_gateway') AND relkind IN ('r', 'p')
  AND relname <> 'schema_version'
  AND NOT (pg_catalog.has_table_privilege(oid, 'SELECT')
           AND pg_catalog.has_table_privilege(oid, 'INSERT')
           AND pg_catalog.has_table_privilege(oid, 'UPDATE')
           AND pg_catalog.has_table_privilege(oid, 'DELETE')))sql"};

asio::awaitable<absl::StatusOr<Rows>> Ask(Connection& connection, const Statement& statement) {
  std::vector<Query> queries(1);
  queries.front().statement = &statement;
  auto running = connection.Run(std::move(queries), Clock::now() + kCheckLimit);
  auto outcome = co_await std::move(running);
  if (outcome.fate == Fate::kCommitted) co_return std::move(outcome.rows.front());
  co_return absl::UnavailableError(Describe(outcome.error));
}

absl::Status CheckServer(int version, const Rows& server) {
  if (version < kOldestServer) {
    return absl::FailedPreconditionError(absl::StrCat("the server is PostgreSQL ", version / 10'000,
                                                      ", 13 is the oldest that will do"));
  }
  if (server.Bytes(0, 1) != "UTF8") {
    return absl::FailedPreconditionError(
        absl::StrCat("the database's encoding is ", std::string(server.Bytes(0, 1)),
                     ", not UTF8: create it with ENCODING 'UTF8' TEMPLATE template0"));
  }
  if (server.Bool(0, 0)) return absl::UnavailableError("the server is read-only");
  return absl::OkStatus();
}

std::vector<std::string> WarningsOf(const Rows& server) {
  std::vector<std::string> warnings;
  const auto warn = [&](std::string line) { warnings.push_back(std::move(line)); };
  const std::string commit(server.Bytes(0, 4));
  const auto standbys = server.Int(0, 6);
  if (!server.Bool(0, 2)) warn("fsync is off: a crash may damage or lose what was bought");
  if (!server.Bool(0, 3)) warn("full_page_writes is off: a crash may damage what was bought");
  if (commit == "off") {
    warn("synchronous_commit is off: a crash may lose what was bought within the last second");
  }
  const bool waits_for_standby = server.Bool(0, 5) && commit != "off" && commit != "local";
  if (standbys > 0 && !waits_for_standby) {
    warn(
        "no standby is waited for: a fail-over may lose what was bought; set "
        "synchronous_standby_names, and synchronous_commit to on");
  } else if (server.Int(0, 7) > 0) {
    warn("a standby is asynchronous: a fail-over to it may lose what was bought");
  } else if (server.Int(0, 8) > 0) {
    warn("whether a standby is asynchronous is hidden from this role: GRANT it pg_read_all_stats");
  }
  return warnings;
}

asio::awaitable<absl::StatusOr<BroughtUp>> BringUpOver(Connection& connection,
                                                       std::vector<Migration> migrations) {
  BroughtUp result;
  result.server_version = connection.server_version();
  auto asking = Ask(connection, kServer);
  auto server = co_await std::move(asking);
  if (!server.ok()) co_return server.status();
  if (auto status = CheckServer(result.server_version, *server); !status.ok()) co_return status;
  result.warnings = WarningsOf(*server);
  auto migrating = Migrate(connection, std::move(migrations), Clock::now() + kLimit);
  auto version = co_await std::move(migrating);
  if (!version.ok()) co_return version.status();
  result.schema_version = *version;
  auto asking_rights = Ask(connection, kRights);
  auto rights = co_await std::move(asking_rights);
  if (!rights.ok()) co_return rights.status();
  if (!rights->Bytes(0, 0).empty()) {
    co_return absl::FailedPreconditionError(absl::StrCat(
        "the role ", std::string(rights->Bytes(0, 1)), " may not read and write all of ",
        std::string(rights->Bytes(0, 0)), " in the schema lease_gateway: GRANT it"));
  }
  co_return result;
}

}  // namespace

asio::awaitable<absl::StatusOr<BroughtUp>> BringUp(std::shared_ptr<Connector> connector,
                                                   std::vector<Migration> migrations) {
  const auto executor = co_await asio::this_coro::executor;
  auto connecting = connector->Connect(std::make_shared<Wakeup>(executor));
  auto connection = co_await std::move(connecting);
  if (!connection.ok()) co_return connection.status();
  auto bringing = BringUpOver(**connection, std::move(migrations));
  auto result = co_await std::move(bringing);
  if (result.ok()) co_return result;
  co_return absl::Status(
      result.status().code(),
      absl::StrCat("database ", connector->options().url.where, ": ", result.status().message()));
}

}  // namespace leasegateway::postgres
