#ifndef LEASE_GATEWAY_UPSTREAM_AVAILABILITY_CACHING_LEASE_API_H_
#define LEASE_GATEWAY_UPSTREAM_AVAILABILITY_CACHING_LEASE_API_H_

#include <boost/asio/any_io_executor.hpp>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "upstream/availability/availability.h"
#include "upstream/lease_api.h"

namespace leasegateway {

// How old what memory has may be, by the time since the provider was asked (the terms are those of
// RFC 9111 and RFC 5861).
struct CachePolicy {
  std::chrono::milliseconds fresh{5'000};                    // answered from memory
  std::chrono::milliseconds stale_while_revalidate{60'000};  // after that: the same, and refreshed
  std::chrono::milliseconds stale_if_error{900'000};  // in all: used when the provider gives none
  std::chrono::milliseconds negative{2'000};          // that the provider does not know a number
  std::chrono::milliseconds idle{300'000};            // lists nobody reads are no longer refreshed
  std::size_t max_numbers = 10'000;                   // single numbers kept beside the lists
};

// Where time, chance and threads come from; tests bring their own.
struct CacheEnvironment {
  boost::asio::any_io_executor executor;
  std::function<std::chrono::steady_clock::time_point()> now;
  // Calls the function once, later, on any thread of the executor; not any more when the last copy
  // of this is gone.
  std::function<void(std::chrono::milliseconds, std::function<void()>)> after;
  std::function<double()> random;  // [0, 1)
  PinBytes pin;
};
// The real ones.
CacheEnvironment MakeCacheEnvironment(const boost::asio::any_io_executor& executor, PinBytes pin);

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

// Numbers that changed together, from the version before to `version`.
struct AvailabilityChange {
  std::uint64_t version = 0;
  std::shared_ptr<const std::vector<NumberChange>> numbers;
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
  CachingLeaseApi(std::unique_ptr<LeaseApi> inner, const CachePolicy& policy,
                  CacheEnvironment environment);
  // Cancels refreshes; they end on the executor, and keep the layers below until then.
  ~CachingLeaseApi() override;

  using MaxStaleness = std::optional<std::chrono::milliseconds>;

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

  // The changes after `version`, oldest first; nothing when not all of them are known any more, or
  // memory has no list.
  // Counts as reading the list, and starts a refresh where one is due.
  std::optional<std::vector<AvailabilityChange>> ChangesSince(std::uint64_t version);
  // Called after each change of availability, on any thread, while no lock is held. Set once,
  // before the first call.
  void SetListener(std::function<void()> listener);

  struct Stats {
    struct Refreshes {  // requests to the provider for memory
      std::uint64_t ok = 0;
      std::uint64_t failed = 0;
      std::uint64_t given_up = 0;  // because nobody waited any more, or too little time was left
    };
    Refreshes available;
    Refreshes leases;
    Refreshes numbers;  // single ones
    // Since the provider was asked for the list that memory has; nothing: it has none.
    std::optional<std::chrono::steady_clock::duration> available_age;
    std::optional<std::chrono::steady_clock::duration> leases_age;
    std::size_t available_numbers = 0;  // in the list
    std::size_t bytes = 0;              // of the lists
    std::size_t single_numbers = 0;     // kept beside the lists
  };
  Stats stats() const;

  // Tell memory what a look showed after a write: that the account has leased the number, that
  // somebody else has it, that the account's lease of it has ended.
  void FoundLeased(const v1::Lease& lease);
  void FoundTaken(const std::string& phone_number);
  void FoundEnded(const std::string& phone_number, const std::string& lease_id);

  LeaseApiResult<NumberList> ListAvailableNumbers(CallContext context) override;
  LeaseApiResult<v1::Number> GetNumber(CallContext context, std::string phone_number) override;
  LeaseApiResult<v1::Lease> CreateLease(CallContext context, std::string phone_number,
                                        v1::BillingMethod method) override;
  LeaseApiResult<LeaseList> ListLeases(CallContext context) override;
  LeaseApiResult<v1::Lease> GetLease(CallContext context, std::string phone_number) override;
  LeaseApiResult<v1::Termination> TerminateLease(CallContext context,
                                                 std::string phone_number) override;
  LeaseApiResult<v1::Failover> ConfigureFailover(CallContext context, std::string phone_number,
                                                 v1::Failover failover) override;
  LeaseApiResult<v1::CallForwarding> GetCallForwarding(CallContext context,
                                                       std::string phone_number) override;
  LeaseApiResult<v1::CallForwarding> EnableCallForwarding(CallContext context,
                                                          std::string phone_number,
                                                          std::string forward_to) override;
  LeaseApiResult<v1::CallForwarding> DisableCallForwarding(CallContext context,
                                                           std::string phone_number) override;

 private:
  struct State;
  // Shared with refreshes, which may end after this object.
  std::shared_ptr<State> state_;
};

}  // namespace leasegateway

#endif  // LEASE_GATEWAY_UPSTREAM_AVAILABILITY_CACHING_LEASE_API_H_
