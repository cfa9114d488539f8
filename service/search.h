#ifndef LEASE_GATEWAY_SERVICE_SEARCH_H_
#define LEASE_GATEWAY_SERVICE_SEARCH_H_

#include <chrono>
#include <cstdint>
#include <functional>
#include <list>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "leasegateway/v1/lease_service.pb.h"
#include "upstream/availability.h"
#include "upstream/caching_lease_api.h"

namespace leasegateway {

// 64 bits that name a filter and an order, the same in every process.
std::uint64_t Fingerprint(const v1::AvailabilityFilter& filter, std::string_view order_by);

// Integers as text that fits into a token (base64, for URLs), and back. Nothing when `text` is not
// what EncodeToken makes of `count` integers.
std::string EncodeToken(const std::vector<std::uint64_t>& values);
std::optional<std::vector<std::uint64_t>> DecodeToken(std::string_view text, std::size_t count);

// Searching the available numbers, page by page (AIP-158). A token names a snapshot, a filter, an
// order and a place, and is signed with a key of this object's own; the snapshot is kept, so that
// all pages show one list. At most `kMaxWalks` snapshots are kept, each until nobody has asked for
// a page of it for `kLifetime`. Thread-safe.
class AvailabilitySearch {
 public:
  static constexpr std::size_t kMaxWalks = 16;
  static constexpr std::chrono::minutes kLifetime{2};
  static constexpr int kMaxPageSize = 10'000;

  // Calls a function later, as CacheEnvironment::after.
  using After = std::function<void(std::chrono::milliseconds, std::function<void()>)>;
  explicit AvailabilitySearch(std::function<std::chrono::steady_clock::time_point()> now,
                              After after);
  ~AvailabilitySearch();

  struct Query {
    v1::AvailabilityFilter filter;
    Order order;
    std::size_t offset = 0;
    std::size_t page_size = 0;  // 0: no limit
    std::uint64_t fingerprint = 0;
    std::shared_ptr<const Availability>
        numbers;  // of the walk that goes on; null: the present ones
  };
  // INVALID_ARGUMENT for a token that is not of this object or belongs to another filter or order
  // (INVALID_PAGE_TOKEN), or whose snapshot is gone (PAGE_TOKEN_EXPIRED). `request` has been
  // validated but for its token.
  absl::StatusOr<Query> Prepare(v1::ListAvailableNumbersRequest request);
  // A serialised ListAvailableNumbersResponse.
  std::string Answer(const Query& query, const std::shared_ptr<const Availability>& numbers);

 private:
  struct Walk {
    std::uint64_t id;
    std::shared_ptr<const Availability> numbers;
    std::chrono::steady_clock::time_point used;
  };
  struct State {
    std::function<std::chrono::steady_clock::time_point()> now;
    After after;
    std::mutex mutex;       // guards all below
    std::list<Walk> walks;  // the last used first
    std::uint64_t next_id = 1;
    bool sweeping = false;
  };
  std::uint64_t Keep(const std::shared_ptr<const Availability>& numbers);
  static void Sweep(const std::shared_ptr<State>& state);
  static void ScheduleSweep(const std::shared_ptr<State>& state);
  std::uint64_t Sign(std::uint64_t id, std::uint64_t fingerprint, std::uint64_t offset) const;

  const std::string key_;
  // Timers know it only weakly.
  const std::shared_ptr<State> state_;
};

}  // namespace leasegateway

#endif  // LEASE_GATEWAY_SERVICE_SEARCH_H_
