#ifndef LEASE_GATEWAY_UPSTREAM_CANCELLATION_H_
#define LEASE_GATEWAY_UPSTREAM_CANCELLATION_H_

#include <boost/asio/awaitable.hpp>
#include <boost/asio/this_coro.hpp>

namespace leasegateway {

// Whether the coroutine that awaits this has been cancelled. It has set throw_if_cancelled(false).
inline boost::asio::awaitable<bool> Cancelled() {
  const auto state = co_await boost::asio::this_coro::cancellation_state;
  co_return state.cancelled() != boost::asio::cancellation_type::none;
}

}  // namespace leasegateway

#endif  // LEASE_GATEWAY_UPSTREAM_CANCELLATION_H_
