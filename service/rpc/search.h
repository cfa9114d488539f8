#ifndef LEASE_GATEWAY_SERVICE_RPC_SEARCH_H_
#define LEASE_GATEWAY_SERVICE_RPC_SEARCH_H_

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <list>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "leasegateway/v1/lease_service.pb.h"
#include "upstream/availability/availability.h"
#include "upstream/availability/availability_history.h"

namespace leasegateway {

// 64 bits that name a filter and an order, the same in every process.
std::uint64_t Fingerprint(const v1::AvailabilityFilter& filter, std::string_view order_by);

// Integers as text that fits into a token (base64, for URLs), and back. Nothing when `text` is not
// what EncodeToken makes of `count` integers.
std::string EncodeToken(const std::vector<std::uint64_t>& values);
std::optional<std::vector<std::uint64_t>> DecodeToken(std::string_view text, std::size_t count);

// Searching the available numbers, page by page (AIP-158). A token names a snapshot, a filter, an
// order and a place, and is signed with a key of this object's own; the snapshot is kept until
// nobody has asked for a page of it for `kLifetime`, so that all pages show one list. The newest
// one is kept as it is. One that a newer one has replaced goes into a history on a thread of
// `after`; the snapshots there whose pages were asked for longest ago make place for others.
// Thread-safe.
class AvailabilitySearch {
 public:
  static constexpr std::chrono::minutes kLifetime{2};
  static constexpr int kMaxPageSize = 10'000;

  // Calls a function later, as CacheEnvironment::after.
  using After = std::function<void(std::chrono::milliseconds, std::function<void()>)>;
  // `history_bytes`: how much the replaced snapshots may hold, but for those that are on their way
  // into the history.
  AvailabilitySearch(std::function<std::chrono::steady_clock::time_point()> now, After after,
                     std::size_t history_bytes);
  ~AvailabilitySearch();

  struct Query {
    v1::AvailabilityFilter filter;
    Order order;
    std::size_t offset = 0;
    std::size_t page_size = 0;  // 0: no limit
    std::uint64_t fingerprint = 0;
    std::shared_ptr<const Availability>
        numbers;           // of the walk that goes on; null: the present ones
    std::uint64_t id = 0;  // of `numbers`
  };
  // INVALID_ARGUMENT for a token that is not of this object or belongs to another filter or order
  // (INVALID_PAGE_TOKEN), or whose snapshot is gone (PAGE_TOKEN_EXPIRED). `request` has been
  // validated but for its token.
  absl::StatusOr<Query> Prepare(v1::ListAvailableNumbersRequest request);
  // A serialised ListAvailableNumbersResponse. `numbers` are those of the query, if it has any.
  std::string Answer(const Query& query, const std::shared_ptr<const Availability>& numbers);

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
  };
  using Snapshots = std::list<Walked>;
  struct State {
    std::function<std::chrono::steady_clock::time_point()> now;
    After after;
    std::size_t history_bytes;
    AvailabilityHistory history;
    mutable std::mutex mutex;  // guards all below
    Snapshots snapshots;       // the last used first
    absl::flat_hash_map<std::uint64_t, Snapshots::iterator> by_id;
    std::uint64_t newest = 0;            // its id; it may be gone
    std::deque<std::uint64_t> replaced;  // those that the history does not have yet
    std::uint64_t evicted = 0;
    bool sweeping = false;
    bool packing = false;

    Walked* Use(std::uint64_t id);
    void Drop(Snapshots::iterator snapshot, Snapshots& gone);
  };
  std::uint64_t Keep(const std::shared_ptr<const Availability>& numbers);
  static void Sweep(const std::shared_ptr<State>& state);
  static void ScheduleSweep(const std::shared_ptr<State>& state);
  static void Pack(State& state);
  static void PackReplaced(State& state);
  static void Evict(State& state);
  std::uint64_t Sign(std::uint64_t id, std::uint64_t fingerprint, std::uint64_t offset) const;

  const std::string key_;
  // Timers know it only weakly.
  const std::shared_ptr<State> state_;
};

}  // namespace leasegateway

#endif  // LEASE_GATEWAY_SERVICE_RPC_SEARCH_H_
