#ifndef LEASE_GATEWAY_TESTS_SUPPORT_SHARED_LOG_H_
#define LEASE_GATEWAY_TESTS_SUPPORT_SHARED_LOG_H_

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdint>
#include <functional>
#include <list>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "upstream/availability/shared_lists.h"

namespace leasegateway {

// What a crash takes some of.
struct SharedLogContent {
  std::uint64_t sequence = 0;
  std::vector<LogEntry> entries;
  std::vector<LogEntry> wholes;  // entries and checkpoints
  std::array<SharedFetch, kSharedLists> fetches;
};

// A log of lists in memory, by the rules of the real one. One thread.
struct SharedLog : SharedLogContent {
  struct Claim {
    std::uint64_t holder = 0;
    std::chrono::steady_clock::time_point until;
  };

  // Now, by the database's clock, in microseconds.
  std::int64_t Time() const {
    return std::chrono::duration_cast<std::chrono::microseconds>(now().time_since_epoch()).count();
  }
  void Tell() {
    for (const auto& heard : std::vector(listeners.begin(), listeners.end())) (*heard)();
  }
  const LogEntry* Find(std::uint64_t sequence) const {
    const auto found = std::find_if(entries.begin(), entries.end(), [&](const LogEntry& entry) {
      return entry.sequence == sequence;
    });
    return found == entries.end() ? nullptr : &*found;
  }
  LogEntry& Append(LogEntry::Kind kind, std::string content) {
    LogEntry& entry = entries.emplace_back();
    entry.kind = kind;
    entry.sequence = ++sequence;
    entry.mark = ++marks;
    entry.content = std::move(content);
    return entry;
  }
  // It is what it was, as after a crash, and another log.
  void GoBackTo(SharedLogContent before) {
    static_cast<SharedLogContent&>(*this) = std::move(before);
    ++id;
  }
  // Forgets the entries before this one.
  void Prune(std::uint64_t first) {
    std::erase_if(entries, [&](const LogEntry& entry) { return entry.sequence < first; });
    std::erase_if(wholes, [&](const LogEntry& entry) { return entry.sequence < first; });
  }

  std::function<std::chrono::steady_clock::time_point()> now;
  std::uint64_t id = 77;
  std::int64_t marks = 0;
  std::array<Claim, kSharedLists> claims;
  std::list<std::shared_ptr<std::function<void()>>> listeners;
  absl::Status away;              // not OK: every exchange fails so
  bool is_silent = false;         // nobody is told
  std::size_t most_entries = 50;  // a page
  int exchanges = 0;
  // Called before each exchange.
  std::function<void()> before_exchange;
  // Called once, before the next refresh is looked at.
  std::function<void()> meanwhile;
};

// What one replica sees of it.
class FakeSharedLists final : public SharedLists {
 public:
  FakeSharedLists(SharedLog* log, std::uint64_t writer) : log_(log), writer_(writer) {}

  std::uint64_t writer() const override { return writer_; }

  boost::asio::awaitable<absl::StatusOr<LogPage>> Exchange(
      LogRequest request, std::chrono::steady_clock::time_point /*deadline*/) override {
    ++log_->exchanges;
    if (log_->before_exchange) log_->before_exchange();
    if (!log_->away.ok()) co_return log_->away;
    LogPage page;
    const std::uint64_t before = log_->sequence;
    for (const WriteToLog& write : request.writes) AppendWrite(write);
    if (request.claim) page.claimed = Claim(*request.claim);
    if (request.release) Release(*request.release);
    if (request.refresh) {
      if (const auto meanwhile = std::exchange(log_->meanwhile, nullptr)) meanwhile();
      page.refreshed = Refresh(*request.refresh);
    }
    Read(request, page);
    if ((page.refreshed || log_->sequence != before) && !log_->is_silent) log_->Tell();
    co_return page;
  }

  boost::asio::awaitable<absl::StatusOr<RestoredList>> Restore(
      SharedList list, std::uint64_t at,
      std::chrono::steady_clock::time_point /*deadline*/) override {
    if (!log_->away.ok()) co_return log_->away;
    RestoredList restored;
    const auto kind =
        list == SharedList::kNumbers ? LogEntry::Kind::kNumbers : LogEntry::Kind::kLeases;
    for (const LogEntry& whole : log_->wholes) {
      if (whole.kind == kind && whole.sequence <= at) restored.whole = whole;
    }
    if (!restored.whole) co_return absl::NotFoundError("no whole");
    for (const LogEntry& entry : log_->entries) {
      if (entry.sequence > restored.whole->sequence && entry.sequence <= at) {
        restored.entries.push_back(entry);
      }
    }
    co_return restored;
  }

