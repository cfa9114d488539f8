#ifndef LEASE_GATEWAY_TESTS_SUPPORT_JOURNAL_FIXTURE_H_
#define LEASE_GATEWAY_TESTS_SUPPORT_JOURNAL_FIXTURE_H_

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sqlite3.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/strand.hpp>
#include <boost/asio/use_future.hpp>
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <future>
#include <iterator>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "tests/support/failing_disk.h"
#include "tests/support/journal_entries.h"
#include "upstream/leasing/journal/sqlite/sqlite_journal.h"
#include "upstream/upstream_error.h"

namespace leasegateway {

// Callers on strands of two threads.
class Callers {
 public:
  ~Callers() {
    work_.reset();
    for (auto& thread : threads_) thread.join();
  }

  template <typename T>
  std::future<T> Start(boost::asio::awaitable<T> call) {
    return boost::asio::co_spawn(boost::asio::make_strand(io_), std::move(call),
                                 boost::asio::use_future);
  }
  template <typename T>
  std::future<T> Start(boost::asio::awaitable<T> call,
                       boost::asio::cancellation_signal& cancellation,
                       boost::asio::any_io_executor strand) {
    return boost::asio::co_spawn(
        strand, std::move(call),
        boost::asio::bind_cancellation_slot(cancellation.slot(), boost::asio::use_future));
  }
  template <typename T>
  T Get(boost::asio::awaitable<T> call) {
    return Start(std::move(call)).get();
  }
  boost::asio::any_io_executor NewStrand() { return boost::asio::make_strand(io_); }

