#include "upstream/leasing/flight.h"

#include <algorithm>
#include <boost/asio/post.hpp>
#include <utility>

#include "upstream/leasing/journal/journal_words.h"
#include "upstream/upstream_error.h"

namespace leasegateway {

namespace asio = boost::asio;

namespace {

constexpr char kNothingDone[] = "nothing had been done yet";

}  // namespace

Outcome Replayed(const v1::Operation& operation) {
  Outcome outcome;
  if (operation.state() != v1::OPERATION_STATE_SUCCEEDED) {
    outcome.status = FromProto(operation.error());
  }
  outcome.operation = operation;
  outcome.settled_at = FromNanos(ToNanos(operation.update_time()));
  outcome.metadata.set_upstream_request_id(operation.upstream_request_id());
  return outcome;
}

Flight::Flight(const asio::any_io_executor& executor, CallEnvironment environment,
               Identity identity, std::shared_ptr<const std::atomic<bool>> stopped)
    : strand_(asio::make_strand(executor)),
      environment_(std::move(environment)),
      identity_(std::move(identity)),
      stopped_(std::move(stopped)) {}

// --- callers ------------------------------------------------------------------------------------

std::optional<Outcome> Flight::Join(Arguments arguments, TimePoint deadline,
                                    std::shared_ptr<Wakeup> waiter, Buyer buyer) {
  const std::lock_guard lock(mutex_);
  if (done_) return outcome_;
  if (!arguments_) {
    arguments_ = std::move(arguments);
    buyer_ = std::move(buyer);
  }
  deadline_ = std::max(deadline_, deadline);
  if (nap_) Wakeup::Wake(nap_);
  waiters_.push_back(std::move(waiter));
  return std::nullopt;
}

absl::StatusOr<Outcome> Flight::Leave(const std::shared_ptr<Wakeup>& waiter, bool cancelled) {
  const std::lock_guard lock(mutex_);
  if (done_) return outcome_;
  std::erase(waiters_, waiter);
  if (sent_) return OutcomeUnknownError(identity_.request_id, "the deadline came first");
  return NotSentError(cancelled ? CancelledError(kNothingDone) : DeadlineError(kNothingDone));
}

std::optional<bool> Flight::IsFor(const CallContext& context, const std::string& fingerprint,
                                  std::shared_ptr<Wakeup> rival) {
  const bool is_same = identity_.fingerprint == fingerprint;
  const bool sees_all = context.sees_all_operations;
  const std::lock_guard lock(mutex_);
  if (owner_) return is_same && (sees_all || context.caller == *owner_);
  // Whoever has the request_id, what the first caller is told holds for this one.
  if (is_same && sees_all == identity_.sees_all_operations &&
      (sees_all || context.caller == identity_.caller)) {
    return true;
  }
  rivals_.push_back(std::move(rival));
  return std::nullopt;
}

void Flight::WakeRivals() {
  const std::lock_guard lock(mutex_);
  WakeRivalsLocked();
}

void Flight::WakeRivalsLocked() {
  for (auto& rival : rivals_) Wakeup::Wake(std::move(rival));
  rivals_.clear();
}

// --- the life -----------------------------------------------------------------------------------

void Flight::OwnId(std::string caller) {
  const std::lock_guard lock(mutex_);
  owner_ = std::move(caller);
  WakeRivalsLocked();
}

const Arguments* Flight::arguments() const {
  const std::lock_guard lock(mutex_);
  return arguments_ ? &*arguments_ : nullptr;
}

Flight::Buyer Flight::buyer() const {
  const std::lock_guard lock(mutex_);
  return buyer_;
}

Flight::TimePoint Flight::deadline() const {
  const std::lock_guard lock(mutex_);
  return deadline_;
}

std::optional<Flight::TimePoint> Flight::AwaitedUntil() const {
  const TimePoint now = environment_.now();
  const std::lock_guard lock(mutex_);
  if (waiters_.empty() || deadline_ <= now) return std::nullopt;
  return deadline_;
}

bool Flight::IsWantedLocked(TimePoint then) const {
  return !IsStopped() && !waiters_.empty() && then < deadline_ && arguments_.has_value();
}

bool Flight::IsWanted(TimePoint then) const {
  const std::lock_guard lock(mutex_);
  return IsWantedLocked(then);
}

bool Flight::MaySend() {
  const std::lock_guard lock(mutex_);
  if (!IsWantedLocked(environment_.now())) return false;
  sent_ = true;
  return true;
}

void Flight::SetSent(bool sent) {
  const std::lock_guard lock(mutex_);
  sent_ = sent;
}

absl::Status Flight::WhyNotSent() const {
  const std::lock_guard lock(mutex_);
  if (IsStopped()) return StoppingError();
  return NotSentError(waiters_.empty() && environment_.now() < deadline_
                          ? CancelledError(kNothingDone)
                          : DeadlineError(kNothingDone));
}

asio::awaitable<void> Flight::NapUntil(std::shared_ptr<Flight> flight, TimePoint until) {
  const auto wakeup = std::make_shared<Wakeup>(flight->strand_);
  {
    const std::lock_guard lock(flight->mutex_);
    if (flight->IsStopped()) co_return;
    flight->nap_ = wakeup;
  }
  auto waiting = flight->environment_.wait(wakeup, until);
  co_await std::move(waiting);
  const std::lock_guard lock(flight->mutex_);
  flight->nap_.reset();
}

asio::awaitable<void> Flight::Nap(std::shared_ptr<Flight> flight,
                                  std::chrono::milliseconds longest) {
  const CallEnvironment& environment = flight->environment_;
  const auto pause =
      std::chrono::duration_cast<TimePoint::duration>(std::chrono::duration<double, std::milli>(
          static_cast<double>(longest.count()) * (0.5 + 0.5 * environment.random())));
  const TimePoint until = environment.now() + pause;
  return NapUntil(std::move(flight), until);
}

void Flight::Publish(Outcome outcome) {
  const std::lock_guard lock(mutex_);
  if (done_) return;
  done_ = true;
  outcome_ = std::move(outcome);
  for (auto& waiter : waiters_) Wakeup::Wake(std::move(waiter));
  waiters_.clear();
}

void Flight::Cancel(const std::shared_ptr<Flight>& flight) {
  asio::post(flight->strand_,
             [flight] { flight->cancellation_.emit(asio::cancellation_type::terminal); });
}

}  // namespace leasegateway
