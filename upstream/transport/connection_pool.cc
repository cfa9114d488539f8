#include "upstream/transport/connection_pool.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/this_coro.hpp>
#include <cstddef>
#include <exception>
#include <utility>

#include "absl/strings/str_cat.h"
#include "upstream/cancellation.h"
#include "upstream/upstream_error.h"

namespace leasegateway {
namespace {

namespace asio = boost::asio;
using std::chrono::milliseconds;

constexpr milliseconds kShortestSweep{10};
constexpr milliseconds kLongestSweepWhenWarm{1'000};
constexpr milliseconds kFirstWarmPause{1'000};
constexpr milliseconds kLongestWarmPause{30'000};
// Connections that were opened together are not to be closed together.
constexpr double kAgeJitter = 0.1;

asio::awaitable<bool> IsAlive(HttpsConnection& connection) {
  const auto unasked = connection.Look();
  if (unasked != HttpsConnection::Unasked::kBytes) {
    co_return unasked == HttpsConnection::Unasked::kNothing;
  }
  auto reading = connection.ReadUnasked();
  co_return co_await std::move(reading);
}

}  // namespace

std::shared_ptr<ConnectionPool> ConnectionPool::Make(const asio::any_io_executor& executor,
                                                     Open open, HttpsOptions options,
                                                     CallEnvironment environment) {
  const auto pool = std::make_shared<ConnectionPool>(Private(), executor, std::move(open),
                                                     std::move(options), std::move(environment));
  asio::post(pool->sweep_->executor(), [weak = std::weak_ptr(pool), wakeup = pool->sweep_] {
    asio::co_spawn(wakeup->executor(), RunSweeps(weak, wakeup), asio::detached);
  });
  return pool;
}

ConnectionPool::ConnectionPool(Private, const asio::any_io_executor& executor, Open open,
                               HttpsOptions options, CallEnvironment environment)
    : executor_(executor),
      open_connection_(std::move(open)),
      options_(std::move(options)),
      environment_(std::move(environment)),
      sweep_(std::make_shared<Wakeup>(asio::make_strand(executor))) {}

void ConnectionPool::Stop() {
  Todo todo;
  std::vector<std::shared_ptr<Opening>> openings;
  {
    const std::lock_guard lock(mutex_);
    stopped_ = true;
    openings = openings_;
    for (auto& held : std::exchange(idle_, {})) Close(std::move(held.connection), todo);
  }
  for (const auto& opening : openings) {
    asio::post(opening->strand,
               [opening] { opening->cancellation.emit(asio::cancellation_type::terminal); });
  }
  Wakeup::Wake(sweep_);
  Do(std::move(todo));
}

ConnectionPool::Counts ConnectionPool::counts() const {
  const std::lock_guard lock(mutex_);
  const int waiting = static_cast<int>(waiters_.size()) - static_cast<int>(openings_.size());
  return {open_, static_cast<int>(idle_.size()), std::max(waiting, 0)};
}

std::function<ConnectionPool::Counts()> ConnectionPool::CountsReader() {
  // Idle connections must not outlive their executor.
  return [weak = weak_from_this()] {
    const auto self = weak.lock();
    return self ? self->counts() : Counts();
  };
}

asio::awaitable<absl::StatusOr<ConnectionPool::Lease>> ConnectionPool::Acquire(Deadline deadline) {
  co_await asio::this_coro::throw_if_cancelled(false);
  const auto self = shared_from_this();
  const auto executor = co_await asio::this_coro::executor;
  std::shared_ptr<Waiter> waiter;
  while (!waiter) {
    if (co_await Cancelled()) co_return CancelledError("waiting for a connection to the provider");
    auto claim = TakeOrQueue(executor);
    if (!claim.ok()) co_return claim.status();
    waiter = std::move(claim->waiter);
    if (waiter) continue;
    auto looking = IsAlive(*claim->held.connection);
    if (co_await std::move(looking)) co_return Lease(self, std::move(claim->held), false);
    claim->held.connection.reset();
    Release({});
  }
  co_await waiter->wakeup->WaitUntil(deadline);
  const bool cancelled = co_await Cancelled();
  const std::lock_guard lock(mutex_);
  if (!waiter->granted) {
    waiters_.remove(waiter);
    if (cancelled) co_return CancelledError("waiting for a connection to the provider");
    co_return DeadlineError("waiting for a connection to the provider");
  }
  if (!waiter->error.ok()) co_return waiter->error;
  co_return Lease(self, std::move(waiter->held), waiter->fresh);
}

absl::StatusOr<ConnectionPool::Claim> ConnectionPool::TakeOrQueue(
    const asio::any_io_executor& executor) {
  Claim claim;
  Todo todo;
  absl::Status refusal;
  {
    const std::lock_guard lock(mutex_);
    const Deadline now = environment_.now();
    while (!idle_.empty() && !claim.held.connection) {
      Held held = std::move(idle_.back());
      idle_.pop_back();
      if (IsUsable(held, now)) {
        claim.held = std::move(held);
      } else {
        Close(std::move(held.connection), todo);
      }
    }
    const auto served_soon = static_cast<int>(openings_.size()) + options_.max_connections - open_;
    if (claim.held.connection) {
    } else if (static_cast<int>(waiters_.size()) >= served_soon + options_.max_waiters) {
      refusal = MakeError(
          absl::StatusCode::kResourceExhausted, reason::kOverloaded,
          absl::StrCat("all ", open_, " connections to the provider are in use and ",
                       static_cast<int>(waiters_.size()) - served_soon, " calls wait for one"));
      SetRetryDelay(refusal, milliseconds(500));
    } else {
      claim.waiter = std::make_shared<Waiter>();
      claim.waiter->wakeup = std::make_shared<Wakeup>(executor);
      claim.waiter->number = next_number_++;
      waiters_.push_back(claim.waiter);
      OpenForWaiters(todo);
    }
  }
  Do(std::move(todo));
  if (!refusal.ok()) return refusal;
  return claim;
}

void ConnectionPool::Release(Held held) {
  Todo todo;
  {
    const std::lock_guard lock(mutex_);
    if (held.connection) {
      Put(std::move(held), false, todo);
    } else {
      --open_;
      OpenForWaiters(todo);
    }
  }
  Do(std::move(todo));
}

void ConnectionPool::DropIdle(Deadline idle_since) {
  Todo todo;
  {
    const std::lock_guard lock(mutex_);
    while (!idle_.empty() && idle_.front().idle_since <= idle_since) {
      Close(std::move(idle_.front().connection), todo);
      idle_.pop_front();
    }
  }
  Do(std::move(todo));
}

void ConnectionPool::Opened(const std::shared_ptr<Opening>& opening,
                            absl::StatusOr<Connection> opened) {
  Todo todo;
  {
    const std::lock_guard lock(mutex_);
    std::erase(openings_, opening);
    if (opened.ok()) {
      Held held{*std::move(opened), Deadline::max(), {}};
      if (options_.max_age.count() > 0) {
        const double age = 1 - kAgeJitter * environment_.random();
        held.retire = environment_.now() +
                      std::chrono::duration_cast<Deadline::duration>(options_.max_age * age);
      }
      warm_pause_ = milliseconds(0);
      Put(std::move(held), true, todo);
    } else {
      --open_;
      if (opening->warm) {
        warm_pause_ = std::clamp(warm_pause_ * 2, kFirstWarmPause, kLongestWarmPause);
        warm_after_ = environment_.now() + warm_pause_;
      }
      // Who came while this was being opened gets an opening of its own.
      if (!waiters_.empty() && openings_.size() < waiters_.size() &&
          waiters_.front()->number < opening->number) {
        waiters_.front()->granted = true;
        waiters_.front()->error = opened.status();
        Wakeup::Wake(waiters_.front()->wakeup);
        waiters_.pop_front();
      }
      OpenForWaiters(todo);
    }
  }
  Do(std::move(todo));
}

// Closes what has been idle too long or is too old, and opens what shall be warm.
void ConnectionPool::Sweep() {
  Todo todo;
  {
    const std::lock_guard lock(mutex_);
    const Deadline now = environment_.now();
    for (auto& held : std::exchange(idle_, {})) {
      if (IsUsable(held, now)) {
        idle_.push_back(std::move(held));
      } else {
        Close(std::move(held.connection), todo);
      }
    }
    OpenWarm(now, todo);
  }
  Do(std::move(todo));
}

milliseconds ConnectionPool::SweepInterval() const {
  milliseconds shortest = options_.idle_timeout;
  if (options_.max_age.count() > 0) shortest = std::min(shortest, options_.max_age);
  const auto interval = std::max(shortest / 4, kShortestSweep);
  return options_.warm_connections > 0 ? std::min(interval, kLongestSweepWhenWarm) : interval;
}

void ConnectionPool::Do(Todo todo) {
  for (auto& connection : todo.closing) HttpsConnection::Close(std::move(connection));
  for (const auto& opening : todo.opening) {
    // On its strand, where Stop calls it off.
    asio::post(opening->strand, [self = shared_from_this(), opening] {
      // The signal is needed for longer than the coroutine.
      auto done = [self, opening](const std::exception_ptr& exception,
                                  absl::StatusOr<Connection> opened) {
        if (exception) {
          opened = MakeError(absl::StatusCode::kInternal, reason::kInternal,
                             "the gateway failed while it connected to the provider");
        }
        self->Opened(opening, std::move(opened));
      };
      asio::co_spawn(opening->strand, RunOpening(self, opening->warm),
                     asio::bind_cancellation_slot(opening->cancellation.slot(), std::move(done)));
    });
  }
}

asio::awaitable<absl::StatusOr<ConnectionPool::Connection>> ConnectionPool::RunOpening(
    std::shared_ptr<ConnectionPool> self, bool warm) {
  co_await asio::this_coro::throw_if_cancelled(false);
  bool stopped = false;
  {
    const std::lock_guard lock(self->mutex_);
    stopped = self->stopped_;
  }
  if (stopped) co_return CancelledError("connecting to the provider");
  auto connecting = self->open_connection_();
  auto opened = co_await std::move(connecting);
  if (!opened.ok() && warm) {
    spdlog::debug("no connection to the provider kept warm: {}",
                  std::string(opened.status().message()));
  }
  co_return opened;
}

asio::awaitable<void> ConnectionPool::RunSweeps(std::weak_ptr<ConnectionPool> weak,
                                                std::shared_ptr<Wakeup> wakeup) {
  for (;;) {
    asio::awaitable<void> waiting;
    {
      const auto self = weak.lock();
      if (!self) co_return;
      self->Sweep();
      const std::lock_guard lock(self->mutex_);
      if (self->stopped_) co_return;
      // A wake that comes from now on waits for this strand.
      const auto next = self->environment_.now() + self->SweepInterval();
      waiting = self->environment_.wait(wakeup, next);
    }
    co_await std::move(waiting);
  }
}

void ConnectionPool::Put(Held held, bool fresh, Todo& todo) {
  const Deadline now = environment_.now();
  held.idle_since = now;
  if (stopped_ || now >= held.retire) {
    Close(std::move(held.connection), todo);
    OpenForWaiters(todo);
  } else if (!waiters_.empty()) {
    const auto waiter = std::move(waiters_.front());
    waiters_.pop_front();
    waiter->granted = true;
    waiter->fresh = fresh;
    waiter->held = std::move(held);
    Wakeup::Wake(waiter->wakeup);
  } else {
    idle_.push_back(std::move(held));
  }
}

void ConnectionPool::OpenForWaiters(Todo& todo) {
  while (!stopped_ && openings_.size() < waiters_.size() && open_ < options_.max_connections) {
    BeginOpening(false, todo);
  }
}

// Before the ones that are there have been idle too long, so that it is never without.
void ConnectionPool::OpenWarm(Deadline now, Todo& todo) {
  if (stopped_ || options_.idle_timeout.count() == 0 || now < warm_after_) return;
  const Deadline next = now + SweepInterval();
  const auto usable = [&](const Held& held) { return IsUsable(held, next); };
  const auto ending =
      static_cast<std::ptrdiff_t>(idle_.size()) - std::count_if(idle_.begin(), idle_.end(), usable);
  const auto lasting = open_ - static_cast<int>(ending);
  for (int missing = options_.warm_connections - lasting;
       missing > 0 && open_ < options_.max_connections; --missing) {
    BeginOpening(true, todo);
  }
}

void ConnectionPool::BeginOpening(bool warm, Todo& todo) {
  const auto opening = std::make_shared<Opening>(executor_);
  opening->number = next_number_++;
  opening->warm = warm;
  ++open_;
  openings_.push_back(opening);
  todo.opening.push_back(opening);
}

void ConnectionPool::Close(Connection connection, Todo& todo) {
  --open_;
  todo.closing.push_back(std::move(connection));
}

bool ConnectionPool::IsUsable(const Held& held, Deadline now) const {
  return now - held.idle_since < options_.idle_timeout && now < held.retire;
}

ConnectionPool::Lease::Lease(std::shared_ptr<ConnectionPool> pool, Held held, bool fresh)
    : pool_(std::move(pool)), held_(std::move(held)), fresh_(fresh) {}

ConnectionPool::Lease::~Lease() {
  if (pool_) {
    held_.connection.reset();
    pool_->Release({});
  }
}

void ConnectionPool::Lease::Recycle() {
  const auto pool = std::move(pool_);
  pool->Release(std::move(held_));
}

void ConnectionPool::Lease::Distrust() { pool_->DropIdle(held_.idle_since); }

}  // namespace leasegateway
