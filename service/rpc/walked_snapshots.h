#ifndef LEASE_GATEWAY_SERVICE_RPC_WALKED_SNAPSHOTS_H_
#define LEASE_GATEWAY_SERVICE_RPC_WALKED_SNAPSHOTS_H_

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <list>
#include <memory>
#include <mutex>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "upstream/availability/availability.h"
#include "upstream/availability/availability_history.h"

namespace leasegateway {

// The snapshots that page walks go through, each until nobody has asked for a page of it for
// `kLifetime`. The newest one is kept as it is. One that a newer one has replaced goes into a
// history on a thread of `after`; the snapshots there whose pages were asked for longest ago make
// place for others. Owned by a shared pointer, which timers know only weakly. Thread-safe.
class WalkedSnapshots : public std::enable_shared_from_this<WalkedSnapshots> {
 public:
  static constexpr std::chrono::minutes kLifetime{2};

  // Calls a function later, as CacheEnvironment::after.
  using After = std::function<void(std::chrono::milliseconds, std::function<void()>)>;
  // `history_bytes`: how much the replaced snapshots may hold, but for those that are on their way
  // into the history.
  WalkedSnapshots(std::function<std::chrono::steady_clock::time_point()> now, After after,
                  std::size_t history_bytes);

  // Keeps the snapshot, if it isn't kept, and returns its id.
  std::uint64_t Keep(const std::shared_ptr<const Availability>& numbers);
  // The snapshot for one more page. Null when it isn't there, or was not used for too long.
  std::shared_ptr<const Availability> Use(std::uint64_t id);
  // That a snapshot is an entry of a log that replicas share, and the id of what is known so; 0:
  // none.
  void Name(std::uint64_t id, std::uint64_t log, std::uint64_t sequence);
  std::uint64_t Find(std::uint64_t log, std::uint64_t sequence) const;
  // Lets go of all.
  void Close();

  struct Stats {
    std::size_t snapshots = 0;  // kept for walks, the newest included
    std::size_t bytes = 0;      // that they hold, but for the newest
    std::uint64_t evicted = 0;  // snapshots that made place within their lifetime, since the start
  };
  Stats stats() const;

 private:
  struct Walked {
    std::uint64_t id;
    std::shared_ptr<const Availability> numbers;
    std::chrono::steady_clock::time_point used;
    std::uint64_t log = 0;  // of its name; 0: it has none
    std::uint64_t sequence = 0;
  };
  using Snapshots = std::list<Walked>;

  // Under the lock; `gone` is freed without it.
  void Drop(Snapshots::iterator snapshot, Snapshots& gone);
  void Pack();
  void PackReplaced();
  // One at a time, as what it frees depends on what it shares with others.
  void Evict();
  void ScheduleSweep();
  void Sweep();

  const std::function<std::chrono::steady_clock::time_point()> now_;
  const After after_;
  const std::size_t history_bytes_;
  AvailabilityHistory history_;
  mutable std::mutex mutex_;  // guards all below
  Snapshots snapshots_;       // the last used first
  absl::flat_hash_map<std::uint64_t, Snapshots::iterator> by_id_;
  absl::flat_hash_map<std::pair<std::uint64_t, std::uint64_t>, std::uint64_t> by_name_;  // ids
  std::uint64_t newest_ = 0;            // its id; it may be gone
  std::deque<std::uint64_t> replaced_;  // those that the history does not have yet
  std::uint64_t evicted_ = 0;
  bool sweeping_ = false;
  bool packing_ = false;
};

}  // namespace leasegateway

#endif  // LEASE_GATEWAY_SERVICE_RPC_WALKED_SNAPSHOTS_H_
