#include "upstream/availability/cached_account.h"

#include <algorithm>
#include <boost/asio/this_coro.hpp>
#include <iterator>
#include <random>

#include "upstream/cancellation.h"
#include "upstream/upstream_error.h"
#include "upstream/wakeup.h"

namespace leasegateway {

namespace asio = boost::asio;
using std::chrono::milliseconds;

namespace {

constexpr std::size_t kChangesAtOnce = 64;

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

std::uint64_t NewProcess() {
  std::random_device random;
  return std::uint64_t{random()} << 32 | random();
}

std::optional<Remembered> ToRemembered(const std::optional<Found>& found) {
  if (!found) return std::nullopt;
  return Remembered{found->sent, !found->status.ok(), found->outdated};
}

}  // namespace

CachedAccount::CachedAccount(std::unique_ptr<LeaseApi> inner, const CachePolicy& policy,
                             CacheEnvironment environment, std::shared_ptr<SharedLists> shared)
    : inner_(std::move(inner)),
      policy_(policy),
      environment_(std::move(environment)),
      shared_(std::move(shared)),
      process_(NewProcess()),
      available_(std::make_shared<Cell<AvailableValue>>()),
      leases_(std::make_shared<Cell<LeasesValue>>()),
      changes_(policy.max_change_bytes),
      logged_(std::make_shared<const LoggedLists>()) {}

std::optional<Found> CachedAccount::LookUpLocked(const Cell<AvailableValue>& cell,
                                                 std::string_view /*key*/) const {
  if (!cell.value) return std::nullopt;
  Found found = ToFound(*cell.value);
  found.outdated = cell.value->stamp.writes < cell.min_writes;
  return found;
}

std::optional<Found> CachedAccount::LookUpLocked(const Cell<LeasesValue>& cell,
                                                 std::string_view /*key*/) const {
  if (!cell.value) return std::nullopt;
  Found found = ToFound(*cell.value);
  found.outdated = cell.value->stamp.writes < cell.min_writes;
  return found;
}

std::optional<Found> CachedAccount::LookUpLocked(const Cell<NumberValue>& cell,
                                                 std::string_view phone_number) const {
  const auto& list = available_->value;
  const bool list_is_newer = list && list->stamp.writes >= cell.min_writes &&
                             (!cell.value || list->stamp.sent > cell.value->stamp.sent);
  if (list_is_newer) {
    if (auto found = LookUpInListLocked(phone_number)) return found;
    // It could be leased when it was looked at, and then it was not in the list.
    if (cell.value && cell.value->leasable) return std::nullopt;
  }
  if (!cell.value) return std::nullopt;
  return ToFound(*cell.value);
}

std::optional<Found> CachedAccount::LookUpInListLocked(std::string_view phone_number) const {
  const auto& list = available_->value;
  if (!list) return std::nullopt;
  const auto range = list->numbers->FindNumber(phone_number);
  if (!range) return std::nullopt;
  Found found;
  found.bytes = list->numbers->number_replies();
  found.range = *range;
  found.sent = list->stamp.sent;
  found.from_list = true;
  return found;
}

std::shared_ptr<CachedValue<NumberValue>>& CachedAccount::NumberCellLocked(
    const std::string& phone_number) {
  if (const auto at = numbers_.find(phone_number); at != numbers_.end()) {
    order_.splice(order_.begin(), order_, at->second);
    return at->second->second;
  }
  order_.emplace_front(phone_number, std::make_shared<Cell<NumberValue>>());
  numbers_[phone_number] = order_.begin();
  // One more than asked for: the number that is being read. And those that tell that a write has
  // made the list's word of them void.
  if (order_.size() > policy_.max_numbers + 1) {
    const std::uint64_t seen =
        available_->value ? available_->value->stamp.writes : writes_.count();
    auto last = std::prev(order_.end());
    while (last != order_.begin() && last->second->min_writes > seen) --last;
    if (last != order_.begin()) {
      numbers_.erase(last->first);
      order_.erase(last);
    }
  }
  return order_.front().second;
}

template <typename Value>
const RefreshPace& CachedAccount::PaceLocked(const Cell<Value>& cell,
                                             const std::optional<Found>& found) const {
  if (!found || !found->from_list) return cell.pace;
  return available_->pace.retry_at() > cell.pace.retry_at() ? available_->pace : cell.pace;
}

template <typename Value>
std::optional<Found> CachedAccount::Peek(const std::shared_ptr<Cell<Value>>& cell,
                                         MaxStaleness max_staleness) {
  std::optional<Found> found;
  Launch launch;
  {
    const std::lock_guard lock(mutex_);
    found = PeekLocked(cell, {}, max_staleness, &launch);
  }
  if (launch) launch();
  return found;
}

template <typename Value>
std::optional<Found> CachedAccount::PeekLocked(const std::shared_ptr<Cell<Value>>& cell,
                                               std::string_view key, MaxStaleness max_staleness,
                                               Launch* launch) {
  std::optional<Found> found = LookUpLocked(*cell, key);
  const TimePoint now = environment_.now();
  const FreshnessDecision decision =
      Decide(ToRemembered(found), max_staleness, PaceLocked(*cell, found), policy_, now);
  if (!decision.use) return std::nullopt;
  (found->from_list ? available_->last_used : cell->last_used) = now;
  found->outcome = decision.outcome;
  if (decision.refresh) *launch = RefreshSourceLocked(cell, std::string(key), *found);
  return found;
}

template <typename Value>
asio::awaitable<absl::StatusOr<Found>> CachedAccount::Find(CallContext context,
                                                           std::shared_ptr<Cell<Value>> cell,
                                                           std::string key) {
  co_await asio::this_coro::throw_if_cancelled(false);
  const asio::any_io_executor executor = co_await asio::this_coro::executor;
  const auto waiter = std::make_shared<Wakeup>(executor);
  context.stats->cache.emplace();
  Joined<Value> joined;
  Launch launch;
  {
    const std::lock_guard lock(mutex_);
    joined = JoinLocked(context, cell, key, waiter, &launch);
  }
  if (launch) launch();
  if (!joined.flight) {
    joined.found->outcome = *context.stats->cache;
    co_return *std::move(joined.found);
  }

  auto until = context.deadline;
  if (joined.found) {
    const auto left = until - std::chrono::steady_clock::now();
    until -= std::clamp<std::chrono::steady_clock::duration>(left / 8, milliseconds(1),
                                                             milliseconds(100));
  }
  auto waiting = waiter->WaitUntil(until);
  co_await std::move(waiting);
  const bool cancelled = co_await Cancelled();

  const std::lock_guard lock(mutex_);
  co_return ConcludeLocked(context, *cell, std::move(joined), waiter, cancelled);
}

template <typename Value>
CachedAccount::Joined<Value> CachedAccount::JoinLocked(const CallContext& context,
                                                       const std::shared_ptr<Cell<Value>>& cell,
                                                       const std::string& key,
                                                       const std::shared_ptr<Wakeup>& waiter,
                                                       Launch* launch) {
  Joined<Value> joined;
  joined.found = LookUpLocked(*cell, key);
  std::optional<Found>& found = joined.found;
  CacheOutcome& outcome = *context.stats->cache;
  const TimePoint now = environment_.now();
  cell->last_used = now;
  const auto remembered = ToRemembered(found);
  const FreshnessDecision decision =
      Decide(remembered, context.max_staleness, PaceLocked(*cell, found), policy_, now);
  outcome = decision.outcome;
  if (decision.use) {
    if (found->from_list) available_->last_used = now;
    if (decision.refresh) *launch = RefreshSourceLocked(cell, key, *found);
    return joined;
  }
  std::shared_ptr<ReadFlight<Value>>& flight = joined.flight;
  flight = cell->flight;
  const bool new_enough =
      flight && flight->stamp.writes >= cell->min_writes &&
      (!context.max_staleness ||
       (context.max_staleness->count() > 0 && now - flight->stamp.sent <= *context.max_staleness));
  const bool long_enough = flight && (!flight->until || *flight->until >= context.deadline);
  outcome.collapsed = new_enough && long_enough;
  if (!outcome.collapsed) flight = PrepareLocked(cell, key, &context, launch);
  flight->waiters.push_back(waiter);
  if (!MayStandIn(remembered, context.max_staleness, policy_, now)) found.reset();
  return joined;
}

template <typename Value>
absl::StatusOr<Found> CachedAccount::ConcludeLocked(const CallContext& context, Cell<Value>& cell,
                                                    Joined<Value>&& joined,
                                                    const std::shared_ptr<Wakeup>& waiter,
                                                    bool cancelled) {
  CacheOutcome& outcome = *context.stats->cache;
  const auto& flight = joined.flight;
  absl::Status failure;
  if (!outcome.collapsed) context.stats->attempts += flight->stats->attempts;
  if (flight->done) {
    if (!outcome.collapsed) {
      context.stats->upstream_request_id = flight->stats->upstream_request_id;
    }
    if (flight->result.ok()) return LandedLocked(outcome, cell, *flight);
    failure = flight->result.status();
  } else {
    std::erase(flight->waiters, waiter);
    if (cancelled) {
      failure = CancelledError("waiting for the provider");
      // A call that ran out of time is cancelled as well. What memory shall have goes on then, or
      // callers in a greater hurry than the provider would never find it there.
      if (std::chrono::steady_clock::now() < context.deadline) AbandonIfAloneLocked(cell, flight);
    } else {
      failure = DeadlineError("waiting for the provider");
    }
  }
  if (joined.found && IsOutage(failure)) {
    outcome.stale_if_error = true;
    joined.found->outcome = outcome;
    return *std::move(joined.found);
  }
  return failure;
}

template <typename Value>
Found CachedAccount::LandedLocked(CacheOutcome& outcome, const Cell<Value>& cell,
                                  const ReadFlight<Value>& flight) const {
  // A write may have returned between the answer's coming into memory and the flight's end. Memory
  // shows it, in the same answer or in a newer one.
  const bool stored = cell.value && cell.value->stamp.sent >= (*flight.result)->stamp.sent;
  Found answer = ToFound(stored ? *cell.value : **flight.result);
  outcome.ttl = std::chrono::duration_cast<milliseconds>(
      (answer.status.ok() ? policy_.fresh : policy_.negative) - (environment_.now() - answer.sent));
  outcome.stored = stored;
  answer.outcome = outcome;
  return answer;
}

std::optional<Found> CachedAccount::PeekAvailable(MaxStaleness max_staleness) {
  return Peek(available_, max_staleness);
}

std::optional<Found> CachedAccount::PeekLeases(MaxStaleness max_staleness) {
  return Peek(leases_, max_staleness);
}

std::optional<Found> CachedAccount::PeekNumber(std::string_view phone_number,
                                               MaxStaleness max_staleness) {
  std::optional<Found> found;
  Launch launch;
  {
    static const auto nothing = std::make_shared<Cell<NumberValue>>();
    const std::lock_guard lock(mutex_);
    const auto at = numbers_.find(absl::string_view(phone_number.data(), phone_number.size()));
    if (at == numbers_.end()) {
      found = PeekLocked(nothing, phone_number, max_staleness, &launch);
    } else {
      order_.splice(order_.begin(), order_, at->second);
      found = PeekLocked(at->second->second, phone_number, max_staleness, &launch);
    }
  }
  if (launch) launch();
  return found;
}

asio::awaitable<absl::StatusOr<Found>> CachedAccount::FindAvailable(CallContext context) {
  return Find(std::move(context), available_, "");
}

asio::awaitable<absl::StatusOr<Found>> CachedAccount::FindLeases(CallContext context) {
  return Find(std::move(context), leases_, "");
}

asio::awaitable<absl::StatusOr<Found>> CachedAccount::FindNumber(CallContext context,
                                                                 std::string phone_number) {
  std::shared_ptr<Cell<NumberValue>> cell;
  {
    const std::lock_guard lock(mutex_);
    cell = NumberCellLocked(phone_number);
  }
  return Find(std::move(context), std::move(cell), std::move(phone_number));
}

std::optional<std::vector<AvailabilityChange>> CachedAccount::ChangesSince(std::uint64_t version) {
  std::optional<std::vector<AvailabilityChange>> found;
  Launch launch;
  {
    const std::lock_guard lock(mutex_);
    const TimePoint now = environment_.now();
    available_->last_used = now;
    // As a reader does; a list that was idle is not refreshed otherwise.
    const bool stale = available_->value && now - available_->value->stamp.sent > policy_.fresh;
    if (stale && now >= available_->pace.retry_at() && !stopped_ && !available_->flight) {
      launch = RefreshLocked(available_, "");
    }
    if (available_->value) found = changes_.Since(version, kChangesAtOnce);
    // What is on its way to the log comes when it is there, with an entry that others know; soon.
    const bool is_soon =
        !pending_.empty() && shared_stats_.is_up && now - pending_.front().time < kLogPatience;
    while (found && is_soon && !found->empty() &&
           found->back().version > changes_.logged_version()) {
      found->pop_back();
    }
  }
  if (launch) launch();
  return found;
}

CacheStats CachedAccount::stats() const {
  std::shared_ptr<const AvailableValue> available;
  std::shared_ptr<const LeasesValue> leases;
  CacheStats stats;
  {
    const std::lock_guard lock(mutex_);
    stats = refreshes_;
    stats.single_numbers = order_.size();
    if (shared_) {
      stats.shared = shared_stats_;
      stats.shared->sequence = logged_->sequence;
      stats.shared->pending = pending_.size();
    }
    available = available_->value;
    leases = leases_->value;
  }
  const TimePoint now = environment_.now();
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

}  // namespace leasegateway
