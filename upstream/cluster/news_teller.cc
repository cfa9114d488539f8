#include "upstream/cluster/news_teller.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <atomic>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/this_coro.hpp>
#include <deque>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "upstream/cluster/news_text.h"
#include "upstream/wakeup.h"

namespace leasegateway {
namespace {

namespace asio = boost::asio;
using std::chrono::milliseconds;

constexpr postgres::Statement kNotify{"notify_replicas",
                                      "SELECT pg_notify('lease_gateway', $1::text)"};
// Of one transaction: some 100 KB.
constexpr std::size_t kMaxTogether = 1'000;
// Between tries, doubling.
constexpr auto kMinTellPause = milliseconds(50);
constexpr auto kMaxTellPause = milliseconds(1'000);

}  // namespace

// On the strand, but for the counters.
struct NewsTeller::State {
  struct Waiting {
    Announcement announcement;
    CallEnvironment::TimePoint since;
  };

  State(asio::any_io_executor own_strand, std::shared_ptr<postgres::Database> own_database,
        const Options& teller_options, CallEnvironment call_environment)
      : strand(std::move(own_strand)),
        database(std::move(own_database)),
        options(teller_options),
        environment(std::move(call_environment)) {}

  void Add(std::string topic, std::int64_t number) {
    const auto known = numbers.find(topic);
    if (known != numbers.end()) {
      known->second = number;
      return;
    }
    if (numbers.size() >= options.max_waiting) {
      Drop(1);
      return;
    }
    numbers.emplace(topic, number);
    line.push_back({{std::move(topic), number}, environment.now()});
  }

  void Drop(std::uint64_t count) {
    dropped += count;
    has_gap = true;
  }

  std::vector<Waiting> TakeBatch() {
    std::vector<Waiting> batch;
    while (!line.empty() && batch.size() < kMaxTogether) {
      Waiting next = std::move(line.front());
      line.pop_front();
      const auto known = numbers.find(next.announcement.topic);
      next.announcement.number = known->second;
      numbers.erase(known);
      batch.push_back(std::move(next));
    }
    return batch;
  }

  // Before all that has come since; a topic that has come again meanwhile has a newer number.
  void PutBack(std::vector<Waiting> batch) {
    for (auto waiting = batch.rbegin(); waiting != batch.rend(); ++waiting) {
      const Announcement& announcement = waiting->announcement;
      if (!numbers.emplace(announcement.topic, announcement.number).second) continue;
      line.push_front(std::move(*waiting));
    }
    while (!line.empty() && line.front().since + options.keep <= environment.now()) {
      numbers.erase(line.front().announcement.topic);
      line.pop_front();
      Drop(1);
    }
  }

  void Wake() {
    if (wakeup) Wakeup::Wake(wakeup);
  }

  asio::awaitable<void> Sleep(CallEnvironment::TimePoint until) {
    wakeup = std::make_shared<Wakeup>(strand);
    auto waiting = environment.wait(wakeup, until);
    co_await std::move(waiting);
    wakeup.reset();
  }

  // Sends one batch by `deadline`, and says whether it went out.
  asio::awaitable<bool> Send(CallEnvironment::TimePoint deadline);

  const asio::any_io_executor strand;
  const std::shared_ptr<postgres::Database> database;
  const Options options;
  const CallEnvironment environment;
  std::atomic<std::uint64_t> told{0};
  std::atomic<std::uint64_t> dropped{0};

  std::deque<Waiting> line;                                // oldest first
  absl::flat_hash_map<std::string, std::int64_t> numbers;  // of the topics in `line`, the latest
  bool said_failed = false;                                // since news went out
  bool has_gap = false;                                    // not told yet
  bool is_idle = false;                                    // Run waits for something to tell
  bool stopped = false;
  bool ended = false;                 // Run has
  std::shared_ptr<Wakeup> wakeup;     // of Run, while it waits
  std::shared_ptr<Wakeup> finishing;  // of Finish, while it waits for Run
};

asio::awaitable<bool> NewsTeller::State::Send(CallEnvironment::TimePoint deadline) {
  std::vector<Waiting> batch = TakeBatch();
  std::vector<Announcement> announcements;
  const bool tells_gap = has_gap;
  has_gap = false;
  if (tells_gap) announcements.push_back({kGapTopic, static_cast<std::int64_t>(dropped.load())});
  for (const Waiting& waiting : batch) announcements.push_back(waiting.announcement);
  std::vector<postgres::Query> queries;
  for (const std::string& payload : WritePayloads(announcements)) {
    queries.push_back({&kNotify, {postgres::Parameter(payload)}});
  }
  auto running = database->Run(std::move(queries), deadline);
  const auto sent = co_await std::move(running);
  if (sent.ok()) {
    told += batch.size();
    said_failed = false;
    co_return true;
  }
  // Of a database that is away there is a word in the log already.
  const bool is_away = absl::IsUnavailable(sent.status()) || absl::IsUnknown(sent.status());
  if (!is_away && !std::exchange(said_failed, true)) {
    spdlog::warn("news can't be told to other replicas: {}", std::string(sent.status().message()));
  }
  has_gap = has_gap || tells_gap;
  PutBack(std::move(batch));
  co_return false;
}

NewsTeller::NewsTeller(asio::any_io_executor strand, std::shared_ptr<postgres::Database> database,
                       const Options& options, CallEnvironment environment)
    : state_(std::make_shared<State>(std::move(strand), std::move(database), options,
                                     std::move(environment))) {
  asio::co_spawn(state_->strand, Run(state_), asio::detached);
}

NewsTeller::~NewsTeller() {
  asio::post(state_->strand, [state = state_] {
    state->stopped = true;
    state->line.clear();
    state->numbers.clear();
    state->Wake();
  });
}

asio::awaitable<void> NewsTeller::Run(std::shared_ptr<State> state) {
  auto pause = kMinTellPause;
  while (!state->stopped) {
    if (state->line.empty() && !state->has_gap) {
      state->is_idle = true;
      auto idling = state->Sleep(CallEnvironment::TimePoint::max());
      co_await std::move(idling);
      state->is_idle = false;
      continue;
    }
    auto gathering = state->Sleep(state->environment.now() + state->options.gather);
    co_await std::move(gathering);
    if (state->stopped) break;
    auto sending = state->Send(state->environment.now() + state->options.timeout);
    if (co_await std::move(sending)) {
      pause = kMinTellPause;
      continue;
    }
    if (state->stopped) break;
    auto pausing = state->Sleep(state->environment.now() + pause);
    co_await std::move(pausing);
    pause = std::min(2 * pause, kMaxTellPause);
  }
  state->ended = true;
  if (state->finishing) Wakeup::Wake(state->finishing);
}

void NewsTeller::Tell(std::string topic, std::int64_t number) {
  if (state_->stopped) return;
  state_->Add(std::move(topic), number);
  if (state_->is_idle) state_->Wake();
}

asio::awaitable<void> NewsTeller::Finish(CallEnvironment::TimePoint deadline) {
  const auto state = state_;
  state->stopped = true;
  state->Wake();
  if (!state->ended) {
    state->finishing = std::make_shared<Wakeup>(state->strand);
    auto waiting = state->environment.wait(state->finishing, deadline);
    co_await std::move(waiting);
    state->finishing.reset();
  }
  while (state->ended && !state->line.empty() && state->environment.now() < deadline) {
    auto sending = state->Send(deadline);
    if (!co_await std::move(sending)) break;
  }
}

NewsTeller::Stats NewsTeller::stats() const { return {state_->told, state_->dropped}; }

}  // namespace leasegateway
