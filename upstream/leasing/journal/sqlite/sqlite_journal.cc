#include "upstream/leasing/journal/sqlite/sqlite_journal.h"

#include <fcntl.h>
#include <openssl/sha.h>
#include <spdlog/spdlog.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <boost/asio/this_coro.hpp>
#include <cerrno>
#include <condition_variable>
#include <csignal>
#include <cstring>
#include <deque>
#include <filesystem>
#include <limits>
#include <mutex>
#include <system_error>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "upstream/leasing/journal/sqlite/sqlite_database.h"
#include "upstream/upstream_error.h"
#include "upstream/wakeup.h"

namespace leasegateway {

namespace asio = boost::asio;
using Entry = OperationJournal::Entry;
using Begun = OperationJournal::Begun;
using Page = OperationJournal::Page;
using SteadyClock = std::chrono::steady_clock;
using SystemTime = std::chrono::system_clock::time_point;

namespace {

// "LGOJ": tells a journal from any other SQLite file.
constexpr std::int64_t kApplicationId = 0x4C474F4A;

// The n-th step makes version n of the schema from version n - 1. A step that was released is never
// changed.
constexpr std::array kMigrations = {
    R"sql(
      CREATE TABLE operation (
        id INTEGER PRIMARY KEY,
        account TEXT NOT NULL,
        request_id TEXT NOT NULL CHECK (request_id <> ''),
        fingerprint BLOB NOT NULL CHECK (length(fingerprint) = 32),
        kind INTEGER NOT NULL,
        state INTEGER NOT NULL CHECK (state > 0),
        phone_number TEXT NOT NULL,
        create_time INTEGER NOT NULL, -- ns since 1970
        update_time INTEGER NOT NULL, -- ns since 1970
        operation BLOB NOT NULL,      -- leasegateway.v1.Operation
        checksum INTEGER NOT NULL,    -- of fingerprint and operation
        UNIQUE (account, request_id)
      ) STRICT;
      CREATE INDEX operation_list ON operation (account, create_time, request_id);
      CREATE INDEX operation_list_state ON operation (account, state, create_time, request_id);
      CREATE INDEX operation_list_number
        ON operation (account, phone_number, create_time, request_id);
      CREATE INDEX operation_unresolved
        ON operation (create_time, request_id) WHERE state NOT IN (3, 4);
      CREATE INDEX operation_resolved ON operation (update_time) WHERE state IN (3, 4);
    )sql"};
constexpr std::int64_t kVersion = kMigrations.size();

constexpr std::string_view kColumns =
    "account, request_id, fingerprint, kind, state, phone_number, create_time, update_time, "
    "operation, checksum";

constexpr std::string_view kAdvice =
    ": restore the file, or move it away after reading it with \".recover\" of the program "
    "sqlite3; "
    "what was bought is at the provider";

constexpr std::size_t kMaxBatch = 1'000;      // writes in a transaction
constexpr std::size_t kReadsAtATime = 1;      // before writes have their turn again
constexpr std::int64_t kPrunedAtATime = 200;  // likewise
constexpr int kMaxPage = 1'000;

std::int64_t ToNanos(SystemTime time) {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(time.time_since_epoch()).count();
}

SystemTime FromNanos(std::int64_t nanos) {
  return SystemTime(
      std::chrono::duration_cast<SystemTime::duration>(std::chrono::nanoseconds(nanos)));
}

std::int64_t ToNanos(const google::protobuf::Timestamp& time) {
  return time.seconds() * 1'000'000'000 + time.nanos();
}

void SetNanos(std::int64_t nanos, google::protobuf::Timestamp& time) {
  const std::int64_t part = ((nanos % 1'000'000'000) + 1'000'000'000) % 1'000'000'000;
  time.set_nanos(static_cast<int>(part));
  time.set_seconds((nanos - part) / 1'000'000'000);
}

// Against damage, not against malice.
std::int64_t Checksum(std::string_view fingerprint, std::string_view operation) {
  const std::string text =
      absl::StrCat(fingerprint.size(), ":", std::string(fingerprint), std::string(operation));
  std::array<unsigned char, SHA256_DIGEST_LENGTH> digest;
  SHA256(reinterpret_cast<const unsigned char*>(text.data()), text.size(), digest.data());
  std::int64_t checksum = 0;
  std::memcpy(&checksum, digest.data(), sizeof(checksum));
  return checksum;
}

absl::Status Unavailable(std::string_view message) {
  auto status =
      MakeError(absl::StatusCode::kFailedPrecondition, reason::kJournalUnavailable, message);
  AddPrecondition(status, "JOURNAL", "operation journal",
                  "The operator of the gateway must see to the file that it keeps its record of "
                  "purchases in.");
  return status;
}

absl::Status Damaged() {
  return Unavailable(
      "the operation journal: an entry is damaged, its contents don't match its checksum");
}

// The row of a statement that selects kColumns.
absl::StatusOr<Entry> Decode(const SqliteStatement& row) {
  Entry entry;
  entry.fingerprint = row.Blob(2);
  const std::string_view bytes = row.Blob(8);
  auto& operation = entry.operation;
  if (Checksum(entry.fingerprint, bytes) != row.Int(9) ||
      !operation.ParseFromArray(bytes.data(), static_cast<int>(bytes.size())) ||
      operation.account() != row.Text(0) || operation.request_id() != row.Text(1) ||
      operation.kind() != row.Int(3) || operation.state() != row.Int(4) ||
      operation.phone_number() != row.Text(5) || ToNanos(operation.create_time()) != row.Int(6) ||
      ToNanos(operation.update_time()) != row.Int(7)) {
    return Damaged();
  }
  return entry;
}

// Where a page ended.
struct Position {
  std::int64_t create_time = std::numeric_limits<std::int64_t>::max();
  std::string request_id;
};

std::string EncodePosition(const Position& position) {
  return absl::WebSafeBase64Escape(absl::StrCat(position.create_time, ":", position.request_id));
}

absl::StatusOr<Position> DecodePosition(const std::string& text) {
  Position position;
  if (text.empty()) return position;
  std::string plain;
  if (absl::WebSafeBase64Unescape(text, &plain)) {
    const auto colon = plain.find(':');
    if (colon != std::string::npos && colon + 1 < plain.size() &&
        absl::SimpleAtoi(plain.substr(0, colon), &position.create_time)) {
      position.request_id = plain.substr(colon + 1);
      if (EncodePosition(position) == text) return position;
    }
  }
  return MakeError(absl::StatusCode::kInvalidArgument, reason::kInvalidPageToken,
                   "the position in the list of operations is none that the journal gave out");
}

bool IsResolved(v1::OperationState state) {
  return state == v1::OPERATION_STATE_SUCCEEDED || state == v1::OPERATION_STATE_FAILED;
}

// Refuses the process's signals, which are for other threads, but for those of its own faults.
void BlockSignals(sigset_t& before) {
  sigset_t signals;
  sigfillset(&signals);
  for (const int fault : {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGTRAP, SIGSYS}) {
    sigdelset(&signals, fault);
  }
  pthread_sigmask(SIG_SETMASK, &signals, &before);
}

void FlushDirectory(const std::filesystem::path& directory) {
  const int handle = open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (handle < 0) return;
  fsync(handle);
  close(handle);
}

}  // namespace

// What callers and the thread have in common.
struct SqliteJournal::Shared {
  // Filled in by the thread before `done`, read by the caller after it.
  struct Job {
    std::shared_ptr<Wakeup> wakeup;  // the thread's, once it is queued
    std::atomic<bool> done{false};
  };
  struct Write : Job {
    bool is_update = false;
    Entry entry;  // of an update, without fingerprint
    absl::Status status;
    bool existed = false;  // `entry` is what was there
  };
  struct Read : Job {
    virtual ~Read() = default;
    virtual void Run(Thread& thread) = 0;
  };
  // Asks a function of the thread's.
  template <typename Result>
  struct ReadOf final : Read {
    explicit ReadOf(std::function<absl::StatusOr<Result>(Thread&)> call) : ask(std::move(call)) {}
    void Run(Thread& thread) override { result = ask(thread); }
    const std::function<absl::StatusOr<Result>(Thread&)> ask;
    absl::StatusOr<Result> result = absl::UnknownError("not run");
  };

  explicit Shared(std::size_t max_queued) : max_queued(max_queued) {}

  absl::Status Add(const std::shared_ptr<Write>& write) {
    {
      const std::lock_guard lock(mutex);
      // Reads are no reason to refuse a purchase.
      if (!write->is_update && writes.size() >= max_queued) return Overloaded();
      writes.push_back(write);
    }
    wake.notify_one();
    return absl::OkStatus();
  }

  absl::Status Add(const std::shared_ptr<Read>& read) {
    {
      const std::lock_guard lock(mutex);
      if (reads.size() >= max_queued) return Overloaded();
      reads.push_back(read);
    }
    wake.notify_one();
    return absl::OkStatus();
  }

  absl::Status Overloaded() const {
    auto status =
        MakeError(absl::StatusCode::kResourceExhausted, reason::kOverloaded,
                  absl::StrCat(max_queued, " calls wait for the operation journal already"));
    SetRetryDelay(status, std::chrono::milliseconds(500));
    return status;
  }

  template <typename Result>
  static asio::awaitable<absl::StatusOr<Result>> Await(
      std::shared_ptr<Shared> shared, std::function<absl::StatusOr<Result>(Thread&)> call) {
    co_await asio::this_coro::throw_if_cancelled(false);
    const auto read = std::make_shared<ReadOf<Result>>(std::move(call));
    read->wakeup = std::make_shared<Wakeup>(co_await asio::this_coro::executor);
    const auto waiter = read->wakeup;
    if (auto status = shared->Add(std::shared_ptr<Read>(read)); !status.ok()) co_return status;
    co_await waiter->WaitUntil(SteadyClock::time_point::max());
    if (!read->done) {
      const std::lock_guard lock(shared->mutex);
      std::erase(shared->reads, read);
      co_return CancelledError("reading the operation journal");
    }
    co_return std::move(read->result);
  }

  const std::size_t max_queued;
  mutable std::mutex mutex;  // guards all below
  std::condition_variable wake;
  bool stopping = false;
  std::deque<std::shared_ptr<Write>> writes;
  std::deque<std::shared_ptr<Read>> reads;
  Stats stats;  // but for `queued`
};

// The file, and the loop that alone uses it once it runs.
class SqliteJournal::Thread {
 public:
  using Write = Shared::Write;
  using Read = Shared::Read;

  Thread(Options options, std::shared_ptr<Shared> shared)
      : options_(std::move(options)), shared_(std::move(shared)) {}

  absl::Status Open();
  void Run();

  absl::StatusOr<std::optional<Entry>> Find(const std::string& account,
                                            const std::string& request_id);
  absl::StatusOr<Page> List(const Query& query);
  absl::StatusOr<std::vector<Entry>> Unresolved(SystemTime changed_since);
  absl::StatusOr<std::int64_t> PruneAll();

 private:
  absl::Status Refuse(std::string_view text) const {
    return Unavailable(
        absl::StrCat("the operation journal ", options_.path, ": ", std::string(text)));
  }
  absl::Status RefuseFor(int code) const { return Refuse(DescribeSqlite(code, db_.message())); }
  // Callers see it: without the path.
  absl::Status Failed(int code, std::string_view doing) const {
    return Unavailable(absl::StrCat("the operation journal can't be ", std::string(doing), ": ",
                                    DescribeSqlite(code, db_.message())));
  }

  absl::Status MakeFile();
  // Of all that SQLite can see, before anything is changed.
  absl::Status CheckFile(SteadyClock::time_point deadline);
  // Of the contents, once they are in this version's schema.
  absl::Status CheckRows(SteadyClock::time_point deadline);
  absl::Status Migrate(std::int64_t version);
  absl::Status Prepare();
  absl::Status Count();

  void WriteAll(const std::vector<std::shared_ptr<Write>>& writes);
  // Without any it writes all the same, but nothing new.
  absl::Status Transact(const std::vector<Write*>& writes);
  int Insert(Write& write);
  int Replace(Write& write);
  absl::StatusOr<std::int64_t> PruneSome();
  void FindOldest();
  void NoteState(const absl::Status& status);
  void Publish();

  const Options options_;
  const std::shared_ptr<Shared> shared_;
  SqliteDatabase db_;
  // After db_, so that they go before it.
  SqliteStatement find_;
  SqliteStatement insert_;
  SqliteStatement update_;
  std::array<std::array<SqliteStatement, 2>, 2> list_;  // by number or not, by state or not
  SqliteStatement unresolved_;
  SqliteStatement oldest_;
  SqliteStatement prune_;
  Stats stats_;
  std::map<v1::OperationState, std::int64_t> change_;  // of stats_.entries, by this transaction
};

// --- opening ------------------------------------------------------------------------------------

// SQLite would make it readable for everyone. Only a file that isn't there is opened: closing one
// that is would end the process's locks on it (fcntl(2)).
absl::Status SqliteJournal::Thread::MakeFile() {
  if (options_.path == ":memory:") return absl::OkStatus();
  struct stat info {};
  const bool exists = stat(options_.path.c_str(), &info) == 0;
  if (exists && !S_ISREG(info.st_mode)) return Refuse("this is no regular file");
  const bool has_contents = exists && info.st_size > 0;
  // SQLite would take it for a new one, and delete the log.
  const std::string log = options_.path + "-wal";
  if (!has_contents && stat(log.c_str(), &info) == 0 && info.st_size > 0) {
    return Refuse(absl::StrCat("the file is lost or empty, but its log ", log, " is not",
                               std::string(kAdvice)));
  }
  if (exists) return absl::OkStatus();
  std::filesystem::path directory = std::filesystem::path(options_.path).parent_path();
  if (directory.empty()) directory = ".";
  if (stat(directory.c_str(), &info) != 0 || !S_ISDIR(info.st_mode)) {
    return Refuse(absl::StrCat("there is no directory ", directory.string(),
                               ": make it, for the gateway's user to write to"));
  }
  const int handle = open(options_.path.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  if (handle < 0 && errno != EEXIST) {
    return Refuse(absl::StrCat("can't be made: ", std::system_category().message(errno)));
  }
  if (handle >= 0) close(handle);
  FlushDirectory(directory);
  return absl::OkStatus();
}

absl::Status SqliteJournal::Thread::Open() {
  if (auto status = MakeFile(); !status.ok()) return status;
  if (const int code = db_.Open(options_.path); code != SQLITE_OK) return RefuseFor(code);
  if (sqlite3_db_readonly(db_.get(), "main") == 1) {
    return Refuse("the file can't be written to: give the gateway's user the right to");
  }
  // The lock is taken with the first transaction and kept. Nothing is written before it is known
  // whose file it is.
  for (const char* pragma :
       {"PRAGMA locking_mode = EXCLUSIVE", "PRAGMA temp_store = MEMORY",
        "PRAGMA trusted_schema = OFF", "PRAGMA cell_size_check = ON", "BEGIN EXCLUSIVE"}) {
    const int code = db_.Execute(pragma);
    if ((code & 0xff) == SQLITE_BUSY) {
      return Refuse(
          "another process has the file, and a journal serves one gateway: lease through that one, "
          "or name another file");
    }
    if ((code & 0xff) == SQLITE_NOTADB) {
      return Refuse(absl::StrCat(DescribeSqlite(code, db_.message()),
                                 ": name another path, or restore the file"));
    }
    if (code != SQLITE_OK) return RefuseFor(code);
  }
  std::int64_t application = 0, version = 0, objects = 0;
  for (const auto& [sql, value] : {std::pair("PRAGMA application_id", &application),
                                   std::pair("PRAGMA user_version", &version),
                                   std::pair("SELECT count(*) FROM sqlite_schema", &objects)}) {
    if (const int code = db_.Query(sql, *value); code != SQLITE_OK) return RefuseFor(code);
  }
  if (const int code = db_.Execute("COMMIT"); code != SQLITE_OK) return RefuseFor(code);

  const bool is_new = application == 0 && version == 0 && objects == 0;
  if (!is_new && application != kApplicationId) {
    return Refuse("this is an SQLite file of something else: name another path");
  }
  if (version > kVersion) {
    return Refuse(absl::StrCat("its schema has version ", version,
                               ", this gateway knows versions up to ", kVersion,
                               ": a newer gateway made it, use that one"));
  }
  if (!is_new && version < 1) {
    return Refuse(absl::StrCat("its schema has version ", version,
                               ", which there never was: ", "restore the file, or move it away"));
  }
  const auto deadline = SteadyClock::now() + options_.check_limit;
  if (!is_new) {
    if (auto status = CheckFile(deadline); !status.ok()) return status;
  }

  std::string mode;
  if (const int code = db_.Query("PRAGMA journal_mode = WAL", mode); code != SQLITE_OK) {
    return RefuseFor(code);
  }
  if (mode != "wal" && options_.path != ":memory:") {
    return Refuse(absl::StrCat("SQLite can't keep a write-ahead log there, only \"", mode,
                               "\": use a local disk"));
  }
  for (const char* pragma : {"PRAGMA synchronous = FULL", "PRAGMA journal_size_limit = 16777216"}) {
    if (const int code = db_.Execute(pragma); code != SQLITE_OK) return RefuseFor(code);
  }
  if (auto status = Migrate(version); !status.ok()) return status;
  if (auto status = Prepare(); !status.ok()) return status;
  if (auto status = CheckRows(deadline); !status.ok()) {
    return Refuse(absl::StrCat("the file is damaged (", std::string(status.message()), ")",
                               std::string(kAdvice)));
  }
  if (auto status = Count(); !status.ok()) return status;
  Publish();
  return absl::OkStatus();
}

absl::Status SqliteJournal::Thread::CheckFile(SteadyClock::time_point deadline) {
  sqlite3_progress_handler(
      db_.get(), 10'000,
      [](void* limit) -> int {
        return SteadyClock::now() > *static_cast<SteadyClock::time_point*>(limit) ? 1 : 0;
      },
      &deadline);
  std::string found;
  const int code = db_.Query("PRAGMA integrity_check(1)", found);
  sqlite3_progress_handler(db_.get(), 0, nullptr, nullptr);
  if ((code & 0xff) == SQLITE_INTERRUPT) {
    spdlog::warn("the operation journal {} is large: not all of it was checked", options_.path);
    return absl::OkStatus();
  }
  if (code != SQLITE_OK) {
    return Refuse(absl::StrCat(DescribeSqlite(code, db_.message()), std::string(kAdvice)));
  }
  if (found != "ok") {
    return Refuse(absl::StrCat("the file is damaged (", found, ")", std::string(kAdvice)));
  }
  return absl::OkStatus();
}

absl::Status SqliteJournal::Thread::CheckRows(SteadyClock::time_point deadline) {
  SqliteStatement all;
  int code = db_.Prepare(absl::StrCat("SELECT ", std::string(kColumns), " FROM operation"), all);
  if (code != SQLITE_OK) return Failed(code, "read");
  while ((code = all.Step()) == SQLITE_ROW) {
    if (auto entry = Decode(all); !entry.ok()) return entry.status();
    if (SteadyClock::now() > deadline) {
      spdlog::warn("the operation journal {} is large: not all of it was checked", options_.path);
      return absl::OkStatus();
    }
  }
  return code == SQLITE_DONE ? absl::OkStatus() : Failed(code, "read");
}

absl::Status SqliteJournal::Thread::Migrate(std::int64_t version) {
  if (version == kVersion) return absl::OkStatus();
  int code = db_.Execute("BEGIN IMMEDIATE");
  for (auto step = version; code == SQLITE_OK && step < kVersion; ++step) {
    code = db_.Execute(kMigrations[static_cast<std::size_t>(step)]);
  }
  if (code == SQLITE_OK) {
    code = db_.Execute(absl::StrCat("PRAGMA user_version = ", kVersion,
                                    "; PRAGMA application_id = ", kApplicationId, "; COMMIT"));
  }
  if (code == SQLITE_OK) return absl::OkStatus();
  auto status = Refuse(absl::StrCat("its schema can't be brought from version ", version, " to ",
                                    kVersion, ": ", DescribeSqlite(code, db_.message())));
  if (db_.InTransaction()) db_.Execute("ROLLBACK");
  return status;
}

absl::Status SqliteJournal::Thread::Prepare() {
  const std::string columns(kColumns);
  const auto list = [&](const char* filter) {
    return absl::StrCat("SELECT ", columns, " FROM operation WHERE account = ?1", filter,
                        " AND (create_time, request_id) < (?2, ?3)"
                        " ORDER BY create_time DESC, request_id DESC LIMIT ?4");
  };
  const std::pair<SqliteStatement*, std::string> statements[] = {
      {&find_,
       absl::StrCat("SELECT ", columns, " FROM operation WHERE account = ?1 AND request_id = ?2")},
      {&insert_, absl::StrCat("INSERT INTO operation (", columns,
                              ") VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)"
                              " ON CONFLICT (account, request_id) DO NOTHING")},
      {&update_,
       "UPDATE operation SET kind = ?4, state = ?5, phone_number = ?6, update_time = ?8,"
       " operation = ?9, checksum = ?10 WHERE account = ?1 AND request_id = ?2"},
      {&list_[0][0], list("")},
      {&list_[0][1], list(" AND state = ?6")},
      {&list_[1][0], list(" AND phone_number = ?5")},
      {&list_[1][1], list(" AND phone_number = ?5 AND state = ?6")},
      {&unresolved_, absl::StrCat("SELECT ", columns,
                                  " FROM operation WHERE state NOT IN (3, 4)"
                                  " OR (state IN (3, 4) AND update_time >= ?1)"
                                  " ORDER BY create_time, request_id")},
      {&oldest_, "SELECT min(create_time) FROM operation WHERE state NOT IN (3, 4)"},
      {&prune_,
       "DELETE FROM operation WHERE id IN (SELECT id FROM operation WHERE state IN (3, 4)"
       " AND update_time < ?1 ORDER BY update_time LIMIT ?2) RETURNING state"},
  };
  for (const auto& [statement, sql] : statements) {
    if (const int code = db_.Prepare(sql, *statement); code != SQLITE_OK) return RefuseFor(code);
  }
  return absl::OkStatus();
}

absl::Status SqliteJournal::Thread::Count() {
  SqliteStatement count;
  int code = db_.Prepare("SELECT state, count(*) FROM operation GROUP BY state", count);
  if (code != SQLITE_OK) return RefuseFor(code);
  while ((code = count.Step()) == SQLITE_ROW) {
    stats_.entries[static_cast<v1::OperationState>(count.Int(0))] = count.Int(1);
  }
  if (code != SQLITE_DONE) return RefuseFor(code);
  FindOldest();
  return absl::OkStatus();
}

// --- writing ------------------------------------------------------------------------------------

void SqliteJournal::Thread::Run() {
  auto prune_at = SteadyClock::now() + options_.prune_interval;
  auto recheck_at = SteadyClock::time_point::max();  // while it can't be written
  const auto take = [](auto& from, auto& to, std::size_t most) {
    while (!from.empty() && to.size() < most) {
      to.push_back(std::move(from.front()));
      from.pop_front();
    }
  };
  const auto finish = [](Shared::Job& job) {
    job.done = true;
    Wakeup::Wake(std::move(job.wakeup));
  };
  for (;;) {
    std::vector<std::shared_ptr<Write>> writes;
    std::vector<std::shared_ptr<Read>> reads;
    bool stopping = false;
    {
      std::unique_lock lock(shared_->mutex);
      shared_->wake.wait_until(lock, std::min(prune_at, recheck_at), [&] {
        return shared_->stopping || !shared_->writes.empty() || !shared_->reads.empty();
      });
      stopping = shared_->stopping;
      take(shared_->writes, writes, kMaxBatch);
      take(shared_->reads, reads, kReadsAtATime);
    }
    if (stopping && writes.empty() && reads.empty()) return;
    if (!writes.empty()) WriteAll(writes);
    Publish();
    for (const auto& write : writes) finish(*write);
    for (const auto& read : reads) {
      read->Run(*this);
      finish(*read);
    }
    const auto now = SteadyClock::now();
    if (stats_.last_write.ok()) {
      recheck_at = SteadyClock::time_point::max();
    } else if (!writes.empty() || now >= recheck_at) {
      if (writes.empty()) {
        NoteState(Transact({}));
        Publish();
      }
      recheck_at = now + options_.recheck_interval;
    }
    if (now >= prune_at && !stopping) {
      const auto pruned = PruneSome();
      const bool more = pruned.ok() && *pruned == kPrunedAtATime;
      prune_at = more ? now : now + options_.prune_interval;
      Publish();
    }
  }
}

void SqliteJournal::Thread::WriteAll(const std::vector<std::shared_ptr<Write>>& writes) {
  std::vector<Write*> pending;
  for (const auto& write : writes) {
    // What is on the disk is known to it even when nothing more can be written there.
    if (!write->is_update) {
      const auto& operation = write->entry.operation;
      auto found = Find(operation.account(), operation.request_id());
      write->status = found.status();
      if (!found.ok()) continue;
      if (*found) {
        write->entry = **std::move(found);
        write->existed = true;
        continue;
      }
    }
    pending.push_back(write.get());
  }
  if (pending.empty()) return;
  change_.clear();
  const absl::Status status = Transact(pending);
  ++(status.ok() ? stats_.commits : stats_.failures);
  NoteState(status);
  if (status.ok()) {
    for (const auto& [state, change] : change_) stats_.entries[state] += change;
    FindOldest();
    return;
  }
  for (Write* write : pending) write->status = status;
}

absl::Status SqliteJournal::Thread::Transact(const std::vector<Write*>& writes) {
  if (db_.Moved()) {
    return Unavailable(
        "the operation journal can't be written: its file was removed or replaced while the "
        "gateway ran; restore it and start the gateway again");
  }
  const auto abort = [this](int code) {
    auto status = Failed(code, "written");
    if (db_.InTransaction()) db_.Execute("ROLLBACK");
    // Room in the log, for as long as the file of the database takes it.
    if ((code & 0xff) == SQLITE_FULL) db_.Execute("PRAGMA wal_checkpoint");
    return status;
  };
  int code = db_.Execute("BEGIN IMMEDIATE");
  if (code == SQLITE_OK && writes.empty()) {
    code = db_.Execute(absl::StrCat("PRAGMA user_version = ", kVersion));
  }
  if (code != SQLITE_OK) return abort(code);
  for (Write* write : writes) {
    code = write->is_update ? Replace(*write) : Insert(*write);
    if (code == SQLITE_DONE) continue;
    const int kind = code & 0xff;
    // These undo their own statement and nothing else.
    if ((kind == SQLITE_CONSTRAINT || kind == SQLITE_TOOBIG) && db_.InTransaction()) {
      write->status = MakeError(
          absl::StatusCode::kInternal, reason::kInternal,
          absl::StrCat("the operation can't be written down: ", std::string(db_.message())));
      continue;
    }
    return abort(code);
  }
  code = db_.Execute("COMMIT");
  if (code != SQLITE_OK) return abort(code);
  return absl::OkStatus();
}

namespace {

// The parameters of insert_ and update_; `bytes` must live until the statement is reset.
void BindEntry(SqliteStatement& statement, const Entry& entry, const std::string& bytes) {
  const auto& operation = entry.operation;
  statement.BindText(1, operation.account());
  statement.BindText(2, operation.request_id());
  statement.BindBlob(3, entry.fingerprint);
  statement.Bind(4, operation.kind());
  statement.Bind(5, operation.state());
  statement.BindText(6, operation.phone_number());
  statement.Bind(7, ToNanos(operation.create_time()));
  statement.Bind(8, ToNanos(operation.update_time()));
  statement.BindBlob(9, bytes);
  statement.Bind(10, Checksum(entry.fingerprint, bytes));
}

}  // namespace

int SqliteJournal::Thread::Insert(Write& write) {
  auto& operation = write.entry.operation;
  const std::int64_t now = ToNanos(options_.now());
  SetNanos(now, *operation.mutable_create_time());
  SetNanos(now, *operation.mutable_update_time());
  const std::string bytes = operation.SerializeAsString();
  int code = SQLITE_OK;
  {
    const SqliteResetter reset(insert_);
    BindEntry(insert_, write.entry, bytes);
    code = insert_.Step();
  }
  if (code != SQLITE_DONE) return code;
  if (sqlite3_changes(db_.get()) == 1) {
    ++change_[operation.state()];
    return code;
  }
  // Another one of this transaction.
  auto found = Find(operation.account(), operation.request_id());
  write.status = found.status();
  if (found.ok() && !*found) write.status = Damaged();
  if (!write.status.ok()) return code;
  write.entry = **std::move(found);
  write.existed = true;
  return code;
}

int SqliteJournal::Thread::Replace(Write& write) {
  auto& operation = write.entry.operation;
  const auto found = Find(operation.account(), operation.request_id());
  write.status = found.status();
  if (!found.ok()) return SQLITE_DONE;
  if (!*found) {
    write.status = MakeError(absl::StatusCode::kNotFound, reason::kInternal,
                             "the operation journal has no such operation");
    return SQLITE_DONE;
  }
  const Entry& before = **found;
  write.entry.fingerprint = before.fingerprint;
  *operation.mutable_create_time() = before.operation.create_time();
  SetNanos(std::max(ToNanos(options_.now()), ToNanos(operation.create_time())),
           *operation.mutable_update_time());
  const std::string bytes = operation.SerializeAsString();
  const SqliteResetter reset(update_);
  BindEntry(update_, write.entry, bytes);
  const int code = update_.Step();
  if (code == SQLITE_DONE) {
    --change_[before.operation.state()];
    ++change_[operation.state()];
  }
  return code;
}

absl::StatusOr<std::int64_t> SqliteJournal::Thread::PruneSome() {
  const auto before = options_.now() - options_.retention;
  std::map<v1::OperationState, std::int64_t> gone;
  std::int64_t count = 0;
  int code = SQLITE_OK;
  {
    const SqliteResetter reset(prune_);
    prune_.Bind(1, ToNanos(before));
    prune_.Bind(2, kPrunedAtATime);
    while ((code = prune_.Step()) == SQLITE_ROW) {
      ++gone[static_cast<v1::OperationState>(prune_.Int(0))];
      ++count;
    }
  }
  if (code != SQLITE_DONE) {
    auto status = Failed(code, "pruned");
    spdlog::warn("{}", std::string(status.message()));
    return status;
  }
  for (const auto& [state, number] : gone) stats_.entries[state] -= number;
  stats_.pruned += static_cast<std::uint64_t>(count);
  return count;
}

absl::StatusOr<std::int64_t> SqliteJournal::Thread::PruneAll() {
  std::int64_t all = 0;
  for (;;) {
    const auto some = PruneSome();
    if (!some.ok()) return some.status();
    all += *some;
    if (*some < kPrunedAtATime) break;
  }
  Publish();
  return all;
}

void SqliteJournal::Thread::FindOldest() {
  const SqliteResetter reset(oldest_);
  stats_.oldest_unresolved.reset();
  std::int64_t unresolved = 0;
  for (const auto& [state, count] : stats_.entries) unresolved += IsResolved(state) ? 0 : count;
  if (unresolved > 0 && oldest_.Step() == SQLITE_ROW) {
    stats_.oldest_unresolved = FromNanos(oldest_.Int(0));
  }
}

void SqliteJournal::Thread::NoteState(const absl::Status& status) {
  // Once a spell, not once a call.
  if (!status.ok() && stats_.last_write.ok()) {
    spdlog::error("{} ({}): nothing is leased or given back until it can be",
                  std::string(status.message()), options_.path);
  } else if (status.ok() && !stats_.last_write.ok()) {
    spdlog::info("the operation journal can be written again");
  }
  stats_.last_write = status;
}

void SqliteJournal::Thread::Publish() {
  const std::lock_guard lock(shared_->mutex);
  shared_->stats = stats_;
}

// --- reading ------------------------------------------------------------------------------------

absl::StatusOr<std::optional<Entry>> SqliteJournal::Thread::Find(const std::string& account,
                                                                 const std::string& request_id) {
  const SqliteResetter reset(find_);
  find_.BindText(1, account);
  find_.BindText(2, request_id);
  const int code = find_.Step();
  if (code == SQLITE_DONE) return std::optional<Entry>();
  if (code != SQLITE_ROW) return Failed(code, "read");
  auto entry = Decode(find_);
  if (!entry.ok()) return entry.status();
  return std::optional<Entry>(*std::move(entry));
}

absl::StatusOr<Page> SqliteJournal::Thread::List(const Query& query) {
  const auto position = DecodePosition(query.after);
  if (!position.ok()) return position.status();
  const int limit = std::clamp(query.limit, 1, kMaxPage);
  SqliteStatement& list = list_[query.phone_number.empty() ? 0 : 1][query.state ? 1 : 0];
  const SqliteResetter reset(list);
  list.BindText(1, query.account);
  list.Bind(2, position->create_time);
  list.BindText(3, position->request_id);
  list.Bind(4, limit + 1);
  if (!query.phone_number.empty()) list.BindText(5, query.phone_number);
  if (query.state) list.Bind(6, *query.state);
  Page page;
  int code = SQLITE_OK;
  while ((code = list.Step()) == SQLITE_ROW) {
    if (static_cast<int>(page.operations.size()) == limit) {
      const auto& last = page.operations.back();
      page.next = EncodePosition({ToNanos(last.create_time()), last.request_id()});
      return page;
    }
    auto entry = Decode(list);
    if (!entry.ok()) return entry.status();
    page.operations.push_back(std::move(entry->operation));
  }
  if (code != SQLITE_DONE) return Failed(code, "read");
  return page;
}

absl::StatusOr<std::vector<Entry>> SqliteJournal::Thread::Unresolved(SystemTime changed_since) {
  const SqliteResetter reset(unresolved_);
  unresolved_.Bind(1, ToNanos(changed_since));
  std::vector<Entry> entries;
  int code = SQLITE_OK;
  while ((code = unresolved_.Step()) == SQLITE_ROW) {
    auto entry = Decode(unresolved_);
    if (!entry.ok()) return entry.status();
    entries.push_back(*std::move(entry));
  }
  if (code != SQLITE_DONE) return Failed(code, "read");
  return entries;
}

// --- the callers' side --------------------------------------------------------------------------

absl::StatusOr<std::unique_ptr<SqliteJournal>> SqliteJournal::Open(Options options) {
  if (options.path.empty() || options.retention < std::chrono::hours(24) ||
      options.prune_interval <= std::chrono::milliseconds(0) ||
      options.recheck_interval <= std::chrono::milliseconds(0)) {
    return absl::InvalidArgumentError(
        "the operation journal needs a path, a retention of 24 h or more and intervals above 0");
  }
  const std::size_t max_queued = options.max_queued;
  auto shared = std::make_shared<Shared>(max_queued);
  auto work = std::make_unique<Thread>(std::move(options), shared);
  if (auto status = work->Open(); !status.ok()) return status;
  return std::unique_ptr<SqliteJournal>(new SqliteJournal(std::move(shared), std::move(work)));
}

SqliteJournal::SqliteJournal(std::shared_ptr<Shared> shared, std::unique_ptr<Thread> work)
    : shared_(std::move(shared)), work_(std::move(work)) {
  sigset_t before;
  BlockSignals(before);
  thread_ = std::thread([work = work_.get()] { work->Run(); });
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

SqliteJournal::~SqliteJournal() {
  {
    const std::lock_guard lock(shared_->mutex);
    shared_->stopping = true;
  }
  shared_->wake.notify_one();
  thread_.join();
}

SqliteJournal::Stats SqliteJournal::stats() const {
  const std::lock_guard lock(shared_->mutex);
  Stats stats = shared_->stats;
  stats.queued = shared_->writes.size() + shared_->reads.size();
  return stats;
}

asio::awaitable<absl::StatusOr<Begun>> SqliteJournal::Begin(Entry entry) {
  co_await asio::this_coro::throw_if_cancelled(false);
  const auto write = std::make_shared<Shared::Write>();
  write->wakeup = std::make_shared<Wakeup>(co_await asio::this_coro::executor);
  write->entry = std::move(entry);
  const auto waiter = write->wakeup;
  if (auto status = shared_->Add(write); !status.ok()) co_return status;
  co_await waiter->Wait();
  if (!write->status.ok()) co_return write->status;
  co_return Begun{std::move(write->entry), write->existed};
}

asio::awaitable<absl::Status> SqliteJournal::Update(v1::Operation operation) {
  co_await asio::this_coro::throw_if_cancelled(false);
  const auto write = std::make_shared<Shared::Write>();
  write->wakeup = std::make_shared<Wakeup>(co_await asio::this_coro::executor);
  write->is_update = true;
  write->entry.operation = std::move(operation);
  const auto waiter = write->wakeup;
  if (auto status = shared_->Add(write); !status.ok()) co_return status;
  co_await waiter->Wait();
  co_return write->status;
}

asio::awaitable<absl::StatusOr<std::optional<Entry>>> SqliteJournal::Find(std::string account,
                                                                          std::string request_id) {
  return Shared::Await<std::optional<Entry>>(
      shared_, [account = std::move(account), request_id = std::move(request_id)](Thread& thread) {
        return thread.Find(account, request_id);
      });
}

asio::awaitable<absl::StatusOr<Page>> SqliteJournal::List(Query query) {
  return Shared::Await<Page>(
      shared_, [query = std::move(query)](Thread& thread) { return thread.List(query); });
}

asio::awaitable<absl::StatusOr<std::vector<Entry>>> SqliteJournal::Unresolved(
    SystemTime changed_since) {
  return Shared::Await<std::vector<Entry>>(
      shared_, [changed_since](Thread& thread) { return thread.Unresolved(changed_since); });
}

asio::awaitable<absl::StatusOr<std::int64_t>> SqliteJournal::Prune() {
  return Shared::Await<std::int64_t>(shared_, [](Thread& thread) { return thread.PruneAll(); });
}

}  // namespace leasegateway
