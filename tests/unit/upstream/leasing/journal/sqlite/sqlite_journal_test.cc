#include "upstream/leasing/journal/sqlite/sqlite_journal.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sqlite3.h>
#include <sys/resource.h>
#include <sys/stat.h>
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
#include <condition_variable>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <functional>
#include <future>
#include <iterator>
#include <mutex>
#include <random>
#include <thread>

#include "absl/strings/str_cat.h"
#include "upstream/upstream_error.h"

namespace leasegateway {
namespace {

namespace asio = boost::asio;
namespace fs = std::filesystem;
using std::chrono::hours;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

// --- a disk that can be told to fail ------------------------------------------------------------

// What SQLite's file functions do in this process; all else is the system's.
struct Disk {
  std::atomic<int> write_error{SQLITE_OK};
  std::atomic<int> flush_error{SQLITE_OK};
  std::atomic<bool> unflushed{false};  // the log has something that a loss of power would take
  std::mutex mutex;
  std::condition_variable changed;
  bool hold = false;  // flushes wait
  int holding = 0;    // that wait

  void Hold() {
    const std::lock_guard lock(mutex);
    hold = true;
  }
  void WaitUntilHeld() {
    std::unique_lock lock(mutex);
    changed.wait(lock, [this] { return holding > 0; });
  }
  void Release() {
    const std::lock_guard lock(mutex);
    hold = false;
    changed.notify_all();
  }
};
Disk disk;

struct DiskFile {
  sqlite3_file base;
  bool is_log;
  sqlite3_file* real() { return reinterpret_cast<sqlite3_file*>(this + 1); }
};

sqlite3_vfs* real_vfs = nullptr;

DiskFile& Of(sqlite3_file* file) { return *reinterpret_cast<DiskFile*>(file); }

template <auto Method, typename... Arguments>
int Forward(sqlite3_file* file, Arguments... arguments) {
  sqlite3_file* real = Of(file).real();
  return (real->pMethods->*Method)(real, arguments...);
}

int Write(sqlite3_file* file, const void* data, int size, sqlite3_int64 offset) {
  if (disk.write_error != SQLITE_OK) return disk.write_error;
  if (Of(file).is_log) disk.unflushed = true;
  return Forward<&sqlite3_io_methods::xWrite>(file, data, size, offset);
}

int Flush(sqlite3_file* file, int flags) {
  {
    std::unique_lock lock(disk.mutex);
    ++disk.holding;
    disk.changed.notify_all();
    disk.changed.wait(lock, [] { return !disk.hold; });
    --disk.holding;
  }
  if (disk.flush_error != SQLITE_OK) return disk.flush_error;
  if (Of(file).is_log) disk.unflushed = false;
  return Forward<&sqlite3_io_methods::xSync>(file, flags);
}

constexpr sqlite3_io_methods kMethods = {
    .iVersion = 1,
    .xClose = Forward<&sqlite3_io_methods::xClose>,
    .xRead = Forward<&sqlite3_io_methods::xRead, void*, int, sqlite3_int64>,
    .xWrite = Write,
    .xTruncate = Forward<&sqlite3_io_methods::xTruncate, sqlite3_int64>,
    .xSync = Flush,
    .xFileSize = Forward<&sqlite3_io_methods::xFileSize, sqlite3_int64*>,
    .xLock = Forward<&sqlite3_io_methods::xLock, int>,
    .xUnlock = Forward<&sqlite3_io_methods::xUnlock, int>,
    .xCheckReservedLock = Forward<&sqlite3_io_methods::xCheckReservedLock, int*>,
    .xFileControl = Forward<&sqlite3_io_methods::xFileControl, int, void*>,
    .xSectorSize = Forward<&sqlite3_io_methods::xSectorSize>,
    .xDeviceCharacteristics = Forward<&sqlite3_io_methods::xDeviceCharacteristics>,
    .xShmMap = nullptr,
    .xShmLock = nullptr,
    .xShmBarrier = nullptr,
    .xShmUnmap = nullptr,
    .xFetch = nullptr,
    .xUnfetch = nullptr,
};

int OpenFile(sqlite3_vfs*, const char* name, sqlite3_file* file, int flags, int* out) {
  DiskFile& opened = Of(file);
  opened.is_log = (flags & SQLITE_OPEN_WAL) != 0;
  const int code = real_vfs->xOpen(real_vfs, name, opened.real(), flags, out);
  file->pMethods = opened.real()->pMethods == nullptr ? nullptr : &kMethods;
  return code;
}

const bool disk_is_ours = [] {
  static sqlite3_vfs vfs;
  real_vfs = sqlite3_vfs_find(nullptr);
  vfs = *real_vfs;
  vfs.zName = "disk";
  vfs.pNext = nullptr;
  vfs.szOsFile = static_cast<int>(sizeof(DiskFile)) + real_vfs->szOsFile;
  vfs.xOpen = OpenFile;
  return sqlite3_vfs_register(&vfs, 1) == SQLITE_OK;
}();

// --- around the journal -------------------------------------------------------------------------

// Callers on strands of two threads.
class Callers {
 public:
  ~Callers() {
    work_.reset();
    for (auto& thread : threads_) thread.join();
  }

