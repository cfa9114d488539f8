#ifndef LEASE_GATEWAY_UPSTREAM_LEASING_JOURNAL_SQLITE_SQLITE_DATABASE_H_
#define LEASE_GATEWAY_UPSTREAM_LEASING_JOURNAL_SQLITE_SQLITE_DATABASE_H_

#include <sqlite3.h>

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

namespace leasegateway {

// What went wrong, in words: a sentence of ours for the extended result code, and SQLite's own
// message. `code` is the extended result code.
std::string DescribeSqlite(int code, std::string_view message);

// One prepared statement. Not thread-safe; goes before its database.
class SqliteStatement {
 public:
  explicit SqliteStatement(sqlite3_stmt* statement = nullptr) : statement_(statement) {}

  // The n-th parameter, from 1 on. Texts and blobs must live until Reset().
  void Bind(int parameter, std::int64_t value);
  void BindText(int parameter, std::string_view value);
  void BindBlob(int parameter, std::string_view value);

  // SQLITE_ROW, SQLITE_DONE, or the extended code of an error.
  int Step();
  // Ready to be bound and stepped again. A statement that isn't reset holds its read transaction.
  void Reset();

  // The n-th column of the row, from 0 on. Views live until the next Step() or Reset().
  std::int64_t Int(int column) const;
  std::string_view Text(int column) const;
  std::string_view Blob(int column) const;

 private:
  struct Finalize {
    void operator()(sqlite3_stmt* statement) const { sqlite3_finalize(statement); }
  };
  std::unique_ptr<sqlite3_stmt, Finalize> statement_;
};

// Resets a statement at the end of its scope.
class SqliteResetter {
 public:
  explicit SqliteResetter(SqliteStatement& statement) : statement_(statement) {}
  ~SqliteResetter() { statement_.Reset(); }
  SqliteResetter(const SqliteResetter&) = delete;
  SqliteResetter& operator=(const SqliteResetter&) = delete;

 private:
  SqliteStatement& statement_;
};

// One connection, used by one thread at a time.
class SqliteDatabase {
 public:
  // Returns SQLITE_OK or the extended code. A file that isn't there is made.
  int Open(const std::string& path);

  // Runs statements without parameters, for their effect.
  int Execute(const std::string& sql);
  // Prepares a statement that is used often.
  int Prepare(const std::string& sql, SqliteStatement& statement);
  // The first column of the first row, as a text; empty when there is no row.
  int Query(const std::string& sql, std::string& value);
  int Query(const std::string& sql, std::int64_t& value);

  bool InTransaction() const { return sqlite3_get_autocommit(database_.get()) == 0; }
  // The file at the path isn't the one that was opened any more.
  bool Moved() const;
  std::string_view message() const { return sqlite3_errmsg(database_.get()); }
  sqlite3* get() const { return database_.get(); }

 private:
  struct Close {
    void operator()(sqlite3* database) const { sqlite3_close_v2(database); }
  };
  std::unique_ptr<sqlite3, Close> database_;
};

}  // namespace leasegateway

#endif  // LEASE_GATEWAY_UPSTREAM_LEASING_JOURNAL_SQLITE_SQLITE_DATABASE_H_
