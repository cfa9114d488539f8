#include "upstream/postgres/pooled_connection.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "absl/strings/str_cat.h"
#include "upstream/postgres/backoff.h"
#include "upstream/postgres/connection_pool.h"

namespace leasegateway::postgres {
namespace {

namespace asio = boost::asio;
using Clock = std::chrono::steady_clock;

// A transaction is run so often when it collides with others.
constexpr int kMaxAttempts = 5;
constexpr std::chrono::milliseconds kFirstConflictPause{10};
constexpr std::chrono::milliseconds kLastConflictPause{100};

asio::awaitable<void> Pause(std::shared_ptr<ConnectionPool> pool, std::shared_ptr<Wakeup> wakeup,
                            std::chrono::milliseconds pause) {
  const auto end = Clock::now() + pause;
  while (Clock::now() < end && !pool->is_stopped()) {
    auto waiting = wakeup->WaitUntil(end);
    co_await std::move(waiting);
  }
}

// All statements of a batch as one transaction.
std::vector<Query> QueriesOf(const Batch& batch, const Query* settings) {
  std::vector<Query> queries;
  if (settings != nullptr) queries.push_back(*settings);
  for (const auto& request : batch) {
    queries.insert(queries.end(), request->queries().begin(), request->queries().end());
  }
  return queries;
}

void FinishAll(const Batch& batch, const absl::Status& status) {
  for (const auto& request : batch) request->Finish(status);
}

void FinishWithRows(const Batch& batch, std::vector<Rows> rows, bool with_settings) {
  auto at = rows.begin() + (with_settings ? 1 : 0);
  for (const auto& request : batch) {
    const auto end = at + static_cast<std::ptrdiff_t>(request->queries().size());
    request->Finish(std::vector<Rows>(std::make_move_iterator(at), std::make_move_iterator(end)));
    at = end;
  }
}

absl::Status StatusOf(const Outcome& outcome, const std::string& where) {
  const auto message = absl::StrCat("the database ", where, ": ", Describe(outcome.error));
  if (outcome.fate == Fate::kUnknown) return absl::UnknownError(message);
  const bool was_lost = outcome.error.sqlstate.empty();
  return absl::Status(was_lost ? absl::StatusCode::kUnavailable : CodeOf(outcome.error), message);
}

// Runs what may be repeated with others, again and again where it is alone.
asio::awaitable<Outcome> RunAll(std::shared_ptr<ConnectionPool> pool, Connection& connection,
                                std::shared_ptr<Wakeup> wakeup, const Batch& batch,
                                const Query* settings, Clock::time_point deadline) {
  Backoff backoff(kFirstConflictPause, kLastConflictPause);
  const int attempts = batch.size() == 1 ? kMaxAttempts : 1;
  for (int attempt = 1;; ++attempt) {
    auto running = connection.Run(QueriesOf(batch, settings), deadline);
    auto outcome = co_await std::move(running);
    if (outcome.fate != Fate::kNothingChanged || !IsConflict(outcome.error) ||
        !connection.usable() || attempt >= attempts || Clock::now() >= deadline) {
      co_return outcome;
    }
    auto pausing = Pause(pool, wakeup, backoff.Next());
    co_await std::move(pausing);
  }
}

// True: the server answered.
asio::awaitable<bool> RunBatch(std::shared_ptr<ConnectionPool> pool, Connection& connection,
                               std::shared_ptr<Wakeup> wakeup, Batch batch) {
  std::erase_if(batch, [](const std::shared_ptr<Request>& request) { return !request->Begin(); });
  if (batch.empty()) co_return false;
  const auto latest = std::max_element(
      batch.begin(), batch.end(),
      [](const auto& one, const auto& other) { return one->deadline() < other->deadline(); });
  // Once, because another connection may find out meanwhile that they are needed.
  const Query* const settings = pool->connector().SessionSettings();
  auto running = RunAll(pool, connection, wakeup, batch, settings, (*latest)->deadline());
  auto outcome = co_await std::move(running);
  if (outcome.error.sqlstate == sqlstate::kReadOnly) connection.GiveUp();
  if (outcome.fate == Fate::kCommitted) {
    FinishWithRows(batch, std::move(outcome.rows), settings != nullptr);
    co_return true;
  }
  const bool is_statements_fault = outcome.fate == Fate::kNothingChanged &&
                                   !outcome.error.sqlstate.empty() &&
                                   (!IsAway(outcome.error) || IsConflict(outcome.error));
  if (batch.size() > 1 && is_statements_fault) {
    for (const auto& request : batch) {
      request->Undo();
      request->ForbidSharing();
    }
    pool->PutBack(batch);
  } else {
    FinishAll(batch, StatusOf(outcome, pool->connector().options().url.where));
  }
  co_return !outcome.error.sqlstate.empty();
}

// Until the connection is lost or the pool stops; true: it was of use.
asio::awaitable<bool> ServeWith(std::shared_ptr<ConnectionPool> pool, Connection& connection,
                                std::shared_ptr<Wakeup> wakeup) {
  bool was_of_use = false;
  while (connection.usable() && !pool->is_stopped()) {
    auto batch = pool->Take(wakeup);
    if (batch.empty()) {
      auto waiting = connection.WaitForMore(Clock::time_point::max());
      co_await std::move(waiting);
      continue;
    }
    auto running = RunBatch(pool, connection, wakeup, std::move(batch));
    if (co_await std::move(running)) was_of_use = true;
  }
  co_return was_of_use;
}

}  // namespace

asio::awaitable<void> ServeRequests(std::shared_ptr<ConnectionPool> pool,
                                    std::shared_ptr<Wakeup> wakeup) {
  const auto& options = pool->connector().options();
  Backoff backoff(options.first_pause, options.last_pause);
  for (bool again = true; again;) {
    auto connecting = pool->connector().Connect(wakeup);
    auto connection = co_await std::move(connecting);
    bool was_of_use = false;
    if (connection.ok()) {
      pool->Connected(wakeup);
      auto serving = ServeWith(pool, **connection, wakeup);
      was_of_use = co_await std::move(serving);
      connection->reset();
      again = pool->Lost(wakeup);
    } else {
      again = pool->ConnectFailed(wakeup, connection.status());
    }
    if (was_of_use) {
      backoff.Reset();
    } else if (again) {
      auto pausing = Pause(pool, wakeup, backoff.Next());
      co_await std::move(pausing);
    }
  }
}

}  // namespace leasegateway::postgres
