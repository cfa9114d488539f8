#include "upstream/resilience/rate_queue.h"

#include <algorithm>
#include <atomic>
#include <boost/asio/this_coro.hpp>
#include <chrono>
#include <mutex>
#include <utility>

#include "upstream/cancellation.h"
#include "upstream/resilience/fair_line.h"
#include "upstream/upstream_error.h"

namespace leasegateway {
namespace {

namespace asio = boost::asio;
using std::chrono::milliseconds;
using Duration = RateLimiter::Duration;

// The longest wait for a token.
constexpr auto kMaxTokenWait = milliseconds(1'000);
constexpr char kDoing[] = "waiting for the provider's rate limit";

absl::Status TokenRefused(Duration wait) {
  auto status =
      MakeError(absl::StatusCode::kResourceExhausted, reason::kUpstreamRateLimited,
                "the gateway keeps under the provider's rate limit", {{"request_sent", "false"}});
  SetRetryDelay(status, std::chrono::ceil<milliseconds>(wait));
  return status;
}

absl::Status TokenNotNeeded(absl::Status status) {
  AddMetadata(status, "request_sent", "false");
  return status;
}

}  // namespace

struct RateQueue::State {
  struct Waiter;
  using Line = FairLine<std::shared_ptr<Waiter>>;
  struct Waiter {
    std::shared_ptr<Wakeup> wakeup;
    Line::Place place;
  };

  State(double rate, CallEnvironment call_environment)
      : environment(std::move(call_environment)), limiter(rate) {}

  // With the lock held, as all below. How long one who joins now would wait.
  Duration EstimatedWait(const std::string& share, TimePoint now) {
    const double rate = limiter.rate(now);
    if (rate == 0) return limiter.Wait(now);
    const auto before = static_cast<double>(line.Turns(share) - 1);
    return limiter.Wait(now) +
           std::chrono::duration_cast<Duration>(std::chrono::duration<double>(before / rate));
  }
  // The first one looks after the limiter, so whoever is first then has to hear of it.
  void Leave(const Waiter& waiter, bool had_turn) {
    line.Leave(waiter.place, had_turn);
    waiting.store(line.size(), std::memory_order_relaxed);
    if (!line.empty()) Wakeup::Wake(line.front()->wakeup);
  }

  const CallEnvironment environment;
  RateLimiter limiter;
  std::atomic<std::size_t> waiting{0};  // the line's size
  std::mutex mutex;                     // guards the line
  Line line;
};

RateQueue::RateQueue(double rate, CallEnvironment environment)
    : state_(std::make_shared<State>(rate, std::move(environment))) {}

RateLimiter& RateQueue::limiter() { return state_->limiter; }

bool RateQueue::TakeNow(TimePoint now) {
  return state_->waiting.load(std::memory_order_relaxed) == 0 &&
         state_->limiter.Take(now, Duration(0)).granted;
}

asio::awaitable<absl::Status> RateQueue::Take(TimePoint deadline, bool background,
                                              std::string share) {
  const auto state = state_;
  const auto now = state->environment.now();
  if (background) return TakePromised(state, Duration(0));
  if (share.empty()) return TakePromised(state, std::min<Duration>(kMaxTokenWait, deadline - now));
  return TakeInTurn(state, deadline, std::move(share));
}

asio::awaitable<absl::Status> RateQueue::TakePromised(std::shared_ptr<State> state,
                                                      Duration patience) {
  co_await asio::this_coro::throw_if_cancelled(false);
  const auto now = state->environment.now();
  if (patience == Duration(0) && state->waiting.load(std::memory_order_relaxed) > 0) {
    co_return TokenRefused(state->limiter.Wait(now));
  }
  const auto token = state->limiter.Take(now, patience);
  if (!token.granted) co_return TokenRefused(token.wait);
  if (token.wait == Duration(0)) co_return absl::OkStatus();
  const auto wakeup = std::make_shared<Wakeup>(co_await asio::this_coro::executor);
  auto waiting = state->environment.wait(wakeup, now + token.wait);
  co_await std::move(waiting);
  if (co_await Cancelled()) {
    state->limiter.GiveBack();
    co_return TokenNotNeeded(CancelledError(kDoing));
  }
  co_return absl::OkStatus();
}

asio::awaitable<absl::Status> RateQueue::TakeInTurn(std::shared_ptr<State> state,
                                                    TimePoint deadline, std::string share) {
  co_await asio::this_coro::throw_if_cancelled(false);
  const auto waiter = std::make_shared<State::Waiter>();
  waiter->wakeup = std::make_shared<Wakeup>(co_await asio::this_coro::executor);
  const auto begun = state->environment.now();
  const auto patience = std::min<Duration>(kMaxTokenWait, deadline - begun);
  // Others may come whose turn is before.
  const auto give_up = std::min(deadline, begun + 2 * patience);
  {
    const std::lock_guard lock(state->mutex);
    const auto estimated = state->EstimatedWait(share, begun);
    if (estimated > patience) co_return TokenRefused(estimated);
    waiter->place = state->line.Join(share, waiter);
    state->waiting.store(state->line.size(), std::memory_order_relaxed);
  }
  for (bool cancelled = false;;) {
    TimePoint until = give_up;
    {
      const std::lock_guard lock(state->mutex);
      const auto now = state->environment.now();
      if (cancelled || now >= give_up) {
        state->Leave(*waiter, false);
        if (cancelled) co_return TokenNotNeeded(CancelledError(kDoing));
        if (now >= deadline) co_return TokenNotNeeded(DeadlineError(kDoing));
        co_return TokenRefused(state->EstimatedWait(share, now));
      }
      if (state->line.front() == waiter) {
        const auto token = state->limiter.Take(now, Duration(0));
        if (token.granted) {
          state->Leave(*waiter, true);
          co_return absl::OkStatus();
        }
        until = std::min(give_up, now + token.wait);
      }
    }
    auto waiting = state->environment.wait(waiter->wakeup, until);
    co_await std::move(waiting);
    cancelled = co_await Cancelled();
  }
}

}  // namespace leasegateway
