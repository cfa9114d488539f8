#include "upstream/cluster/cluster.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/strand.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_future.hpp>
#include <future>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "upstream/cluster/shared_limits.h"
#include "upstream/postgres/bring_up.h"
#include "upstream/postgres/connector.h"
#include "upstream/postgres/listener.h"
#include "upstream/postgres/migrations.h"
#include "upstream/postgres/pooled_database.h"
#include "upstream/wakeup.h"

namespace leasegateway {
namespace {

namespace asio = boost::asio;
using std::chrono::milliseconds;
using TimePoint = CallEnvironment::TimePoint;
using Clock = std::chrono::steady_clock;

constexpr auto kMinStartPause = milliseconds(100);
constexpr auto kMaxStartPause = milliseconds(5'000);
constexpr auto kFirstBeatLimit = milliseconds(2'000);

constexpr postgres::Statement kReplicaIsHere{
    "replica_is_here", "SELECT EXISTS (SELECT FROM lease_gateway.replica WHERE id = $1::bigint)"};

std::shared_ptr<postgres::Connector> ListenConnector(
    const ClusterOptions& options, const std::shared_ptr<postgres::Connector>& connector) {
  if (!options.listen_url) return connector;
  postgres::DatabaseOptions listening = options.database;
  listening.url = *options.listen_url;
  return std::make_shared<postgres::Connector>(std::move(listening));
}

// The key as the configuration has it, since the error is for its reader.
absl::Status About(const char* key, const absl::Status& status) {
  return absl::Status(status.code(), absl::StrCat(key, ": ", status.message()));
}

// Whether news would be heard there: a replica that is alive in the one database is in the other
// one. One that is away is no mistake, since changes are read now and then as well.
asio::awaitable<absl::Status> CheckListening(std::shared_ptr<postgres::Connector> connector,
                                             std::int64_t replica) {
  auto connecting =
      connector->Connect(std::make_shared<Wakeup>(co_await asio::this_coro::executor));
  auto connection = co_await std::move(connecting);
  if (absl::IsUnavailable(connection.status())) co_return absl::OkStatus();
  if (!connection.ok()) co_return connection.status();
  std::vector<postgres::Query> queries;
  queries.push_back({&kReplicaIsHere, {replica}});
  auto asking = (*connection)->Run(std::move(queries), Clock::now() + kFirstBeatLimit);
  const auto answer = co_await std::move(asking);
  if (answer.fate == postgres::Fate::kCommitted ? answer.rows.front().Bool(0, 0)
                                                : answer.error.sqlstate.empty()) {
    co_return absl::OkStatus();
  }
  co_return absl::FailedPreconditionError(
      absl::StrCat(connector->options().url.where, " is not the database of database_url"));
}

}  // namespace

struct Cluster::State {
  State(const asio::any_io_executor& own_executor, ClusterOptions cluster_options)
      : options(std::move(cluster_options)),
        executor(own_executor),
        strand(asio::make_strand(executor)),
        connector(std::make_shared<postgres::Connector>(options.database)),
        listen_connector(ListenConnector(options, connector)),
        pool(std::make_shared<postgres::PooledDatabase>(executor, connector)),
        gate(std::make_shared<Gate>(pool)),
        heartbeat(
            std::make_shared<Heartbeat>(executor, pool, options.heartbeat, MakeCallEnvironment())),
        news(std::make_shared<SharedNews>(executor, pool, options.news, MakeCallEnvironment())) {}

  // On the strand.
  static asio::awaitable<absl::Status> TryToBringUp(std::shared_ptr<State> state);
  static asio::awaitable<void> BringUp(std::shared_ptr<State> state,
                                       std::shared_ptr<std::promise<absl::Status>> first);
  void Listen();

  const ClusterOptions options;
  const asio::any_io_executor executor;
  const asio::any_io_executor strand;
  const std::shared_ptr<postgres::Connector> connector;
  const std::shared_ptr<postgres::Connector> listen_connector;
  const std::shared_ptr<postgres::PooledDatabase> pool;
  const std::shared_ptr<Gate> gate;
  const std::shared_ptr<Heartbeat> heartbeat;
  const std::shared_ptr<SharedNews> news;

  std::once_flag stopping;
  std::mutex mutex;                              // guards all below
  std::unique_ptr<postgres::Listener> listener;  // null: not brought up yet
  std::shared_ptr<Wakeup> pausing;               // of BringUp, while it waits
  bool brought_up = false;
  bool stopped = false;
};

void Cluster::State::Listen() {
  postgres::ListenerOptions listening;
  listening.channel = "lease_gateway";
  listening.heard = [news = news](const std::string& payload) { news->Received(payload); };
  listening.connected = [news = news] { news->Listening(); };
  listener = std::make_unique<postgres::Listener>(executor, listen_connector, std::move(listening));
}

asio::awaitable<absl::Status> Cluster::State::TryToBringUp(std::shared_ptr<State> state) {
  auto bringing = postgres::BringUp(state->connector, postgres::ProgramMigrations());
  const auto brought = co_await std::move(bringing);
  if (!brought.ok()) co_return About("database_url", brought.status());
  auto beating = state->heartbeat->Beat(std::chrono::steady_clock::now() + kFirstBeatLimit);
  const absl::Status beaten = co_await std::move(beating);
  if (!beaten.ok()) co_return About("database_url", beaten);
  if (state->options.listen_url) {
    auto checking = CheckListening(state->listen_connector, state->heartbeat->id());
    const absl::Status checked = co_await std::move(checking);
    if (!checked.ok()) co_return About("database_listen_url", checked);
  }
  const std::lock_guard lock(state->mutex);
  if (state->stopped) co_return absl::OkStatus();
  for (const std::string& warning : brought->warnings) spdlog::warn("database: {}", warning);
  spdlog::info("database {}: PostgreSQL {}, schema {}; this is replica {} of {}",
               state->options.database.url.where, brought->server_version / 10'000,
               brought->schema_version, state->heartbeat->id(), state->heartbeat->alive());
  state->heartbeat->Start();
  state->Listen();
  state->gate->Open();
  state->brought_up = true;
  co_return absl::OkStatus();
}

// `first` hears what became of the first try.
asio::awaitable<void> Cluster::State::BringUp(std::shared_ptr<State> state,
                                              std::shared_ptr<std::promise<absl::Status>> first) {
  std::string said;
  auto pause = kMinStartPause;
  for (;;) {
    auto trying = TryToBringUp(state);
    const absl::Status tried = co_await std::move(trying);
    // A mistake that Open hears of is said by whoever called it.
    bool is_said = false;
    if (first) {
      is_said = !absl::IsUnavailable(tried);
      first->set_value(tried);
      first.reset();
    }
    if (tried.ok()) co_return;
    const auto pausing = std::make_shared<Wakeup>(state->strand);
    {
      const std::lock_guard lock(state->mutex);
      if (state->stopped) co_return;
      state->pausing = pausing;
    }
    if (const std::string why(tried.message()); !is_said && why != said) {
      spdlog::log(absl::IsUnavailable(tried) ? spdlog::level::warn : spdlog::level::err,
                  "the database can't be used yet, nothing is leased or ended: {}", why);
      said = why;
    }
    auto waiting = pausing->WaitUntil(std::chrono::steady_clock::now() + pause);
    co_await std::move(waiting);
    pause = std::min(2 * pause, kMaxStartPause);
    const std::lock_guard lock(state->mutex);
    state->pausing.reset();
    if (state->stopped) co_return;
  }
}

absl::StatusOr<std::unique_ptr<Cluster>> Cluster::Open(const asio::any_io_executor& executor,
                                                       ClusterOptions options) {
  const auto state = std::make_shared<State>(executor, std::move(options));
  std::unique_ptr<Cluster> cluster(new Cluster(state));
  const auto promise = std::make_shared<std::promise<absl::Status>>();
  auto first = promise->get_future();
  asio::co_spawn(state->strand, State::BringUp(state, promise), asio::detached);
  if (first.wait_for(state->options.start_wait) != std::future_status::ready) {
    spdlog::warn("database {}: no answer yet; going on without", state->options.database.url.where);
    return cluster;
  }
  const absl::Status tried = first.get();
  if (tried.ok() || absl::IsUnavailable(tried) || absl::IsUnknown(tried)) return cluster;
  return tried;
}

Cluster::Cluster(std::shared_ptr<State> state) : state_(std::move(state)) {}

Cluster::~Cluster() { Stop(); }

void Cluster::Hurry() {
  state_->connector->Hurry();
  state_->listen_connector->Hurry();
}

void Cluster::Stop() {
  Hurry();
  std::call_once(state_->stopping, [state = state_] {
    state->gate->Close();
    std::unique_ptr<postgres::Listener> listener;
    bool brought_up = false;
    {
      const std::lock_guard lock(state->mutex);
      state->stopped = true;
      brought_up = state->brought_up;
      listener = std::move(state->listener);
      if (state->pausing) Wakeup::Wake(state->pausing);
    }
    if (listener) listener->Stop();
    const auto end = std::chrono::steady_clock::now() + state->options.stop_wait;
    const auto within = [&state, end](asio::awaitable<void> step) {
      asio::co_spawn(state->strand, std::move(step), asio::use_future).wait_until(end);
    };
    // Also where there was never a database: what waits for something to tell would wait for ever.
    within(state->news->Finish(end));
    if (brought_up) within(state->heartbeat->Leave(end));
    state->pool->Stop();
  });
}

std::shared_ptr<postgres::Database> Cluster::database() const { return state_->gate; }

std::shared_ptr<Replica> Cluster::replica() const { return state_->heartbeat; }

std::shared_ptr<News> Cluster::news() const { return state_->news; }

RateShare Cluster::rate_share(std::string_view account) const {
  return MakeRateShare(state_->heartbeat, state_->news, account);
}

Cluster::Stats Cluster::stats() const {
  Stats stats;
  {
    const std::lock_guard lock(state_->mutex);
    stats.brought_up = state_->brought_up;
    stats.listening = state_->listener && state_->listener->is_connected();
  }
  stats.up = state_->gate->is_up() && !state_->gate->is_failing();
  stats.connections = state_->pool->connections() + (stats.listening ? 1 : 0);
  stats.transactions = state_->gate->counts();
  stats.news = state_->news->stats();
  stats.replicas = state_->heartbeat->alive();
  stats.heartbeat_age = state_->heartbeat->age();
  stats.lapsed = state_->heartbeat->lapsed();
  return stats;
}

}  // namespace leasegateway
