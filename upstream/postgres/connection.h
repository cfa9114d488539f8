#ifndef LEASE_GATEWAY_UPSTREAM_POSTGRES_CONNECTION_H_
#define LEASE_GATEWAY_UPSTREAM_POSTGRES_CONNECTION_H_

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_set>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "upstream/postgres/database.h"
#include "upstream/postgres/haste.h"
#include "upstream/postgres/sql_error.h"
#include "upstream/wakeup.h"

struct pg_conn;  // libpq's PGconn

namespace leasegateway::postgres {

// What a transaction did.
enum class Fate { kCommitted, kNothingChanged, kUnknown };

struct Outcome {
  Fate fate = Fate::kNothingChanged;
  SqlError error;          // unless committed
  std::vector<Rows> rows;  // of each statement, when committed
};

// One session with a server, in libpq's non-blocking mode: the sockets are libpq's, and Asio waits
// for a copy of them. Used on one strand, by one coroutine at a time. Gone when destroyed.
class Connection {
 public:
  using TimePoint = std::chrono::steady_clock::time_point;
  using Settings = std::vector<std::pair<std::string, std::string>>;

  // `settings` are libpq's keywords, for one address, hostaddr among them unless it is a socket: a
  // name would be looked up, blocking. `wakeup`, made with the strand, is what all waits are on:
  // whoever wakes it makes WaitForMore return. `haste` shortens all deadlines but WaitForMore's.
  // UNAVAILABLE with what libpq or the server says, the SQLSTATE among it.
  static boost::asio::awaitable<absl::StatusOr<std::unique_ptr<Connection>>> Open(
      Settings settings, std::shared_ptr<Wakeup> wakeup, std::shared_ptr<Haste> haste,
      TimePoint deadline);

  ~Connection();
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  // The statements as one transaction, in one round trip. Statements are prepared on first use,
  // until a pooler turns out to lose their names. After the deadline the session is given up; the
  // server's statement_timeout ends what it may still be doing.
  boost::asio::awaitable<Outcome> Run(std::vector<Query> queries, TimePoint deadline);

  // SQL text with any number of statements and no parameters, in the simple protocol: for what is
  // not known at build time, and for a transaction over several round trips. The rows of the last
  // statement; text and integers only.
  boost::asio::awaitable<Outcome> RunScript(std::string sql, TimePoint deadline);

  // Nothing may be lost that was sent: the session waits for the server's word, a wake or the
  // deadline, and takes in what came.
  boost::asio::awaitable<void> WaitForMore(TimePoint deadline);
  // The payload of the oldest notification that came; false: none.
  bool TakeNotification(std::string& payload);

  // False: it has to be made anew.
  bool usable() const;
  // It is to be made anew, such as that of a server which turned read-only.
  void GiveUp() { given_up_ = true; }

  bool prepares() const { return prepares_; }
  int server_version() const;  // 150020; 0: unknown

 private:
  Connection(std::shared_ptr<Wakeup> wakeup, std::shared_ptr<Haste> haste);

  boost::asio::awaitable<absl::Status> Handshake(TimePoint deadline);
  boost::asio::awaitable<Outcome> RunOnce(std::vector<Query> queries, TimePoint deadline);
  // Puts all into libpq's buffer, with one Sync; false: the session is broken, nothing was sent.
  bool Send(const std::vector<Query>& queries);
  bool SendPrepare(const Query& query);
  bool SendQuery(const Query& query);
  boost::asio::awaitable<bool> Flush(TimePoint deadline);
  // Waits until PQgetResult won't block; false: out of time.
  boost::asio::awaitable<bool> AwaitResult(TimePoint deadline);
  boost::asio::awaitable<Outcome> Collect(TimePoint deadline);
  bool Watch();
  void Unwatch();
  boost::asio::awaitable<void> WaitForSocket(bool to_write, TimePoint deadline);
  // Until it is ready; false: out of time.
  boost::asio::awaitable<bool> AwaitSocket(bool to_write, TimePoint deadline);
  // Something begins, of which the next deadlines are.
  void SetBegun() { begun_ = std::chrono::steady_clock::now(); }
  TimePoint Limit(TimePoint deadline) const { return haste_->Limit(begun_, deadline); }
  bool IsOver(TimePoint deadline) const {
    return std::chrono::steady_clock::now() >= Limit(deadline);
  }
  void TakeIn();
  // While nothing is under way: also sees the end of a session behind the server's last words.
  void TakeInIdle();
  // The time is over, the answer is not waited for.
  Outcome OutOfTime();
  Outcome Lost(Fate fate) const;

  std::shared_ptr<Wakeup> wakeup_;
  const std::shared_ptr<Haste> haste_;
  const Haste::Waiter hastened_;
  TimePoint begun_ = std::chrono::steady_clock::now();
  pg_conn* connection_ = nullptr;
  boost::asio::posix::stream_descriptor socket_;
  // Whether a wait for the socket is under way; shared with its completion.
  std::shared_ptr<bool> reading_ = std::make_shared<bool>(false);
  std::shared_ptr<bool> writing_ = std::make_shared<bool>(false);
  bool given_up_ = false;
  bool prepares_ = true;
  std::unordered_set<const Statement*> prepared_;
  // What the transaction under way has results of, in order: a statement that is prepared, or null
  // for one that is run.
  std::vector<const Statement*> steps_;
};

}  // namespace leasegateway::postgres

#endif  // LEASE_GATEWAY_UPSTREAM_POSTGRES_CONNECTION_H_
