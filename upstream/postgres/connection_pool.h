#ifndef LEASE_GATEWAY_UPSTREAM_POSTGRES_CONNECTION_POOL_H_
#define LEASE_GATEWAY_UPSTREAM_POSTGRES_CONNECTION_POOL_H_

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <memory>
#include <mutex>
#include <set>
#include <vector>

#include "absl/status/status.h"
#include "upstream/postgres/connector.h"
#include "upstream/postgres/request_queue.h"
#include "upstream/wakeup.h"

namespace leasegateway::postgres {

// Which connections there are, and what they are to do next. A connection is served by a coroutine
// (pooled_connection.h); it begins when a request finds all others busy. While no server takes
// connections, one coroutine tries, after pauses that grow, and requests fail at once. Thread-safe:
// one mutex, held for a few instructions at a time.
class ConnectionPool : public std::enable_shared_from_this<ConnectionPool> {
 public:
  // The coroutine of a connection, spawned on a strand of its own, which its wakeup has; a wakeup
  // names it.
  using Server = std::shared_ptr<Wakeup>;
  using Serve = boost::asio::awaitable<void> (*)(std::shared_ptr<ConnectionPool> pool,
                                                 Server server);

  ConnectionPool(const boost::asio::any_io_executor& executor, std::shared_ptr<Connector> connector,
                 Serve serve);

  // OK: it waits for its turn. UNAVAILABLE: the database is away. RESOURCE_EXHAUSTED: too many
  // wait.
  absl::Status Add(std::shared_ptr<Request> request);
  void Remove(const std::shared_ptr<Request>& request);
  bool is_up() const;
  int connections() const;
  void Stop();

  // For the coroutine of a connection.
  Connector& connector() { return *connector_; }
  bool is_stopped() const;
  void Connected(const Server& server);
  // It could not connect. True: it shall try again after a pause; false: it ends, since others are
  // there or try.
  bool ConnectFailed(const Server& server, const absl::Status& why);
  // Its connection is lost. True: it shall connect again; false: it ends.
  bool Lost(const Server& server);
  // What to send next; empty: nothing, and the next request wakes this coroutine.
  Batch Take(const Server& server);
  // To be sent again, each by itself.
  void PutBack(const Batch& batch);

 private:
  // Call with `mutex_` held.
  // At most half of the connections run shared transactions at once: what comes meanwhile waits,
  // and is committed together.
  bool MayShare() const;
  void WakeOne();
  void End(const Server& server);

  const boost::asio::any_io_executor executor_;
  const std::shared_ptr<Connector> connector_;
  const Serve serve_;

  mutable std::mutex mutex_;  // guards all below
  RequestQueue queue_;
  std::set<Server> servers_;    // all coroutines
  std::set<Server> connected_;  // those with a connection
  std::vector<Server> idle_;    // those that wait for a request, the latest at the end
  std::set<Server> sharing_;    // those that run a shared transaction
  Server trying_;               // the one that tries while there is no connection
  absl::Status last_try_;       // of connecting
  std::chrono::steady_clock::time_point last_failure_;
  bool stopped_ = false;
};

}  // namespace leasegateway::postgres

#endif  // LEASE_GATEWAY_UPSTREAM_POSTGRES_CONNECTION_POOL_H_
