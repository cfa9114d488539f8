#include "service/purchase_journal.h"

#include <signal.h>
#include <spdlog/spdlog.h>
#include <unistd.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/strand.hpp>
#include <optional>
#include <string>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "service/admin/metric_snapshot.h"
#include "service/config/database.h"
#include "service/process/secret.h"
#include "upstream/cluster/cluster.h"
#include "upstream/cluster/postgres_lists.h"
#include "upstream/leasing/journal/postgres/postgres_journal.h"
#include "upstream/leasing/journal/sqlite/sqlite_journal.h"
#include "upstream/leasing/leasing_parts.h"
#include "upstream/postgres/bring_up.h"
#include "upstream/postgres/connector.h"
#include "upstream/postgres/migrations.h"

namespace leasegateway {
namespace {

namespace asio = boost::asio;

constexpr std::chrono::milliseconds kAdoptInterval{1'000};

std::string HostName() {
  char name[256] = "";
  ::gethostname(name, sizeof(name) - 1);
  return name;
}

// The key as the configuration has it, since the error is for its reader.
absl::StatusOr<postgres::DatabaseUrl> Parse(const std::string& key, const Config& config) {
  auto url = ParseDatabaseUrl(key, config);
  if (url.ok()) return url;
  return absl::FailedPreconditionError(absl::StrCat(key, ": ", url.status().message()));
}

// Says where the password is from, of which the error of the server or of libpq says nothing.
absl::Status WithSourceOfPassword(const absl::Status& status, const Config& config) {
  if (!absl::StrContains(status.message(), "password")) return status;
  const std::string source =
      !config.database_password_file.empty() ? "is that of database_password_file"
      : !config.database_password.empty()    ? "is that of the environment"
                                          : "is not set: give LEASE_GATEWAY_DATABASE_PASSWORD or "
                                            "database_password_file";
  return absl::Status(status.code(), absl::StrCat(status.message(), "; the password ", source));
}

absl::StatusOr<postgres::DatabaseOptions> DatabaseOptionsOf(const Config& config) {
  auto url = Parse("database_url", config);
  if (!url.ok()) return url.status();
  postgres::DatabaseOptions options;
  options.url = *std::move(url);
  options.connections = config.database_connections;
  if (!config.database_password.empty()) {
    const auto password =
        std::make_shared<const Secret>(kDatabasePassword, config.database_password,
                                       config.database_password_file, config.file_refresh);
    options.password = [password] { return password->Get(); };
  }
  return options;
}

absl::StatusOr<std::unique_ptr<Cluster>> OpenCluster(const Config& config,
                                                     const asio::any_io_executor& executor) {
  ClusterOptions options;
  auto database = DatabaseOptionsOf(config);
  if (!database.ok()) return database.status();
  options.database = *std::move(database);
  if (!config.database_listen_url.empty()) {
    auto listening = Parse("database_listen_url", config);
    if (!listening.ok()) return listening.status();
    options.listen_url = *std::move(listening);
  }
  options.heartbeat.ownership_time = config.ownership_time;
  options.heartbeat.version = LEASE_GATEWAY_VERSION;
  options.heartbeat.host = HostName();
  return Cluster::Open(executor, std::move(options));
}

std::shared_ptr<PostgresJournal> MakeSharedJournal(const Config& config, const Cluster& cluster) {
  PostgresJournal::Options options;
  // A request has these limits one after the other, from its first byte on.
  options.request_limit = config.send_timeout + config.response_timeout + config.read_timeout;
  options.retention = std::chrono::ceil<std::chrono::hours>(config.journal_retention);
  return std::make_shared<PostgresJournal>(cluster.database(), cluster.news(), cluster.replica(),
                                           options);
}

DatabaseStats StatsOf(const Cluster& cluster) {
  const Cluster::Stats stats = cluster.stats();
  DatabaseStats database;
  database.up = stats.up;
  database.connections = stats.connections;
  database.committed = stats.transactions.ok;
  database.failed = stats.transactions.failed;
  database.unknown = stats.transactions.unknown;
  database.heartbeat_age = stats.heartbeat_age;
  database.replicas = stats.replicas;
  database.news_heard = stats.news.heard;
  database.news_gaps = stats.news.gaps;
  return database;
}

}  // namespace

PurchaseJournal::PurchaseJournal() = default;

absl::StatusOr<std::unique_ptr<PurchaseJournal>> PurchaseJournal::Open(
    const Config& config, const asio::any_io_executor& executor) {
  std::unique_ptr<PurchaseJournal> opened(new PurchaseJournal);
  if (config.database_url.empty()) {
    SqliteJournal::Options options;
    options.path = JournalPath(config);
    options.retention = std::chrono::ceil<std::chrono::hours>(config.journal_retention);
    auto file = SqliteJournal::Open(options);
    if (!file.ok()) return file.status();
    opened->file_ = *std::move(file);
    return opened;
  }
  auto cluster = OpenCluster(config, executor);
  if (!cluster.ok()) return WithSourceOfPassword(cluster.status(), config);
  opened->cluster_ = *std::move(cluster);
  opened->shared_ = MakeSharedJournal(config, *opened->cluster_);
  PostgresJournal::KeepPruned(opened->shared_, executor);
  return opened;
}

PurchaseJournal::~PurchaseJournal() {
  if (cluster_) cluster_->Stop();
}

void PurchaseJournal::Hurry() {
  if (cluster_) cluster_->Hurry();
}

std::shared_ptr<OperationJournal> PurchaseJournal::journal() const {
  if (shared_) return shared_;
  return file_;
}

RateShare PurchaseJournal::rate_share(const std::string& account) const {
  return cluster_ ? cluster_->rate_share(account) : RateShare();
}

std::shared_ptr<SharedLists> PurchaseJournal::shared_lists(const std::string& account) const {
  if (!cluster_) return nullptr;
  PostgresLists::Options options;
  options.account = account;
  options.replica = static_cast<std::uint64_t>(cluster_->replica()->id());
  return std::make_shared<PostgresLists>(cluster_->database(), cluster_->news(),
                                         std::move(options));
}

std::chrono::milliseconds PurchaseJournal::adopt_interval() const {
  return cluster_ ? kAdoptInterval : std::chrono::milliseconds(0);
}

absl::Status PurchaseJournal::writable() const {
  if (file_) return file_->stats().last_write;
  if (cluster_->stats().up) return absl::OkStatus();
  return absl::UnavailableError("the database of database_url is away; the log has the cause");
}

void PurchaseJournal::Describe(MetricSources& sources) const {
  if (file_) {
    sources.journal = [this] { return file_->stats(); };
  } else {
    sources.database = [this] { return StatsOf(*cluster_); };
  }
}

absl::Status MigrateDatabase(const Config& config) {
  auto options = DatabaseOptionsOf(config);
  if (!options.ok()) return options.status();
  const auto connector = std::make_shared<postgres::Connector>(*std::move(options));
  asio::io_context io;
  // Also in a container, where the first process has no other answer to SIGTERM than its own.
  asio::signal_set stop(io, SIGTERM, SIGINT);
  stop.async_wait([connector](const boost::system::error_code& error, int) {
    if (!error) connector->Hurry();
  });
  std::optional<absl::StatusOr<postgres::BroughtUp>> result;
  asio::co_spawn(asio::make_strand(io), postgres::BringUp(connector, postgres::ProgramMigrations()),
                 [&](std::exception_ptr, absl::StatusOr<postgres::BroughtUp> brought) {
                   result = std::move(brought);
                   stop.cancel();
                 });
  io.run();
  if (!result->ok()) {
    return WithSourceOfPassword(
        absl::Status(result->status().code(),
                     absl::StrCat("database_url: ", result->status().message())),
        config);
  }
  for (const std::string& warning : (*result)->warnings) spdlog::warn("database: {}", warning);
  spdlog::info("database {}: its schema is version {}", connector->options().url.where,
               (*result)->schema_version);
  return absl::OkStatus();
}

}  // namespace leasegateway
