#ifndef LEASE_GATEWAY_TESTS_SUPPORT_POSTGRES_JOURNAL_FIXTURE_H_
#define LEASE_GATEWAY_TESTS_SUPPORT_POSTGRES_JOURNAL_FIXTURE_H_

#include <gtest/gtest.h>

#include <algorithm>
#include <boost/asio/awaitable.hpp>
#include <chrono>
#include <cstdint>
#include <deque>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iterator>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "tests/support/database_fixture.h"
#include "tests/support/postgres_server.h"
#include "upstream/cluster/news.h"
#include "upstream/cluster/replica.h"
#include "upstream/leasing/journal/postgres/postgres_journal.h"
#include "upstream/postgres/pooled_database.h"

namespace leasegateway {

// A Database that loses what the test wants lost of another one, and counts what goes through.
class LossyDatabase final : public postgres::Database {
 public:
  using TimePoint = std::chrono::steady_clock::time_point;
  enum class Loss {
    kRequest,  // it is not run, and nobody says so
    kAnswer,   // it is run
    kLate,     // it is run when the test says so
    kAway,     // it is not run, and that is said
  };

  explicit LossyDatabase(std::shared_ptr<postgres::Database> database)
      : database_(std::move(database)) {}

  // Of the next statement of that name; after those that were asked for before.
  void Lose(const std::string& name, Loss loss) {
    const std::lock_guard lock(mutex_);
    losses_[name].push_back(loss);
  }
  // Called before each statement of that name is run.
  void Before(const std::string& name, std::function<void()> call) {
    const std::lock_guard lock(mutex_);
    before_[name] = std::move(call);
  }
  boost::asio::awaitable<absl::StatusOr<postgres::Rows>> RunLate() {
    std::vector<postgres::Query> queries;
    {
      const std::lock_guard lock(mutex_);
      queries = std::move(late_.front());
      late_.pop_front();
    }
    auto running = database_->Run(std::move(queries), postgres::Soon());
    auto rows = co_await std::move(running);
    if (!rows.ok()) co_return rows.status();
    co_return std::move(rows->back());
  }
  std::size_t late() const {
    const std::lock_guard lock(mutex_);
    return late_.size();
  }
  int statements() const {
    const std::lock_guard lock(mutex_);
    return statements_;
  }

  boost::asio::awaitable<absl::StatusOr<std::vector<postgres::Rows>>> Run(
      std::vector<postgres::Query> queries, TimePoint deadline) override {
    const auto [loss, before] = Count(queries.back());
    if (before) before();
    if (loss == Loss::kAway) co_return absl::UnavailableError("away");
    if (loss == Loss::kRequest) co_return absl::UnknownError("lost");
    if (loss == Loss::kLate) {
      const std::lock_guard lock(mutex_);
      late_.push_back(std::move(queries));
      co_return absl::UnknownError("late");
    }
    auto running = database_->Run(std::move(queries), deadline);
    auto rows = co_await std::move(running);
    if (loss == Loss::kAnswer && rows.ok()) co_return absl::UnknownError("lost");
    co_return rows;
  }
  boost::asio::awaitable<absl::StatusOr<postgres::Rows>> RunShared(postgres::Query query,
                                                                   TimePoint deadline) override {
    const auto [loss, before] = Count(query);
    if (before) before();
    if (loss == Loss::kAway) co_return absl::UnavailableError("away");
    if (loss == Loss::kRequest) co_return absl::UnknownError("lost");
    if (loss == Loss::kLate) {
      const std::lock_guard lock(mutex_);
      late_.push_back({std::move(query)});
      co_return absl::UnknownError("late");
    }
    auto running = database_->RunShared(std::move(query), deadline);
    auto rows = co_await std::move(running);
    if (loss == Loss::kAnswer && rows.ok()) co_return absl::UnknownError("lost");
    co_return rows;
  }
  bool is_up() const override { return database_->is_up(); }

 private:
  std::pair<std::optional<Loss>, std::function<void()>> Count(const postgres::Query& query) {
    const std::lock_guard lock(mutex_);
    ++statements_;
    const auto before = before_.find(query.statement->name);
    auto& losses = losses_[query.statement->name];
    std::optional<Loss> loss;
    if (!losses.empty()) {
      loss = losses.front();
      losses.pop_front();
    }
    return {loss, before == before_.end() ? nullptr : before->second};
  }

