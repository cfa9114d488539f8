#ifndef LEASE_GATEWAY_UPSTREAM_LEASING_RECORDED_LEASE_API_H_
#define LEASE_GATEWAY_UPSTREAM_LEASING_RECORDED_LEASE_API_H_

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <chrono>
#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "leasegateway/v1/lease_service.pb.h"
#include "upstream/availability/caching_lease_api.h"
#include "upstream/call_environment.h"
#include "upstream/leasing/journal/operation_journal.h"

namespace leasegateway {

// Leases and terminates through the journal, so that each `request_id` spends once at most and its
// outcome is found out, whatever is lost on the way (AIP-155). upstream/README.md, "Leasing", has
// the rules.
//
// Each operation is a coroutine of its own, which goes on when its callers have left, until the
// outcome is known and written down. Callers of the same `request_id` wait for the same one. One
// operation at a time works on a number, from its first look at it until it is settled: the look
// shows what is there before, and so whose lease it is that is found after an answer was lost, or
// was a refusal: no 4xx to a request that was sent is believed before a look past memory.
//
// Requests to the provider go through `api`, whose memory sees the outcome of each. Thread-safe.
class RecordedLeaseApi {
 public:
  struct Options {
    std::string account = "default";  // in the journal
    // A request that got lost doesn't arrive any later than this after the gateway gave it up.
    // Until then its operation keeps the number, and only then it is said that nothing was done.
    std::chrono::milliseconds settle{10'000};
    // Between two looks at a number whose operation is open: doubled from the first to the longest.
    std::chrono::milliseconds first_look{50};
    std::chrono::milliseconds longest_look{5'000};
    // Callers are told a moment before their deadline what is known by then.
    std::chrono::milliseconds margin{30};
    std::size_t max_open = 10'000;  // operations; more are refused with OVERLOADED
    int max_candidates = 20;        // numbers that LeaseAnyNumber tries
    // Asked before a request that got lost is sent again: whether the budget of retries allows it.
    std::function<bool()> may_resend = [] { return true; };
  };

  // What it needs of memory. `availability` is awaited on a strand; the others tell memory what was
  // found by looking after a write: the account's lease, somebody else's, an end.
  struct Memory {
    std::function<boost::asio::awaitable<absl::StatusOr<std::shared_ptr<const Availability>>>(
        CallContext)>
        availability;
    std::function<void(const v1::Lease&)> leased;
    std::function<void(const std::string& phone_number)> taken;
    std::function<void(const std::string& phone_number, const std::string& lease_id)> ended;
  };
  static Memory MemoryOf(std::shared_ptr<CachingLeaseApi> api);

  RecordedLeaseApi(std::shared_ptr<LeaseApi> api, Memory memory,
                   std::shared_ptr<OperationJournal> journal, Options options,
                   boost::asio::any_io_executor executor, CallEnvironment environment);
  // Waits until no operation has a request on its way to the provider or a write to the journal:
  // the executor must run. Those that are open then go on after the next Recover.
  ~RecordedLeaseApi();

  // Goes on with what the journal says is open. To be awaited once, on a strand, before the first
  // call; fails with JOURNAL_UNAVAILABLE.
  boost::asio::awaitable<absl::Status> Recover();

  // Awaited on a strand, with requests that have been validated. `context.request_id` is the
  // request's, or made by the caller of this for a request without one. A cancellation ends the
  // wait with CANCELLED, not the operation; if nobody waits any more, nothing more is sent.
  boost::asio::awaitable<absl::StatusOr<v1::CreateLeaseResponse>> CreateLease(
      CallContext context, v1::CreateLeaseRequest request);
  boost::asio::awaitable<absl::StatusOr<v1::LeaseAnyNumberResponse>> LeaseAnyNumber(
      CallContext context, v1::LeaseAnyNumberRequest request);
  boost::asio::awaitable<absl::StatusOr<v1::TerminateLeaseResponse>> TerminateLease(
      CallContext context, v1::TerminateLeaseRequest request);
  boost::asio::awaitable<absl::StatusOr<v1::Operation>> GetOperation(CallContext context,
                                                                     std::string request_id);
  boost::asio::awaitable<absl::StatusOr<v1::ListOperationsResponse>> ListOperations(
      CallContext context, v1::ListOperationsRequest request);

  // Operations under way or open.
  std::size_t open() const;

 private:
  struct State;

  // INVALID_ARGUMENT, REQUEST_ID_REUSED, when the journal has it with other arguments.
  boost::asio::awaitable<absl::Status> CheckUnused(std::string request_id, std::string fingerprint);
  // The lease that would be made.
  static void Describe(const v1::Number& number, v1::BillingMethod method, v1::Lease* lease);

  const std::shared_ptr<State> state_;
};

}  // namespace leasegateway

#endif  // LEASE_GATEWAY_UPSTREAM_LEASING_RECORDED_LEASE_API_H_
