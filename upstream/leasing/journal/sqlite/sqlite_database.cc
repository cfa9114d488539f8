#include "upstream/leasing/journal/sqlite/sqlite_database.h"

#include "absl/strings/str_cat.h"

namespace leasegateway {
namespace {

std::string_view Words(int code) {
  switch (code & 0xff) {
    case SQLITE_FULL:
      return "the disk is full";
    case SQLITE_IOERR:
      switch (code) {
        case SQLITE_IOERR_READ:
        case SQLITE_IOERR_SHORT_READ:
        case SQLITE_IOERR_CORRUPTFS:
          return "the disk failed to read";
        case SQLITE_IOERR_WRITE:
        case SQLITE_IOERR_TRUNCATE:
          return "the disk failed to write";
        case SQLITE_IOERR_FSYNC:
        case SQLITE_IOERR_DIR_FSYNC:
          return "the disk failed to keep what was written";
        default:
          return "the disk failed";
      }
    case SQLITE_CORRUPT:
      return "the file is damaged";
    case SQLITE_NOTADB:
      return "the file is not one of SQLite, or it is damaged";
    case SQLITE_READONLY:
      return "the file can not be written to";
    case SQLITE_CANTOPEN:
      return "the file can not be opened";
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
      return "another process has the file";
    case SQLITE_NOMEM:
      return "there is no memory left";
    case SQLITE_PERM:
    case SQLITE_AUTH:
      return "access is denied";
    default:
      return "SQLite failed";
  }
}

}  // namespace

std::string DescribeSqlite(int code, std::string_view message) {
  return absl::StrCat(std::string(Words(code)), " (SQLite ", code, ": ", std::string(message), ")");
}

void SqliteStatement::Bind(int parameter, std::int64_t value) {
  sqlite3_bind_int64(statement_.get(), parameter, value);
}

void SqliteStatement::BindText(int parameter, std::string_view value) {
  // A null pointer would bind NULL.
  sqlite3_bind_text(statement_.get(), parameter, value.empty() ? "" : value.data(),
                    static_cast<int>(value.size()), SQLITE_STATIC);
}

void SqliteStatement::BindBlob(int parameter, std::string_view value) {
  sqlite3_bind_blob(statement_.get(), parameter, value.empty() ? "" : value.data(),
                    static_cast<int>(value.size()), SQLITE_STATIC);
}

int SqliteStatement::Step() { return sqlite3_step(statement_.get()); }

void SqliteStatement::Reset() {
  sqlite3_reset(statement_.get());
  sqlite3_clear_bindings(statement_.get());
}

std::int64_t SqliteStatement::Int(int column) const {
  return sqlite3_column_int64(statement_.get(), column);
}

std::string_view SqliteStatement::Text(int column) const {
  const auto* text = reinterpret_cast<const char*>(sqlite3_column_text(statement_.get(), column));
  if (text == nullptr) return {};
  return {text, static_cast<std::size_t>(sqlite3_column_bytes(statement_.get(), column))};
}

std::string_view SqliteStatement::Blob(int column) const {
  const auto* blob = static_cast<const char*>(sqlite3_column_blob(statement_.get(), column));
  if (blob == nullptr) return {};
  return {blob, static_cast<std::size_t>(sqlite3_column_bytes(statement_.get(), column))};
}

int SqliteDatabase::Open(const std::string& path) {
  sqlite3* database = nullptr;
  const int result = sqlite3_open_v2(
      path.c_str(), &database,
      SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE,
      nullptr);
  database_.reset(database);
  return result;
}

int SqliteDatabase::Execute(const std::string& sql) {
  return sqlite3_exec(database_.get(), sql.c_str(), nullptr, nullptr, nullptr);
}

int SqliteDatabase::Prepare(const std::string& sql, SqliteStatement& statement) {
  sqlite3_stmt* prepared = nullptr;
  const int result =
      sqlite3_prepare_v3(database_.get(), sql.c_str(), static_cast<int>(sql.size()) + 1,
                         SQLITE_PREPARE_PERSISTENT, &prepared, nullptr);
  statement = SqliteStatement(prepared);
  return result;
}

int SqliteDatabase::Query(const std::string& sql, std::string& value) {
  SqliteStatement statement;
  value.clear();
  if (const int result = Prepare(sql, statement); result != SQLITE_OK) return result;
  const int result = statement.Step();
  if (result == SQLITE_ROW) value = statement.Text(0);
  return result == SQLITE_ROW || result == SQLITE_DONE ? SQLITE_OK : result;
}

int SqliteDatabase::Query(const std::string& sql, std::int64_t& value) {
  SqliteStatement statement;
  value = 0;
  if (const int result = Prepare(sql, statement); result != SQLITE_OK) return result;
  const int result = statement.Step();
  if (result == SQLITE_ROW) value = statement.Int(0);
  return result == SQLITE_ROW || result == SQLITE_DONE ? SQLITE_OK : result;
}

bool SqliteDatabase::Moved() const {
  int moved = 0;
  return sqlite3_file_control(database_.get(), "main", SQLITE_FCNTL_HAS_MOVED, &moved) ==
             SQLITE_OK &&
         moved != 0;
}

}  // namespace leasegateway
