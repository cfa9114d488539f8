#ifndef LEASE_GATEWAY_UPSTREAM_TRANSPORT_CONNECTION_POOL_H_
#define LEASE_GATEWAY_UPSTREAM_TRANSPORT_CONNECTION_POOL_H_

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <functional>
#include <memory>

#include "absl/status/statusor.h"
#include "upstream/transport/https_connection.h"

namespace leasegateway {

// At most `max_connections` connections to one host. Calls beyond that wait, first come, first
// served, at most `max_waiters` of them. Idle connections are kept, newest used first, and closed
// after `idle_timeout`. Thread-safe: one mutex, held for a few instructions at a time.
class ConnectionPool {
  struct State;

 public:
  ConnectionPool(const boost::asio::any_io_executor& executor,
                 std::shared_ptr<boost::asio::ssl::context> tls, HttpsOptions options);
  // Closes idle connections, and others as they come back; wakes nobody: end the calls first.
  ~ConnectionPool();
  ConnectionPool(const ConnectionPool&) = delete;
  ConnectionPool& operator=(const ConnectionPool&) = delete;

  // The right to use one connection. Destroying it frees the place; the connection is closed
  // unless it was given to Recycle. Move-only.
  class Lease {
   public:
    Lease(Lease&&) = default;
    Lease& operator=(Lease&&) = delete;
    ~Lease();

    HttpsConnection& operator*() { return *connection_; }
    HttpsConnection* operator->() { return connection_.get(); }
    // Exchanges the connection for one that was never connected.
    void Renew();
    // Keeps the connection for the next call. Call when its last exchange said `reusable`.
    void Recycle();

   private:
    friend class ConnectionPool;
    Lease(std::shared_ptr<State> pool, std::unique_ptr<HttpsConnection> connection);
    std::shared_ptr<State> pool_;  // null after Recycle and when moved from
    std::unique_ptr<HttpsConnection> connection_;
  };

  // Waits for a connection, which may be unconnected still. Must be awaited on a strand.
  // RESOURCE_EXHAUSTED with OVERLOADED when too many wait, DEADLINE_EXCEEDED, CANCELLED.
  boost::asio::awaitable<absl::StatusOr<Lease>> Acquire(Deadline deadline);

  struct Counts {
    int open = 0;  // in use, idle or being connected
    int idle = 0;
    int waiting = 0;
  };
  Counts counts() const;
  // The same, also when this object is gone: nothing then.
  std::function<Counts()> CountsReader() const;

 private:
  std::shared_ptr<State> state_;
};

}  // namespace leasegateway

#endif  // LEASE_GATEWAY_UPSTREAM_TRANSPORT_CONNECTION_POOL_H_
