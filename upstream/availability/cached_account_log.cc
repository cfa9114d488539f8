// CachedAccount and the log that it shares with other replicas: reading it, appending to it, and
// showing what it says.

#include <spdlog/spdlog.h>

#include <algorithm>
#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/this_coro.hpp>
#include <exception>

#include "upstream/availability/cached_account.h"
#include "upstream/availability/list_delta.h"
#include "upstream/cancellation.h"
#include "upstream/wakeup.h"

namespace leasegateway {

namespace asio = boost::asio;
using std::chrono::milliseconds;

namespace {

using Clock = std::chrono::steady_clock;

// For one exchange that nobody waits for.
constexpr milliseconds kExchangeTimeout{2'000};
// Between two reads of the log, when no news come.
constexpr milliseconds kPoll{2'000};
constexpr std::size_t kWritesAtOnce = 64;
// That wait for a log that is away.
constexpr std::size_t kMaxPending = 1'000;

constexpr std::size_t Index(SharedList list) { return static_cast<std::size_t>(list); }

}  // namespace

void CachedAccount::Start() {
  if (!shared_) return;
  news_ = shared_->OnNews([weak = weak_from_this()] {
    if (const auto self = weak.lock()) self->Follow();
  });
  ScheduleFollow();
}

void CachedAccount::ScheduleFollow() {
  environment_.after(kPoll, [weak = weak_from_this()] {
    const auto self = weak.lock();
    if (!self || self->IsStopped()) return;
    self->Follow();
    self->ScheduleFollow();
  });
}

void CachedAccount::Follow() {
  std::shared_ptr<CancellableStrand> running;
  {
    const std::lock_guard lock(mutex_);
    if (stopped_) return;
    follow_again_ = true;
    if (following_) return;
    following_ = true;
    running = std::make_shared<CancellableStrand>(environment_.executor);
    active_.insert(running);
  }
  asio::post(running->strand, [self = shared_from_this(), running] {
    auto ended = [self, running](std::exception_ptr exception) {
      const std::lock_guard lock(self->mutex_);
      self->active_.erase(running);
      if (exception) self->following_ = false;
    };
    asio::co_spawn(running->strand, FollowLog(self),
                   asio::bind_cancellation_slot(running->cancellation.slot(), std::move(ended)));
  });
}

asio::awaitable<void> CachedAccount::FollowLog(std::shared_ptr<CachedAccount> self) {
  co_await asio::this_coro::throw_if_cancelled(false);
  for (;;) {
    LogRequest request;
    std::vector<std::uint64_t> sent;
    {
      const std::lock_guard lock(self->mutex_);
      if (self->stopped_ || (!self->follow_again_ && self->pending_.empty())) {
        self->following_ = false;
        co_return;
      }
      self->follow_again_ = false;
      while (self->pending_.size() > kMaxPending) self->pending_.pop_front();
      for (const Write& write : self->pending_) {
        if (request.writes.size() == kWritesAtOnce) break;
        request.writes.push_back({write.sequence, EncodeWrite(write)});
        sent.push_back(write.sequence);
      }
    }
    auto exchanging = ExchangeWithLog(self, std::move(request), Clock::now() + kExchangeTimeout);
    const auto page = co_await std::move(exchanging);
    const std::lock_guard lock(self->mutex_);
    if (!page.ok()) {  // the next look at the log tries again
      self->following_ = false;
      co_return;
    }
    // What is still there has been in the log before what this replica has read of it.
    self->LeavePendingLocked(sent, self->logged_->sequence);
  }
}

void CachedAccount::LeavePendingLocked(const std::vector<std::uint64_t>& sent,
                                       std::uint64_t entry) {
  const auto left = std::erase_if(pending_, [&](const Write& write) {
    if (!std::binary_search(sent.begin(), sent.end(), write.sequence)) return false;
    writes_.SetLogged(write.sequence, entry);
    return true;
  });
  if (left > 0) WakeLogWaitersLocked();
}

bool CachedAccount::PutBackLoggedLocked() {
  const auto own = writes_.LoseOwn();
  if (own.empty()) return false;
  std::erase_if(pending_, [&](const Write& write) { return write.sequence >= own[0].sequence; });
  pending_.insert(pending_.end(), own.begin(), own.end());
  return true;
}

void CachedAccount::SetUpLocked(const absl::Status& status) {
  const bool is_up = status.ok();
  if (shared_stats_.is_up != is_up) {
    if (is_up) {
      spdlog::info("the lists are shared with the other replicas");
    } else {
      spdlog::warn("the shared lists are away, this replica asks the provider for itself: {}",
                   std::string(status.message()));
    }
  }
  const bool has_changed = std::exchange(shared_stats_.is_up, is_up) != is_up;
  if (!is_up) ++shared_stats_.failed;
  if (has_changed || !is_up) WakeLogWaitersLocked();
}

void CachedAccount::WakeLogWaitersLocked() {
  for (auto& waiter : log_waiters_) Wakeup::Wake(std::move(waiter));
  log_waiters_.clear();
}

asio::awaitable<absl::StatusOr<LogPage>> CachedAccount::ExchangeWithLog(
    std::shared_ptr<CachedAccount> self, LogRequest request, TimePoint deadline) {
  std::optional<LogPage> first;
  for (;;) {
    std::shared_ptr<const LoggedLists> logged;
    {
      const std::lock_guard lock(self->mutex_);
      logged = self->logged_;
    }
    request.log = logged->log;
    request.after = logged->sequence;
    request.after_mark = logged->mark;
    auto exchanging = self->shared_->Exchange(std::move(request), deadline);
    auto page = co_await std::move(exchanging);
    if (!page.ok()) {
      const std::lock_guard lock(self->mutex_);
      self->SetUpLocked(page.status());
      co_return page.status();
    }
    bool is_lost = page->log != logged->log || page->is_lost;
    if (!is_lost) {
      self->TakePage(*page);
      const std::lock_guard lock(self->mutex_);
      is_lost = self->logged_ == logged && page->sequence > logged->sequence;
    }
    if (is_lost) {
      auto restoring = RestoreFromLog(self, logged, *page, deadline);
      if (!co_await std::move(restoring)) {
        const auto status = absl::UnavailableError("they can't be restored");
        const std::lock_guard lock(self->mutex_);
        self->SetUpLocked(status);
        co_return status;
      }
    }
    if (!first) first = *std::move(page);
    const std::lock_guard lock(self->mutex_);
    if (self->logged_->sequence >= first->sequence) {
      self->SetUpLocked(absl::OkStatus());
      co_return *std::move(first);
    }
    request = LogRequest();
  }
}

asio::awaitable<bool> CachedAccount::RestoreFromLog(std::shared_ptr<CachedAccount> self,
                                                    std::shared_ptr<const LoggedLists> before,
                                                    LogPage page, TimePoint deadline) {
  auto restored = std::make_shared<LoggedLists>();
  restored->log = page.log;
  restored->sequence = page.sequence;
  restored->mark = page.mark;
  for (const SharedList list : {SharedList::kNumbers, SharedList::kLeases}) {
    auto restoring = self->shared_->Restore(list, page.sequence, deadline);
    const auto found = co_await std::move(restoring);
    if (!found.ok() && found.status().code() != absl::StatusCode::kNotFound) co_return false;
    const SharedFetch& fetch = page.fetches[Index(list)];
    (*restored)[list] = Restored(list, found.ok() ? *found : RestoredList(), page.sequence, fetch,
                                 self->environment_.pin);
    if (found.ok()) self->NoteRestored(*found);
    if (fetch.whole_at != 0 && !(*restored)[list].is_known()) {
      spdlog::warn("a shared list can't be read: it comes with the next refresh");
    }
  }
  std::shared_ptr<const AvailableValue> numbers;  // large to free
  std::shared_ptr<const LeasesValue> leases;
  bool put_back = false;
  {
    const std::lock_guard lock(self->mutex_);
    // Another coroutine may have been faster.
    if (self->logged_ != before && self->logged_->log == page.log) co_return true;
    ++self->shared_stats_.restored;
    self->shared_key_ = page.key;
    put_back = before->log != 0 && before->log != page.log && self->PutBackLoggedLocked();
    self->logged_ = std::move(restored);
    self->shown_ = WritesSeen();
    ++self->showing_;
    self->WakeLogWaitersLocked();
    // What was written elsewhere meanwhile isn't known: nothing that was said of a number counts.
    self->ForgetNumbersLocked();
    if (!self->IsInLogLocked(*self->available_)) numbers = std::move(self->available_->value);
    if (!self->IsInLogLocked(*self->leases_)) leases = std::move(self->leases_->value);
  }
  self->ShowLogged();
  if (put_back) self->Follow();
  co_return true;
}

void CachedAccount::NoteRestored(const RestoredList& restored) {
  if (!restored.whole) return;
  LogPage page;
  page.entries = restored.entries;
  const auto entered = WritesIn(page, restored.whole->sequence);
  const std::lock_guard lock(mutex_);
  for (const EnteredWrite& each : entered) NoteLocked(each);
}

void CachedAccount::NoteLocked(const EnteredWrite& entered) {
  using Effect = Write::Effect;
  const Effect effect = entered.write.effect;
  const auto note = [&](SharedList list) {
    std::uint64_t& min_seen = min_seen_[Index(list)];
    min_seen = std::max(min_seen, entered.sequence);
  };
  if (effect == Effect::kEnded || effect == Effect::kUnknown) note(SharedList::kNumbers);
  if (effect == Effect::kUnknown || effect == Effect::kConfigured) note(SharedList::kLeases);
}

void CachedAccount::TakePage(const LogPage& page) {
  std::vector<Write> others;
  for (;;) {
    std::shared_ptr<const LoggedLists> before;
    {
      const std::lock_guard lock(mutex_);
      before = logged_;
    }
    auto after = std::make_shared<const LoggedLists>(Advance(*before, page, environment_.pin));
    const auto entered = WritesIn(page, before->sequence);
    const std::lock_guard lock(mutex_);
    if (logged_ != before) continue;
    if (after->log != page.log) return;
    // Not for less, or those who wait would keep each other awake with their exchanges.
    bool has_changed = after->sequence != before->sequence;
    for (const SharedList list : {SharedList::kNumbers, SharedList::kLeases}) {
      if ((*after)[list].fetch.time != (*before)[list].fetch.time) {
        has_changed = true;
        ++shared_stats_.loaded;
      }
      if ((*before)[list].is_known() && !(*after)[list].is_known()) {
        spdlog::warn("a shared list can't be read any more: it comes with the next refresh");
      }
    }
    logged_ = std::move(after);
    ++showing_;
    TakeWritesLocked(entered, &others);
    if (has_changed) WakeLogWaitersLocked();
    break;
  }
  for (const Write& write : others) {
    bool numbers = false, leases = false;
    {
      const std::lock_guard lock(mutex_);
      numbers = available_->value && !IsInLogLocked(*available_);
      leases = leases_->value && !IsInLogLocked(*leases_);
    }
    if (numbers && write.takes_from_available()) TakeFromAvailable(write.phone_number);
    if (leases && write.changes_leases()) ChangeLeases(write);
  }
  ShowLogged();
}

void CachedAccount::TakeWritesLocked(const std::vector<EnteredWrite>& entered,
                                     std::vector<Write>* others) {
  for (const EnteredWrite& each : entered) {
    NoteLocked(each);
    if (each.writer == shared_->writer()) {
      ++shared_stats_.appended;
      writes_.SetLogged(each.writer_count, each.sequence);
      std::erase_if(pending_,
                    [&](const Write& write) { return write.sequence == each.writer_count; });
      continue;
    }
    Write write = each.write;
    write.logged = each.sequence;
    write.is_others = true;
    others->push_back(EnterLocked(std::move(write)));
  }
}

Stamp CachedAccount::LoggedStampLocked(SharedList list, const SharedFetch& fetch,
                                       std::uint64_t min_writes) const {
  Stamp stamp;
  stamp.sent = fetch.sent;
  stamp.writes = writes_.SeenBy(fetch.seen);
  // A write that asks for a refresh may have been forgotten by now, but not that it asked.
  const bool is_outdated = fetch.seen < min_seen_[Index(list)];
  if (is_outdated && min_writes > 0) stamp.writes = std::min(stamp.writes, min_writes - 1);
  return stamp;
}

void CachedAccount::ShowLogged() {
  ShowNumbers();
  ShowLeases();
  const std::lock_guard lock(mutex_);
  // Another one's writes may still be on their way into a list that is this process's own.
  if (--showing_ > 0) return;
  shown_.origin = logged_->log;
  shown_.count = logged_->sequence;
  WakeLogWaitersLocked();
}

void CachedAccount::ShowNumbers() {
  bool tell = false;
  for (;;) {
    std::shared_ptr<const AvailableValue> before;
    std::shared_ptr<const LoggedLists> logged;
    std::deque<Write> pending;
    Stamp stamp;
    std::uint64_t count = 0;
    {
      const std::lock_guard lock(mutex_);
      before = available_->value;
      logged = logged_;
      pending = pending_;
      count = writes_.count();
      stamp = LoggedStampLocked(SharedList::kNumbers, (*logged)[SharedList::kNumbers].fetch,
                                available_->min_writes);
    }
    const LoggedLists::List& list = (*logged)[SharedList::kNumbers];
    if (!list.numbers) return;
    // An answer that came while the log was away stays until there is a newer one.
    if (before && !before->is_shared && before->stamp.sent > stamp.sent) return;
    std::shared_ptr<const Availability> numbers = list.numbers;
    for (const Write& write : pending) {
      if (!write.takes_from_available()) continue;
      if (auto without = numbers->Without(write.phone_number, environment_.pin)) {
        numbers = std::move(without);
      }
    }
    Source source;
    source.is_shared = true;
    if (numbers == list.numbers) {
      source.first = list.changed_at;
      source.last = logged->sequence;
    }
    std::vector<NumberChange> changes;
    if (before && before->numbers != numbers) {
      changes = Availability::Compare(before->numbers.get(), *numbers);
    }
    tell = !before || !changes.empty();
    {
      const std::lock_guard lock(mutex_);
      tell = tell || (source.last > 0 && changes_.logged_version() < changes_.version());
    }
    if (Publish(before, std::move(numbers), stamp, count, std::move(changes), source)) break;
  }
  Launch schedule;
  {
    const std::lock_guard lock(mutex_);
    schedule = ScheduleShownLocked(available_);
  }
  if (schedule) schedule();
  if (tell) Notify();
}

void CachedAccount::ShowLeases() {
  for (;;) {
    std::shared_ptr<const LeasesValue> before;
    std::shared_ptr<const LoggedLists> logged;
    std::deque<Write> pending;
    auto value = std::make_shared<LeasesValue>();
    std::uint64_t count = 0;
    {
      const std::lock_guard lock(mutex_);
      before = leases_->value;
      logged = logged_;
      pending = pending_;
      count = writes_.count();
      value->stamp = LoggedStampLocked(SharedList::kLeases, (*logged)[SharedList::kLeases].fetch,
                                       leases_->min_writes);
    }
    value->reply = (*logged)[SharedList::kLeases].leases;
    value->is_shared = true;
    if (!value->reply) return;
    if (before && !before->is_shared && before->stamp.sent > value->stamp.sent) return;
    std::erase_if(pending, [](const Write& write) { return !write.changes_leases(); });
    if (!pending.empty()) {
      auto list = ParseAll<v1::ListLeasesResponse>(*value->reply);
      for (const Write& write : pending) ApplyTo(list, write);
      value->reply = environment_.pin(list.SerializeAsString());
    }
    const std::lock_guard lock(mutex_);
    if (leases_->value != before || !writes_.After(count).empty()) continue;
    leases_->value = std::move(value);
    break;
  }
  Launch schedule;
  {
    const std::lock_guard lock(mutex_);
    schedule = ScheduleShownLocked(leases_);
  }
  if (schedule) schedule();
}

asio::awaitable<void> CachedAccount::AwaitLog(std::shared_ptr<CachedAccount> self,
                                              TimePoint until) {
  const asio::any_io_executor executor = co_await asio::this_coro::executor;
  const auto waiter = std::make_shared<Wakeup>(executor);
  {
    const std::lock_guard lock(self->mutex_);
    self->log_waiters_.push_back(waiter);
  }
  auto waiting = waiter->WaitUntil(until);
  co_await std::move(waiting);
  const std::lock_guard lock(self->mutex_);
  std::erase(self->log_waiters_, waiter);
}

asio::awaitable<bool> CachedAccount::AwaitLogged(std::shared_ptr<CachedAccount> self,
                                                 std::uint64_t count, TimePoint until) {
  const asio::any_io_executor executor = co_await asio::this_coro::executor;
  for (;;) {
    // Before the look, so that nothing is missed.
    const auto waiter = std::make_shared<Wakeup>(executor);
    {
      const std::lock_guard lock(self->mutex_);
      if (self->pending_.empty() || self->pending_.front().sequence > count) co_return true;
      if (!self->shared_stats_.is_up || self->stopped_) co_return false;
      self->log_waiters_.push_back(waiter);
    }
    auto waiting = waiter->WaitUntil(until);
    co_await std::move(waiting);
    {
      const std::lock_guard lock(self->mutex_);
      std::erase(self->log_waiters_, waiter);
    }
    const bool cancelled = co_await Cancelled();
    if (cancelled || Clock::now() >= until) co_return false;
  }
}

}  // namespace leasegateway
