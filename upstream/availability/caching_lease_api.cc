#include "upstream/availability/caching_lease_api.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/dispatch.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/strand.hpp>
#include <boost/asio/this_coro.hpp>
#include <deque>
#include <exception>
#include <iterator>
#include <list>
#include <mutex>
#include <random>
#include <set>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/str_cat.h"
#include "leasegateway/v1/lease_service.pb.h"
#include "upstream/upstream_error.h"
#include "upstream/wakeup.h"

namespace leasegateway {

namespace asio = boost::asio;
using std::chrono::milliseconds;
using TimePoint = std::chrono::steady_clock::time_point;
using Forward = CacheOutcome::Forward;

namespace {

// A request to the provider for memory may outlive its callers, but not for ever.
constexpr milliseconds kFlightTimeout{30'000};
// The longest pause between two tries to refresh while the provider gives no answer.
constexpr milliseconds kMaxPause{60'000};
// Changes that are kept for watchers.
constexpr std::size_t kMaxChanges = 64;
constexpr std::size_t kMaxChangedNumbers = 20'000;

// When the provider was asked, and how many writes had returned by then.
struct Stamp {
  TimePoint sent;
  std::uint64_t writes = 0;
};

// What memory keeps, each immutable.
struct AvailableValue {
  std::shared_ptr<const Availability> numbers;
  std::uint64_t version = 0;
  Stamp stamp;
};
struct LeasesValue {
  std::shared_ptr<const SharedBytes> reply;  // ListLeasesResponse
  Stamp stamp;
};
struct NumberValue {
  absl::Status status;                       // NOT_FOUND: the provider does not know it
  std::shared_ptr<const SharedBytes> reply;  // GetNumberResponse
  bool leasable = false;
  Stamp stamp;
};

// A flight's coroutine.
struct Running {
  explicit Running(const asio::any_io_executor& executor) : strand(asio::make_strand(executor)) {}
  asio::strand<asio::any_io_executor> strand;
  asio::cancellation_signal cancellation;  // only on the strand
};

// What is posted before the coroutine is there is lost.
void Cancel(const std::shared_ptr<Running>& running) {
  asio::post(running->strand,
             [running] { running->cancellation.emit(asio::cancellation_type::terminal); });
}

// One request to the provider, for all who wait for it. Guarded by the state's mutex, but for
// `stamp`, `until` and `running`, which do not change, and `stats`.
template <typename Value>
struct Flight {
  Stamp stamp;
  // Of one that was made for a caller who takes nothing from memory: that caller's deadline, at
  // which it ends.
  std::optional<TimePoint> until;
  std::shared_ptr<Running> running;
  bool refreshes = false;  // memory counts on it: it goes on when nobody waits
  bool abandoned = false;  // cancelled, because nobody waited
  // Of its own: it may outlive the call that it was made for.
  const std::shared_ptr<CallStats> stats = std::make_shared<CallStats>();
  bool done = false;
  absl::StatusOr<std::shared_ptr<const Value>> result = absl::UnknownError("in flight");
  std::vector<std::shared_ptr<Wakeup>> waiters;
};

// When to ask the provider again.
struct Pace {
  int failures = 0;                       // of refreshes, since the last that succeeded
  TimePoint retry_at = TimePoint::min();  // until then, a failed refresh is not tried again
  bool outage = false;                    // the latest refresh failed for want of the provider
};

// Where one value lives. Guarded by the state's mutex.
template <typename Value>
struct Cell {
  std::shared_ptr<const Value> value;     // null: none
  std::shared_ptr<Flight<Value>> flight;  // the latest; null: none
  std::uint64_t min_writes = 0;           // a value has to have seen so many writes
  Pace pace;
  TimePoint last_used = TimePoint::min();  // by a reader
  bool refresh_scheduled = false;          // of a list
};

// An answer that memory has.
struct Found {
  std::shared_ptr<const Availability> numbers;
  std::uint64_t version = 0;
  std::shared_ptr<const SharedBytes> bytes;
  BytesRange range;
  absl::Status status;  // of a number: not OK when the provider does not know it
  TimePoint sent;
  bool outdated = false;   // by a write
  bool from_list = false;  // a number out of the list
  CacheOutcome outcome;
};

Found ToFound(const AvailableValue& value) {
  Found found;
  found.numbers = value.numbers;
  found.version = value.version;
  found.sent = value.stamp.sent;
  return found;
}

Found ToFound(const LeasesValue& value) {
  Found found;
  found.bytes = value.reply;
  found.range = {0, value.reply->view().size()};
  found.sent = value.stamp.sent;
  return found;
}

Found ToFound(const NumberValue& value) {
  Found found;
  found.status = value.status;
  found.bytes = value.reply;
  if (value.reply) found.range = {0, value.reply->view().size()};
  found.sent = value.stamp.sent;
  return found;
}

// Whether the provider, not the request, is why there is no answer.
bool IsOutage(const absl::Status& status) {
  switch (status.code()) {
    case absl::StatusCode::kUnavailable:
    case absl::StatusCode::kDeadlineExceeded:
    case absl::StatusCode::kResourceExhausted:
    case absl::StatusCode::kInternal:
      return true;
    default:
      return false;
  }
}

// Whether a write that failed so may have been done all the same.
bool MayBeDone(const absl::Status& status) {
  switch (status.code()) {
    case absl::StatusCode::kAborted:
    case absl::StatusCode::kInternal:
    case absl::StatusCode::kUnknown:
    case absl::StatusCode::kCancelled:
    case absl::StatusCode::kDeadlineExceeded:
      return true;
    default:
      return false;
  }
}

// What a write did, for what memory has.
struct Write {
  enum class Effect {
    kLeased,      // the account has it now
    kGone,        // somebody has it
    kEnded,       // the account has it no more; whether it can be leased is not known
    kUnknown,     // nobody knows
    kConfigured,  // still leased, but what the provider says of it may differ
  };
  Effect effect = Effect::kUnknown;
  std::string phone_number;
  v1::Lease lease;  // kLeased: the lease with its number; kEnded: `lease_id`, if it is known
  std::uint64_t sequence = 0;
  TimePoint time;

  bool takes_from_available() const { return effect == Effect::kLeased || effect == Effect::kGone; }
  bool changes_leases() const { return effect == Effect::kLeased || effect == Effect::kEnded; }
};

// Puts a write into a list of leases that may or may not show it already.
void ApplyTo(v1::ListLeasesResponse& list, const Write& write) {
  auto& leases = *list.mutable_leases();
  if (write.effect == Write::Effect::kLeased) {
    for (const v1::Lease& lease : leases) {
      if (lease.lease_id() == write.lease.lease_id()) return;
    }
    *leases.Add() = write.lease;
  } else {
    for (int i = leases.size() - 1; i >= 0; --i) {
      const v1::Lease& lease = leases.Get(i);
      const bool same_lease =
          write.lease.lease_id().empty() || lease.lease_id() == write.lease.lease_id();
      if (lease.phone_number() == write.phone_number && same_lease) leases.DeleteSubrange(i, 1);
    }
  }
  list.set_total_size(leases.size());
}

template <typename Message>
Message ParseRange(const BytesAnswer& answer) {
  Message message;
  const auto view = answer.bytes->view().substr(answer.range.offset, answer.range.size);
  message.ParseFromArray(view.data(), static_cast<int>(view.size()));
  return message;
}

}  // namespace

struct CachingLeaseApi::State : std::enable_shared_from_this<State> {
  using Launch = std::function<void()>;  // to be called without the lock; may be empty
  State(std::unique_ptr<LeaseApi> api, const CachePolicy& cache_policy,
        CacheEnvironment cache_environment)
      : inner(std::move(api)),
        policy(cache_policy),
        environment(std::move(cache_environment)),
        available(std::make_shared<Cell<AvailableValue>>()),
        leases(std::make_shared<Cell<LeasesValue>>()) {}

  // --- look-ups, with the lock held --------------------------------------------------------------

  std::optional<Found> LookUp(const Cell<AvailableValue>& cell, std::string_view) {
    if (!cell.value) return std::nullopt;
    Found found = ToFound(*cell.value);
    found.outdated = cell.value->stamp.writes < cell.min_writes;
    return found;
  }

  std::optional<Found> LookUp(const Cell<LeasesValue>& cell, std::string_view) {
    if (!cell.value) return std::nullopt;
    Found found = ToFound(*cell.value);
    found.outdated = cell.value->stamp.writes < cell.min_writes;
    return found;
  }

  // The newer of what the list says and what was said of the number alone.
  std::optional<Found> LookUp(const Cell<NumberValue>& cell, std::string_view phone_number) {
    const auto& list = available->value;
    const bool list_is_newer = list && list->stamp.writes >= cell.min_writes &&
                               (!cell.value || list->stamp.sent > cell.value->stamp.sent);
    if (list_is_newer) {
      if (auto found = LookUpInList(phone_number)) return found;
      // It could be leased when it was looked at, and then it was not in the list.
      if (cell.value && cell.value->leasable) return std::nullopt;
    }
    if (!cell.value) return std::nullopt;
    return ToFound(*cell.value);
  }

  std::optional<Found> LookUpInList(std::string_view phone_number) {
    if (!available->value) return std::nullopt;
    const auto range = available->value->numbers->FindNumber(phone_number);
    if (!range) return std::nullopt;
    Found found;
    found.bytes = available->value->numbers->number_replies();
    found.range = *range;
    found.sent = available->value->stamp.sent;
    found.from_list = true;
    return found;
  }

  struct Decision {
    bool use = false;  // what was found
    bool refresh = false;
    CacheOutcome outcome;
  };

  Decision Decide(const std::optional<Found>& found, MaxStaleness max_staleness, const Pace& pace,
                  TimePoint now) const {
    Decision decision;
    CacheOutcome& outcome = decision.outcome;
    if (!found) {
      outcome.forward = Forward::kMiss;
      return decision;
    }
    const auto age = std::chrono::duration_cast<milliseconds>(now - found->sent);
    const milliseconds fresh = found->status.ok() ? policy.fresh : policy.negative;
    outcome.forward = Forward::kStale;
    outcome.ttl = fresh - age;
    if (max_staleness) {
      decision.use = !found->outdated && max_staleness->count() > 0 && age <= *max_staleness;
      if (!decision.use) outcome.forward = Forward::kRequest;
    } else if (!found->status.ok()) {
      decision.use = age <= fresh;
    } else {
      const bool usable = !found->outdated && age <= fresh + policy.stale_while_revalidate;
      const bool outage = pace.outage && now < pace.retry_at && age <= policy.stale_if_error;
      decision.use = usable || outage;
      outcome.stale_if_error = !usable && outage;
    }
    if (decision.use) {
      outcome.forward = Forward::kHit;
      decision.refresh = age > fresh && now >= pace.retry_at;
    }
    return decision;
  }

  // --- flights -----------------------------------------------------------------------------------

  // With the lock held. `launch` sends it off. For a call, or with null to refresh memory.
  template <typename Value>
  std::shared_ptr<Flight<Value>> Prepare(const std::shared_ptr<Cell<Value>>& cell,
                                         const std::string& key, const CallContext* caller,
                                         Launch* launch) {
    auto running = std::make_shared<Running>(environment.executor);
    active.insert(running);
    auto flight = std::make_shared<Flight<Value>>();
    flight->stamp = {environment.now(), writes};
    flight->running = running;
    flight->refreshes = caller == nullptr;
    cell->flight = flight;
    CallContext context;
    context.deadline = std::chrono::steady_clock::now() + kFlightTimeout;
    if (caller != nullptr && caller->max_staleness == milliseconds(0) &&
        caller->deadline < context.deadline) {
      flight->until = context.deadline = caller->deadline;
    }
    context.background = caller == nullptr || caller->background;
    context.call_id = caller != nullptr ? caller->call_id : "refresh";
    context.trace = caller != nullptr ? caller->trace : nullptr;
    if (!context.trace) context.trace = std::make_shared<const TraceContext>(NewTrace());
    context.stats = flight->stats;
    *launch = [self = shared_from_this(), cell, key, flight, running,
               context = std::move(context)] {
      auto landed = [self, cell, flight](std::exception_ptr exception,
                                         absl::StatusOr<std::shared_ptr<const Value>> result) {
        if (exception) {
          result = MakeError(absl::StatusCode::kInternal, reason::kInternal,
                             "the gateway failed while it read from the provider");
        }
        self->Landed(cell, *flight, std::move(result));
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
  void Landed(const std::shared_ptr<Cell<Value>>& cell, Flight<Value>& flight,
              absl::StatusOr<std::shared_ptr<const Value>> result) {
    Launch schedule;
    {
      const std::lock_guard lock(mutex);
      active.erase(flight.running);
      flight.done = true;
      flight.result = std::move(result);
      if (cell->flight.get() == &flight) cell->flight.reset();
      const TimePoint now = environment.now();
      Stats::Refreshes& refreshes = RefreshesOf(*cell);
      if (flight.result.ok()) {
        ++refreshes.ok;
        cell->pace = Pace();
      } else if (GivenUp(flight)) {
        ++refreshes.given_up;
      } else {
        ++refreshes.failed;
        ++cell->pace.failures;
        cell->pace.retry_at = now + Pause(cell->pace.failures);
        cell->pace.outage = IsOutage(flight.result.status()) && !Yielded(flight);
      }
      for (auto& waiter : flight.waiters) Wakeup::Wake(std::move(waiter));
      flight.waiters.clear();
      schedule = ScheduleRefresh(cell);
    }
    if (schedule) schedule();
  }

  Stats::Refreshes& RefreshesOf(const Cell<AvailableValue>&) { return refreshes.available; }
  Stats::Refreshes& RefreshesOf(const Cell<LeasesValue>&) { return refreshes.leases; }
  Stats::Refreshes& RefreshesOf(const Cell<NumberValue>&) { return refreshes.numbers; }

  // Whether it failed for its caller's sake, which says nothing of the provider.
  template <typename Value>
  static bool GivenUp(const Flight<Value>& flight) {
    if (flight.abandoned) return true;
    // Too little time was left for an answer, or for a turn.
    const absl::Status& status = flight.result.status();
    return flight.until && (status.code() == absl::StatusCode::kDeadlineExceeded ||
                            ReasonOf(status) == reason::kOverloaded);
  }

  // Whether it was a refresh that the gateway itself refused, for callers' sake: they may have a
  // turn at the provider where a refresh has none.
  template <typename Value>
  static bool Yielded(const Flight<Value>& flight) {
    const absl::Status& status = flight.result.status();
    if (!flight.refreshes || status.code() != absl::StatusCode::kResourceExhausted) return false;
    const auto metadata = MetadataOf(status);
    const auto sent = metadata.find("request_sent");
    return sent != metadata.end() && sent->second == "false";
  }

  // With the lock held, when a caller went away: a request that nobody waits for any more does not
  // keep a connection from others.
  template <typename Value>
  static void AbandonIfAlone(Cell<Value>& cell, const std::shared_ptr<Flight<Value>>& flight) {
    if (flight->refreshes || flight->done || !flight->waiters.empty()) return;
    flight->abandoned = true;
    if (cell.flight == flight) cell.flight.reset();  // who comes now begins another
    Cancel(flight->running);
  }

  // Before the next try after so many failures; half of it is left to chance.
  milliseconds Pause(int failures) const {
    const auto longest = std::min<std::int64_t>(kMaxPause.count(),
                                                std::max<std::int64_t>(policy.fresh.count(), 1'000)
                                                    << std::min(failures - 1, 6));
    return milliseconds(static_cast<std::int64_t>(static_cast<double>(longest) *
                                                  (0.5 + 0.5 * environment.random())));
  }

  // Numbers are refreshed when they are read.
  Launch ScheduleRefresh(const std::shared_ptr<Cell<NumberValue>>&) { return nullptr; }

  // With the lock held: the next refresh of a list. A list that is always asked for has none.
  template <typename Value>
  Launch ScheduleRefresh(const std::shared_ptr<Cell<Value>>& cell) {
    if (cell->refresh_scheduled || stopped || policy.fresh.count() == 0) return nullptr;
    cell->refresh_scheduled = true;
    const TimePoint now = environment.now();
    // Before it goes stale, and not in step with other gateways.
    auto pause = milliseconds(static_cast<std::int64_t>(static_cast<double>(policy.fresh.count()) *
                                                        (0.75 + 0.2 * environment.random())));
    if (cell->pace.failures > 0) pause = std::chrono::ceil<milliseconds>(cell->pace.retry_at - now);
    return [this, cell, pause] {
      environment.after(std::max(pause, milliseconds(1)), [weak = weak_from_this(), cell] {
        if (const auto self = weak.lock()) self->RefreshDue(cell);
      });
    };
  }

  template <typename Value>
  bool IsIdle(const Cell<Value>& cell) const {
    return environment.now() - cell.last_used > policy.idle;
  }

  template <typename Value>
  void RefreshDue(const std::shared_ptr<Cell<Value>>& cell) {
    Launch launch;
    {
      const std::lock_guard lock(mutex);
      cell->refresh_scheduled = false;
      if (stopped) return;
      if (cell->flight && !cell->flight->until && !IsIdle(*cell)) {
        cell->flight->refreshes = true;
        return;  // its end schedules the next
      }
      if (!IsIdle(*cell)) {
        if (environment.now() < cell->pace.retry_at) {
          launch = ScheduleRefresh(cell);  // a reader's request has failed meanwhile
        } else {
          Prepare(cell, "", nullptr, &launch);
        }
      }
    }
    if (launch) return launch();
    environment.after(policy.stale_if_error, [weak = weak_from_this(), cell] {
      if (const auto self = weak.lock()) self->DropIfIdle(*cell);
    });
  }

  template <typename Value>
  void DropIfIdle(Cell<Value>& cell) {
    std::shared_ptr<const Value> dropped;
    const std::lock_guard lock(mutex);
    // One that was read since it was found idle has been refreshed, and is found idle again later.
    if (!cell.value || environment.now() - cell.value->stamp.sent < policy.stale_if_error) return;
    if (IsIdle(cell)) dropped = std::move(cell.value);
  }

  // With the lock held: sends off a refresh, unless one is under way that sees all writes.
  template <typename Value>
  Launch Refresh(const std::shared_ptr<Cell<Value>>& cell, const std::string& key) {
    Launch launch;
    if (cell->flight && !cell->flight->until && cell->flight->stamp.writes >= writes) {
      cell->flight->refreshes = true;
      return launch;
    }
    Prepare(cell, key, nullptr, &launch);
    return launch;
  }

  // With the lock held: where what was found came from.
  template <typename Value>
  Launch RefreshSource(const std::shared_ptr<Cell<Value>>& cell, const std::string& key,
                       const Found& found) {
    return found.from_list ? Refresh(available, "") : Refresh(cell, key);
  }

  // With the lock held: the pace at which what was found can be asked for again. A number of the
  // list has two ways to be, and rests while either does.
  template <typename Value>
  const Pace& PaceOf(const Cell<Value>& cell, const std::optional<Found>& found) const {
    if (!found || !found->from_list) return cell.pace;
    return available->pace.retry_at > cell.pace.retry_at ? available->pace : cell.pace;
  }

  // --- reads -------------------------------------------------------------------------------------

  template <typename Value>
  std::optional<Found> Peek(const std::shared_ptr<Cell<Value>>& cell, std::string_view key,
                            MaxStaleness max_staleness) {
    std::optional<Found> found;
    Launch launch;
    {
      const std::lock_guard lock(mutex);
      found = PeekLocked(cell, key, max_staleness, &launch);
    }
    if (launch) launch();
    return found;
  }

  template <typename Value>
  std::optional<Found> PeekLocked(const std::shared_ptr<Cell<Value>>& cell, std::string_view key,
                                  MaxStaleness max_staleness, Launch* launch) {
    std::optional<Found> found = LookUp(*cell, key);
    const TimePoint now = environment.now();
    const Decision decision = Decide(found, max_staleness, PaceOf(*cell, found), now);
    if (!decision.use) return std::nullopt;
    (found->from_list ? available->last_used : cell->last_used) = now;
    found->outcome = decision.outcome;
    if (decision.refresh) *launch = RefreshSource(cell, std::string(key), *found);
    return found;
  }

  template <typename Value>
  asio::awaitable<absl::StatusOr<Found>> Find(CallContext context,
                                              std::shared_ptr<Cell<Value>> cell, std::string key) {
    co_await asio::this_coro::throw_if_cancelled(false);
    const asio::any_io_executor executor = co_await asio::this_coro::executor;
    const auto waiter = std::make_shared<Wakeup>(executor);
    std::shared_ptr<Flight<Value>> flight;
    CacheOutcome& outcome = context.stats->cache.emplace();
    std::optional<Found> found;  // to be used when the provider gives no answer
    Launch launch;
    {
      const std::lock_guard lock(mutex);
      found = LookUp(*cell, key);
      const TimePoint now = environment.now();
      cell->last_used = now;
      const Decision decision = Decide(found, context.max_staleness, PaceOf(*cell, found), now);
      outcome = decision.outcome;
      if (decision.use) {
        if (found->from_list) available->last_used = now;
        if (decision.refresh) launch = RefreshSource(cell, key, *found);
      } else {
        flight = cell->flight;
        const bool new_enough =
            flight && flight->stamp.writes >= cell->min_writes &&
            (!context.max_staleness || (context.max_staleness->count() > 0 &&
                                        now - flight->stamp.sent <= *context.max_staleness));
        const bool long_enough = flight && (!flight->until || *flight->until >= context.deadline);
        outcome.collapsed = new_enough && long_enough;
        if (!outcome.collapsed) flight = Prepare(cell, key, &context, &launch);
        flight->waiters.push_back(waiter);
        const bool fallback = found && found->status.ok() && !context.max_staleness &&
                              now - found->sent <= policy.stale_if_error;
        if (!fallback) found.reset();
      }
    }
    if (launch) launch();
    if (!flight) {
      found->outcome = outcome;
      co_return *std::move(found);
    }

    auto until = context.deadline;
    if (found) {
      const auto left = until - std::chrono::steady_clock::now();
      until -= std::clamp<std::chrono::steady_clock::duration>(left / 8, milliseconds(1),
                                                               milliseconds(100));
    }
    auto waiting = waiter->WaitUntil(until);
    co_await std::move(waiting);
    const asio::cancellation_state cancellation = co_await asio::this_coro::cancellation_state;

    const std::lock_guard lock(mutex);
    absl::Status failure;
    if (!outcome.collapsed) context.stats->attempts += flight->stats->attempts;
    if (flight->done) {
      if (!outcome.collapsed) {
        context.stats->upstream_request_id = flight->stats->upstream_request_id;
      }
      if (flight->result.ok()) {
        // A write may have returned between the answer's coming into memory and the flight's end.
        // Memory shows it, in the same answer or in a newer one.
        const bool stored = cell->value && cell->value->stamp.sent >= (*flight->result)->stamp.sent;
        const Value& value = stored ? *cell->value : **flight->result;
        outcome.ttl = std::chrono::duration_cast<milliseconds>(
            (ToFound(value).status.ok() ? policy.fresh : policy.negative) -
            (environment.now() - value.stamp.sent));
        outcome.stored = stored;
        Found answer = ToFound(value);
        answer.outcome = outcome;
        co_return answer;
      }
      failure = flight->result.status();
    } else {
      std::erase(flight->waiters, waiter);
      if (cancellation.cancelled() != asio::cancellation_type::none) {
        failure = CancelledError("waiting for the provider");
        // A call that ran out of time is cancelled as well. What memory shall have goes on then, or
        // callers in a greater hurry than the provider would never find it there.
        if (std::chrono::steady_clock::now() < context.deadline) AbandonIfAlone(*cell, flight);
      } else {
        failure = DeadlineError("waiting for the provider");
      }
    }
    if (found && IsOutage(failure)) {
      outcome.stale_if_error = true;
      found->outcome = outcome;
      co_return *std::move(found);
    }
    co_return failure;
  }

  // With the lock held: the number's cell, made when it is not there, as the one last used.
  std::shared_ptr<Cell<NumberValue>>& NumberCell(const std::string& phone_number) {
    if (const auto at = numbers.find(phone_number); at != numbers.end()) {
      order.splice(order.begin(), order, at->second);
      return at->second->second;
    }
    order.emplace_front(phone_number, std::make_shared<Cell<NumberValue>>());
    numbers[phone_number] = order.begin();
    // One more than asked for: the number that is being read. And those that tell that a write has
    // made the list's word of them void.
    if (order.size() > policy.max_numbers + 1) {
      const std::uint64_t seen = available->value ? available->value->stamp.writes : writes;
      auto last = std::prev(order.end());
      while (last != order.begin() && last->second->min_writes > seen) --last;
      if (last != order.begin()) {
        numbers.erase(last->first);
        order.erase(last);
      }
    }
    return order.front().second;
  }

  // --- answers of the provider become values -----------------------------------------------------

  static asio::awaitable<absl::StatusOr<std::shared_ptr<const AvailableValue>>> Fetch(
      std::shared_ptr<State> self, std::shared_ptr<Cell<AvailableValue>>, std::string,
      CallContext context, Stamp stamp) {
    auto reply = co_await self->inner->ListAvailableNumbers(context);
    if (reply.ok() && reply->value.empty() && self->HasNumbers()) {
      spdlog::warn("the provider lists no number any more (exchange {}): asking again",
                   reply->metadata.upstream_request_id());
      reply = co_await self->inner->ListAvailableNumbers(std::move(context));
      if (reply.ok() && reply->value.empty()) {
        spdlog::warn("the provider still lists no number (exchange {}): the list is empty now",
                     reply->metadata.upstream_request_id());
      }
    }
    if (!reply.ok()) {
      if (reply.status().code() == absl::StatusCode::kCancelled) co_return reply.status();
      spdlog::warn("refreshing the available numbers failed: {}",
                   std::string(reply.status().message()));
      co_return reply.status();
    }
    auto built = Availability::Build(reply->value, reply->metadata, self->environment.pin);
    if (built->left_out() > 0) {
      spdlog::warn("the provider lists {} numbers twice or not in E.164 format (exchange {})",
                   built->left_out(), reply->metadata.upstream_request_id());
    }
    co_return self->Land(std::move(built), stamp);
  }

  static asio::awaitable<absl::StatusOr<std::shared_ptr<const LeasesValue>>> Fetch(
      std::shared_ptr<State> self, std::shared_ptr<Cell<LeasesValue>>, std::string,
      CallContext context, Stamp stamp) {
    auto reply = co_await self->inner->ListLeases(context);
    if (reply.ok() && reply->value.empty() && self->HasLeases()) {
      spdlog::warn("the provider lists no lease any more (exchange {}): asking again",
                   reply->metadata.upstream_request_id());
      reply = co_await self->inner->ListLeases(std::move(context));
      if (reply.ok() && reply->value.empty()) {
        spdlog::warn("the provider still lists no lease (exchange {}): the list is empty now",
                     reply->metadata.upstream_request_id());
      }
    }
    if (!reply.ok()) co_return reply.status();
    v1::ListLeasesResponse list;
    list.mutable_leases()->Swap(&reply->value);
    list.set_total_size(list.leases_size());
    list.mutable_metadata()->Swap(&reply->metadata);
    co_return self->Land(std::move(list), stamp);
  }

  static asio::awaitable<absl::StatusOr<std::shared_ptr<const NumberValue>>> Fetch(
      std::shared_ptr<State> self, std::shared_ptr<Cell<NumberValue>> cell, std::string key,
      CallContext context, Stamp stamp) {
    auto reply = co_await self->inner->GetNumber(std::move(context), std::move(key));
    auto value = std::make_shared<NumberValue>();
    value->stamp = stamp;
    if (reply.ok()) {
      v1::GetNumberResponse response;
      *response.mutable_number() = std::move(reply->value);
      *response.mutable_metadata() = std::move(reply->metadata);
      const v1::Number& number = response.number();
      value->leasable = !number.has_lease() && (number.status() == v1::NUMBER_STATUS_AVAILABLE ||
                                                number.status() == v1::NUMBER_STATUS_G_AVAILABLE);
      value->reply = self->environment.pin(response.SerializeAsString());
    } else if (ReasonOf(reply.status()) == reason::kNumberNotFound) {
      value->status = reply.status();
    } else {
      co_return reply.status();
    }
    const std::lock_guard lock(self->mutex);
    const bool newest = !cell->value || cell->value->stamp.sent <= stamp.sent;
    if (newest && stamp.writes >= cell->min_writes) cell->value = value;
    co_return value;
  }

  bool HasNumbers() {
    const std::lock_guard lock(mutex);
    return available->value && available->value->numbers->size() > 0;
  }

  bool HasLeases() {
    std::shared_ptr<const LeasesValue> list;
    {
      const std::lock_guard lock(mutex);
      list = leases->value;
    }
    if (!list) return false;
    v1::ListLeasesResponse parsed;
    const auto view = list->reply->view();
    return parsed.ParseFromArray(view.data(), static_cast<int>(view.size())) &&
           parsed.leases_size() > 0;
  }

  // With the lock held: the writes after `sequence`.
  std::vector<Write> WritesAfter(std::uint64_t sequence) const {
    std::vector<Write> after;
    for (const Write& write : recent_writes) {
      if (write.sequence > sequence) after.push_back(write);
    }
    return after;
  }

  // Becomes the list, with the writes that ended while it was on its way, unless a newer one has
  // come first. Returns what is the list then.
  std::shared_ptr<const AvailableValue> Land(std::shared_ptr<const Availability> built,
                                             Stamp stamp) {
    std::uint64_t applied = stamp.writes;
    for (;;) {
      std::shared_ptr<const AvailableValue> before;
      std::vector<Write> pending;
      {
        const std::lock_guard lock(mutex);
        before = available->value;
        pending = WritesAfter(applied);
      }
      if (before && before->stamp.sent > stamp.sent) return before;
      for (const Write& write : pending) {
        applied = write.sequence;
        if (!write.takes_from_available()) continue;
        if (auto without = built->Without(write.phone_number, environment.pin)) {
          built = std::move(without);
        }
      }
      std::vector<NumberChange> changes;
      if (before) changes = Availability::Compare(before->numbers.get(), *built);
      const bool changed = !before || !changes.empty();
      if (auto value = Publish(before, built, stamp, applied, std::move(changes))) {
        if (changed) Notify();
        return value;
      }
    }
  }

  // Null when the list is not `before` any more, or a write has ended after number `applied`.
  std::shared_ptr<const AvailableValue> Publish(const std::shared_ptr<const AvailableValue>& before,
                                                std::shared_ptr<const Availability> numbers_now,
                                                Stamp stamp, std::optional<std::uint64_t> applied,
                                                std::vector<NumberChange> changed) {
    const std::lock_guard lock(mutex);
    if (available->value != before || (applied && !WritesAfter(*applied).empty())) return nullptr;
    if (!before) {
      ++version;
      ForgetChanges();
    } else if (!changed.empty()) {
      ++version;
      changed_numbers += changed.size();
      changes.push_back(
          {version, std::make_shared<const std::vector<NumberChange>>(std::move(changed))});
      while (changes.size() > kMaxChanges || changed_numbers > kMaxChangedNumbers) {
        changed_numbers -= changes.front().numbers->size();
        changes.pop_front();
      }
    }
    auto value = std::make_shared<AvailableValue>();
    value->numbers = std::move(numbers_now);
    value->version = version;
    value->stamp = stamp;
    available->value = value;
    return value;
  }

  void ForgetChanges() {
    changes.clear();
    changed_numbers = 0;
  }

  std::shared_ptr<const LeasesValue> Land(v1::ListLeasesResponse list, Stamp stamp) {
    std::uint64_t applied = stamp.writes;
    for (;;) {
      std::vector<Write> pending;
      {
        const std::lock_guard lock(mutex);
        pending = WritesAfter(applied);
      }
      for (const Write& write : pending) {
        applied = write.sequence;
        if (write.changes_leases()) ApplyTo(list, write);
      }
      auto value = std::make_shared<LeasesValue>();
      value->stamp = stamp;
      value->reply = environment.pin(list.SerializeAsString());
      const std::lock_guard lock(mutex);
      if (!WritesAfter(applied).empty()) continue;
      if (leases->value && leases->value->stamp.sent > stamp.sent) return leases->value;
      leases->value = value;
      return value;
    }
  }

  void Notify() {
    if (listener) listener();
  }

  // --- writes ------------------------------------------------------------------------------------

  // Makes memory show a write, before its caller hears of it.
  void Written(Write write) {
    using Effect = Write::Effect;
    {
      const std::lock_guard lock(mutex);
      const TimePoint now = environment.now();
      while (!recent_writes.empty() && now - recent_writes.front().time > 2 * kFlightTimeout) {
        recent_writes.pop_front();
      }
      if (write.effect == Effect::kLeased) {
        DescribeLease(write);
      }
      write.sequence = ++writes;
      write.time = now;
      recent_writes.push_back(write);
      // A new cell: flights that are on their way keep the old one.
      NumberCell(write.phone_number) = std::make_shared<Cell<NumberValue>>();
      NumberCell(write.phone_number)->min_writes = writes;
      if (write.effect == Effect::kEnded || write.effect == Effect::kUnknown) {
        available->min_writes = writes;
      }
      if (write.effect == Effect::kUnknown || write.effect == Effect::kConfigured) {
        leases->min_writes = writes;
      }
    }
    if (write.takes_from_available()) TakeFromAvailable(write.phone_number);
    if (write.changes_leases()) ChangeLeases(write);

    Launch refresh_available, refresh_leases;
    {
      const std::lock_guard lock(mutex);
      if (stopped) return;
      if (available->min_writes == write.sequence && available->value && !IsIdle(*available)) {
        refresh_available = Refresh(available, "");
      }
      if (write.effect != Effect::kGone && leases->value && !IsIdle(*leases)) {
        refresh_leases = Refresh(leases, "");
      }
    }
    if (refresh_available) refresh_available();
    if (refresh_leases) refresh_leases();
  }

  // With the lock held: what lists of leases say of the number, as far as memory knows it.
  void DescribeLease(Write& write) {
    v1::Number& number = *write.lease.mutable_number();
    if (const auto found = LookUpInList(write.phone_number)) {
      number = std::move(
          *ParseRange<v1::GetNumberResponse>({found->bytes, found->range, {}}).mutable_number());
    }
    number.set_phone_number(write.phone_number);
    number.set_status(v1::NUMBER_STATUS_LEASED);
    number.set_provider_status("leased");
  }

  void TakeFromAvailable(const std::string& phone_number) {
    for (;;) {
      std::shared_ptr<const AvailableValue> before;
      {
        const std::lock_guard lock(mutex);
        before = available->value;
      }
      if (!before) return;
      auto without = before->numbers->Without(phone_number, environment.pin);
      if (!without) return;
      NumberChange change;
      const auto range = before->numbers->FindNumber(phone_number);
      change.before = std::move(
          *ParseRange<v1::GetNumberResponse>({before->numbers->number_replies(), *range, {}})
               .mutable_number());
      if (Publish(before, std::move(without), before->stamp, std::nullopt, {std::move(change)})) {
        return Notify();
      }
    }
  }

  void ChangeLeases(const Write& write) {
    for (;;) {
      std::shared_ptr<const LeasesValue> before;
      {
        const std::lock_guard lock(mutex);
        before = leases->value;
      }
      if (!before) return;
      auto list = ParseRange<v1::ListLeasesResponse>(
          {before->reply, {0, before->reply->view().size()}, {}});
      ApplyTo(list, write);
      auto value = std::make_shared<LeasesValue>(*before);
      value->reply = environment.pin(list.SerializeAsString());
      const std::lock_guard lock(mutex);
      if (leases->value != before) continue;
      leases->value = std::move(value);
      return;
    }
  }

  bool IsStopped() {
    const std::lock_guard lock(mutex);
    return stopped;
  }

  void Stop() {
    std::set<std::shared_ptr<Running>> stopping;
    {
      const std::lock_guard lock(mutex);
      stopped = true;
      stopping = active;
    }
    for (const auto& running : stopping) Cancel(running);
  }

  const std::unique_ptr<LeaseApi> inner;
  const CachePolicy policy;
  const CacheEnvironment environment;
  std::function<void()> listener;

  std::mutex mutex;  // guards all below
  bool stopped = false;
  const std::shared_ptr<Cell<AvailableValue>> available;
  const std::shared_ptr<Cell<LeasesValue>> leases;
  using NumberOrder = std::list<std::pair<std::string, std::shared_ptr<Cell<NumberValue>>>>;
  NumberOrder order;  // the last used first
  absl::flat_hash_map<std::string, NumberOrder::iterator> numbers;
  std::set<std::shared_ptr<Running>> active;
  std::uint64_t writes = 0;  // that have returned
  std::deque<Write> recent_writes;
  std::uint64_t version = 0;               // of the available numbers
  std::deque<AvailabilityChange> changes;  // the latest, up to `version`
  std::size_t changed_numbers = 0;         // in them
  Stats refreshes;                         // the counts of refreshes only
};

namespace {

std::optional<BytesAnswer> ToBytes(std::optional<Found> found) {
  if (!found) return std::nullopt;
  return BytesAnswer{std::move(found->bytes), found->range, found->outcome};
}

absl::StatusOr<BytesAnswer> ToBytes(absl::StatusOr<Found> found) {
  if (!found.ok()) return found.status();
  if (!found->status.ok()) return found->status;
  return BytesAnswer{std::move(found->bytes), found->range, found->outcome};
}

// Timers that are cancelled when nobody can start another one.
class Timers : public std::enable_shared_from_this<Timers> {
 public:
  explicit Timers(const asio::any_io_executor& executor) : executor_(executor) {}
  ~Timers() {
    for (const auto& timer : timers_) timer->cancel();
  }

  void After(milliseconds delay, std::function<void()> call) {
    auto timer = std::make_shared<asio::steady_timer>(executor_, delay);
    const std::lock_guard lock(mutex_);
    timers_.insert(timer);
    timer->async_wait([weak = weak_from_this(), timer,
                       call = std::move(call)](const boost::system::error_code& error) {
      const auto self = weak.lock();
      if (error || !self) return;
      {
        const std::lock_guard own_lock(self->mutex_);
        self->timers_.erase(timer);
      }
      call();
    });
  }

 private:
  const asio::any_io_executor executor_;
  std::mutex mutex_;
  std::set<std::shared_ptr<asio::steady_timer>> timers_;
};

AvailabilityAnswer ToAvailability(Found found) {
  return {std::move(found.numbers), found.version, found.outcome};
}

}  // namespace

CacheEnvironment MakeCacheEnvironment(const asio::any_io_executor& executor, PinBytes pin) {
  CacheEnvironment environment;
  environment.executor = executor;
  environment.now = std::chrono::steady_clock::now;
  environment.after = [timers = std::make_shared<Timers>(executor)](milliseconds delay,
                                                                    std::function<void()> call) {
    timers->After(delay, std::move(call));
  };
  environment.random = [] {
    thread_local std::minstd_rand random{std::random_device{}()};
    return std::uniform_real_distribution<double>()(random);
  };
  environment.pin = std::move(pin);
  return environment;
}

CachingLeaseApi::CachingLeaseApi(std::unique_ptr<LeaseApi> inner, const CachePolicy& policy,
                                 CacheEnvironment environment)
    : state_(std::make_shared<State>(std::move(inner), policy, std::move(environment))) {}

CachingLeaseApi::~CachingLeaseApi() { state_->Stop(); }

void CachingLeaseApi::SetListener(std::function<void()> listener) {
  state_->listener = std::move(listener);
}

std::optional<AvailabilityAnswer> CachingLeaseApi::PeekAvailability(MaxStaleness max_staleness) {
  auto found = state_->Peek(state_->available, {}, max_staleness);
  if (!found) return std::nullopt;
  return ToAvailability(*std::move(found));
}

std::optional<BytesAnswer> CachingLeaseApi::PeekLeases(MaxStaleness max_staleness) {
  return ToBytes(state_->Peek(state_->leases, {}, max_staleness));
}

std::optional<BytesAnswer> CachingLeaseApi::PeekNumber(std::string_view phone_number,
                                                       MaxStaleness max_staleness) {
  std::optional<Found> found;
  State::Launch launch;
  {
    static const auto nothing = std::make_shared<Cell<NumberValue>>();
    const std::lock_guard lock(state_->mutex);
    const auto at =
        state_->numbers.find(absl::string_view(phone_number.data(), phone_number.size()));
    if (at == state_->numbers.end()) {
      found = state_->PeekLocked(nothing, phone_number, max_staleness, &launch);
    } else {
      state_->order.splice(state_->order.begin(), state_->order, at->second);
      found = state_->PeekLocked(at->second->second, phone_number, max_staleness, &launch);
    }
  }
  if (launch) launch();
  if (found && !found->status.ok()) return std::nullopt;  // FindNumber has the error
  return ToBytes(std::move(found));
}

asio::awaitable<absl::StatusOr<AvailabilityAnswer>> CachingLeaseApi::FindAvailability(
    CallContext context) {
  auto found = co_await state_->Find(std::move(context), state_->available, "");
  if (!found.ok()) co_return found.status();
  co_return ToAvailability(*std::move(found));
}

asio::awaitable<absl::StatusOr<BytesAnswer>> CachingLeaseApi::FindLeases(CallContext context) {
  co_return ToBytes(co_await state_->Find(std::move(context), state_->leases, ""));
}

asio::awaitable<absl::StatusOr<BytesAnswer>> CachingLeaseApi::FindNumber(CallContext context,
                                                                         std::string phone_number) {
  std::shared_ptr<Cell<NumberValue>> cell;
  {
    const std::lock_guard lock(state_->mutex);
    cell = state_->NumberCell(phone_number);
  }
  co_return ToBytes(
      co_await state_->Find(std::move(context), std::move(cell), std::move(phone_number)));
}

std::optional<std::vector<AvailabilityChange>> CachingLeaseApi::ChangesSince(
    std::uint64_t version) {
  std::optional<std::vector<AvailabilityChange>> found;
  State::Launch launch;
  {
    const std::lock_guard lock(state_->mutex);
    const auto& available = state_->available;
    const TimePoint now = state_->environment.now();
    available->last_used = now;
    // As a reader does; a list that was idle is not refreshed otherwise.
    const bool stale =
        available->value && now - available->value->stamp.sent > state_->policy.fresh;
    if (stale && now >= available->pace.retry_at && !state_->stopped && !available->flight) {
      launch = state_->Refresh(available, "");
    }
    const std::uint64_t oldest = state_->version - state_->changes.size();
    if (available->value && version >= oldest && version <= state_->version) {
      found.emplace(state_->changes.begin() + static_cast<std::ptrdiff_t>(version - oldest),
                    state_->changes.end());
    }
  }
  if (launch) launch();
  return found;
}

CachingLeaseApi::Stats CachingLeaseApi::stats() const {
  std::shared_ptr<const AvailableValue> available;
  std::shared_ptr<const LeasesValue> leases;
  Stats stats;
  {
    const std::lock_guard lock(state_->mutex);
    stats = state_->refreshes;
    stats.single_numbers = state_->order.size();
    available = state_->available->value;
    leases = state_->leases->value;
  }
  const TimePoint now = state_->environment.now();
  if (available) {
    stats.available_age = now - available->stamp.sent;
    stats.available_numbers = available->numbers->size();
    stats.bytes += available->numbers->MemoryBytes();
  }
  if (leases) {
    stats.leases_age = now - leases->stamp.sent;
    stats.bytes += leases->reply->view().size();
  }
  return stats;
}

void CachingLeaseApi::FoundLeased(const v1::Lease& lease) {
  Write write;
  write.effect = Write::Effect::kLeased;
  write.phone_number = lease.phone_number();
  write.lease = lease;
  state_->Written(std::move(write));
}

void CachingLeaseApi::FoundTaken(const std::string& phone_number) {
  Write write;
  write.effect = Write::Effect::kGone;
  write.phone_number = phone_number;
  state_->Written(std::move(write));
}

void CachingLeaseApi::FoundEnded(const std::string& phone_number, const std::string& lease_id) {
  Write write;
  write.effect = Write::Effect::kEnded;
  write.phone_number = phone_number;
  write.lease.set_lease_id(lease_id);
  state_->Written(std::move(write));
}

LeaseApiResult<NumberList> CachingLeaseApi::ListAvailableNumbers(CallContext context) {
  auto found = co_await FindAvailability(std::move(context));
  if (!found.ok()) co_return found.status();
  const auto& bytes = found->numbers->list_reply();
  auto list = ParseRange<v1::ListAvailableNumbersResponse>({bytes, {0, bytes->view().size()}, {}});
  Reply<NumberList> reply;
  reply.value.Swap(list.mutable_numbers());
  reply.metadata.Swap(list.mutable_metadata());
  co_return reply;
}

LeaseApiResult<v1::Number> CachingLeaseApi::GetNumber(CallContext context,
                                                      std::string phone_number) {
  auto found = co_await FindNumber(std::move(context), std::move(phone_number));
  if (!found.ok()) co_return found.status();
  auto response = ParseRange<v1::GetNumberResponse>(*found);
  Reply<v1::Number> reply;
  reply.value.Swap(response.mutable_number());
  reply.metadata.Swap(response.mutable_metadata());
  co_return reply;
}

LeaseApiResult<LeaseList> CachingLeaseApi::ListLeases(CallContext context) {
  auto found = co_await FindLeases(std::move(context));
  if (!found.ok()) co_return found.status();
  auto list = ParseRange<v1::ListLeasesResponse>(*found);
  Reply<LeaseList> reply;
  reply.value.Swap(list.mutable_leases());
  reply.metadata.Swap(list.mutable_metadata());
  co_return reply;
}

LeaseApiResult<v1::Lease> CachingLeaseApi::GetLease(CallContext context, std::string phone_number) {
  auto number = co_await GetNumber(std::move(context), std::move(phone_number));
  if (!number.ok()) co_return number.status();
  co_return TakeLease(*std::move(number));
}

LeaseApiResult<v1::Lease> CachingLeaseApi::CreateLease(CallContext context,
                                                       std::string phone_number,
                                                       v1::BillingMethod method) {
  context.stats->cache.emplace();
  auto reply = co_await state_->inner->CreateLease(std::move(context), phone_number, method);
  Write write;
  write.phone_number = std::move(phone_number);
  if (reply.ok()) {
    write.effect = Write::Effect::kLeased;
    write.lease = reply->value;
  } else if (!MayBeDone(reply.status())) {
    co_return reply;
  }
  state_->Written(std::move(write));
  co_return reply;
}

LeaseApiResult<v1::Termination> CachingLeaseApi::TerminateLease(CallContext context,
                                                                std::string phone_number) {
  context.stats->cache.emplace();
  auto reply = co_await state_->inner->TerminateLease(std::move(context), phone_number);
  Write write;
  write.phone_number = std::move(phone_number);
  if (reply.ok()) {
    write.effect = Write::Effect::kEnded;
    write.lease.set_lease_id(reply->value.lease_id());
  } else if (!MayBeDone(reply.status())) {
    co_return reply;
  }
  state_->Written(std::move(write));
  co_return reply;
}

namespace {

template <typename T>
Write Configured(const absl::StatusOr<Reply<T>>& reply, std::string phone_number) {
  Write write;
  write.effect = reply.ok() ? Write::Effect::kConfigured : Write::Effect::kUnknown;
  write.phone_number = std::move(phone_number);
  return write;
}

}  // namespace

LeaseApiResult<v1::Failover> CachingLeaseApi::ConfigureFailover(CallContext context,
                                                                std::string phone_number,
                                                                v1::Failover failover) {
  context.stats->cache.emplace();
  auto reply = co_await state_->inner->ConfigureFailover(std::move(context), phone_number,
                                                         std::move(failover));
  if (reply.ok() || MayBeDone(reply.status())) {
    state_->Written(Configured(reply, std::move(phone_number)));
  }
  co_return reply;
}

LeaseApiResult<v1::CallForwarding> CachingLeaseApi::GetCallForwarding(CallContext context,
                                                                      std::string phone_number) {
  context.stats->cache.emplace();
  return state_->inner->GetCallForwarding(std::move(context), std::move(phone_number));
}

LeaseApiResult<v1::CallForwarding> CachingLeaseApi::EnableCallForwarding(CallContext context,
                                                                         std::string phone_number,
                                                                         std::string forward_to) {
  context.stats->cache.emplace();
  auto reply = co_await state_->inner->EnableCallForwarding(std::move(context), phone_number,
                                                            std::move(forward_to));
  if (reply.ok() || MayBeDone(reply.status())) {
    state_->Written(Configured(reply, std::move(phone_number)));
  }
  co_return reply;
}

LeaseApiResult<v1::CallForwarding> CachingLeaseApi::DisableCallForwarding(
    CallContext context, std::string phone_number) {
  context.stats->cache.emplace();
  auto reply = co_await state_->inner->DisableCallForwarding(std::move(context), phone_number);
  if (reply.ok() || MayBeDone(reply.status())) {
    state_->Written(Configured(reply, std::move(phone_number)));
  }
  co_return reply;
}

}  // namespace leasegateway
