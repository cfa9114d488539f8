#include "upstream/cluster/heartbeat.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <atomic>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/strand.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <random>
#include <utility>
#include <vector>

#include "upstream/wakeup.h"

namespace leasegateway {
namespace {

namespace asio = boost::asio;
using std::chrono::milliseconds;
using TimePoint = CallEnvironment::TimePoint;
using Duration = TimePoint::duration;

// A beat that a crash of the server takes back makes this replica look dead a little earlier, which
// is no harm; so it need not wait for a disk or a standby.
constexpr postgres::Statement kDoNotWait{"replica_async_commit",
                                         "SELECT set_config('synchronous_commit', 'off', true)"};
constexpr postgres::Statement kBeat{
    "replica_beat",
    "WITH gone AS (DELETE FROM lease_gateway.replica WHERE id IN ("
    " SELECT id FROM lease_gateway.replica"
    "  WHERE id <> $1::bigint AND alive_until < clock_timestamp() - interval '1 hour'"
    "  LIMIT 100 FOR UPDATE SKIP LOCKED)),"
    " own AS (INSERT INTO lease_gateway.replica AS known (id, alive_until, version, host, started)"
    " VALUES ($1::bigint, clock_timestamp() + $2::bigint * interval '1 millisecond',"
    "  $3::text, $4::text, clock_timestamp())"
    " ON CONFLICT (id) DO UPDATE SET alive_until = excluded.alive_until)"
    " SELECT 1 + count(*) FROM lease_gateway.replica"
    "  WHERE id <> $1::bigint AND alive_until > clock_timestamp()"};
constexpr postgres::Statement kLeave{"replica_leave",
                                     "DELETE FROM lease_gateway.replica WHERE id = $1::bigint"};

// After a beat that failed, doubling up to the interval.
constexpr auto kMinBeatPause = milliseconds(100);
constexpr Duration::rep kNever = 0;

std::int64_t RandomReplicaId() {
  std::random_device random;
  std::uniform_int_distribution<std::int64_t> ids(1, INT64_MAX);
  return ids(random);
}

}  // namespace

struct Heartbeat::State {
  State(const asio::any_io_executor& executor, std::shared_ptr<postgres::Database> own_database,
        Options heartbeat_options, CallEnvironment call_environment)
      : id(RandomReplicaId()),
        strand(asio::make_strand(executor)),
        database(std::move(own_database)),
        options(std::move(heartbeat_options)),
        environment(std::move(call_environment)) {}

  void Succeeded(TimePoint begun, std::int64_t replicas) {
    alive = static_cast<int>(replicas);
    latest = begun.time_since_epoch().count();
    if (said_lapsed.exchange(false)) spdlog::info("the heartbeat of this replica is back");
  }
  // Says once that others may take over.
  void Failed(const absl::Status& status) {
    if (!HasLapsed(environment.now()) || said_lapsed.exchange(true)) return;
    spdlog::warn(
        "the heartbeat of this replica has not got through for {} ms: others may take over its "
        "operations ({})",
        options.ownership_time.count(), std::string(status.message()));
  }
  bool HasLapsed(TimePoint now) const {
    const Duration::rep begun = latest;
    return begun != kNever && now >= TimePoint(Duration(begun)) + options.ownership_time;
  }

  void Stop() {
    stopped = true;
    if (wakeup) Wakeup::Wake(wakeup);
  }
  asio::awaitable<void> Sleep(TimePoint until) {
    wakeup = std::make_shared<Wakeup>(strand);
    auto waiting = environment.wait(wakeup, until);
    co_await std::move(waiting);
    wakeup.reset();
  }

  const std::int64_t id;
  const asio::any_io_executor strand;
  const std::shared_ptr<postgres::Database> database;
  const Options options;
  const CallEnvironment environment;
  std::atomic<int> alive{1};
  std::atomic<Duration::rep> latest{kNever};  // a beat that succeeded was begun, by the clock
  std::atomic<bool> said_lapsed{false};

