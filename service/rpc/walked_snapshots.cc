#include "service/rpc/walked_snapshots.h"

#include <iterator>
#include <utility>

namespace leasegateway {

WalkedSnapshots::WalkedSnapshots(std::function<std::chrono::steady_clock::time_point()> now,
                                 After after, std::size_t history_bytes)
    : now_(std::move(now)), after_(std::move(after)), history_bytes_(history_bytes) {}

void WalkedSnapshots::Close() {
  Snapshots gone;  // freed without the lock
  const std::lock_guard lock(mutex_);
  gone.swap(snapshots_);
  by_id_.clear();
  by_name_.clear();
}

void WalkedSnapshots::Name(std::uint64_t id, std::uint64_t log, std::uint64_t sequence) {
  const std::lock_guard lock(mutex_);
  const auto found = by_id_.find(id);
  if (found == by_id_.end()) return;
  by_name_.erase({found->second->log, found->second->sequence});
  found->second->log = log;
  found->second->sequence = sequence;
  by_name_[{log, sequence}] = id;
}

std::uint64_t WalkedSnapshots::Find(std::uint64_t log, std::uint64_t sequence) const {
  const std::lock_guard lock(mutex_);
  const auto found = by_name_.find({log, sequence});
  return found == by_name_.end() ? 0 : found->second;
}

std::shared_ptr<const Availability> WalkedSnapshots::Use(std::uint64_t id) {
  const std::lock_guard lock(mutex_);
  const auto found = by_id_.find(id);
  const auto time = now_();
  if (found == by_id_.end() || time - found->second->used >= kLifetime) return nullptr;
  snapshots_.splice(snapshots_.begin(), snapshots_, found->second);
  snapshots_.front().used = time;
  return snapshots_.front().numbers;
}

std::uint64_t WalkedSnapshots::Keep(const std::shared_ptr<const Availability>& numbers) {
  bool sweep = false, pack = false;
  std::uint64_t id = 0;
  {
    const std::lock_guard lock(mutex_);
    const auto newest = by_id_.find(newest_);
    if (newest != by_id_.end() && newest->second->numbers == numbers) {
      snapshots_.splice(snapshots_.begin(), snapshots_, newest->second);
      snapshots_.front().used = now_();
    } else {
      if (newest != by_id_.end()) {
        replaced_.push_back(newest_);
        pack = !std::exchange(packing_, true);
      }
      snapshots_.push_front({++newest_, numbers, now_()});
      by_id_.emplace(newest_, snapshots_.begin());
    }
    id = newest_;
    sweep = !std::exchange(sweeping_, true);
  }
  if (sweep) ScheduleSweep();
  if (pack) {
    after_(std::chrono::milliseconds(0), [weak = weak_from_this()] {
      if (const auto alive = weak.lock()) alive->Pack();
    });
  }
  return id;
}

void WalkedSnapshots::Drop(Snapshots::iterator snapshot, Snapshots& gone) {
  by_id_.erase(snapshot->id);
  const auto named = by_name_.find({snapshot->log, snapshot->sequence});
  if (named != by_name_.end() && named->second == snapshot->id) by_name_.erase(named);
  gone.splice(gone.begin(), snapshots_, snapshot);
}

void WalkedSnapshots::Pack() {
  for (;;) {
    PackReplaced();
    Evict();
    const std::lock_guard lock(mutex_);
    packing_ = !replaced_.empty();
    if (!packing_) return;
  }
}

void WalkedSnapshots::PackReplaced() {
  const auto next = [&]() -> std::shared_ptr<const Availability> {
    const std::lock_guard lock(mutex_);
    for (; !replaced_.empty(); replaced_.pop_front()) {
      const auto found = by_id_.find(replaced_.front());
      if (found != by_id_.end()) return found->second->numbers;
    }
    return nullptr;
  };
  while (const auto numbers = next()) {
    std::shared_ptr<const Availability> packed = history_.Add(*numbers);
    const std::lock_guard lock(mutex_);
    const auto found = by_id_.find(replaced_.front());
    if (found != by_id_.end()) found->second->numbers.swap(packed);
    replaced_.pop_front();
  }
}

void WalkedSnapshots::Evict() {
  while (history_.MemoryBytes() > history_bytes_) {
    Snapshots gone;  // freed without the lock
    const std::lock_guard lock(mutex_);
    // What the history does not have yet would free nothing there; it comes first.
    if (!replaced_.empty() || snapshots_.empty()) return;
    auto last = std::prev(snapshots_.end());
    if (last->id == newest_) {
      if (last == snapshots_.begin()) return;
      --last;
    }
    if (now_() - last->used < kLifetime) ++evicted_;
    Drop(last, gone);
  }
}

WalkedSnapshots::Stats WalkedSnapshots::stats() const {
  Stats stats;
  stats.bytes = history_.MemoryBytes();
  const std::lock_guard lock(mutex_);
  stats.snapshots = snapshots_.size();
  stats.evicted = evicted_;
  for (const std::uint64_t id : replaced_) {
    const auto found = by_id_.find(id);
    if (found != by_id_.end()) stats.bytes += found->second->numbers->MemoryBytes();
  }
  return stats;
}

void WalkedSnapshots::ScheduleSweep() {
  after_(kLifetime, [weak = weak_from_this()] {
    if (const auto alive = weak.lock()) alive->Sweep();
  });
}

void WalkedSnapshots::Sweep() {
  Snapshots gone;
  {
    const std::lock_guard lock(mutex_);
    while (!snapshots_.empty() && now_() - snapshots_.back().used >= kLifetime) {
      Drop(std::prev(snapshots_.end()), gone);
    }
    sweeping_ = !snapshots_.empty();
    if (!sweeping_) return;
  }
  ScheduleSweep();
}

}  // namespace leasegateway
