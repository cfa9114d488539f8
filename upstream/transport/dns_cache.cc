#include "upstream/transport/dns_cache.h"

#include <spdlog/spdlog.h>

#include <boost/asio/this_coro.hpp>
#include <mutex>
#include <utility>

#include "upstream/upstream_error.h"
#include "upstream/wakeup.h"

namespace leasegateway {

namespace asio = boost::asio;
using asio::ip::tcp;
using Clock = std::chrono::steady_clock;

struct DnsCache::State {
  State(const asio::any_io_executor& executor, std::string host, std::string port,
        std::chrono::milliseconds ttl)
      : host(std::move(host)), port(std::move(port)), ttl(ttl), resolver(executor) {}

  // Call with `mutex` held. The completion keeps the state alive.
  static void StartLookup(const std::shared_ptr<State>& state) {
    state->running = true;
    state->resolver.async_resolve(
        state->host, state->port,
        [state](const boost::system::error_code& error, const tcp::resolver::results_type& found) {
          std::vector<std::shared_ptr<Wakeup>> waiters;
          {
            const std::lock_guard lock(state->mutex);
            state->running = false;
            state->error = error;
            if (!error) {
              state->addresses.assign(found.begin(), found.end());
              state->fetched = Clock::now();
            }
            waiters.swap(state->waiters);
          }
          if (error) spdlog::warn("looking up {} failed: {}", state->host, error.message());
          for (auto& waiter : waiters) Wakeup::Wake(std::move(waiter));
        });
  }

  const std::string host;
  const std::string port;
  const std::chrono::milliseconds ttl;
  std::mutex mutex;  // guards all below
  tcp::resolver resolver;
  bool running = false;
  boost::system::error_code error;
  std::vector<tcp::endpoint> addresses;
  Clock::time_point fetched;
  std::vector<std::shared_ptr<Wakeup>> waiters;
};

DnsCache::DnsCache(const asio::any_io_executor& executor, std::string host, std::string port,
                   std::chrono::milliseconds ttl)
    : state_(std::make_shared<State>(executor, std::move(host), std::move(port), ttl)) {}

asio::awaitable<absl::StatusOr<std::vector<tcp::endpoint>>> DnsCache::Lookup(
    Clock::time_point give_up) {
  const auto state = state_;
  const auto executor = co_await asio::this_coro::executor;
  std::shared_ptr<Wakeup> waiter;
  {
    const std::lock_guard lock(state->mutex);
    const bool known = !state->addresses.empty();
    if (!state->running && (!known || Clock::now() - state->fetched > state->ttl)) {
      State::StartLookup(state);
    }
    if (known) co_return state->addresses;
    waiter = std::make_shared<Wakeup>(executor);
    state->waiters.push_back(waiter);
  }
  co_await waiter->WaitUntil(give_up);
  const std::lock_guard lock(state->mutex);
  std::erase(state->waiters, waiter);
  if (!state->addresses.empty()) co_return state->addresses;
  co_return FromTransport("looking up " + state->host,
                          state->running ? "no answer in time" : state->error.message(),
                          reason::kUpstreamUnreachable, RequestState::kNotSent, false);
}

}  // namespace leasegateway
