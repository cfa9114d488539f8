// One refresh for all replicas: who of them asks the provider, how its answer gets into the log
// that they share, and what a reader can ask of that log.

#include <algorithm>
#include <boost/asio/this_coro.hpp>

#include "upstream/availability/cached_account.h"
#include "upstream/availability/leases_reply.h"
#include "upstream/availability/list_delta.h"
#include "upstream/cancellation.h"
#include "upstream/wakeup.h"

namespace leasegateway {

namespace asio = boost::asio;
using std::chrono::milliseconds;

namespace {

using Clock = std::chrono::steady_clock;

// How long callers wait for the replica that asks the provider, before this one asks as well: it
// may have died with the claim, and they have deadlines of a second. A refresh that nobody waits
// for has longer than any claim.
constexpr milliseconds kPatience{500};
constexpr milliseconds kPatienceOfRefresh{15'000};
// Between two tries to get the claim, when no news come.
constexpr milliseconds kClaimPause{250};
constexpr milliseconds kTurnTimeout{1'000};
// The answers of other replicas that may come in between.
constexpr int kShareTries = 16;

std::size_t BytesIn(const RefreshToLog& refresh) {
  return (refresh.delta ? refresh.delta->size() : 0) +
         (refresh.checkpoint ? refresh.checkpoint->size() : 0);
}

}  // namespace

bool CachedAccount::HasWaiters(SharedList list) const {
  const std::lock_guard lock(mutex_);
  return list == SharedList::kNumbers ? available_->flight && !available_->flight->waiters.empty()
                                      : leases_->flight && !leases_->flight->waiters.empty();
}

asio::awaitable<CachedAccount::Turn> CachedAccount::TakeTurn(std::shared_ptr<CachedAccount> self,
                                                             SharedList list, CallContext context) {
  co_await asio::this_coro::throw_if_cancelled(false);
  Turn turn;
  if (context.max_staleness == milliseconds(0)) {
    const std::lock_guard lock(self->mutex_);
    turn.is_shared = self->shared_stats_.is_up;
    turn.seen = self->logged_->sequence;
    turn.restored = self->shared_stats_.restored;
    co_return turn;
  }
  const auto begun = Clock::now();
  ClaimRequest claim;
  std::uint64_t count = 0;
  {
    const std::lock_guard lock(self->mutex_);
    const LoggedLists::List& known = (*self->logged_)[list];
    claim.list = list;
    claim.known_time = known.fetch.time;
    claim.not_before =
        self->environment_.now() - context.max_staleness.value_or(self->policy_.fresh);
    count = self->writes_.count();
  }
  for (;;) {
    auto logging = AwaitLogged(self, count, Clock::now() + kTurnTimeout);
    co_await std::move(logging);
    LogRequest request;
    {
      const std::lock_guard lock(self->mutex_);
      claim.min_seen = self->min_seen_[static_cast<std::size_t>(list)];
    }
    request.claim = claim;
    auto exchanging = ExchangeWithLog(self, std::move(request), Clock::now() + kTurnTimeout);
    const auto page = co_await std::move(exchanging);
    if (!page.ok()) {
      const std::lock_guard lock(self->mutex_);
      turn.restored = self->shared_stats_.restored;
      co_return turn;
    }
    turn.is_shared = true;
    turn.is_claimed = page->claimed;
    {
      const std::lock_guard lock(self->mutex_);
      turn.seen = self->logged_->sequence;
      turn.restored = self->shared_stats_.restored;
      ++(turn.is_claimed ? self->shared_stats_.claims_given : self->shared_stats_.claims_refused);
      if (turn.is_claimed) co_return turn;
      const LoggedLists::List& now = (*self->logged_)[list];
      turn.is_loaded = now.is_known() && now.fetch.time != claim.known_time &&
                       now.fetch.sent >= *claim.not_before && now.fetch.seen >= claim.min_seen;
    }
    if (turn.is_loaded) co_return turn;
    const bool somebody_waits = !context.background || self->HasWaiters(list);
    const auto until = begun + (somebody_waits ? kPatience : kPatienceOfRefresh);
    const bool cancelled = co_await Cancelled();
    if (cancelled || Clock::now() >= std::min(until, context.deadline)) co_return turn;
    auto waiting = AwaitLog(self, Clock::now() + kClaimPause);
    co_await std::move(waiting);
  }
}

asio::awaitable<void> CachedAccount::EndTurn(std::shared_ptr<CachedAccount> self, SharedList list) {
  LogRequest request;
  request.release = list;
  auto exchanging = ExchangeWithLog(self, std::move(request), Clock::now() + kTurnTimeout);
  co_await std::move(exchanging);
}

asio::awaitable<bool> CachedAccount::Share(std::shared_ptr<CachedAccount> self, Answered answer) {
  std::uint64_t laid = answer.turn.seen;
  bool has_newer = false;
  for (int tries = 0; tries < kShareTries; ++tries) {
    std::shared_ptr<const LoggedLists> logged;
    std::vector<Write> later;
    bool is_lost = false;
    {
      const std::lock_guard lock(self->mutex_);
      logged = self->logged_;
      is_lost = answer.turn.restored != self->shared_stats_.restored;
      later = self->writes_.LoggedBetween(laid, logged->sequence);
    }
    for (const Write& write : later) answer.lay(write);
    laid = std::max(laid, logged->sequence);
    const LoggedLists::List& known = (*logged)[answer.list];
    has_newer = known.is_known() && known.fetch.sent > answer.stamp.sent;
    if (has_newer || is_lost) break;
    LogRequest request;
    request.refresh = RefreshOf(answer.list, *logged, answer.reply());
    request.refresh->sent = answer.stamp.sent;
    request.refresh->seen = answer.turn.seen;
    request.refresh->metadata = answer.metadata;
    const std::size_t bytes = BytesIn(*request.refresh);
    auto exchanging = ExchangeWithLog(self, std::move(request), Clock::now() + kTurnTimeout);
    const auto page = co_await std::move(exchanging);
    if (!page.ok()) co_return false;
    if (page->refreshed) {
      const std::lock_guard lock(self->mutex_);
      ++self->shared_stats_.made;
      self->shared_stats_.made_bytes += bytes;
      co_return true;
    }
  }
  if (answer.turn.is_claimed) {
    auto ending = EndTurn(self, answer.list);
    co_await std::move(ending);
  }
  co_return has_newer;
}

asio::awaitable<bool> CachedAccount::ShareNumbers(std::shared_ptr<CachedAccount> self,
                                                  std::shared_ptr<const Availability> built,
                                                  Turn turn, Stamp stamp) {
  Answered answer;
  answer.list = SharedList::kNumbers;
  answer.stamp = stamp;
  answer.turn = turn;
  answer.metadata = built->metadata().SerializeAsString();
  const auto numbers = std::make_shared<std::shared_ptr<const Availability>>(std::move(built));
  answer.lay = [self, numbers](const Write& write) {
    if (!write.takes_from_available()) return;
    if (auto without = (*numbers)->Without(write.phone_number, self->environment_.pin)) {
      *numbers = std::move(without);
    }
  };
  answer.reply = [numbers] { return (*numbers)->list_reply().view(); };
  auto sharing = Share(self, std::move(answer));
  co_return co_await std::move(sharing);
}

asio::awaitable<bool> CachedAccount::ShareLeases(std::shared_ptr<CachedAccount> self,
                                                 ReplyBytes answered, Turn turn, Stamp stamp) {
  Answered answer;
  answer.list = SharedList::kLeases;
  answer.stamp = stamp;
  answer.turn = turn;
  answer.metadata = MetadataOfLeases(answered).SerializeAsString();
  struct Laid {  // once there is a write that changes it
    v1::ListLeasesResponse leases;
    std::string bytes;
  };
  const auto laid = std::make_shared<std::optional<Laid>>();
  answer.lay = [answered, laid](const Write& write) {
    if (!write.changes_leases()) return;
    if (!*laid) laid->emplace().leases = ParseReply<v1::ListLeasesResponse>(answered);
    Laid& now = **laid;
    ApplyTo(now.leases, write);
    now.leases.clear_metadata();
    now.leases.clear_total_size();
    now.bytes = SerializeInOrder(now.leases);
  };
  answer.reply = [answered, laid] {
    return *laid ? std::string_view((*laid)->bytes) : answered.view();
  };
  auto sharing = Share(self, std::move(answer));
  co_return co_await std::move(sharing);
}

Stamp CachedAccount::StampNow() const {
  const std::lock_guard lock(mutex_);
  return {environment_.now(), writes_.count()};
}

template <typename Value>
milliseconds CachedAccount::SharedPauseLocked(const Cell<Value>& cell) const {
  constexpr auto kList =
      std::is_same_v<Value, LeasesValue> ? SharedList::kLeases : SharedList::kNumbers;
  const SharedFetch& fetch = (*logged_)[kList].fetch;
  const auto share = 0.75 + 0.2 * static_cast<double>(fetch.time % 1'000) / 1'000;
  const auto due =
      cell.value ? cell.value->stamp.sent : environment_.now() - policy_.fresh + milliseconds(1);
  const auto pause =
      due + std::chrono::duration_cast<Clock::duration>(policy_.fresh * share) - environment_.now();
  return std::max(std::chrono::ceil<milliseconds>(pause), milliseconds(1));
}
template milliseconds CachedAccount::SharedPauseLocked(const Cell<AvailableValue>&) const;
template milliseconds CachedAccount::SharedPauseLocked(const Cell<LeasesValue>&) const;

asio::awaitable<bool> CachedAccount::Load(TimePoint deadline) {
  if (!shared_) co_return true;
  auto exchanging = ExchangeWithLog(shared_from_this(), LogRequest(), deadline);
  const auto page = co_await std::move(exchanging);
  co_return page.ok();
}

std::optional<LoggedState> CachedAccount::EntryOf(std::uint64_t version) const {
  const std::lock_guard lock(mutex_);
  const auto entry = changes_.EntryOf(version);
  if (!shared_ || !entry) return std::nullopt;
  return LoggedState{logged_->log, *entry};
}

asio::awaitable<std::shared_ptr<const Availability>> CachedAccount::NumbersAt(LoggedState state,
                                                                              TimePoint deadline) {
  if (!shared_) co_return nullptr;
  WritesSeen seen;
  seen.origin = state.log;
  seen.count = state.sequence;
  auto catching_up = CatchUp(seen, deadline);
  if (!co_await std::move(catching_up)) co_return nullptr;
  LoggedLists::List present;
  std::uint64_t sequence = 0;
  {
    const std::lock_guard lock(mutex_);
    present = (*logged_)[SharedList::kNumbers];
    sequence = logged_->sequence;
  }
  if (present.changed_at <= state.sequence && state.sequence <= sequence) co_return present.numbers;
  auto restoring = shared_->Restore(SharedList::kNumbers, state.sequence, deadline);
  const auto restored = co_await std::move(restoring);
  if (!restored.ok()) co_return nullptr;
  SharedFetch fetch;
  fetch.metadata = present.fetch.metadata;
  co_return Restored(SharedList::kNumbers, *restored, state.sequence, fetch, environment_.pin)
      .numbers;
}

asio::awaitable<std::optional<AvailabilityChange>> CachedAccount::ChangeFrom(LoggedState state,
                                                                             TimePoint deadline) {
  WritesSeen seen;
  seen.origin = state.log;
  seen.count = state.sequence;
  auto catching_up = CatchUp(seen, deadline);
  if (!co_await std::move(catching_up)) co_return std::nullopt;
  {
    const std::lock_guard lock(mutex_);
    const auto version =
        logged_->log == state.log ? changes_.VersionAt(state.sequence) : std::nullopt;
    if (version && changes_.Since(*version, 0)) {
      AvailabilityChange none;
      none.version = *version;
      none.numbers = std::make_shared<const std::vector<NumberChange>>();
      co_return none;
    }
  }
  auto restoring = NumbersAt(state, deadline);
  const auto before = co_await std::move(restoring);
  if (!before) co_return std::nullopt;
  AvailabilityChange change;
  std::shared_ptr<const AvailableValue> present;
  {
    const std::lock_guard lock(mutex_);
    present = available_->value;
  }
  if (!present) co_return std::nullopt;
  change.version = present->version;
  change.numbers = std::make_shared<const std::vector<NumberChange>>(
      Availability::Compare(before.get(), *present->numbers));
  co_return change;
}

std::string CachedAccount::SharedKey() const {
  const std::lock_guard lock(mutex_);
  return shared_key_;
}

asio::awaitable<WritesSeen> CachedAccount::SeenNow(TimePoint deadline) {
  WritesSeen seen;
  {
    const std::lock_guard lock(mutex_);
    seen.origin = process_;
    seen.count = writes_.count();
  }
  if (!shared_) co_return seen;
  auto logging = AwaitLogged(shared_from_this(), seen.count, deadline);
  if (!co_await std::move(logging)) co_return seen;
  const std::lock_guard lock(mutex_);
  if (logged_->log != 0) {
    seen.origin = logged_->log;
    seen.count = logged_->sequence;
  }
  co_return seen;
}

bool CachedAccount::HasSeen(const WritesSeen& seen) const {
  const std::lock_guard lock(mutex_);
  if (seen.origin == 0) return false;
  if (seen.origin == process_) return seen.count <= writes_.count();
  return shared_ && seen.origin == shown_.origin && seen.count <= shown_.count;
}

asio::awaitable<bool> CachedAccount::CatchUp(WritesSeen seen, TimePoint deadline) {
  if (HasSeen(seen)) co_return true;
  if (!shared_ || seen.origin == process_ || seen.origin == 0) co_return false;
  auto exchanging = ExchangeWithLog(shared_from_this(), LogRequest(),
                                    std::min(deadline, Clock::now() + kTurnTimeout));
  const auto page = co_await std::move(exchanging);
  if (!page.ok()) co_return false;
  auto showing = AwaitShown(shared_from_this(), std::min(deadline, Clock::now() + kTurnTimeout));
  co_await std::move(showing);
  co_return HasSeen(seen);
}

asio::awaitable<void> CachedAccount::AwaitShown(std::shared_ptr<CachedAccount> self,
                                                TimePoint until) {
  const asio::any_io_executor executor = co_await asio::this_coro::executor;
  for (;;) {
    const auto waiter = std::make_shared<Wakeup>(executor);
    {
      const std::lock_guard lock(self->mutex_);
      if (self->showing_ == 0) co_return;
      self->shown_waiters_.push_back(waiter);
    }
    auto waiting = waiter->WaitUntil(until);
    co_await std::move(waiting);
    {
      const std::lock_guard lock(self->mutex_);
      std::erase(self->shown_waiters_, waiter);
    }
    const bool cancelled = co_await Cancelled();
    if (cancelled || Clock::now() >= until) co_return;
  }
}

}  // namespace leasegateway
