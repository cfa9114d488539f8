#ifndef LEASE_GATEWAY_TESTS_SUPPORT_JOURNAL_ENGINES_H_
#define LEASE_GATEWAY_TESTS_SUPPORT_JOURNAL_ENGINES_H_

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <functional>
#include <memory>
#include <ostream>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "tests/support/postgres_journal_fixture.h"
#include "upstream/leasing/journal/operation_journal.h"
#include "upstream/leasing/journal/sqlite/sqlite_journal.h"

namespace leasegateway {

// What keeps a journal, and the processes that have it.
class JournalEngine {
 public:
  virtual ~JournalEngine() = default;
  // A new process, after the death of those before.
  virtual std::shared_ptr<OperationJournal> Open() = 0;
  // One more beside the latest, where that can be; else that one.
  virtual std::shared_ptr<OperationJournal> OpenAnother() = 0;
  // What is settled was settled so many days earlier.
  virtual void Age(int days) = 0;
};

class SqliteEngine final : public JournalEngine {
 public:
  SqliteEngine() {
    std::string name = testing::TempDir() + "contract-XXXXXX";
    directory_ = mkdtemp(name.data());
  }
  ~SqliteEngine() override { std::filesystem::remove_all(directory_); }
  std::shared_ptr<OperationJournal> Open() override {
    SqliteJournal::Options options;
    options.path = directory_ / "journal.db";
    options.now = [days = days_] {
      return std::chrono::system_clock::now() + std::chrono::hours(24) * days->load();
    };
    auto opened = SqliteJournal::Open(options);
    EXPECT_TRUE(opened.ok()) << opened.status();
    std::shared_ptr<OperationJournal> journal = *std::move(opened);
    latest_ = journal;
    return journal;
  }
  std::shared_ptr<OperationJournal> OpenAnother() override { return latest_.lock(); }
  void Age(int days) override { *days_ += days; }

 private:
  std::filesystem::path directory_;
  std::shared_ptr<std::atomic<int>> days_ = std::make_shared<std::atomic<int>>(0);
  std::weak_ptr<OperationJournal> latest_;
};

class PostgresEngine final : public JournalEngine {
 public:
  std::shared_ptr<OperationJournal> Open() override {
    for (const auto& replica : replicas_) database_.Die(replica->id);
    replicas_.clear();
    return OpenAnother();
  }
  std::shared_ptr<OperationJournal> OpenAnother() override {
    replicas_.push_back(std::make_unique<JournalReplica>(database_, ++id_));
    return replicas_.back()->journal;
  }
  void Age(int days) override {
    database_.Sql(absl::StrCat("UPDATE lease_gateway.spending SET last_day = last_day - ", days,
                               ", settle_time = settle_time - interval '", days, " days'"));
  }

 private:
  JournalDatabase database_;
  std::int64_t id_ = 0;
  std::vector<std::unique_ptr<JournalReplica>> replicas_;
};

struct EngineKind {
  std::string name;
  std::function<std::unique_ptr<JournalEngine>()> make;
};

inline void PrintTo(const EngineKind& kind, std::ostream* out) { *out << kind.name; }

// For INSTANTIATE_TEST_SUITE_P.
inline auto AllEngines() {
  return testing::Values(EngineKind{"Sqlite", [] { return std::make_unique<SqliteEngine>(); }},
                         EngineKind{"Postgres", [] { return std::make_unique<PostgresEngine>(); }});
}

}  // namespace leasegateway

#endif  // LEASE_GATEWAY_TESTS_SUPPORT_JOURNAL_ENGINES_H_