  const std::shared_ptr<postgres::Database> database_;
  mutable std::mutex mutex_;  // guards all below
  int statements_ = 0;
  std::map<std::string, std::deque<Loss>> losses_;
  std::map<std::string, std::function<void()>> before_;
  std::deque<std::vector<postgres::Query>> late_;
};

// Tells at once, to those who subscribed here.
class LocalNews final : public News {
 public:
  void Tell(std::string topic, std::int64_t number) override {
    std::vector<std::shared_ptr<Heard>> called;
    {
      const std::lock_guard lock(mutex_);
      told.emplace_back(topic, number);
      for (const auto& weak : subscriptions_) {
        auto heard = weak.lock();
        if (heard && heard->first == topic) called.push_back(std::move(heard));
      }
    }
    for (const auto& heard : called) heard->second(number);
  }
  Subscription Subscribe(std::string topic, std::function<void(std::int64_t)> heard) override {
    const auto subscription = std::make_shared<Heard>(std::move(topic), std::move(heard));
    const std::lock_guard lock(mutex_);
    subscriptions_.push_back(subscription);
    return subscription;
  }
  Subscription OnGap(std::function<void()>) override { return nullptr; }
  std::size_t subscribed() {
    const std::lock_guard lock(mutex_);
    std::erase_if(subscriptions_, [](const auto& weak) { return weak.expired(); });
    return subscriptions_.size();
  }

  std::vector<std::pair<std::string, std::int64_t>> told;

 private:
  using Heard = std::pair<std::string, std::function<void(std::int64_t)>>;
  std::mutex mutex_;
  std::vector<std::weak_ptr<Heard>> subscriptions_;
};

class FixedReplica final : public Replica {
 public:
  explicit FixedReplica(std::int64_t id) : id_(id) {}
  std::int64_t id() const override { return id_; }
  int alive() const override { return 1; }

 private:
  const std::int64_t id_;
};

// A database with the program's schema on the server that the tests of a program share, and
// replicas on it: journals with an id each.
class JournalDatabase {
 public:
  JournalDatabase() {
    Sql("CREATE SCHEMA lease_gateway");
    std::set<std::filesystem::path> files;
    for (const auto& file :
         std::filesystem::directory_iterator(SOURCE_DIR "/upstream/postgres/schema")) {
      files.insert(file.path());
    }
    for (const auto& file : files) {
      std::ifstream in(file);
      Sql(std::string(std::istreambuf_iterator<char>(in), {}));
    }
  }

  std::vector<std::string> Sql(const std::string& sql) const { return server_.Query(name_, sql); }
  std::string url() const { return server_.Url(name_); }
  PostgresServer& server() { return server_; }

  // By the heartbeat that a test makes by hand.
  void Live(std::int64_t id, int seconds = 3'600) const {
    Sql(
        absl::StrCat("INSERT INTO lease_gateway.replica (id, alive_until, version, host, started)"
                     " VALUES (",
                     id, ", now() + interval '", seconds,
                     " s', '', '', now())"
                     " ON CONFLICT (id) DO UPDATE SET alive_until = excluded.alive_until"));
  }
  void Die(std::int64_t id) const { Live(id, -1); }

  std::shared_ptr<postgres::Database> Connect() {
    return std::make_shared<postgres::PooledDatabase>(io.executor(), postgres::OptionsFor(url()));
  }

  postgres::IoThreads io;

 private:
  PostgresServer& server_ = PostgresServer::Shared();
  const std::string name_ = server_.CreateDatabase();
};

// One process on it.
struct JournalReplica {
  JournalReplica(JournalDatabase& database, std::int64_t number,
                 PostgresJournal::Options options = {})
      : id(number),
        lossy(std::make_shared<LossyDatabase>(database.Connect())),
        news(std::make_shared<LocalNews>()),
        journal(std::make_shared<PostgresJournal>(lossy, news, std::make_shared<FixedReplica>(id),
                                                  options)) {
    database.Live(id);
  }

  const std::int64_t id;
  const std::shared_ptr<LossyDatabase> lossy;
  const std::shared_ptr<LocalNews> news;
  std::shared_ptr<PostgresJournal> journal;
};

}  // namespace leasegateway

#endif  // LEASE_GATEWAY_TESTS_SUPPORT_POSTGRES_JOURNAL_FIXTURE_H_
