#ifndef LEASE_GATEWAY_UPSTREAM_RUN_ON_H_
#define LEASE_GATEWAY_UPSTREAM_RUN_ON_H_

#include <atomic>
#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/this_coro.hpp>
#include <chrono>
#include <exception>
#include <memory>
#include <optional>
#include <utility>

#include "upstream/wakeup.h"

namespace leasegateway {

// Runs `work` on another strand than the awaiting coroutine's, and returns when it has ended. A
// cancellation of the awaiting coroutine is passed on as `terminal`.
//
// Awaiting co_spawn(strand, work, use_awaitable) would do the same, but for this: Asio hands the
// cancellation to the other strand as a plain pointer, which dangles once `work` ends by itself.
template <typename T>
boost::asio::awaitable<T> RunOn(boost::asio::any_io_executor strand,
                                boost::asio::awaitable<T> work) {
  namespace asio = boost::asio;
  struct Shared {
    asio::cancellation_signal cancellation;  // only on `strand`
    std::exception_ptr exception;            // these two are written before `done`
    std::optional<T> result;
    std::atomic<bool> done{false};
  };
  co_await asio::this_coro::throw_if_cancelled(false);
  const auto shared = std::make_shared<Shared>();
  const asio::any_io_executor own_executor = co_await asio::this_coro::executor;
  const auto waiter = std::make_shared<Wakeup>(own_executor);
  auto ended = [shared, waiter](std::exception_ptr exception, T result) {
    shared->exception = exception;
    shared->result = std::move(result);
    shared->done = true;
    Wakeup::Wake(waiter);
  };
  // From the strand, so that a cancellation posted later finds the slot connected.
  asio::post(strand, [strand, shared, work = std::move(work), ended = std::move(ended)]() mutable {
    asio::co_spawn(strand, std::move(work),
                   asio::bind_cancellation_slot(shared->cancellation.slot(), std::move(ended)));
  });
  bool passed_on = false;
  // The wake comes through this coroutine's strand: not between the look at `done` and the wait.
  while (!shared->done) {
    auto waiting = waiter->WaitUntil(std::chrono::steady_clock::time_point::max());
    co_await std::move(waiting);
    const asio::cancellation_state state = co_await asio::this_coro::cancellation_state;
    if (passed_on || state.cancelled() == asio::cancellation_type::none) continue;
    passed_on = true;
    asio::post(strand, [shared] { shared->cancellation.emit(asio::cancellation_type::terminal); });
  }
  if (shared->exception) std::rethrow_exception(shared->exception);
  co_return *std::move(shared->result);
}

}  // namespace leasegateway

#endif  // LEASE_GATEWAY_UPSTREAM_RUN_ON_H_
