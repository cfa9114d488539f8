#ifndef LEASE_GATEWAY_UPSTREAM_TRANSPORT_CONNECTION_POOL_H_
#define LEASE_GATEWAY_UPSTREAM_TRANSPORT_CONNECTION_POOL_H_

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/strand.hpp>
#include <chrono>
#include <cstdint>
#include <deque>
#include <functional>
#include <list>
#include <memory>
#include <mutex>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "upstream/call_environment.h"
#include "upstream/transport/https_connection.h"
#include "upstream/wakeup.h"

namespace leasegateway {

// At most `max_connections` connections to one host. They are opened in the background, no more at
// a time than calls wait for one; a call takes the first that comes free, whether that is the one
// opened for it or one that another call gives back. Calls are served in their order, and at most
// `max_waiters` wait beyond those for which connections are being opened. Idle connections are
// kept, newest used first, and closed after `idle_timeout` or once they are as old as `max_age`
// says; `warm_connections` are kept open though nobody calls. Thread-safe: one mutex, held for a
// few instructions at a time.
class ConnectionPool : public std::enable_shared_from_this<ConnectionPool> {
  struct Private {};  // only Make has one

 public:
  using Connection = std::unique_ptr<HttpsConnection>;
  // A connection that is ready, or why there is none. Has limits of its own, and ends soon after it
  // is cancelled. Awaited on a strand. An exception is as good as an error.
  using Open = std::function<boost::asio::awaitable<absl::StatusOr<Connection>>()>;

  // Of `options` it takes those named above. `open` may outlive the pool.
  static std::shared_ptr<ConnectionPool> Make(const boost::asio::any_io_executor& executor,
                                              Open open, HttpsOptions options,
                                              CallEnvironment environment = MakeCallEnvironment());
  ConnectionPool(Private, const boost::asio::any_io_executor& executor, Open open,
                 HttpsOptions options, CallEnvironment environment);
  ConnectionPool(const ConnectionPool&) = delete;
  ConnectionPool& operator=(const ConnectionPool&) = delete;

  // Opens no more, calls off what is being opened, closes idle connections, and others as they come
  // back. To be called before the owner lets go of it; wakes nobody: end the calls first.
  void Stop();

  // The right to use one connection. Destroying it frees the place; the connection is closed
  // unless it was given to Recycle. Move-only.
  class Lease {
   public:
    Lease(Lease&&) = default;
    Lease& operator=(Lease&&) = delete;
    ~Lease();

    HttpsConnection& operator*() { return *held_.connection; }
    HttpsConnection* operator->() { return held_.connection.get(); }
    // Was opened just now: it has not been idle, nor has another call used it.
    bool fresh() const { return fresh_; }
    // Keeps the connection for the next call. Call when its last exchange said `reusable`.
    void Recycle();
    // Its connection turned out to be dead: closes those that have been idle for as long or longer.
    void Distrust();

   private:
    friend class ConnectionPool;
    struct Held {
      Connection connection;
      Deadline retire;  // when it is too old to be used again
      Deadline idle_since;
    };
    Lease(std::shared_ptr<ConnectionPool> pool, Held held, bool fresh);
    std::shared_ptr<ConnectionPool> pool_;  // null after Recycle and when moved from
    Held held_;
    const bool fresh_;
  };

  // Waits for a connection. Must be awaited on a strand. UNAVAILABLE with the reasons of Open,
  // RESOURCE_EXHAUSTED with OVERLOADED when too many wait, DEADLINE_EXCEEDED, CANCELLED.
  boost::asio::awaitable<absl::StatusOr<Lease>> Acquire(Deadline deadline);

  struct Counts {
    int open = 0;  // in use, idle or being connected
    int idle = 0;
    int waiting = 0;  // and no connection is being opened for them
  };
  Counts counts() const;
  // The same, also when the pool is gone: nothing then.
  std::function<Counts()> CountsReader();

 private:
  using Held = Lease::Held;
  struct Waiter {
    std::shared_ptr<Wakeup> wakeup;
    std::uint64_t number = 0;  // when it came
    bool granted = false;      // `held` or `error` is what it gets
    bool fresh = false;
    Held held;
    absl::Status error;
  };
  // A connection that is being opened.
  struct Opening {
    explicit Opening(const boost::asio::any_io_executor& executor)
        : strand(boost::asio::make_strand(executor)) {}
    const boost::asio::strand<boost::asio::any_io_executor> strand;
    boost::asio::cancellation_signal cancellation;  // on the strand
    std::uint64_t number = 0;                       // when it began, among the waiters
    bool warm = false;                              // nobody waits for it
  };
  // What is to be done once the mutex is free again; only then.
  struct Todo {
    std::vector<Connection> closing;
    std::vector<std::shared_ptr<Opening>> opening;
  };

  // Of an idle connection that may be used by its times; nothing: joins those that wait.
  struct Claim {
    Held held;
    std::shared_ptr<Waiter> waiter;
  };
  absl::StatusOr<Claim> TakeOrQueue(const boost::asio::any_io_executor& executor);
  // A place came free, with a connection worth keeping or without one.
  void Release(Held held);
  void DropIdle(Deadline idle_since);
  void Opened(const std::shared_ptr<Opening>& opening, absl::StatusOr<Connection> opened);
  void Sweep();
  std::chrono::milliseconds SweepInterval() const;
  void Do(Todo todo);
  static boost::asio::awaitable<absl::StatusOr<Connection>> RunOpening(
      std::shared_ptr<ConnectionPool> self, bool warm);
  static boost::asio::awaitable<void> RunSweeps(std::weak_ptr<ConnectionPool> weak,
                                                std::shared_ptr<Wakeup> wakeup);

  // With the mutex held.
  void Put(Held held, bool fresh, Todo& todo);
  void OpenForWaiters(Todo& todo);
  void OpenWarm(Deadline now, Todo& todo);
  void BeginOpening(bool warm, Todo& todo);
  void Close(Connection connection, Todo& todo);
  bool IsUsable(const Held& held, Deadline now) const;

  const boost::asio::any_io_executor executor_;
  const Open open_connection_;
  const HttpsOptions options_;
  const CallEnvironment environment_;
  const std::shared_ptr<Wakeup> sweep_;  // its strand is that of the sweeps
  mutable std::mutex mutex_;             // guards all below
  bool stopped_ = false;
  int open_ = 0;
  std::uint64_t next_number_ = 0;
  std::deque<Held> idle_;  // longest idle first
  std::list<std::shared_ptr<Waiter>> waiters_;
  std::vector<std::shared_ptr<Opening>> openings_;
  std::chrono::milliseconds warm_pause_{0};  // after an opening for warmth that failed
  Deadline warm_after_;
};

}  // namespace leasegateway

#endif  // LEASE_GATEWAY_UPSTREAM_TRANSPORT_CONNECTION_POOL_H_
