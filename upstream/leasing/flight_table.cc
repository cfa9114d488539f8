#include "upstream/leasing/flight_table.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/this_coro.hpp>
#include <exception>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "upstream/cancellation.h"
#include "upstream/upstream_error.h"

namespace leasegateway {

namespace asio = boost::asio;
using std::chrono::milliseconds;

FlightTable::FlightTable(asio::any_io_executor executor, CallEnvironment environment, Limits limits,
                         Life life)
    : executor_(std::move(executor)),
      environment_(std::move(environment)),
      limits_(limits),
      life_(std::move(life)) {}

asio::awaitable<absl::StatusOr<Outcome>> FlightTable::Execute(CallContext context,
                                                              std::string fingerprint,
                                                              Arguments arguments) {
  co_await asio::this_coro::throw_if_cancelled(false);
  const asio::any_io_executor executor = co_await asio::this_coro::executor;
  const auto waiter = std::make_shared<Wakeup>(executor);
  context.stats->cache.emplace();
  auto entering = Enter(context, std::move(fingerprint), std::move(arguments), waiter);
  const Found found = co_await std::move(entering);
  if (found.answer) {
    if (found.answer->ok()) context.stats->settled_at = (*found.answer)->settled_at;
    co_return *found.answer;
  }
  if (found.created) Launch(found.flight, life_);

  const auto left = context.deadline - environment_.now();
  const auto margin = std::clamp<TimePoint::duration>(left / 8, milliseconds(0), limits_.margin);
  auto waiting = environment_.wait(waiter, context.deadline - margin);
  co_await std::move(waiting);
  const bool cancelled = co_await Cancelled();
  auto outcome = found.flight->Leave(waiter, cancelled);
  if (outcome.ok()) context.stats->settled_at = outcome->settled_at;
  if (outcome.ok() && found.created) {
    context.stats->attempts += found.flight->stats()->attempts;
    context.stats->upstream_request_id = outcome->metadata.upstream_request_id();
  }
  co_return outcome;
}

// Two requests of one name may come together, before the journal has said whose it is. The one that
// is there can be the mistaken one, which ends then, and the other one hears of it.
asio::awaitable<FlightTable::Found> FlightTable::Enter(CallContext context, std::string fingerprint,
                                                       Arguments arguments,
                                                       std::shared_ptr<Wakeup> waiter) {
  const asio::any_io_executor executor = co_await asio::this_coro::executor;
  for (;;) {
    Found found = FindOrBegin(context, fingerprint, arguments, waiter, executor);
    if (!found.rival) co_return found;
    auto outliving = environment_.wait(found.rival, context.deadline);
    co_await std::move(outliving);
    const std::string doing = "another request was using the request_id";
    if (co_await Cancelled()) {
      found.answer = NotSentError(CancelledError(doing));
      co_return found;
    }
    if (environment_.now() >= context.deadline) {
      found.answer = NotSentError(DeadlineError(doing));
      co_return found;
    }
  }
}

FlightTable::Found FlightTable::FindOrBegin(const CallContext& context,
                                            const std::string& fingerprint,
                                            const Arguments& arguments,
                                            const std::shared_ptr<Wakeup>& waiter,
                                            const asio::any_io_executor& executor) {
  Found found;
  const std::lock_guard lock(mutex_);
  if (*stopped_) {
    found.answer = StoppingError();
    return found;
  }
  if (const auto at = flights_.find(context.request_id); at != flights_.end()) {
    found.flight = at->second;
    auto rival = std::make_shared<Wakeup>(executor);
    const auto is_for = found.flight->IsFor(context, fingerprint, rival);
    if (!is_for) {
      found.rival = std::move(rival);
      return found;
    }
    if (!*is_for) {
      found.answer = RequestIdReusedError(context.request_id);
      return found;
    }
  } else {
    if (!HasRoom(context.share)) {
      found.answer = TooManyError();
      return found;
    }
    found.created = true;
    found.flight = MakeFlight({context.request_id, fingerprint, context.call_id, context.caller,
                               context.identity_kind, context.sees_all_operations, context.trace,
                               context.share});
    flights_[context.request_id] = found.flight;
    if (!context.share.empty()) ++by_share_[context.share];
  }
  if (auto outcome = found.flight->Join(arguments, context.deadline, waiter,
                                        {context.caller, context.spending})) {
    found.answer = *std::move(outcome);
  }
  return found;
}

bool FlightTable::HasRoom(const std::string& share) const {
  if (flights_.size() >= limits_.max_open) return false;
  if (share.empty()) return true;
  const auto found = by_share_.find(share);
  const std::size_t own = found == by_share_.end() ? 0 : found->second;
  return own < limits_.max_open - flights_.size();
}

absl::Status FlightTable::TooManyError() const {
  auto status = MakeError(absl::StatusCode::kResourceExhausted, reason::kOverloaded,
                          absl::StrCat(flights_.size(), " operations are open already"),
                          {{"request_sent", "false"}});
  SetRetryDelay(status, milliseconds(1'000));
  return status;
}

std::shared_ptr<Flight> FlightTable::MakeFlight(Flight::Identity identity) const {
  return std::make_shared<Flight>(executor_, environment_, std::move(identity), stopped_);
}

bool FlightTable::Resume(const std::shared_ptr<Flight>& flight, Life life) {
  {
    const std::lock_guard lock(mutex_);
    if (*stopped_ || !flights_.try_emplace(flight->identity().request_id, flight).second) {
      return false;
    }
  }
  Launch(flight, life);
  return true;
}

void FlightTable::Launch(const std::shared_ptr<Flight>& flight, const Life& life) {
  auto ended = [self = shared_from_this(), flight](std::exception_ptr exception) {
    if (exception) {
      const std::string& request_id = flight->identity().request_id;
      spdlog::error("operation {}: the gateway failed; it stays open until the next start",
                    request_id);
      flight->Publish({OutcomeUnknownError(request_id, "the gateway failed"), {}, {}});
    }
    self->End(*flight);
  };
  // From the strand, so that a cancellation posted later finds the slot connected.
  asio::post(flight->strand(), [flight, life, ended = std::move(ended)] {
    asio::co_spawn(flight->strand(), life(flight),
                   asio::bind_cancellation_slot(flight->cancellation().slot(), ended));
  });
}

void FlightTable::End(Flight& flight) {
  const std::lock_guard lock(mutex_);
  const auto ended = flights_.find(flight.identity().request_id);
  if (ended != flights_.end()) {
    const auto own = by_share_.find(ended->second->identity().share);
    if (own != by_share_.end() && --own->second == 0) by_share_.erase(own);
    flights_.erase(ended);
  }
  flight.WakeRivals();
  if (flights_.empty()) all_ended_.notify_all();
}

void FlightTable::Stop() {
  std::vector<std::shared_ptr<Flight>> stopping;
  {
    const std::lock_guard lock(mutex_);
    *stopped_ = true;
    for (const auto& [id, flight] : flights_) stopping.push_back(flight);
  }
  for (const auto& flight : stopping) Flight::Cancel(flight);
  std::unique_lock lock(mutex_);
  all_ended_.wait(lock, [this] { return flights_.empty(); });
}

std::size_t FlightTable::size() const {
  const std::lock_guard lock(mutex_);
  return flights_.size();
}

std::optional<FlightTable::TimePoint::duration> FlightTable::oldest() const {
  const std::lock_guard lock(mutex_);
  if (flights_.empty()) return std::nullopt;
  TimePoint began = TimePoint::max();
  for (const auto& [id, flight] : flights_) began = std::min(began, flight->began());
  return environment_.now() - began;
}

}  // namespace leasegateway
