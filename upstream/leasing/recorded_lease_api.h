#ifndef LEASE_GATEWAY_UPSTREAM_LEASING_RECORDED_LEASE_API_H_
#define LEASE_GATEWAY_UPSTREAM_LEASING_RECORDED_LEASE_API_H_

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "leasegateway/v1/lease_service.pb.h"
#include "upstream/availability/caching_lease_api.h"
#include "upstream/call_environment.h"
#include "upstream/leasing/adoption.h"
#include "upstream/leasing/flight_table.h"
#include "upstream/leasing/journal/operation_journal.h"
#include "upstream/leasing/journal/spending_rules.h"
#include "upstream/leasing/leasing_parts.h"
#include "upstream/leasing/number_locks.h"
#include "upstream/leasing/operation_reader.h"

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
// Where several processes share the journal, one of them works on an operation; callers of the same
// `request_id` at another one wait there for its outcome, and when it dies another one goes on.
//
// Requests to the provider go through `api`, whose memory sees the outcome of each. Thread-safe.
class RecordedLeaseApi {
 public:
  using Options = LeasingOptions;
  using Memory = LeasingMemory;
  static Memory MemoryOf(std::shared_ptr<CachingLeaseApi> api);

  RecordedLeaseApi(std::shared_ptr<LeaseApi> api, Memory memory,
                   std::shared_ptr<OperationJournal> journal, Options options,
                   boost::asio::any_io_executor executor, CallEnvironment environment);
  // Waits until no operation has a request on its way to the provider or a write to the journal:
  // the executor must run. Those that are open then go on after the next Recover.
  ~RecordedLeaseApi();

  // Goes on with what the journal says is open, and from then on, where other processes have the
  // journal as well, with what they leave. To be awaited once, on a strand, before the first call;
  // fails with JOURNAL_UNAVAILABLE where this process alone has the journal.
  boost::asio::awaitable<absl::Status> Recover();

  // Awaited on a strand, with requests that have been validated. `context.request_id` is the
  // request's, or made by the caller of this for a request without one. A cancellation ends the
  // wait with CANCELLED, not the operation; if nobody waits any more, nothing more is sent.
  //
  // A `request_id` of another caller of the account is REQUEST_ID_REUSED, and its operation is not
  // there to be read, unless `context.sees_all_operations`: then it is joined and read as one's
  // own.
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

  // What a caller of the account has used of limits of spending, and the account.
  // JOURNAL_UNAVAILABLE.
  boost::asio::awaitable<absl::StatusOr<SpendingCounts>> Spent(std::string caller);

  struct Stats {
    std::size_t open = 0;  // operations under way here
    // Since the oldest of them began here; nothing: there is none.
    std::optional<std::chrono::steady_clock::duration> oldest;
    std::uint64_t adopted = 0;         // left by other processes, or earlier ones
    std::uint64_t ownership_lost = 0;  // taken over by another process
    std::uint64_t joined = 0;          // that another process worked on while callers waited here
    std::uint64_t refused_by_spending = 0;  // purchases
    std::uint64_t overruns = 0;             // purchases that cost more than was asked for
  };
  Stats stats() const;

 private:
  template <typename Request>
  boost::asio::awaitable<absl::StatusOr<Outcome>> Execute(CallContext context, Request request);

  // With validate_only: what the call would do, with nothing written down or spent.
  boost::asio::awaitable<absl::StatusOr<v1::CreateLeaseResponse>> TryCreateLease(
      CallContext context, v1::CreateLeaseRequest request);
  boost::asio::awaitable<absl::StatusOr<v1::LeaseAnyNumberResponse>> TryLeaseAnyNumber(
      CallContext context, v1::LeaseAnyNumberRequest request);

  // Coroutines of callers keep what they use of these: they may outlive this.
  const std::shared_ptr<const LeasingParts> parts_;
  const std::shared_ptr<NumberLocks> locks_;
  const std::shared_ptr<FlightTable> flights_;
  const std::shared_ptr<Adoption> adoption_;
  const std::shared_ptr<const OperationReader> reader_;
};

}  // namespace leasegateway

#endif  // LEASE_GATEWAY_UPSTREAM_LEASING_RECORDED_LEASE_API_H_