  std::shared_ptr<void> OnNews(std::function<void()> heard) override {
    auto listener = std::make_shared<std::function<void()>>(std::move(heard));
    log_->listeners.push_back(listener);
    return {listener.get(), [log = log_, listener](void*) { log->listeners.remove(listener); }};
  }

 private:
  void AppendWrite(const WriteToLog& write) {
    for (const LogEntry& entry : log_->entries) {
      if (entry.writer == writer_ && entry.writer_count == write.count) return;
    }
    LogEntry& entry = log_->Append(LogEntry::Kind::kWrite, write.content);
    entry.writer = writer_;
    entry.writer_count = write.count;
  }
  bool Claim(const ClaimRequest& request) {
    const auto list = static_cast<std::size_t>(request.list);
    SharedLog::Claim& claim = log_->claims[list];
    const SharedFetch& fetch = log_->fetches[list];
    const bool will_do = fetch.time > request.known_time && fetch.seen >= request.min_seen &&
                         (!request.not_before || fetch.sent >= *request.not_before);
    if (will_do || (claim.holder != 0 && claim.until > log_->now())) return false;
    claim.holder = writer_;
    claim.until = log_->now() + std::chrono::seconds(10);
    return true;
  }
  void Release(SharedList list) {
    SharedLog::Claim& claim = log_->claims[static_cast<std::size_t>(list)];
    if (claim.holder == writer_) claim.holder = 0;
  }
  bool Refresh(const RefreshToLog& refresh) {
    SharedFetch& fetch = log_->fetches[static_cast<std::size_t>(refresh.list)];
    const auto time =
        std::chrono::duration_cast<std::chrono::microseconds>(refresh.sent.time_since_epoch())
            .count();
    if (refresh.at != log_->sequence || fetch.time >= time) return false;
    const LogEntry* const last = log_->Find(log_->sequence);
    if (last != nullptr && last->mark != refresh.mark) return false;
    const auto kind =
        refresh.list == SharedList::kNumbers ? LogEntry::Kind::kNumbers : LogEntry::Kind::kLeases;
    if (refresh.delta) {
      LogEntry& entry = log_->Append(kind, *refresh.delta);
      entry.is_whole = refresh.is_whole;
      fetch.delta_bytes += refresh.delta->size();
      if (refresh.is_whole) StoreWhole(entry, fetch);
    }
    if (refresh.checkpoint) {
      LogEntry whole;
      whole.kind = kind;
      whole.sequence = log_->sequence;
      whole.is_whole = true;
      whole.content = *refresh.checkpoint;
      StoreWhole(whole, fetch);
    }
    fetch.time = time;
    fetch.sent = refresh.sent;
    fetch.seen = std::max(fetch.seen, refresh.seen);
    fetch.metadata = refresh.metadata;
    Release(refresh.list);
    return true;
  }
  void StoreWhole(const LogEntry& whole, SharedFetch& fetch) {
    log_->wholes.push_back(whole);
    fetch.whole_at = whole.sequence;
    fetch.whole_bytes = whole.content.size();
    fetch.delta_bytes = 0;
  }
  void Read(const LogRequest& request, LogPage& page) const {
    page.log = log_->id;
    page.sequence = log_->sequence;
    page.key = "secret";
    page.fetches = log_->fetches;
    const LogEntry* const last = log_->Find(log_->sequence);
    page.mark = last != nullptr ? last->mark : 0;
    if (request.log != log_->id) return;
    if (request.after == 0) {
      page.is_lost = log_->sequence > 0 && log_->Find(1) == nullptr;
    } else {
      const LogEntry* const known = log_->Find(request.after);
      page.is_lost = request.after > log_->sequence ||
                     (known != nullptr && known->mark != request.after_mark) ||
                     (request.after < log_->sequence && log_->Find(request.after + 1) == nullptr);
    }
    if (page.is_lost) return;
    for (const LogEntry& entry : log_->entries) {
      if (entry.sequence > request.after && page.entries.size() < log_->most_entries) {
        page.entries.push_back(entry);
      }
    }
  }

  SharedLog* const log_;
  const std::uint64_t writer_;
};

}  // namespace leasegateway

#endif  // LEASE_GATEWAY_TESTS_SUPPORT_SHARED_LOG_H_
