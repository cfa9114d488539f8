#ifndef LEASE_GATEWAY_UPSTREAM_LEASING_JOURNAL_SQLITE_JOURNAL_FILE_H_
#define LEASE_GATEWAY_UPSTREAM_LEASING_JOURNAL_SQLITE_JOURNAL_FILE_H_

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "upstream/leasing/journal/sqlite/sqlite_database.h"

namespace leasegateway {

// The file of a journal, from whatever is found at its path at the start to a database that this
// process alone has: made if it isn't there, recognised, looked through for damage, and brought to
// this version's schema. Nothing of ours is written before it is known whose file it is and that it
// is sound.
//
// One thread at a time. Errors are FAILED_PRECONDITION, JOURNAL_UNAVAILABLE, with the path and what
// to do about it.
class JournalFile {
 public:
  // ":memory:" is no file.
  explicit JournalFile(std::string path);

  // Blocks. What is not looked at within `check_limit`, once the file is known as the journal, is
  // taken as sound.
  absl::Status Open(std::chrono::milliseconds check_limit);
  // When that time is over, after Open.
  std::chrono::steady_clock::time_point check_until() const { return check_until_; }

  const std::string& path() const { return path_; }
  SqliteDatabase& database() { return database_; }

  absl::Status Refuse(std::string_view why) const;
  // For what the latest call of the database returned.
  absl::Status RefuseFor(int code) const;
  void WarnOfUnchecked() const;

 private:
  absl::Status MakeFile();
  // Takes the lock, with a transaction that it leaves open.
  absl::Status Lock();
  // Sets the version that the file has; 0: it is new.
  absl::Status Recognise(std::int64_t& version);
  // All that SQLite can see of damage, before anything is changed.
  absl::Status Check(std::chrono::steady_clock::time_point until);
  absl::Status UseLog();
  absl::Status Migrate(std::int64_t version);

  const std::string path_;
  SqliteDatabase database_;
  std::chrono::steady_clock::time_point check_until_;
};

}  // namespace leasegateway

#endif  // LEASE_GATEWAY_UPSTREAM_LEASING_JOURNAL_SQLITE_JOURNAL_FILE_H_