  // On the strand.
  bool running = false;
  bool stopped = false;
  std::shared_ptr<Wakeup> wakeup;   // of Run, while it waits
  std::shared_ptr<Wakeup> leaving;  // of Leave, while it waits for Run

  static asio::awaitable<void> Leave(std::shared_ptr<State> state, TimePoint deadline);
};

Heartbeat::Heartbeat(const asio::any_io_executor& executor,
                     std::shared_ptr<postgres::Database> database, Options options,
                     CallEnvironment environment)
    : state_(std::make_shared<State>(executor, std::move(database), std::move(options),
                                     std::move(environment))) {}

Heartbeat::~Heartbeat() {
  asio::post(state_->strand, [state = state_] { state->Stop(); });
}

asio::awaitable<absl::Status> Heartbeat::BeatOnce(std::shared_ptr<State> state,
                                                  TimePoint deadline) {
  std::vector<postgres::Query> queries;
  queries.push_back({&kDoNotWait, {}});
  queries.push_back({&kBeat,
                     {state->id, state->options.ownership_time.count(), state->options.version,
                      state->options.host}});
  // Before the statement is on its way: the database's time begins later.
  const auto begun = state->environment.now();
  auto running = state->database->Run(std::move(queries), deadline);
  const auto beaten = co_await std::move(running);
  if (beaten.ok()) {
    state->Succeeded(begun, beaten->back().Int(0, 0));
  } else {
    state->Failed(beaten.status());
  }
  co_return beaten.status();
}

asio::awaitable<absl::Status> Heartbeat::Beat(TimePoint deadline) {
  return BeatOnce(state_, deadline);
}

void Heartbeat::Start() {
  asio::post(state_->strand, [state = state_] {
    if (state->stopped) return;
    state->running = true;
    asio::co_spawn(state->strand, Run(state), asio::detached);
  });
}

asio::awaitable<void> Heartbeat::Run(std::shared_ptr<State> state) {
  const Options& options = state->options;
  Duration pause = kMinBeatPause;
  while (!state->stopped) {
    const auto begun = state->environment.now();
    auto beating = BeatOnce(state, begun + options.ownership_time / 3);
    const absl::Status beaten = co_await std::move(beating);
    if (state->stopped) break;
    auto next = begun + options.interval;
    if (beaten.ok()) {
      pause = kMinBeatPause;
    } else {
      next = state->environment.now() + pause;
      pause = std::min<Duration>(2 * pause, options.interval);
    }
    auto sleeping = state->Sleep(next);
    co_await std::move(sleeping);
  }
  state->running = false;
  if (state->leaving) Wakeup::Wake(state->leaving);
}

asio::awaitable<void> Heartbeat::State::Leave(std::shared_ptr<State> state, TimePoint deadline) {
  state->Stop();
  // A beat that comes after the deletion would make the row anew.
  if (state->running) {
    state->leaving = std::make_shared<Wakeup>(state->strand);
    auto waiting = state->environment.wait(state->leaving, deadline);
    co_await std::move(waiting);
    state->leaving.reset();
  }
  std::vector<postgres::Query> queries;
  queries.push_back({&kLeave, {state->id}});
  auto running = state->database->Run(std::move(queries), deadline);
  const auto left = co_await std::move(running);
  if (!left.ok()) {
    spdlog::warn("this replica could not say that it leaves; others take over in {} ms ({})",
                 state->options.ownership_time.count(), std::string(left.status().message()));
  }
}

asio::awaitable<void> Heartbeat::Leave(TimePoint deadline) {
  const auto state = state_;
  auto leaving = State::Leave(state, deadline);
  co_await asio::co_spawn(state->strand, std::move(leaving), asio::use_awaitable);
}

std::int64_t Heartbeat::id() const { return state_->id; }

int Heartbeat::alive() const { return state_->alive; }

std::optional<Duration> Heartbeat::age() const {
  const Duration::rep begun = state_->latest;
  if (begun == kNever) return std::nullopt;
  return state_->environment.now() - TimePoint(Duration(begun));
}

bool Heartbeat::lapsed() const { return state_->HasLapsed(state_->environment.now()); }

}  // namespace leasegateway