  template <typename T>
  std::future<T> Start(asio::awaitable<T> call) {
    return asio::co_spawn(asio::make_strand(io_), std::move(call), asio::use_future);
  }
  template <typename T>
  std::future<T> Start(asio::awaitable<T> call, asio::cancellation_signal& cancellation,
                       asio::any_io_executor strand) {
    return asio::co_spawn(strand, std::move(call),
                          asio::bind_cancellation_slot(cancellation.slot(), asio::use_future));
  }
  template <typename T>
  T Get(asio::awaitable<T> call) {
    return Start(std::move(call)).get();
  }
  asio::any_io_executor NewStrand() { return asio::make_strand(io_); }

 private:
  asio::io_context io_;
  asio::executor_work_guard<asio::io_context::executor_type> work_{io_.get_executor()};
  std::vector<std::thread> threads_ = [this] {
    std::vector<std::thread> threads;
    for (int i = 0; i < 2; ++i) threads.emplace_back([this] { io_.run(); });
    return threads;
  }();
};

OperationJournal::Entry MakeEntry(const std::string& id, const std::string& account = "acme") {
  OperationJournal::Entry entry;
  entry.fingerprint = std::string(32, id.empty() ? '?' : id.back());
  entry.operation.set_account(account);
  entry.operation.set_request_id(id);
  entry.operation.set_kind(v1::OPERATION_KIND_LEASE);
  entry.operation.set_state(v1::OPERATION_STATE_INTENDED);
  entry.operation.set_phone_number("+13059478667");
  entry.operation.set_caller("caller of " + id);
  return entry;
}

OperationJournal::Query QueryOf(const std::string& account, const std::string& phone_number = "",
                                std::optional<v1::OperationState> state = std::nullopt,
                                const std::string& after = "", int limit = 100) {
  OperationJournal::Query query;
  query.account = account;
  query.phone_number = phone_number;
  query.state = state;
  query.after = after;
  query.limit = limit;
  return query;
}

v1::Operation WithState(v1::Operation operation, v1::OperationState state) {
  operation.set_state(state);
  return operation;
}

std::string Read(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

void Overwrite(const fs::path& path, const std::string& text) {
  std::ofstream(path, std::ios::binary | std::ios::trunc) << text;
}

// What `work` returns in a process of its own; "died" when it did. No thread may run meanwhile.
std::string InChild(const std::function<std::string()>& work) {
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
    fs::remove_all(directory_);
  }

  SqliteJournal::Options MakeOptions() {
    SqliteJournal::Options options;
    options.path = path_;
    options.prune_interval = hours(1);
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
    return callers_->Get(journal_->Begin(std::move(entry)));
  }
  v1::Operation MustBegin(const std::string& id, const std::string& account = "acme") {
    auto begun = Begin(MakeEntry(id, account));
    EXPECT_TRUE(begun.ok()) << begun.status();
    if (!begun.ok()) return {};
    EXPECT_FALSE(begun->existed);
    return begun->entry.operation;
  }
  absl::Status Update(v1::Operation operation) {
    return callers_->Get(journal_->Update(std::move(operation)));
  }
  absl::StatusOr<std::optional<OperationJournal::Entry>> Find(const std::string& id,
                                                              const std::string& account = "acme") {
    return callers_->Get(journal_->Find(account, id));
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
    EXPECT_THAT(std::string(status.message()), HasSubstr(text));
  }

  fs::path directory_;
  fs::path path_;
  std::atomic<std::chrono::system_clock::duration> now_{std::chrono::seconds(1'700'000'000) +
                                                        std::chrono::nanoseconds(123'456'789)};
  std::optional<Callers> callers_;
  std::unique_ptr<SqliteJournal> journal_;
};

// --- operations ---------------------------------------------------------------------------------

TEST_F(SqliteJournalTest, OperationIsKeptThroughARestart) {
  Open();
  const auto written = MustBegin("a");
  EXPECT_EQ(written.create_time().seconds(), 1'700'000'000);
  EXPECT_EQ(written.create_time().nanos(), 123'456'789);
  EXPECT_EQ(written.update_time().nanos(), 123'456'789);
  Open();
  const auto found = Find("a");
  ASSERT_TRUE(found.ok() && *found) << found.status();
  EXPECT_EQ((*found)->operation.SerializeAsString(), written.SerializeAsString());
  EXPECT_EQ((*found)->fingerprint, std::string(32, 'a'));
  EXPECT_FALSE(Has("b"));
}

TEST_F(SqliteJournalTest, SecondBeginGetsTheFirstUnchanged) {
  Open();
  const auto first = MustBegin("a");
  Advance(hours(1));
  auto other = MakeEntry("a");
  other.fingerprint = std::string(32, 'x');
  other.operation.set_phone_number("+10000000000");
  const auto second = Begin(other);
  ASSERT_TRUE(second.ok());
  EXPECT_TRUE(second->existed);
  EXPECT_EQ(second->entry.operation.SerializeAsString(), first.SerializeAsString());
  EXPECT_EQ(second->entry.fingerprint, std::string(32, 'a'));
  // Another account's operation of the same name is another one.
  MustBegin("a", "other");
}

TEST_F(SqliteJournalTest, OfTwoBeginsAtOnceOneBegins) {
  Open();
  for (int i = 0; i < 200; ++i) {
    const std::string id = absl::StrCat("id-", i);
    auto one = callers_->Start(journal_->Begin(MakeEntry(id)));
    auto two = callers_->Start(journal_->Begin(MakeEntry(id)));
    const auto a = one.get(), b = two.get();
    ASSERT_TRUE(a.ok() && b.ok());
    EXPECT_NE(a->existed, b->existed);
    EXPECT_EQ(a->entry.operation.SerializeAsString(), b->entry.operation.SerializeAsString());
  }
}

TEST_F(SqliteJournalTest, OfTwoBeginsInOneTransactionOneBegins) {
  Open();
  disk.Hold();
  auto first = callers_->Start(journal_->Begin(MakeEntry("first")));
  disk.WaitUntilHeld();
  auto one = callers_->Start(journal_->Begin(MakeEntry("a")));
  auto two = callers_->Start(journal_->Begin(MakeEntry("a")));
  WaitForQueue(2);
  disk.Release();
  const auto a = one.get(), b = two.get();
  ASSERT_TRUE(a.ok() && b.ok());
  EXPECT_NE(a->existed, b->existed);
  EXPECT_EQ(journal_->stats().commits, 2u);
}

TEST_F(SqliteJournalTest, UpdateReplaces) {
  Open();
  auto operation = MustBegin("a");
  Advance(std::chrono::seconds(5));
  operation.set_state(v1::OPERATION_STATE_SUCCEEDED);
  operation.set_phone_number("+15550000001");
  operation.mutable_lease()->set_lease_id("lsd_1");
  operation.clear_create_time();
  ASSERT_TRUE(Update(operation).ok());
  const auto found = Find("a");
  ASSERT_TRUE(found.ok() && *found);
  EXPECT_EQ((*found)->operation.lease().lease_id(), "lsd_1");
  EXPECT_EQ((*found)->operation.create_time().seconds(), 1'700'000'000);
  EXPECT_EQ((*found)->operation.update_time().seconds(), 1'700'000'005);
  EXPECT_EQ((*found)->fingerprint, std::string(32, 'a'));
  EXPECT_THAT(ListIds(QueryOf("acme", "+13059478667")), IsEmpty());
  EXPECT_THAT(ListIds(QueryOf("acme", "+15550000001")), ElementsAre("a"));
  EXPECT_EQ(Update(MakeEntry("b").operation).code(), absl::StatusCode::kNotFound);
}

TEST_F(SqliteJournalTest, OneThatCanNotBeWrittenLeavesItsTransactionAlone) {
  Open();
  disk.Hold();
  auto first = callers_->Start(journal_->Begin(MakeEntry("first")));
  disk.WaitUntilHeld();
  auto bad = MakeEntry("bad");
  bad.fingerprint = "short";
  auto one = callers_->Start(journal_->Begin(MakeEntry("one")));
  WaitForQueue(1);
  auto two = callers_->Start(journal_->Begin(bad));
  WaitForQueue(2);
  auto three = callers_->Start(journal_->Begin(MakeEntry("three")));
  auto four = callers_->Start(journal_->Update(MakeEntry("nobody").operation));
  WaitForQueue(4);
  disk.Release();
  EXPECT_TRUE(one.get().ok());
  EXPECT_EQ(two.get().status().code(), absl::StatusCode::kInternal);
  EXPECT_TRUE(three.get().ok());
  EXPECT_EQ(four.get().code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(journal_->stats().commits, 2u);
  EXPECT_TRUE(Has("one") && Has("three"));
  EXPECT_FALSE(Has("bad"));
}

TEST_F(SqliteJournalTest, UnresolvedAreTheOldestFirst) {
  Open();
  for (const auto& [id, state] :
       {std::pair("c", v1::OPERATION_STATE_INTENDED), std::pair("x", v1::OPERATION_STATE_SUCCEEDED),
        std::pair("b", v1::OPERATION_STATE_SENT), std::pair("y", v1::OPERATION_STATE_FAILED),
        std::pair("a", v1::OPERATION_STATE_UNKNOWN)}) {
    ASSERT_TRUE(Update(WithState(MustBegin(id), state)).ok());
    Advance(std::chrono::nanoseconds(1));
  }
  const auto ids_since = [this](std::chrono::system_clock::time_point changed_since) {
    const auto unresolved = callers_->Get(journal_->Unresolved(changed_since));
    EXPECT_TRUE(unresolved.ok());
    std::vector<std::string> ids;
    for (const auto& entry : *unresolved) ids.push_back(entry.operation.request_id());
    return ids;
  };
  const std::chrono::system_clock::time_point now(now_.load());
  EXPECT_THAT(ids_since(now + std::chrono::seconds(1)), ElementsAre("c", "b", "a"));
  // "y" was the fourth of five, a nanosecond each.
  EXPECT_THAT(ids_since(now - std::chrono::nanoseconds(2)), ElementsAre("c", "b", "y", "a"));
  EXPECT_THAT(ids_since({}), ElementsAre("c", "x", "b", "y", "a"));

  const auto check = [this] {
    const auto stats = journal_->stats();
    for (int state = 1; state <= 5; ++state) {
      EXPECT_EQ(stats.entries.at(static_cast<v1::OperationState>(state)), 1) << state;
    }
    ASSERT_TRUE(stats.oldest_unresolved);
    EXPECT_EQ(std::chrono::duration_cast<std::chrono::seconds>(
                  stats.oldest_unresolved->time_since_epoch())
                  .count(),
              1'700'000'000);
  };
  check();
  Open();
  check();
}

// --- lists --------------------------------------------------------------------------------------

TEST_F(SqliteJournalTest, ListsTheNewestFirstByPages) {
  Open();
  for (const char* id : {"a", "b", "c"}) MustBegin(id);  // at the same moment
  Advance(std::chrono::nanoseconds(1));
  for (const char* id : {"d", "e"}) MustBegin(id);
  MustBegin("z", "other");
  std::string next;
  EXPECT_THAT(ListIds(QueryOf("acme", "", {}, "", 2), &next), ElementsAre("e", "d"));
  // What is new meanwhile moves nothing.
  Advance(std::chrono::nanoseconds(1));
  MustBegin("f");
  EXPECT_THAT(ListIds(QueryOf("acme", "", {}, next, 2), &next), ElementsAre("c", "b"));
  EXPECT_THAT(ListIds(QueryOf("acme", "", {}, next, 2), &next), ElementsAre("a"));
  EXPECT_EQ(next, "");
  EXPECT_THAT(ListIds(QueryOf("acme", "", {}, "", 6), &next),
              ElementsAre("f", "e", "d", "c", "b", "a"));
  EXPECT_EQ(next, "");
  EXPECT_THAT(ListIds(QueryOf("acme", "", {}, "", -1), &next), ElementsAre("f"));
  EXPECT_THAT(ListIds(QueryOf("nobody")), IsEmpty());
}

TEST_F(SqliteJournalTest, ListsByNumberAndState) {
  Open();
  for (const char* id : {"a", "b", "c", "d"}) {
    auto operation = MustBegin(id);
    operation.set_phone_number(*id < 'c' ? "+1" : "+2");
    operation.set_state(*id % 2 == 0 ? v1::OPERATION_STATE_SENT : v1::OPERATION_STATE_FAILED);
    ASSERT_TRUE(Update(operation).ok());
    Advance(std::chrono::nanoseconds(1));
  }
  EXPECT_THAT(ListIds(QueryOf("acme", "+1")), ElementsAre("b", "a"));
  EXPECT_THAT(ListIds(QueryOf("acme", "", v1::OPERATION_STATE_SENT)), ElementsAre("d", "b"));
  EXPECT_THAT(ListIds(QueryOf("acme", "+2", v1::OPERATION_STATE_SENT)), ElementsAre("d"));
}

TEST_F(SqliteJournalTest, ForeignPositionIsRefused) {
  Open();
  for (const char* after : {"x", "!!", "MTI", "MTI6", "OmE", "YTph", "MTI6YQ=="}) {
    const auto page = callers_->Get(journal_->List(QueryOf("acme", "", std::nullopt, after)));
    EXPECT_EQ(page.status().code(), absl::StatusCode::kInvalidArgument) << after;
    EXPECT_EQ(ReasonOf(page.status()), reason::kInvalidPageToken);
  }
}

// --- callers ------------------------------------------------------------------------------------

TEST_F(SqliteJournalTest, WritesThatWaitTogetherAreFlushedTogether) {
  Open();
  disk.Hold();
  std::vector<std::future<absl::StatusOr<OperationJournal::Begun>>> begins;
  begins.push_back(callers_->Start(journal_->Begin(MakeEntry("first"))));
  disk.WaitUntilHeld();
  for (int i = 0; i < 1'000; ++i) {
    begins.push_back(callers_->Start(journal_->Begin(MakeEntry(absl::StrCat("id-", i)))));
  }
  WaitForQueue(1'000);
  disk.Release();
  for (auto& begin : begins) {
    const auto begun = begin.get();
    EXPECT_TRUE(begun.ok() && !begun->existed);
  }
  EXPECT_EQ(journal_->stats().commits, 2u);
  EXPECT_EQ(journal_->stats().entries[v1::OPERATION_STATE_INTENDED], 1'001);
}

TEST_F(SqliteJournalTest, FullQueueTakesOnlyUpdatesAndReadsKeepNoBeginOut) {
  auto options = MakeOptions();
  options.max_queued = 2;
  Open(options);
  const auto known = MustBegin("known");
  disk.Hold();
  auto first = callers_->Start(journal_->Begin(MakeEntry("first")));
  disk.WaitUntilHeld();
  auto one = callers_->Start(journal_->Find("acme", "known"));
  auto two = callers_->Start(journal_->Find("acme", "known"));
  WaitForQueue(2);
  auto three = callers_->Start(journal_->Begin(MakeEntry("three")));
  auto four = callers_->Start(journal_->Begin(MakeEntry("four")));
  WaitForQueue(4);
  const auto refused = Begin(MakeEntry("refused"));
  EXPECT_EQ(refused.status().code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(ReasonOf(refused.status()), reason::kOverloaded);
  EXPECT_EQ(ReasonOf(Find("known").status()), reason::kOverloaded);
  auto update = callers_->Start(journal_->Update(WithState(known, v1::OPERATION_STATE_SUCCEEDED)));
  WaitForQueue(5);
  disk.Release();
  EXPECT_TRUE(first.get().ok());
  EXPECT_TRUE(one.get().ok());
  EXPECT_TRUE(two.get().ok());
  EXPECT_TRUE(three.get().ok());
  EXPECT_TRUE(four.get().ok());
  EXPECT_TRUE(update.get().ok());
  EXPECT_FALSE(Has("refused"));
}

TEST_F(SqliteJournalTest, CancelledWritesAreAwaitedAndReadsAreNot) {
  Open();
  const auto known = MustBegin("known");
  disk.Hold();
  auto first = callers_->Start(journal_->Begin(MakeEntry("first")));
  disk.WaitUntilHeld();
  const auto strand = callers_->NewStrand();
  asio::cancellation_signal signals[3];
  auto begin = callers_->Start(journal_->Begin(MakeEntry("a")), signals[0], strand);
  auto update = callers_->Start(journal_->Update(WithState(known, v1::OPERATION_STATE_SUCCEEDED)),
                                signals[1], strand);
  auto find = callers_->Start(journal_->Find("acme", "known"), signals[2], strand);
  WaitForQueue(3);
  asio::post(strand, [&] {
    for (auto& signal : signals) signal.emit(asio::cancellation_type::terminal);
  });
  EXPECT_EQ(find.get().status().code(), absl::StatusCode::kCancelled);
  EXPECT_EQ(begin.wait_for(std::chrono::seconds(0)), std::future_status::timeout);
  disk.Release();
  EXPECT_TRUE(begin.get().ok());
  EXPECT_TRUE(update.get().ok());
  EXPECT_TRUE(Has("a"));
  EXPECT_EQ(journal_->stats().entries[v1::OPERATION_STATE_SUCCEEDED], 1);
}

TEST_F(SqliteJournalTest, WhatIsQueuedIsDoneBeforeTheEnd) {
  Open();
  disk.Hold();
  auto first = callers_->Start(journal_->Begin(MakeEntry("first")));
  disk.WaitUntilHeld();
  auto last = callers_->Start(journal_->Begin(MakeEntry("last")));
  WaitForQueue(1);
  std::thread end([this] { journal_.reset(); });
  disk.Release();
  end.join();
  EXPECT_TRUE(first.get().ok());
  EXPECT_TRUE(last.get().ok());
  Open();
  EXPECT_TRUE(Has("last"));
}

// --- losses -------------------------------------------------------------------------------------

TEST_F(SqliteJournalTest, WhatIsToldIsFlushed) {
  ASSERT_TRUE(disk_is_ours);
  Open();
  for (int i = 0; i < 50; ++i) {
    disk.unflushed = true;
    const auto operation = MustBegin(absl::StrCat("id-", i));
    EXPECT_FALSE(disk.unflushed);
    disk.unflushed = true;
    EXPECT_TRUE(Update(WithState(operation, v1::OPERATION_STATE_SENT)).ok());
    EXPECT_FALSE(disk.unflushed);
  }
}

TEST_F(SqliteJournalTest, KilledProcessLosesNothingThatItTold) {
  int told = 0;
  for (int round = 0; round < 15; ++round) {
    int ends[2];
    ASSERT_EQ(pipe(ends), 0);
    const pid_t child = fork();
    if (child == 0) {
      Open();
      for (int i = 0;; ++i) {
        const std::int32_t number = round * 1'000'000 + i;
        const auto begun = Begin(MakeEntry(absl::StrCat("id-", number)));
        if (!begun.ok() || write(ends[1], &number, sizeof(number)) != sizeof(number)) _exit(1);
      }
    }
    close(ends[1]);
    std::vector<std::int32_t> numbers;
    std::int32_t number = 0;
    while (read(ends[0], &number, sizeof(number)) == sizeof(number)) {
      numbers.push_back(number);
      if (static_cast<int>(numbers.size()) == 1 + round * 7) kill(child, SIGKILL);
    }
    close(ends[0]);
    waitpid(child, nullptr, 0);
    ASSERT_GE(static_cast<int>(numbers.size()), 1 + round * 7);
    Open();
    for (const auto each : numbers) EXPECT_TRUE(Has(absl::StrCat("id-", each)));
    told += static_cast<int>(numbers.size());
    EXPECT_GE(journal_->stats().entries[v1::OPERATION_STATE_INTENDED], told);
    Close();
  }
}

class FailingDiskTest : public SqliteJournalTest, public testing::WithParamInterface<int> {};

TEST_P(FailingDiskTest, RefusesWritesAnswersReadsAndRecovers) {
  Open();
  const auto known = MustBegin("known");
  std::string words = "the disk is full";
  if (GetParam() == SQLITE_IOERR_FSYNC) {
    disk.flush_error = GetParam();
    words = "the disk failed to keep what was written";
  } else {
    disk.write_error = GetParam();
    if (GetParam() != SQLITE_FULL) words = "the disk failed to write";
  }
  for (int i = 0; i < 3; ++i) {
    ExpectUnavailable(Begin(MakeEntry("a")).status(), words);
    ExpectUnavailable(Update(WithState(known, v1::OPERATION_STATE_SENT)), words);
  }
  EXPECT_FALSE(journal_->stats().last_write.ok());
  EXPECT_EQ(journal_->stats().failures, 6u);
  EXPECT_EQ(journal_->stats().entries[v1::OPERATION_STATE_INTENDED], 1);
  EXPECT_FALSE(Has("a"));
  EXPECT_THAT(ListIds(QueryOf("acme")), ElementsAre("known"));
  const auto again = Begin(MakeEntry("known"));
  EXPECT_TRUE(again.ok() && again->existed);
  EXPECT_EQ(again->entry.operation.state(), v1::OPERATION_STATE_INTENDED);

  disk.write_error = SQLITE_OK;
  disk.flush_error = SQLITE_OK;
  MustBegin("b");
  EXPECT_TRUE(Update(WithState(known, v1::OPERATION_STATE_SENT)).ok());
  EXPECT_TRUE(journal_->stats().last_write.ok());
  Open();
  EXPECT_THAT(ListIds(QueryOf("acme")), ElementsAre("known", "b"));
}

TEST_P(FailingDiskTest, NoticesByItselfThatItCanBeWrittenAgain) {
  auto options = MakeOptions();
  options.recheck_interval = std::chrono::milliseconds(5);
  Open(options);
  auto& error = GetParam() == SQLITE_IOERR_FSYNC ? disk.flush_error : disk.write_error;
  error = GetParam();
  EXPECT_FALSE(Begin(MakeEntry("a")).ok());
  std::this_thread::sleep_for(std::chrono::milliseconds(50));  // some tries fail
  EXPECT_FALSE(journal_->stats().last_write.ok());
  error = SQLITE_OK;
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(20);
  while (!journal_->stats().last_write.ok() && std::chrono::steady_clock::now() < end) {
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  EXPECT_TRUE(journal_->stats().last_write.ok());
  EXPECT_EQ(journal_->stats().failures, 1u);
  EXPECT_EQ(journal_->stats().commits, 0u);
  EXPECT_FALSE(Has("a"));
}

INSTANTIATE_TEST_SUITE_P(Codes, FailingDiskTest,
                         testing::Values(SQLITE_FULL, SQLITE_IOERR_WRITE, SQLITE_IOERR_FSYNC));

TEST_F(SqliteJournalTest, FailedTransactionFailsAllOfIt) {
  Open();
  disk.Hold();
  auto first = callers_->Start(journal_->Begin(MakeEntry("first")));
  disk.WaitUntilHeld();
  auto one = callers_->Start(journal_->Begin(MakeEntry("one")));
  auto two = callers_->Start(journal_->Begin(MakeEntry("two")));
  auto three = callers_->Start(journal_->Begin(MakeEntry("two")));
  WaitForQueue(3);
  disk.write_error = SQLITE_FULL;
  disk.Release();
  EXPECT_TRUE(first.get().ok());
  ExpectUnavailable(one.get().status(), "full");
  ExpectUnavailable(two.get().status(), "full");
  ExpectUnavailable(three.get().status(), "full");
  EXPECT_THAT(ListIds(QueryOf("acme")), ElementsAre("first"));
}

// The system's own refusal instead of a made one.
TEST_F(SqliteJournalTest, FileThatMayNotGrowRefusesWritesUntilItMay) {
  const auto text = InChild([this]() -> std::string {
    signal(SIGXFSZ, SIG_IGN);
    Open();
    rlimit limit{};
    getrlimit(RLIMIT_FSIZE, &limit);
    const rlimit unlimited = limit;
    limit.rlim_cur = 200'000;
    setrlimit(RLIMIT_FSIZE, &limit);
    int kept = 0;
    absl::Status failure;
    while (failure.ok() && kept < 10'000) {
      failure = Begin(MakeEntry(absl::StrCat("id-", kept))).status();
      if (failure.ok()) ++kept;
    }
    setrlimit(RLIMIT_FSIZE, &unlimited);
    if (!Has("id-0") || Has(absl::StrCat("id-", kept))) return "wrong contents";
    MustBegin("afterwards");
    const auto stats = journal_->stats();
    if (stats.entries.at(v1::OPERATION_STATE_INTENDED) != kept + 1) return "wrong count";
    Close();
    return absl::StrCat(kept > 0 ? "" : "nothing kept ", ReasonOf(failure), " ",
                        std::string(failure.message()));
  });
  EXPECT_THAT(text, testing::StartsWith("JOURNAL_UNAVAILABLE the operation journal can't be "
                                        "written: the disk"));
  Open();
  EXPECT_TRUE(Has("id-0") && Has("afterwards"));
}

TEST_F(SqliteJournalTest, RemovedFileRefusesWrites) {
  Open();
  MustBegin("a");
  fs::remove(path_);
  ExpectUnavailable(Begin(MakeEntry("b")).status(), "removed or replaced");
  EXPECT_TRUE(Has("a"));
}

// --- damage -------------------------------------------------------------------------------------

// Entries that are told, the files as a killed process leaves them, and what the log had before the
// last of them.
struct Image {
  std::vector<v1::Operation> told;
  std::string file;
  std::string log;
  std::size_t log_before_last = 0;
};

class DamagedFileTest : public SqliteJournalTest {
 protected:
  // In the file: the first `in_file`; in the log: the others.
  Image Make(int in_file, int in_log) {
    Image image;
    Open();
    for (int i = 0; i < in_file; ++i) image.told.push_back(MustBegin(absl::StrCat("id-", i)));
    Open();
    for (int i = 0; i < in_log; ++i) {
      if (i == in_log - 1) image.log_before_last = fs::file_size(Log());
      image.told.push_back(MustBegin(absl::StrCat("id-", in_file + i)));
    }
    image.file = Read(path_);
    if (in_log > 0) image.log = Read(Log());
    Close();
    if (in_log == 0) image.file = Read(path_);
    return image;
  }
  fs::path Log() const { return path_.string() + "-wal"; }
  void Put(const std::string& file, const std::string& log) {
    fs::remove(Log());
    Overwrite(path_, file);
    if (!log.empty()) Overwrite(Log(), log);
  }

  struct Outcome {
    bool opened = false;
    int found = 0;  // as they were told, from the first on without a gap
  };
  // Whatever happened to the file, no operation is another one than was told.
  Outcome Look(const Image& image) {
    Outcome outcome;
    auto opened = SqliteJournal::Open(MakeOptions());
    if (!opened.ok()) {
      ExpectUnavailable(opened.status(), path_);
      return outcome;
    }
    outcome.opened = true;
    journal_ = *std::move(opened);
    if (!callers_) callers_.emplace();
    bool gap = false;
    for (const auto& operation : image.told) {
      const auto found = Find(operation.request_id());
      if (!found.ok()) ExpectUnavailable(found.status(), "");
      const bool there = found.ok() && *found;
      if (there) {
        EXPECT_EQ((*found)->operation.SerializeAsString(), operation.SerializeAsString());
      }
      gap = gap || !there;
      if (!gap) ++outcome.found;
    }
    const auto unresolved =
        callers_->Get(journal_->Unresolved(std::chrono::system_clock::time_point::max()));
    if (unresolved.ok()) {
      EXPECT_GE(static_cast<int>(unresolved->size()), outcome.found);
    }
    journal_.reset();
    return outcome;
  }

  std::mt19937 random_{20240229};
  std::size_t Below(std::size_t limit) { return random_() % limit; }
};

TEST_F(DamagedFileTest, ChangedBytesAreRefusedOrHarmless) {
  const Image image = Make(40, 0);
  int refused = 0;
  for (int round = 0; round < 300; ++round) {
    std::string file = image.file;
    const std::size_t at = Below(file.size());
    for (std::size_t i = at; i < std::min(file.size(), at + 1 + Below(16)); ++i) {
      file[i] = static_cast<char>(random_());
    }
    Put(file, "");
    const auto outcome = Look(image);
    if (!outcome.opened) {
      ++refused;
    } else {
      EXPECT_EQ(outcome.found, 40) << "round " << round;
    }
  }
  EXPECT_GT(refused, 30);
}

TEST_F(DamagedFileTest, CutFileIsRefused) {
  const Image image = Make(40, 0);
  for (int round = 0; round < 100; ++round) {
    Put(image.file.substr(0, 1 + Below(image.file.size() - 1)), "");
    EXPECT_FALSE(Look(image).opened);
  }
}

TEST_F(DamagedFileTest, ChangedLogLosesNothingBeforeTheChange) {
  const Image image = Make(10, 10);
  Put(image.file, image.log);
  EXPECT_EQ(Look(image).found, 20);
  for (int round = 0; round < 200; ++round) {
    std::string log = image.log;
    const std::size_t at = Below(log.size());
    log[at] = static_cast<char>(log[at] ^ (1 + Below(255)));
    Put(image.file, log);
    const auto outcome = Look(image);
    EXPECT_TRUE(!outcome.opened || outcome.found >= 10);
  }
}

// SQLite would begin anew and delete the log, with all that was told.
TEST_F(DamagedFileTest, LogWithoutItsFileIsRefusedAndKept) {
  const Image image = Make(0, 10);
  Put("", image.log);
  ExpectUnavailable(TryOpen(), "lost or empty");
  fs::remove(path_);
  ExpectUnavailable(TryOpen(), "lost or empty");
  EXPECT_EQ(Read(Log()), image.log);
  Put(image.file, image.log);
  EXPECT_EQ(Look(image).found, 10);
}

TEST_F(DamagedFileTest, TornLastTransactionLosesNothingElse) {
  const Image image = Make(10, 10);
  ASSERT_LT(image.log_before_last, image.log.size());
  for (int round = 0; round < 200; ++round) {
    std::string log = image.log;
    const std::size_t at = image.log_before_last + Below(image.log.size() - image.log_before_last);
    if (round % 2 == 0) {
      log.resize(at);
    } else {
      for (std::size_t i = at; i < log.size(); ++i) log[i] = static_cast<char>(random_());
    }
    Put(image.file, log);
    const auto outcome = Look(image);
    EXPECT_TRUE(outcome.opened);
    EXPECT_GE(outcome.found, 19);
  }
}

// What SQLite's own check can't see.
TEST_F(DamagedFileTest, ChangedContentsAreRefused) {
  Make(5, 0);
  Sql("UPDATE operation SET"
      " operation = CAST(replace(CAST(operation AS TEXT), 'caller', 'cellar') AS BLOB)"
      " WHERE request_id = 'id-3'");
  ExpectUnavailable(TryOpen(), "damaged");
}

// --- opening ------------------------------------------------------------------------------------

TEST_F(SqliteJournalTest, NewFileIsForItsOwner) {
  Open();
  MustBegin("a");
  for (const auto& entry : fs::directory_iterator(directory_)) {
    EXPECT_EQ(fs::status(entry.path()).permissions(),
              fs::perms::owner_read | fs::perms::owner_write)
        << entry.path();
  }
}

TEST_F(SqliteJournalTest, EmptyFileBecomesAJournal) {
  Overwrite(path_, "");
  Open();
  MustBegin("a");
  Open();
  EXPECT_TRUE(Has("a"));
}

TEST_F(SqliteJournalTest, EmptyDatabaseOfVersionZeroIsMigrated) {
  Sql("VACUUM");
  Open();
  MustBegin("a");
  Close();
  // Fails unless the version is 1.
  Sql("CREATE TEMP TABLE version (v INTEGER CHECK (v = 1));"
      "INSERT INTO version SELECT user_version FROM pragma_user_version");
}

TEST_F(SqliteJournalTest, ForeignFilesAreRefusedAndLeftAsTheyAre) {
  Sql("CREATE TABLE recipe (name TEXT); INSERT INTO recipe VALUES ('soup')");
  const auto before = Read(path_);
  ExpectUnavailable(TryOpen(), "of something else");
  EXPECT_EQ(Read(path_), before);

  Overwrite(path_, std::string(10'000, 'x'));
  ExpectUnavailable(TryOpen(), "not one of SQLite");
  EXPECT_EQ(Read(path_), std::string(10'000, 'x'));
}

TEST_F(SqliteJournalTest, NewerVersionIsRefused) {
  Open();
  Close();
  Sql("PRAGMA user_version = 7");
  const auto status = TryOpen();
  ExpectUnavailable(status, path_);
  ExpectUnavailable(status, "version 7");
  ExpectUnavailable(status, "up to 1");
}

TEST_F(SqliteJournalTest, SecondOpenerIsRefused) {
  Open();
  MustBegin("a");
  ExpectUnavailable(TryOpen(), "another process");
  MustBegin("b");
  Close();
  // And a process of its own, that holds it until it is told to end.
  int ready[2], end[2];
  ASSERT_EQ(pipe(ready) + pipe(end), 0);
  const pid_t child = fork();
  char byte = 0;
  if (child == 0) {
    close(end[1]);
    Open();
    const bool told = write(ready[1], "x", 1) == 1;
    const auto ended = read(end[0], &byte, 1);
    _exit(told && ended == 0 ? 0 : 1);
  }
  close(end[0]);
  ASSERT_EQ(read(ready[0], &byte, 1), 1);
  ExpectUnavailable(TryOpen(), "another process");
  close(end[1]);
  waitpid(child, nullptr, 0);
  close(ready[0]);
  close(ready[1]);
  Open();
  EXPECT_TRUE(Has("a") && Has("b"));
}

TEST_F(SqliteJournalTest, PathsThatCanNotBeUsedAreRefused) {
  const fs::path good = path_;
  path_ = directory_ / "nowhere" / "journal.db";
  ExpectUnavailable(TryOpen(), "there is no directory");
  path_ = directory_;
  ExpectUnavailable(TryOpen(), "no regular file");
  path_ = good;
  auto options = MakeOptions();
  options.retention = hours(23);
  EXPECT_EQ(SqliteJournal::Open(options).status().code(), absl::StatusCode::kInvalidArgument);
}

TEST_F(SqliteJournalTest, WithoutTheRightToWriteItIsRefused) {
  Open();
  Close();
  chmod(path_.c_str(), 0444);
  chmod(directory_.c_str(), 0755);
  const auto as_nobody = [this] {
    return InChild([this]() -> std::string {
      if (geteuid() == 0 && setuid(65'534) != 0) return "still root";
      const auto status = TryOpen();
      return absl::StrCat(ReasonOf(status), " ", std::string(status.message()));
    });
  };
  EXPECT_THAT(as_nobody(), HasSubstr("can't be written to"));
  fs::remove(path_);
  chmod(directory_.c_str(), 0555);
  EXPECT_THAT(as_nobody(), HasSubstr("can't be made: Permission denied"));
  chmod(directory_.c_str(), 0755);
}

// --- pruning ------------------------------------------------------------------------------------

TEST_F(SqliteJournalTest, PruningKeepsTheYoungAndTheUnresolved) {
  Open();
  for (int i = 0; i < 450; ++i) {
    ASSERT_TRUE(
        Update(WithState(MustBegin(absl::StrCat("old-", i)),
                         i % 2 == 0 ? v1::OPERATION_STATE_SUCCEEDED : v1::OPERATION_STATE_FAILED))
            .ok());
  }
  const auto resolved_late = MustBegin("late");
  MustBegin("intended");
  ASSERT_TRUE(Update(WithState(MustBegin("sent"), v1::OPERATION_STATE_SENT)).ok());
  ASSERT_TRUE(Update(WithState(MustBegin("unknown"), v1::OPERATION_STATE_UNKNOWN)).ok());
  Advance(hours(24));
  EXPECT_EQ(*callers_->Get(journal_->Prune()), 0);
  ASSERT_TRUE(Update(WithState(resolved_late, v1::OPERATION_STATE_SUCCEEDED)).ok());
  Advance(std::chrono::nanoseconds(1));
  EXPECT_EQ(*callers_->Get(journal_->Prune()), 450);
  const auto stats = journal_->stats();
  EXPECT_EQ(stats.pruned, 450u);
  EXPECT_EQ(stats.entries.at(v1::OPERATION_STATE_SUCCEEDED), 1);
  EXPECT_EQ(stats.entries.at(v1::OPERATION_STATE_FAILED), 0);
  EXPECT_THAT(ListIds(QueryOf("acme")), ElementsAre("unknown", "sent", "late", "intended"));
}

TEST_F(SqliteJournalTest, PrunesByItself) {
  auto options = MakeOptions();
  options.prune_interval = std::chrono::milliseconds(1);
  Open(options);
  ASSERT_TRUE(Update(WithState(MustBegin("a"), v1::OPERATION_STATE_FAILED)).ok());
  Advance(hours(25));
  while (journal_->stats().pruned != 1) std::this_thread::yield();
  EXPECT_FALSE(Has("a"));
}

}  // namespace
}  // namespace leasegateway
