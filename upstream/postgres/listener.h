#ifndef LEASE_GATEWAY_UPSTREAM_POSTGRES_LISTENER_H_
#define LEASE_GATEWAY_UPSTREAM_POSTGRES_LISTENER_H_

#include <boost/asio/any_io_executor.hpp>
#include <chrono>
#include <functional>
#include <memory>
#include <string>

#include "upstream/postgres/connector.h"
#include "upstream/wakeup.h"

namespace leasegateway::postgres {

struct ListenerOptions {
  std::string channel;
  // Called on the listener's strand, one at a time, while it holds a lock of its own; neither may
  // wait. `heard` for each notification, also for those of this process; `connected` after each
  // LISTEN: what was told before may have been missed.
  std::function<void(const std::string& payload)> heard;
  std::function<void()> connected;
  // A server that died without a word is found out by asking so often, with so much time to answer.
  std::chrono::milliseconds check_interval{5'000};
  std::chrono::milliseconds check_limit{3'000};
};

// Hears what is told with NOTIFY on one channel, over a connection of its own, which it makes anew,
// after pauses as those of the pool, when it is lost. The connection must not go through a pooler
// in transaction mode: such a one loses LISTEN.
class Listener {
 public:
  // `executor`, which may have several threads, must outlive this.
  Listener(const boost::asio::any_io_executor& executor, std::shared_ptr<Connector> connector,
           ListenerOptions options);
  // As Stop().
  ~Listener();
  Listener(const Listener&) = delete;
  Listener& operator=(const Listener&) = delete;

  // Once it has returned nothing is called any more. Doesn't wait for the connection. Thread-safe;
  // a callback may call it.
  void Stop();
  bool is_connected() const;

 private:
  class Calls;
  static boost::asio::awaitable<void> Listen(std::shared_ptr<Connector> connector,
                                             std::shared_ptr<Calls> calls,
                                             std::shared_ptr<Wakeup> wakeup);
  static boost::asio::awaitable<bool> ListenOn(Connection& connection,
                                               std::shared_ptr<Calls> calls);

  const std::shared_ptr<Calls> calls_;  // shared with the coroutine, which may end later
  const std::shared_ptr<Wakeup> wakeup_;
};

}  // namespace leasegateway::postgres

#endif  // LEASE_GATEWAY_UPSTREAM_POSTGRES_LISTENER_H_
