#include "upstream/leasing/journal/sqlite/journal_file.h"

#include <fcntl.h>
#include <spdlog/spdlog.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <system_error>
#include <utility>

#include "absl/strings/str_cat.h"
#include "upstream/leasing/journal/sqlite/journal_errors.h"
#include "upstream/leasing/journal/sqlite/journal_schema.h"

namespace leasegateway {

using SteadyClock = std::chrono::steady_clock;

namespace {

void FlushDirectory(const std::filesystem::path& directory) {
  const int handle = open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (handle < 0) return;
  fsync(handle);
  close(handle);
}

}  // namespace

JournalFile::JournalFile(std::string path) : path_(std::move(path)) {}

absl::Status JournalFile::Refuse(std::string_view why) const { return JournalRefused(path_, why); }

absl::Status JournalFile::RefuseFor(int code) const {
  return Refuse(DescribeSqlite(code, database_.message()));
}

void JournalFile::WarnOfUnchecked() const {
  spdlog::warn("the operation journal {} is large: not all of it was checked", path_);
}

absl::Status JournalFile::Open(std::chrono::milliseconds check_limit) {
  if (auto status = MakeFile(); !status.ok()) return status;
  if (const int code = database_.Open(path_); code != SQLITE_OK) return RefuseFor(code);
  if (sqlite3_db_readonly(database_.get(), "main") == 1) {
    return Refuse("the file can't be written to: give the gateway's user the right to");
  }
  if (auto status = Lock(); !status.ok()) return status;
  std::int64_t version = 0;
  if (auto status = Recognise(version); !status.ok()) return status;
  check_until_ = SteadyClock::now() + check_limit;
  if (version != 0) {
    if (auto status = Check(check_until_); !status.ok()) return status;
  }
  if (auto status = UseLog(); !status.ok()) return status;
  return Migrate(version);
}

// SQLite would make it readable for everyone. Only a file that isn't there is opened: closing one
// that is would end the process's locks on it (fcntl(2)).
absl::Status JournalFile::MakeFile() {
  if (path_ == ":memory:") return absl::OkStatus();
  struct stat info {};
  const bool exists = stat(path_.c_str(), &info) == 0;
  if (exists && !S_ISREG(info.st_mode)) return Refuse("this is no regular file");
  const bool has_contents = exists && info.st_size > 0;
  // SQLite would take it for a new one, and delete the log.
  const std::string log = path_ + "-wal";
  if (!has_contents && stat(log.c_str(), &info) == 0 && info.st_size > 0) {
    return Refuse(absl::StrCat("the file is lost or empty, but its log ", log, " is not",
                               std::string(kRestoreAdvice)));
  }
  if (exists) return absl::OkStatus();
  std::filesystem::path directory = std::filesystem::path(path_).parent_path();
  if (directory.empty()) directory = ".";
  if (stat(directory.c_str(), &info) != 0 || !S_ISDIR(info.st_mode)) {
    return Refuse(absl::StrCat("there is no directory ", directory.string(),
                               ": make it, for the gateway's user to write to"));
  }
  const int handle = open(path_.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  if (handle < 0 && errno != EEXIST) {
    return Refuse(absl::StrCat("can't be made: ", std::system_category().message(errno)));
  }
  if (handle >= 0) close(handle);
  FlushDirectory(directory);
  return absl::OkStatus();
}

absl::Status JournalFile::Lock() {
  // The lock is taken with the first transaction and kept. Nothing is written before it is known
  // whose file it is.
  for (const char* pragma :
       {"PRAGMA locking_mode = EXCLUSIVE", "PRAGMA temp_store = MEMORY",
        "PRAGMA trusted_schema = OFF", "PRAGMA cell_size_check = ON", "BEGIN EXCLUSIVE"}) {
    const int code = database_.Execute(pragma);
    if ((code & 0xff) == SQLITE_BUSY) {
      return Refuse(
          "another process has the file, and a file serves one gateway: lease through that one, "
          "name "
          "another file, or set database_url to a PostgreSQL that gateways share");
    }
    if ((code & 0xff) == SQLITE_NOTADB) {
      return Refuse(absl::StrCat(DescribeSqlite(code, database_.message()),
                                 ": name another path, or restore the file"));
    }
    if (code != SQLITE_OK) return RefuseFor(code);
  }
  return absl::OkStatus();
}

absl::Status JournalFile::Recognise(std::int64_t& version) {
  std::int64_t application = 0, objects = 0;
  for (const auto& [sql, value] : {std::pair("PRAGMA application_id", &application),
                                   std::pair("PRAGMA user_version", &version),
                                   std::pair("SELECT count(*) FROM sqlite_schema", &objects)}) {
    if (const int code = database_.Query(sql, *value); code != SQLITE_OK) return RefuseFor(code);
  }
  if (const int code = database_.Execute("COMMIT"); code != SQLITE_OK) return RefuseFor(code);

  const bool is_new = application == 0 && version == 0 && objects == 0;
  if (!is_new && application != kJournalApplicationId) {
    return Refuse("this is an SQLite file of something else: name another path");
  }
  if (version > kJournalVersion) {
    return Refuse(absl::StrCat("its schema has version ", version,
                               ", this gateway knows versions up to ", kJournalVersion,
                               ": a newer gateway made it, use that one"));
  }
  if (!is_new && version < 1) {
    return Refuse(absl::StrCat("its schema has version ", version,
                               ", which there never was: ", "restore the file, or move it away"));
  }
  return absl::OkStatus();
}

absl::Status JournalFile::Check(SteadyClock::time_point until) {
  sqlite3_progress_handler(
      database_.get(), 10'000,
      [](void* limit) -> int {
        return SteadyClock::now() > *static_cast<SteadyClock::time_point*>(limit) ? 1 : 0;
      },
      &until);
  std::string found;
  const int code = database_.Query("PRAGMA integrity_check(1)", found);
  sqlite3_progress_handler(database_.get(), 0, nullptr, nullptr);
  if ((code & 0xff) == SQLITE_INTERRUPT) {
    WarnOfUnchecked();
    return absl::OkStatus();
  }
  if (code != SQLITE_OK) {
    return Refuse(
        absl::StrCat(DescribeSqlite(code, database_.message()), std::string(kRestoreAdvice)));
  }
  if (found != "ok") {
    return Refuse(absl::StrCat("the file is damaged (", found, ")", std::string(kRestoreAdvice)));
  }
  return absl::OkStatus();
}

absl::Status JournalFile::UseLog() {
  std::string mode;
  if (const int code = database_.Query("PRAGMA journal_mode = WAL", mode); code != SQLITE_OK) {
    return RefuseFor(code);
  }
  if (mode != "wal" && path_ != ":memory:") {
    return Refuse(absl::StrCat("SQLite can't keep a write-ahead log there, only \"", mode,
                               "\": use a local disk"));
  }
  for (const char* pragma : {"PRAGMA synchronous = FULL", "PRAGMA journal_size_limit = 16777216"}) {
    if (const int code = database_.Execute(pragma); code != SQLITE_OK) return RefuseFor(code);
  }
  return absl::OkStatus();
}

absl::Status JournalFile::Migrate(std::int64_t version) {
  const int code = MigrateJournal(database_, version);
  if (code == SQLITE_OK) return absl::OkStatus();
  auto status =
      Refuse(absl::StrCat("its schema can't be brought from version ", version, " to ",
                          kJournalVersion, ": ", DescribeSqlite(code, database_.message())));
  if (database_.InTransaction()) database_.Execute("ROLLBACK");
  return status;
}

}  // namespace leasegateway
