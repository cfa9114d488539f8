#include "upstream/resilience/admission_queue.h"

#include <algorithm>
#include <boost/asio/this_coro.hpp>
#include <mutex>
#include <utility>

#include "absl/strings/str_cat.h"
#include "upstream/resilience/fair_line.h"
#include "upstream/upstream_error.h"
#include "upstream/wakeup.h"

namespace leasegateway {

namespace asio = boost::asio;
using std::chrono::milliseconds;

struct AdmissionQueue::State {
  struct Waiter;
  using Line = FairLine<std::shared_ptr<Waiter>>;
  struct Waiter {
    enum class Result { kWaiting, kGranted, kLeft };
    std::shared_ptr<Wakeup> wakeup;
    TimePoint deadline;
    bool background = false;
    Result result = Result::kWaiting;
    Line::Place place;  // while waiting
  };

  State(const Options& queue_options, CallEnvironment call_environment)
      : options(queue_options), environment(std::move(call_environment)) {}

  // With the lock held, as all below.
  int Waiting() const { return static_cast<int>(callers.size() + background.size()); }

  Duration LongestWait() const {
    if (service_time == Duration(0)) return options.max_wait;
    return std::clamp<Duration>(service_time, options.min_wait, options.max_wait);
  }

  // Of a call that would join now.
  Duration EstimatedWait(bool is_background, const std::string& share) const {
    const auto ahead =
        is_background ? callers.size() + background.size() + 1 : callers.Turns(share);
    return service_time * static_cast<Duration::rep>(ahead) / options.max_in_flight;
  }

  absl::Status Overloaded(Duration estimated) const {
    auto status = MakeError(absl::StatusCode::kResourceExhausted, reason::kOverloaded,
                            absl::StrCat(in_flight, " calls to the provider are under way and ",
                                         Waiting(), " wait: the gateway is overloaded"),
                            {{"request_sent", "false"}});
    SetRetryDelay(
        status, std::chrono::ceil<milliseconds>(std::max<Duration>(estimated, milliseconds(100))));
    return status;
  }

  Line& LineOf(bool is_background) { return is_background ? background : callers; }

  // Makes room in a full line for a call that joins: who waits least rightly is sent away. False:
  // nobody is.
  bool MakeRoom(bool is_background, const std::string& share) {
    if (is_background) return false;
    const auto* const last = background.empty() ? callers.LastOfLongest(share) : background.last();
    if (last == nullptr) return false;
    const auto leaving = *last;
    Leave(leaving, Waiter::Result::kLeft);
    Wakeup::Wake(leaving->wakeup);
    return true;
  }

  void Leave(const std::shared_ptr<Waiter>& waiter, Waiter::Result result) {
    waiter->result = result;
    LineOf(waiter->background).Leave(waiter->place, result == Waiter::Result::kGranted);
  }

  // A place came free. Goes to the first whose deadline has not passed.
  void Release(TimePoint now) {
    while (Waiting() > 0) {
      const auto waiter = callers.empty() ? background.front() : callers.front();
      const bool late = waiter->deadline <= now;
      Leave(waiter, late ? Waiter::Result::kLeft : Waiter::Result::kGranted);
      Wakeup::Wake(waiter->wakeup);
      if (!late) return;
    }
    --in_flight;
  }

  const Options options;
  const CallEnvironment environment;
  mutable std::mutex mutex;  // guards all below
  int in_flight = 0;
  Line callers;
  Line background;
  Duration service_time{0};
};

AdmissionQueue::AdmissionQueue(const Options& options, CallEnvironment environment)
    : state_(std::make_shared<State>(options, std::move(environment))) {}

AdmissionQueue::Place::~Place() {
  if (!queue_) return;
  const auto now = queue_->environment.now();
  const std::lock_guard lock(queue_->mutex);
  queue_->Release(now);
}

void AdmissionQueue::Place::Served(Duration time) {
  const std::lock_guard lock(queue_->mutex);
  auto& mean = queue_->service_time;
  mean = mean == Duration(0) ? time : mean + (time - mean) / 16;
}

AdmissionQueue::Duration AdmissionQueue::service_time() const {
  const std::lock_guard lock(state_->mutex);
  return state_->service_time;
}

AdmissionQueue::Counts AdmissionQueue::counts() const {
  const std::lock_guard lock(state_->mutex);
  return {state_->in_flight, state_->Waiting()};
}

asio::awaitable<absl::StatusOr<AdmissionQueue::Place>> AdmissionQueue::Enter(TimePoint deadline,
                                                                             bool background,
                                                                             std::string share) {
  using Waiter = State::Waiter;
  co_await asio::this_coro::throw_if_cancelled(false);
  const auto state = state_;
  const auto executor = co_await asio::this_coro::executor;
  const auto begun = state->environment.now();
  const auto waiter = std::make_shared<Waiter>();
  TimePoint give_up;
  {
    const std::lock_guard lock(state->mutex);
    if (state->in_flight < state->options.max_in_flight) {
      ++state->in_flight;
      co_return Place(state);
    }
    const Duration estimated = state->EstimatedWait(background, share);
    if (estimated > state->LongestWait() || begun + estimated >= deadline) {
      co_return state->Overloaded(estimated);
    }
    if (state->Waiting() >= state->options.max_waiting && !state->MakeRoom(background, share)) {
      co_return state->Overloaded(estimated);
    }
    // Twice the estimate's limit: the mean is none for half of the calls.
    give_up = std::min(deadline, begun + 2 * state->LongestWait());
    waiter->wakeup = std::make_shared<Wakeup>(executor);
    waiter->deadline = deadline;
    waiter->background = background;
    // Nobody waits for a background call, so it has no share either.
    waiter->place = state->LineOf(background).Join(background ? std::string() : share, waiter);
  }
  auto waiting = state->environment.wait(waiter->wakeup, give_up);
  co_await std::move(waiting);
  const auto cancelled = (co_await asio::this_coro::cancellation_state).cancelled();
  const auto now = state->environment.now();
  absl::Status status;
  {
    const std::lock_guard lock(state->mutex);
    if (waiter->result == Waiter::Result::kGranted) co_return Place(state);
    if (waiter->result == Waiter::Result::kWaiting) state->Leave(waiter, Waiter::Result::kLeft);
    status = state->Overloaded(state->EstimatedWait(background, share));
  }
  if (cancelled != asio::cancellation_type::none) {
    status = CancelledError("waiting for a connection to the provider");
  } else if (now >= deadline) {
    status = DeadlineError("waiting for a connection to the provider");
  }
  AddMetadata(status, "request_sent", "false");
  co_return status;
}

}  // namespace leasegateway
