#include "upstream/transport/connection_pool.h"

#include <boost/asio/steady_timer.hpp>
#include <boost/asio/strand.hpp>
#include <boost/asio/this_coro.hpp>
#include <deque>
#include <list>
#include <mutex>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "upstream/upstream_error.h"
#include "upstream/wakeup.h"

namespace leasegateway {

namespace asio = boost::asio;
using Clock = std::chrono::steady_clock;
using ConnectionPtr = std::unique_ptr<HttpsConnection>;

struct ConnectionPool::State : std::enable_shared_from_this<State> {
  struct Waiter {
    std::shared_ptr<Wakeup> wakeup;
    bool granted = false;
    ConnectionPtr connection;  // null when granted the right to open one
  };

  State(const asio::any_io_executor& executor, std::shared_ptr<asio::ssl::context> tls,
        HttpsOptions options)
      : executor(executor),
        tls(std::move(tls)),
        options(std::move(options)),
        sweep_timer(asio::make_strand(executor)) {}

  ConnectionPtr NewConnection() {
    return std::make_unique<HttpsConnection>(executor, tls, options);
  }

  Counts Count() const {
    const std::lock_guard lock(mutex);
    return {open, static_cast<int>(idle.size()), static_cast<int>(waiters.size())};
  }

  // A place came free, with a connection worth keeping or without one.
  void Release(ConnectionPtr connection) {
    ConnectionPtr closing;
    {
      const std::lock_guard lock(mutex);
      if (connection && stopped) closing = std::move(connection);
      if (!waiters.empty()) {
        auto waiter = std::move(waiters.front());
        waiters.pop_front();
        waiter->granted = true;
        waiter->connection = std::move(connection);
        Wakeup::Wake(waiter->wakeup);
      } else if (connection) {
        connection->MarkIdle();
        idle.push_back(std::move(connection));
      } else {
        --open;
      }
    }
    if (closing) HttpsConnection::Close(std::move(closing));
  }

  // Closes what has been idle too long, and comes back while anything is idle.
  void Sweep() {
    std::vector<ConnectionPtr> old;
    {
      const std::lock_guard lock(mutex);
      const auto limit = Clock::now() - options.idle_timeout;
      while (!idle.empty() && (stopped || idle.front()->idle_since() <= limit)) {
        old.push_back(std::move(idle.front()));
        idle.pop_front();
        --open;
      }
      if (stopped) sweep_timer.cancel();
    }
    for (auto& connection : old) HttpsConnection::Close(std::move(connection));
  }

  // Runs on the timer's strand.
  void ScheduleSweep() {
    sweep_timer.expires_after(std::max(options.idle_timeout / 4, std::chrono::milliseconds(10)));
    sweep_timer.async_wait([weak = weak_from_this()](const boost::system::error_code& error) {
      const auto self = weak.lock();
      if (error || !self) return;
      self->Sweep();
      self->ScheduleSweep();
    });
  }

  const asio::any_io_executor executor;
  const std::shared_ptr<asio::ssl::context> tls;
  const HttpsOptions options;
  asio::steady_timer sweep_timer;
  mutable std::mutex mutex;  // guards all below
  bool stopped = false;
  int open = 0;
  std::deque<ConnectionPtr> idle;  // longest idle first
  std::list<std::shared_ptr<Waiter>> waiters;
};

ConnectionPool::ConnectionPool(const asio::any_io_executor& executor,
                               std::shared_ptr<asio::ssl::context> tls, HttpsOptions options)
    : state_(std::make_shared<State>(executor, std::move(tls), std::move(options))) {
  asio::post(state_->sweep_timer.get_executor(), [state = state_] { state->ScheduleSweep(); });
}

ConnectionPool::~ConnectionPool() {
  asio::post(state_->sweep_timer.get_executor(), [state = state_] {
    {
      const std::lock_guard lock(state->mutex);
      state->stopped = true;
    }
    state->Sweep();
  });
}

ConnectionPool::Counts ConnectionPool::counts() const { return state_->Count(); }

std::function<ConnectionPool::Counts()> ConnectionPool::CountsReader() const {
  // Idle connections must not outlive their executor.
  return [weak = std::weak_ptr<State>(state_)] {
    const auto state = weak.lock();
    return state ? state->Count() : Counts();
  };
}

asio::awaitable<absl::StatusOr<ConnectionPool::Lease>> ConnectionPool::Acquire(Deadline deadline) {
  const auto state = state_;
  const auto executor = co_await asio::this_coro::executor;
  std::shared_ptr<State::Waiter> waiter;
  {
    const std::lock_guard lock(state->mutex);
    while (!state->idle.empty()) {
      ConnectionPtr connection = std::move(state->idle.back());
      state->idle.pop_back();
      const bool fresh = Clock::now() - connection->idle_since() < state->options.idle_timeout;
      if (fresh && connection->LooksAlive()) co_return Lease(state, std::move(connection));
      --state->open;
    }
    if (state->open < state->options.max_connections) {
      ++state->open;
      co_return Lease(state, state->NewConnection());
    }
    if (static_cast<int>(state->waiters.size()) >= state->options.max_waiters) {
      auto status = MakeError(
          absl::StatusCode::kResourceExhausted, reason::kOverloaded,
          absl::StrCat("all ", state->open, " connections to the provider are in use and ",
                       state->waiters.size(), " calls wait for one"));
      SetRetryDelay(status, std::chrono::milliseconds(500));
      co_return status;
    }
    waiter = std::make_shared<State::Waiter>();
    waiter->wakeup = std::make_shared<Wakeup>(executor);
    state->waiters.push_back(waiter);
  }
  co_await waiter->wakeup->WaitUntil(deadline);
  const auto cancelled = (co_await asio::this_coro::cancellation_state).cancelled();
  {
    const std::lock_guard lock(state->mutex);
    if (!waiter->granted) {
      state->waiters.remove(waiter);
      if (cancelled != asio::cancellation_type::none) {
        co_return CancelledError("waiting for a connection to the provider");
      }
      co_return DeadlineError("waiting for a connection to the provider");
    }
    if (!waiter->connection) waiter->connection = state->NewConnection();
  }
  co_return Lease(state, std::move(waiter->connection));
}

ConnectionPool::Lease::Lease(std::shared_ptr<State> pool, ConnectionPtr connection)
    : pool_(std::move(pool)), connection_(std::move(connection)) {}

ConnectionPool::Lease::~Lease() {
  if (pool_) {
    connection_.reset();
    pool_->Release(nullptr);
  }
}

void ConnectionPool::Lease::Renew() { connection_ = pool_->NewConnection(); }

void ConnectionPool::Lease::Recycle() {
  auto pool = std::move(pool_);
  pool->Release(std::move(connection_));
}

}  // namespace leasegateway
