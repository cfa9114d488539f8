#ifndef LEASE_GATEWAY_UPSTREAM_POSTGRES_DATABASE_H_
#define LEASE_GATEWAY_UPSTREAM_POSTGRES_DATABASE_H_

#include <boost/asio/awaitable.hpp>
#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace leasegateway::postgres {

// A statement, of static storage: prepared once on each connection where that works, under `name`,
// which is unique in the program. Parameters are $1, $2, … with a cast wherever the type isn't
// plain.
struct Statement {
  const char* name;
  const char* sql;
};

// A parameter. Integers, text and bytes are sent as what they are; nothing is put into SQL text.
class Parameter {
 public:
  Parameter(std::int64_t value);      // NOLINT(google-explicit-constructor): $n::bigint
  Parameter(std::string_view text);   // NOLINT(google-explicit-constructor): $n::text
  Parameter(const std::string& text)  // NOLINT(google-explicit-constructor)
      : Parameter(std::string_view(text)) {}
  Parameter(const char* text)  // NOLINT(google-explicit-constructor)
      : Parameter(std::string_view(text)) {}
  static Parameter Bytes(std::string_view bytes);  // $n::bytea
  static Parameter Null();

  const std::optional<std::string>& value() const { return value_; }
  bool is_binary() const { return is_binary_; }

 private:
  Parameter() = default;
  std::optional<std::string> value_;
  bool is_binary_ = false;
};

struct Query {
  const Statement* statement = nullptr;
  std::vector<Parameter> parameters;
};

// The rows of one statement. Integers are selected as bigint, times as microseconds since 1970 in a
// bigint; text, bytea and boolean as they are. A column that isn't of the type that is asked for is
// a mistake of the program's.
class Rows {
 public:
  Rows() = default;
  struct Deleter {
    void operator()(void* result) const;
  };
  explicit Rows(void* result);  // a PGresult, which it owns

  int size() const;
  bool IsNull(int row, int column) const;
  std::int64_t Int(int row, int column) const;
  bool Bool(int row, int column) const;
  // Of text and bytea. Valid as long as this.
  std::string_view Bytes(int row, int column) const;

 private:
  std::unique_ptr<void, Deleter> result_;
};

// What a transaction has come to, when it isn't OK:
//   UNAVAILABLE        nothing was changed: not connected, refused, read-only, out of time before
//                      anything was sent, a deadlock again and again
//   UNKNOWN            the connection was lost, or the time ran out, after it was sent: it may have
//                      been committed, or still be. Only reading tells
//   ALREADY_EXISTS     a unique constraint
//   RESOURCE_EXHAUSTED too many wait already; nothing was changed
//   INTERNAL           any other error of SQL; nothing was changed
// Messages are for the log: they name host and database, never the password.

// A database that may come and go: a small pool of connections, made when they are needed and made
// anew, with growing pauses, when they are lost. Thread-safe; awaited on a strand, answers there.
// A cancellation of the awaiting coroutine is not heeded before the deadline.
class Database {
 public:
  virtual ~Database() = default;

  // The statements, in this order, as one transaction and in one round trip. All or nothing.
  // Repeated by itself after a deadlock or a serialization failure.
  virtual boost::asio::awaitable<absl::StatusOr<std::vector<Rows>>> Run(
      std::vector<Query> queries, std::chrono::steady_clock::time_point deadline) = 0;

  // The same for one statement that may share its transaction with those of others: what waits
  // together is committed together. Where the common transaction fails, each is tried by itself.
  virtual boost::asio::awaitable<absl::StatusOr<Rows>> RunShared(
      Query query, std::chrono::steady_clock::time_point deadline) = 0;

  // Whether a transaction could be tried now: a connection is there, or the latest try to make one
  // has not failed. Never waits.
  virtual bool is_up() const = 0;
};

}  // namespace leasegateway::postgres

#endif  // LEASE_GATEWAY_UPSTREAM_POSTGRES_DATABASE_H_