 private:
  boost::asio::io_context io_;
  boost::asio::executor_work_guard<boost::asio::io_context::executor_type> work_{
      io_.get_executor()};
  std::vector<std::thread> threads_ = [this] {
    std::vector<std::thread> threads;
    for (int i = 0; i < 2; ++i) threads.emplace_back([this] { io_.run(); });
    return threads;
  }();
};

inline std::string Read(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

inline void Overwrite(const std::filesystem::path& path, const std::string& text) {
  std::ofstream(path, std::ios::binary | std::ios::trunc) << text;
}

// What `work` returns in a process of its own; "died" when it did. No thread may run meanwhile.
inline std::string InChild(const std::function<std::string()>& work) {
  int ends[2];
  if (pipe(ends) != 0) return "no pipe";
  const pid_t child = fork();
  if (child == 0) {
    const std::string text = work();
    const auto written = write(ends[1], text.data(), text.size());
    _exit(written == static_cast<ssize_t>(text.size()) ? 0 : 1);
  }
  close(ends[1]);
  std::string text;
  char buffer[4096];
  ssize_t size = 0;
  while ((size = read(ends[0], buffer, sizeof(buffer))) > 0) text.append(buffer, size);
  close(ends[0]);
  int status = 0;
  waitpid(child, &status, 0);
  return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? text : "died";
}

class SqliteJournalTest : public testing::Test {
 protected:
  SqliteJournalTest() {
    std::string name = testing::TempDir() + "journal-XXXXXX";
    directory_ = mkdtemp(name.data());
    path_ = directory_ / "journal.db";
  }
  ~SqliteJournalTest() override {
    disk.write_error = SQLITE_OK;
    disk.flush_error = SQLITE_OK;
    disk.Release();
    journal_.reset();
    callers_.reset();
    std::filesystem::remove_all(directory_);
  }

  SqliteJournal::Options MakeOptions() {
    SqliteJournal::Options options;
    options.path = path_;
    options.prune_interval = std::chrono::hours(1);
    options.now = [this] { return std::chrono::system_clock::time_point(now_.load()); };
    return options;
  }
  absl::Status TryOpen() { return SqliteJournal::Open(MakeOptions()).status(); }
  void Open(const SqliteJournal::Options& options) {
    journal_.reset();
    auto opened = SqliteJournal::Open(options);
    ASSERT_TRUE(opened.ok()) << opened.status();
    journal_ = *std::move(opened);
    if (!callers_) callers_.emplace();
  }
  void Open() { Open(MakeOptions()); }
  void Close() {
    journal_.reset();
    callers_.reset();
  }

  absl::StatusOr<OperationJournal::Begun> Begin(OperationJournal::Entry entry) {
    return callers_->Get(journal_->Begin(std::move(entry), true));
  }
  v1::Operation MustBegin(const std::string& id, const std::string& account = "acme") {
    auto begun = Begin(MakeEntry(id, account));
    EXPECT_TRUE(begun.ok()) << begun.status();
    if (!begun.ok()) return {};
    EXPECT_FALSE(begun->existed);
    return begun->record.entry.operation;
  }
  absl::Status Update(v1::Operation operation) {
    return callers_->Get(journal_->Update(ChangeTo(std::move(operation)))).status();
  }
  absl::StatusOr<std::optional<OperationJournal::Record>> Find(
      const std::string& id, const std::string& account = "acme") {
    return callers_->Get(journal_->Find(account, id));
  }
  // "c", "x", "b", "y", "a": INTENDED, SUCCEEDED, SENT, FAILED, UNKNOWN, the oldest first.
  void WriteOneOfEachState() {
    for (const auto& [id, state] :
         {std::pair("c", v1::OPERATION_STATE_INTENDED),
          std::pair("x", v1::OPERATION_STATE_SUCCEEDED), std::pair("b", v1::OPERATION_STATE_SENT),
          std::pair("y", v1::OPERATION_STATE_FAILED),
          std::pair("a", v1::OPERATION_STATE_UNKNOWN)}) {
      ASSERT_TRUE(Update(WithState(MustBegin(id), state)).ok());
      Advance(std::chrono::nanoseconds(1));
    }
  }
  std::vector<std::string> AdoptIds(int limit = 100, const std::string& account = "acme") {
    const auto records = callers_->Get(journal_->Adopt(account, limit, false));
    EXPECT_TRUE(records.ok()) << records.status();
    std::vector<std::string> ids;
    if (!records.ok()) return ids;
    for (const auto& record : *records) ids.push_back(record.entry.operation.request_id());
    return ids;
  }
  bool Has(const std::string& id) {
    const auto found = Find(id);
    EXPECT_TRUE(found.ok()) << found.status();
    return found.ok() && found->has_value();
  }
  std::vector<std::string> ListIds(OperationJournal::Query query, std::string* next = nullptr) {
    const auto page = callers_->Get(journal_->List(std::move(query)));
    EXPECT_TRUE(page.ok()) << page.status();
    std::vector<std::string> ids;
    if (!page.ok()) return ids;
    for (const auto& operation : page->operations) ids.push_back(operation.request_id());
    if (next != nullptr) *next = page->next;
    return ids;
  }
  void Advance(std::chrono::nanoseconds by) {
    now_ = now_.load() + std::chrono::duration_cast<std::chrono::system_clock::duration>(by);
  }
  void WaitForQueue(std::size_t size) {
    while (journal_->stats().queued != size) std::this_thread::yield();
  }
  void Sql(const std::string& sql) {
    sqlite3* database = nullptr;
    ASSERT_EQ(sqlite3_open_v2(path_.c_str(), &database, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE,
                              real_vfs->zName),
              SQLITE_OK);
    EXPECT_EQ(sqlite3_exec(database, sql.c_str(), nullptr, nullptr, nullptr), SQLITE_OK)
        << sqlite3_errmsg(database);
    sqlite3_close(database);
  }

  static void ExpectUnavailable(const absl::Status& status, const std::string& text) {
    EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition) << status;
    EXPECT_EQ(ReasonOf(status), reason::kJournalUnavailable);
    EXPECT_THAT(std::string(status.message()), testing::HasSubstr(text));
  }

  std::filesystem::path directory_;
  std::filesystem::path path_;
  std::atomic<std::chrono::system_clock::duration> now_{std::chrono::seconds(1'700'000'000) +
                                                        std::chrono::nanoseconds(123'456'789)};
  std::optional<Callers> callers_;
  std::unique_ptr<SqliteJournal> journal_;
};

}  // namespace leasegateway

#endif  // LEASE_GATEWAY_TESTS_SUPPORT_JOURNAL_FIXTURE_H_
