#ifndef LEASE_GATEWAY_SERVICE_RPC_SEARCH_H_
#define LEASE_GATEWAY_SERVICE_RPC_SEARCH_H_

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "leasegateway/v1/lease_service.pb.h"
#include "service/rpc/walked_snapshots.h"
#include "upstream/availability/availability.h"
#include "upstream/availability/cached_account.h"

namespace leasegateway {

// Searching the available numbers, page by page (AIP-158). A token names a snapshot, a filter, an
// order and a place, and is signed with a key of this object's own; the snapshot is kept, so that
// all pages show one list. Where the list is an entry of a log that replicas share, the token names
// that and is signed with the log's key: it is good at all of them. Thread-safe.
class AvailabilitySearch {
 public:
  static constexpr std::chrono::minutes kLifetime = WalkedSnapshots::kLifetime;
  static constexpr int kMaxPageSize = 10'000;

  // As those of WalkedSnapshots. `account`: whose numbers are searched. `shared_key`: its log's,
  // empty as long as it is not known; null: there is no log.
  using After = WalkedSnapshots::After;
  AvailabilitySearch(std::function<std::chrono::steady_clock::time_point()> now, After after,
                     std::size_t history_bytes, std::string account,
                     std::function<std::string()> shared_key = nullptr);
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
    // The log's entry that the walk goes through. Without `numbers`, they have to be made anew.
    std::optional<LoggedState> entry;
  };
  // INVALID_ARGUMENT for a token that is not of this object or belongs to another account, filter
  // or order (INVALID_PAGE_TOKEN), or whose snapshot is gone (PAGE_TOKEN_EXPIRED). `request` has
  // been validated but for its token.
  absl::StatusOr<Query> Prepare(v1::ListAvailableNumbersRequest request);
  // That the snapshot of a token is gone.
  static absl::Status Expired();
  // Keeps the numbers that were made anew for a query's entry.
  void Continue(Query* query, const std::shared_ptr<const Availability>& numbers);
  // A serialised ListAvailableNumbersResponse. `numbers` are those of the query, if it has any, or
  // those of the log's entry.
  std::string Answer(const Query& query, const std::shared_ptr<const Availability>& numbers,
                     std::optional<LoggedState> entry = std::nullopt);

  using Stats = WalkedSnapshots::Stats;
  Stats stats() const;

 private:
  absl::Status ReadToken(std::string_view token, Query* query);

  const std::string account_;
  const std::string key_;
  const std::function<std::string()> shared_key_;
  const std::shared_ptr<WalkedSnapshots> walks_;
};

}  // namespace leasegateway

#endif  // LEASE_GATEWAY_SERVICE_RPC_SEARCH_H_
