#ifndef LEASE_GATEWAY_UPSTREAM_WAKEUP_H_
#define LEASE_GATEWAY_UPSTREAM_WAKEUP_H_

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <chrono>
#include <memory>

namespace leasegateway {

// One coroutine waits, any thread wakes it. The waiter makes it with its own executor, a strand,
// hands a copy of the pointer to whoever shall wake it, and awaits WaitUntil before it awaits
// anything else; so a wake can't come before the wait.
class Wakeup {
 public:
  explicit Wakeup(const boost::asio::any_io_executor& executor) : timer_(executor) {}

  // Returns when woken, at `deadline`, or when the awaiting coroutine is cancelled; the caller
  // finds out which from what the waker left behind.
  boost::asio::awaitable<void> WaitUntil(std::chrono::steady_clock::time_point deadline) {
    timer_.expires_at(deadline);
    boost::system::error_code ignored;
    co_await timer_.async_wait(boost::asio::redirect_error(boost::asio::use_awaitable, ignored));
  }

  // Returns when woken and not before: a cancellation of the awaiting coroutine waits as well. The
  // caller has set throw_if_cancelled(false).
  boost::asio::awaitable<void> Wait() {
    timer_.expires_at(std::chrono::steady_clock::time_point::max());
    boost::system::error_code ignored;
    co_await timer_.async_wait(boost::asio::bind_cancellation_slot(
        boost::asio::cancellation_slot(),
        boost::asio::redirect_error(boost::asio::use_awaitable, ignored)));
  }

  // The same as Wake, from the waiter's strand.
  void WakeHere() { timer_.cancel(); }

  boost::asio::any_io_executor executor() { return timer_.get_executor(); }

  static void Wake(std::shared_ptr<Wakeup> waiter) {
    const auto executor = waiter->timer_.get_executor();
    boost::asio::post(executor, [waiter = std::move(waiter)] { waiter->timer_.cancel(); });
  }

 private:
  boost::asio::steady_timer timer_;
};

}  // namespace leasegateway

#endif  // LEASE_GATEWAY_UPSTREAM_WAKEUP_H_
