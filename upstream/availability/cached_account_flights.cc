// The flights of CachedAccount: how memory is filled and kept fresh.

#include <spdlog/spdlog.h>

#include <algorithm>
#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/dispatch.hpp>
#include <exception>
#include <utility>

#include "upstream/availability/cached_account.h"
#include "upstream/availability/leases_reply.h"
#include "upstream/availability/list_delta.h"
#include "upstream/upstream_error.h"

namespace leasegateway {

namespace asio = boost::asio;
using std::chrono::milliseconds;

namespace {

// Of a list that the provider has confirmed: it is that of its exchange still, and as new as this
// one.
v1::ResponseMetadata Confirmed(v1::ResponseMetadata metadata, const v1::ResponseMetadata& now) {
  *metadata.mutable_fetch_time() = now.fetch_time();
  return metadata;
}

// An answer that can't be read, or a refusal other than of so many requests: perhaps it is what the
// list was asked for with that is at fault (RFC 9110, 13), so all of it is asked for then.
bool MakesVoid(const absl::Status& status) {
  const std::string http_status = MetadataOf(status)["http_status"];
  return ReasonOf(status) == reason::kUpstreamMalformed ||
         (http_status.starts_with('4') && http_status != "429");
}

}  // namespace

template <typename Value>
std::shared_ptr<ReadFlight<Value>> CachedAccount::PrepareLocked(
    const std::shared_ptr<Cell<Value>>& cell, const std::string& key, const CallContext* caller,
    Launch* launch) {
  auto running = std::make_shared<CancellableStrand>(environment_.executor);
  active_.insert(running);
  auto flight = std::make_shared<ReadFlight<Value>>();
  flight->stamp = {environment_.now(), writes_.count()};
  flight->running = running;
  flight->refreshes = caller == nullptr;
  cell->flight = flight;
  CallContext context;
  context.deadline = std::chrono::steady_clock::now() + kFlightTimeout;
  if (caller != nullptr && caller->max_staleness == milliseconds(0) &&
      caller->deadline < context.deadline) {
    flight->until = context.deadline = caller->deadline;
  }
  if (shared_ && caller != nullptr) context.max_staleness = caller->max_staleness;
  context.background = caller == nullptr || caller->background;
  // A list for all who come meanwhile waits in nobody's turn.
  if (caller != nullptr && (!key.empty() || caller->max_staleness)) context.share = caller->share;
  context.call_id = caller != nullptr ? caller->call_id : "refresh";
  context.trace = caller != nullptr ? caller->trace : nullptr;
  if (!context.trace) context.trace = std::make_shared<const TraceContext>(NewTrace());
  context.stats = flight->stats;
  *launch = [self = shared_from_this(), cell, key, flight, running, context = std::move(context)] {
    auto landed = [self, cell, flight](std::exception_ptr exception, Result<Value> result) {
      if (exception) {
        result = MakeError(absl::StatusCode::kInternal, reason::kInternal,
                           "the gateway failed while it read from the provider");
      }
      self->Land(cell, *flight, std::move(result));
    };
    // From the strand, so that a cancellation posted later finds the slot connected. One posted
    // earlier is lost.
    asio::dispatch(running->strand, [self, cell, key, flight, running, context,
                                     landed = std::move(landed)]() mutable {
      if (self->IsStopped()) return landed(nullptr, CancelledError("reading from the provider"));
      asio::co_spawn(running->strand, Fetch(self, cell, key, std::move(context), flight->stamp),
                     asio::bind_cancellation_slot(running->cancellation.slot(), landed));
    });
  };
  return flight;
}

template <typename Value>
void CachedAccount::Land(const std::shared_ptr<Cell<Value>>& cell, ReadFlight<Value>& flight,
                         Result<Value> result) {
  Launch schedule;
  {
    const std::lock_guard lock(mutex_);
    active_.erase(flight.running);
    flight.Land(std::move(result));
    if (cell->flight.get() == &flight) cell->flight.reset();
    CacheStats::Refreshes& refreshes = RefreshesOf(*cell);
    if (flight.result.ok()) {
      ++refreshes.ok;
      cell->pace.Succeeded();
    } else if (flight.IsGivenUp()) {
      ++refreshes.given_up;
    } else {
      ++refreshes.failed;
      cell->pace.Failed(environment_.now(),
                        IsOutage(flight.result.status()) && !flight.HasYielded(), policy_,
                        environment_.random());
    }
    flight.WakeAll();
    schedule = ScheduleRefreshLocked(cell);
  }
  if (schedule) schedule();
}

template <typename Value>
void CachedAccount::AbandonIfAloneLocked(Cell<Value>& cell,
                                         const std::shared_ptr<ReadFlight<Value>>& flight) {
  if (flight->refreshes || flight->done || !flight->waiters.empty()) return;
  flight->abandoned = true;
  if (cell.flight == flight) cell.flight.reset();  // who comes now begins another
  CancellableStrand::Cancel(flight->running);
}

template <typename Value>
CachedAccount::Launch CachedAccount::ScheduleRefreshLocked(
    const std::shared_ptr<Cell<Value>>& cell) {
  if constexpr (std::is_same_v<Value, NumberValue>) {
    return nullptr;
  } else {
    if (cell->refresh_scheduled || stopped_ || policy_.fresh.count() == 0) return nullptr;
    cell->refresh_scheduled = true;
    const TimePoint now = environment_.now();
    // Before it goes stale, and not in step with other gateways.
    auto pause =
        shared_
            ? SharedPauseLocked(*cell)
            : milliseconds(static_cast<std::int64_t>(static_cast<double>(policy_.fresh.count()) *
                                                     (0.75 + 0.2 * environment_.random())));
    if (cell->pace.is_failing()) {
      const auto rest = std::chrono::ceil<milliseconds>(cell->pace.retry_at() - now);
      pause = shared_ ? std::max(pause, rest) : rest;
    }
    return [this, cell, pause] {
      environment_.after(std::max(pause, milliseconds(1)), [weak = weak_from_this(), cell] {
        if (const auto self = weak.lock()) self->RefreshDue(cell);
      });
    };
  }
}

template <typename Value>
bool CachedAccount::IsIdle(const Cell<Value>& cell) const {
  // A list that another replica has brought may never have been read.
  return cell.last_used == TimePoint::min() || environment_.now() - cell.last_used > policy_.idle;
}

template <typename Value>
void CachedAccount::RefreshDue(const std::shared_ptr<Cell<Value>>& cell) {
  Launch launch;
  {
    const std::lock_guard lock(mutex_);
    cell->refresh_scheduled = false;
    if (stopped_) return;
    if (cell->flight && !cell->flight->until && !IsIdle(*cell)) {
      cell->flight->refreshes = true;
      return;  // its end schedules the next
    }
    if (!IsIdle(*cell)) {
      // A reader's request has failed meanwhile, or another replica's has succeeded.
      if (environment_.now() < cell->pace.retry_at() || (shared_ && !IsSharedDueLocked(*cell))) {
        launch = ScheduleRefreshLocked(cell);
      } else {
        PrepareLocked(cell, "", nullptr, &launch);
      }
    } else if (std::exchange(cell->drop_scheduled, true)) {
      return;
    }
  }
  if (launch) return launch();
  ScheduleDrop(cell, policy_.stale_if_error);
}

template <typename Value>
void CachedAccount::ScheduleDrop(const std::shared_ptr<Cell<Value>>& cell, milliseconds pause) {
  environment_.after(pause, [weak = weak_from_this(), cell] {
    if (const auto self = weak.lock()) self->DropIfIdle(cell);
  });
}

template <typename Value>
void CachedAccount::DropIfIdle(const std::shared_ptr<Cell<Value>>& cell) {
  std::shared_ptr<const Value> dropped;
  std::chrono::steady_clock::duration rest{0};
  {
    const std::lock_guard lock(mutex_);
    cell->drop_scheduled = false;
    // One that was read since it was found idle is found idle again later.
    if (stopped_ || !cell->value || !IsIdle(*cell)) return;
    rest = cell->value->stamp.sent + policy_.stale_if_error - environment_.now();
    if (rest.count() > 0) {  // it has been refreshed since
      cell->drop_scheduled = true;
    } else {
      dropped = std::move(cell->value);
    }
  }
  if (dropped) ForgetAnswer(*cell);
  if (!dropped) ScheduleDrop(cell, std::chrono::ceil<milliseconds>(rest));
}

template <typename Value>
CachedAccount::Launch CachedAccount::RefreshLocked(const std::shared_ptr<Cell<Value>>& cell,
                                                   const std::string& key) {
  Launch launch;
  if (cell->flight && !cell->flight->until && cell->flight->stamp.writes >= writes_.count()) {
    cell->flight->refreshes = true;
    return launch;
  }
  PrepareLocked(cell, key, nullptr, &launch);
  return launch;
}

template <typename Value>
CachedAccount::Launch CachedAccount::RefreshSourceLocked(const std::shared_ptr<Cell<Value>>& cell,
                                                         const std::string& key,
                                                         const Found& found) {
  return found.from_list ? RefreshLocked(available_, "") : RefreshLocked(cell, key);
}

bool CachedAccount::IsStopped() {
  const std::lock_guard lock(mutex_);
  return stopped_;
}

void CachedAccount::Stop() {
  std::set<std::shared_ptr<CancellableStrand>> stopping;
  {
    const std::lock_guard lock(mutex_);
    stopped_ = true;
    stopping = active_;
  }
  for (const auto& running : stopping) CancellableStrand::Cancel(running);
}

template <typename List>
asio::awaitable<absl::StatusOr<Reply<typename List::Value>>> CachedAccount::AskForList(
    std::shared_ptr<CachedAccount> self, CallContext context, Validators known,
    std::string_view item, bool (CachedAccount::*has_some)()) {
  const bool has_conditions = !known.empty();
  auto asking = self->inner_->Perform(context, List(std::move(known)));
  auto reply = co_await std::move(asking);
  if (has_conditions && MakesVoid(reply.status())) {
    spdlog::warn("asking for all {}s: {}", item, std::string(reply.status().message()));
    auto whole = self->inner_->Perform(context, List());
    reply = co_await std::move(whole);
  }
  const auto is_empty = [&reply] {
    return reply.ok() && !reply->is_unchanged && reply->value.empty();
  };
  if (!is_empty() || !(self.get()->*has_some)()) co_return reply;
  spdlog::warn("the provider lists no {} any more (exchange {}): asking again", item,
               reply->metadata.upstream_request_id());
  auto again = self->inner_->Perform(std::move(context), List());
  reply = co_await std::move(again);
  if (is_empty()) {
    spdlog::warn("the provider still lists no {} (exchange {}): the list is empty now", item,
                 reply->metadata.upstream_request_id());
  }
  co_return reply;
}

template <typename List>
void CachedAccount::Remember(AnsweredList<List>& answered, AnsweredList<List> known) {
  if (known.validators.empty()) known.list = {};
  const std::lock_guard lock(mutex_);
  std::swap(answered, known);  // what was there is freed without the lock
}

void CachedAccount::ForgetAnswer(const Cell<AvailableValue>&) { Remember(answered_numbers_, {}); }
void CachedAccount::ForgetAnswer(const Cell<LeasesValue>&) { Remember(answered_leases_, {}); }

asio::awaitable<CachedAccount::Result<AvailableValue>> CachedAccount::Fetch(
    std::shared_ptr<CachedAccount> self, std::shared_ptr<Cell<AvailableValue>> cell,
    std::string key, CallContext context, Stamp stamp) {
  Turn turn;
  if (self->shared_) {
    auto taking = TakeTurn(self, SharedList::kNumbers, context);
    turn = co_await std::move(taking);
    auto loaded = turn.is_loaded ? self->ValueOf(*self->available_) : nullptr;
    if (loaded) co_return loaded;
    stamp = self->StampNow();
  }
  auto known = self->KnownOf(self->answered_numbers_, *cell);
  auto asking = AskForList<operation::ListAvailableNumbers>(self, context, known.validators,
                                                            "number", &CachedAccount::HasNumbers);
  auto reply = co_await std::move(asking);
  if (!reply.ok()) {
    if (turn.is_claimed) {
      auto ending = EndTurn(self, SharedList::kNumbers);
      co_await std::move(ending);
    }
    if (MakesVoid(reply.status())) self->ForgetAnswer(*cell);
    if (reply.status().code() == absl::StatusCode::kCancelled) co_return reply.status();
    spdlog::warn("refreshing the available numbers failed: {}",
                 std::string(reply.status().message()));
    co_return reply.status();
  }
  if (!reply->is_unchanged) {
    known.validators = std::move(reply->validators);
    known.list = self->Built(*reply);
  } else {
    known.list = known.list->Renewed(Confirmed(known.list->metadata(), reply->metadata),
                                     self->environment_.pin);
    self->CountUnchanged(*cell);
  }
  known.writes = stamp.writes;
  self->Remember(self->answered_numbers_, known);
  if (turn.is_shared) {
    auto sharing = ShareNumbers(self, known.list, turn, stamp);
    const bool is_shared = co_await std::move(sharing);
    auto value = is_shared ? self->ValueOf(*self->available_) : nullptr;
    // The log's list is another object: one of them is enough.
    if (value && known.list->HasNumbersOf(*value->numbers)) {
      known.list = value->numbers;
      self->Remember(self->answered_numbers_, known);
    }
    if (value) co_return value;
  }
  auto stored = self->Store(std::move(known.list), stamp, turn.restored);
  if (stored) co_return stored;
  auto again = Fetch(self, std::move(cell), std::move(key), std::move(context), stamp);
  co_return co_await std::move(again);
}

std::shared_ptr<const Availability> CachedAccount::Built(const Reply<NumberList>& reply) const {
  auto built = Availability::Build(reply.value, reply.metadata, environment_.pin);
  if (built->left_out() > 0) {
    spdlog::warn("the provider lists {} numbers twice or not in E.164 format (exchange {})",
                 built->left_out(), reply.metadata.upstream_request_id());
  }
  return built;
}

asio::awaitable<CachedAccount::Result<LeasesValue>> CachedAccount::Fetch(
    std::shared_ptr<CachedAccount> self, std::shared_ptr<Cell<LeasesValue>> cell, std::string key,
    CallContext context, Stamp stamp) {
  Turn turn;
  if (self->shared_) {
    auto taking = TakeTurn(self, SharedList::kLeases, context);
    turn = co_await std::move(taking);
    auto loaded = turn.is_loaded ? self->ValueOf(*self->leases_) : nullptr;
    if (loaded) co_return loaded;
    stamp = self->StampNow();
  }
  auto known = self->KnownOf(self->answered_leases_, *cell);
  auto asking = AskForList<operation::ListLeases>(self, context, known.validators, "lease",
                                                  &CachedAccount::HasLeases);
  auto reply = co_await std::move(asking);
  if (!reply.ok() && turn.is_claimed) {
    auto ending = EndTurn(self, SharedList::kLeases);
    co_await std::move(ending);
  }
  if (!reply.ok()) {
    if (MakesVoid(reply.status())) self->ForgetAnswer(*cell);
    co_return reply.status();
  }
  if (!reply->is_unchanged) {
    v1::ListLeasesResponse list;
    list.mutable_leases()->Swap(&reply->value);
    list.set_total_size(list.leases_size());
    list.mutable_metadata()->Swap(&reply->metadata);
    known.validators = std::move(reply->validators);
    known.list = WholeReply(self->environment_.pin(SerializeInOrder(list)));
  } else {
    known.list = RenewedLeases(known.list, Confirmed(MetadataOfLeases(known.list), reply->metadata),
                               self->environment_.pin);
    self->CountUnchanged(*cell);
  }
  known.writes = stamp.writes;
  self->Remember(self->answered_leases_, known);
  if (turn.is_shared) {
    auto sharing = ShareLeases(self, known.list, turn, stamp);
    const bool is_shared = co_await std::move(sharing);
    auto value = is_shared ? self->ValueOf(*self->leases_) : nullptr;
    if (value) co_return value;
  }
  auto stored = self->Store(std::move(known.list), stamp, turn.restored);
  if (stored) co_return stored;
  auto again = Fetch(self, std::move(cell), std::move(key), std::move(context), stamp);
  co_return co_await std::move(again);
}

asio::awaitable<CachedAccount::Result<NumberValue>> CachedAccount::Fetch(
    std::shared_ptr<CachedAccount> self, std::shared_ptr<Cell<NumberValue>> cell, std::string key,
    CallContext context, Stamp stamp) {
  auto getting = self->inner_->Perform(std::move(context), operation::GetNumber{std::move(key)});
  auto reply = co_await std::move(getting);
  auto value = std::make_shared<NumberValue>();
  value->stamp = stamp;
  if (reply.ok()) {
    v1::GetNumberResponse response;
    *response.mutable_number() = std::move(reply->value);
    *response.mutable_metadata() = std::move(reply->metadata);
    const v1::Number& number = response.number();
    value->leasable = !number.has_lease() && (number.status() == v1::NUMBER_STATUS_AVAILABLE ||
                                              number.status() == v1::NUMBER_STATUS_G_AVAILABLE);
    value->reply = WholeReply(self->environment_.pin(response.SerializeAsString()));
  } else if (ReasonOf(reply.status()) == reason::kNumberNotFound) {
    value->status = reply.status();
  } else {
    co_return reply.status();
  }
  const std::lock_guard lock(self->mutex_);
  const bool newest = !cell->value || cell->value->stamp.sent <= stamp.sent;
  if (newest && stamp.writes >= cell->min_writes) cell->value = value;
  co_return value;
}

bool CachedAccount::HasNumbers() {
  const std::lock_guard lock(mutex_);
  return available_->value && available_->value->numbers->size() > 0;
}

bool CachedAccount::HasLeases() {
  std::shared_ptr<const LeasesValue> list;
  {
    const std::lock_guard lock(mutex_);
    list = leases_->value;
  }
  return list && ParseReply<v1::ListLeasesResponse>(list->reply).leases_size() > 0;
}

// What the other files of the class use.
template CachedAccount::Launch CachedAccount::ScheduleRefreshLocked(
    const std::shared_ptr<Cell<AvailableValue>>&);
template CachedAccount::Launch CachedAccount::ScheduleRefreshLocked(
    const std::shared_ptr<Cell<LeasesValue>>&);
template std::shared_ptr<ReadFlight<AvailableValue>> CachedAccount::PrepareLocked(
    const std::shared_ptr<Cell<AvailableValue>>&, const std::string&, const CallContext*, Launch*);
template std::shared_ptr<ReadFlight<LeasesValue>> CachedAccount::PrepareLocked(
    const std::shared_ptr<Cell<LeasesValue>>&, const std::string&, const CallContext*, Launch*);
template std::shared_ptr<ReadFlight<NumberValue>> CachedAccount::PrepareLocked(
    const std::shared_ptr<Cell<NumberValue>>&, const std::string&, const CallContext*, Launch*);
template CachedAccount::Launch CachedAccount::RefreshSourceLocked(
    const std::shared_ptr<Cell<AvailableValue>>&, const std::string&, const Found&);
template CachedAccount::Launch CachedAccount::RefreshSourceLocked(
    const std::shared_ptr<Cell<LeasesValue>>&, const std::string&, const Found&);
template CachedAccount::Launch CachedAccount::RefreshSourceLocked(
    const std::shared_ptr<Cell<NumberValue>>&, const std::string&, const Found&);
template CachedAccount::Launch CachedAccount::RefreshLocked(
    const std::shared_ptr<Cell<AvailableValue>>&, const std::string&);
template CachedAccount::Launch CachedAccount::RefreshLocked(
    const std::shared_ptr<Cell<LeasesValue>>&, const std::string&);
template void CachedAccount::AbandonIfAloneLocked(
    Cell<AvailableValue>&, const std::shared_ptr<ReadFlight<AvailableValue>>&);
template void CachedAccount::AbandonIfAloneLocked(Cell<LeasesValue>&,
                                                  const std::shared_ptr<ReadFlight<LeasesValue>>&);
template void CachedAccount::AbandonIfAloneLocked(Cell<NumberValue>&,
                                                  const std::shared_ptr<ReadFlight<NumberValue>>&);
template bool CachedAccount::IsIdle(const Cell<AvailableValue>&) const;
template bool CachedAccount::IsIdle(const Cell<LeasesValue>&) const;

}  // namespace leasegateway
