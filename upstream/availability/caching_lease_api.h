#ifndef LEASE_GATEWAY_UPSTREAM_AVAILABILITY_CACHING_LEASE_API_H_
#define LEASE_GATEWAY_UPSTREAM_AVAILABILITY_CACHING_LEASE_API_H_

#include <boost/asio/awaitable.hpp>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "upstream/availability/cached_account.h"
#include "upstream/lease_api.h"

namespace leasegateway {

struct AvailabilityAnswer {
  std::shared_ptr<const Availability> numbers;
  std::uint64_t version = 0;  // grows when numbers come, go or change
  CacheOutcome outcome;
};

// A serialised reply: `range` of `bytes`.
struct BytesAnswer {
  std::shared_ptr<const SharedBytes> bytes;
  BytesRange range;
  CacheOutcome outcome;
};

// One account's reads from memory: fresh, stale while a refresh is under way, stale when the
// provider gives no answer; one request to the provider at a time for all who ask the same. Lists
// that are read are refreshed before they go stale. What was written through this object is seen by
// every read that begins after the write has returned, also where a refresh that had started before
// the write ends after it.
//
// Lists are answered as serialised replies (AvailabilityAnswer::numbers has them); the reads of the
// LeaseApi interface parse them. Thread-safe: one mutex, held for look-ups and for swapping
// snapshots that were built outside. Errors are kept only for numbers that do not exist.
class CachingLeaseApi final : public LeaseApi {
 public:
  // `shared`: the log of the lists that replicas have in common; null: none.
  CachingLeaseApi(std::unique_ptr<LeaseApi> inner, const CachePolicy& policy,
                  CacheEnvironment environment, std::shared_ptr<SharedLists> shared = nullptr);
  // Cancels refreshes; they end on the executor, and keep the layers below until then.
  ~CachingLeaseApi() override;

  // What memory can answer at once; nothing when the provider has to be asked. Starts a refresh
  // where one is due. Any thread; never blocks for long.
  std::optional<AvailabilityAnswer> PeekAvailability(MaxStaleness max_staleness);
  // A ListLeasesResponse.
  std::optional<BytesAnswer> PeekLeases(MaxStaleness max_staleness);
  // A GetNumberResponse.
  std::optional<BytesAnswer> PeekNumber(std::string_view phone_number, MaxStaleness max_staleness);

  // The same from memory or from the provider, as `context.max_staleness` asks. Where memory has an
  // answer that may be used when the provider gives none, it is used shortly before the deadline.
  // When all who wait for a request have been cancelled, it is cancelled as well, unless it
  // refreshes memory. With `max_staleness` 0 the layers below get the caller's own deadline;
  // otherwise the request may outlive it, for memory. Awaited on a strand. Writes
  // `context.stats->cache`, as every operation does.
  boost::asio::awaitable<absl::StatusOr<AvailabilityAnswer>> FindAvailability(CallContext context);
  boost::asio::awaitable<absl::StatusOr<BytesAnswer>> FindLeases(CallContext context);
  boost::asio::awaitable<absl::StatusOr<BytesAnswer>> FindNumber(CallContext context,
                                                                 std::string phone_number);

  // The first of the changes after `version`, oldest first, 64 at most; nothing when not all of
  // those after it are known any more, or memory has no list.
  // Counts as reading the list, and starts a refresh where one is due.
  std::optional<std::vector<AvailabilityChange>> ChangesSince(std::uint64_t version);
  // Called after each change of availability, on any thread, while no lock is held. Set once,
  // before the first call.
  void SetListener(std::function<void()> listener);

  // The memory itself, for what replicas share of it.
  CachedAccount& account() { return *account_; }

  using Stats = CacheStats;
  Stats stats() const;

  // Tell memory what a look showed after a write: that the account has leased the number, that
  // somebody else has it, that the account's lease of it has ended.
  void FoundLeased(const v1::Lease& lease);
  void FoundTaken(const std::string& phone_number);
  void FoundEnded(const std::string& phone_number, const std::string& lease_id);

  boost::asio::awaitable<absl::StatusOr<AnyReply>> Call(CallContext context,
                                                        Operation operation) override;

 private:
  boost::asio::awaitable<absl::StatusOr<AnyReply>> ReadAvailable(CallContext context);
  boost::asio::awaitable<absl::StatusOr<AnyReply>> ReadLeases(CallContext context);
  boost::asio::awaitable<absl::StatusOr<AnyReply>> ReadNumber(CallContext context,
                                                              std::string phone_number);

  const std::shared_ptr<CachedAccount> account_;
};

}  // namespace leasegateway

#endif  // LEASE_GATEWAY_UPSTREAM_AVAILABILITY_CACHING_LEASE_API_H_
