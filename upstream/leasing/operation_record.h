#ifndef LEASE_GATEWAY_UPSTREAM_LEASING_OPERATION_RECORD_H_
#define LEASE_GATEWAY_UPSTREAM_LEASING_OPERATION_RECORD_H_

#include <boost/asio/awaitable.hpp>
#include <chrono>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "leasegateway/v1/resources.pb.h"
#include "upstream/call_environment.h"
#include "upstream/leasing/journal/operation_journal.h"

namespace leasegateway {

// How a request to the provider ended, or an operation, as far as is known.
struct Settled {
  absl::Status status;
  v1::OperationSettlement settlement = v1::OPERATION_SETTLEMENT_NOT_SENT;
  v1::Lease lease;              // of a purchase that was made
  v1::Termination termination;  // of a lease that was ended
  v1::ResponseMetadata metadata;
  // A request that got lost could still arrive; nothing else may be done with the number until
  // then.
  CallEnvironment::TimePoint quiet_until = CallEnvironment::TimePoint::min();
  bool stopped = false;  // the gateway stops: not settled
};
Settled NotSent(absl::Status status);
Settled Stopped();

// One operation as the journal has it, and its states, which proto/README.md, "Leasing", lists. A
// function makes each change: it is written down first, and not made when that fails
// (JOURNAL_UNAVAILABLE).
//
//   Begin             -> INTENDED
//   MarkIntended      FAILED, SENT, UNKNOWN -> INTENDED
//   MarkSent          INTENDED -> SENT
//   MarkUnknown       SENT -> UNKNOWN
//   Write, Concluded  SENT, UNKNOWN -> SUCCEEDED; INTENDED, SENT, UNKNOWN -> FAILED
//
// Awaited on the strand of its operation, by one coroutine.
class OperationRecord {
 public:
  explicit OperationRecord(std::shared_ptr<OperationJournal> journal);
  // Of one that the journal has.
  OperationRecord(std::shared_ptr<OperationJournal> journal, v1::Operation operation);

  const v1::Operation& operation() const { return operation_; }

  // Writes down the intent, or takes over what the journal has under its `request_id`: `existed`.
  // REQUEST_ID_REUSED when that has another fingerprint.
  boost::asio::awaitable<absl::StatusOr<bool>> Begin(OperationJournal::Entry intent);

  // The same request comes again after an error that may pass; or it goes on to another number,
  // where what another operation leases from now on must not be taken for this one's after a
  // restart.
  boost::asio::awaitable<absl::Status> MarkIntended();
  // Before the first byte. `number` is the one at `phone_number` as it is before: with its price,
  // and the lease that is to be ended.
  boost::asio::awaitable<absl::Status> MarkSent(const std::string& phone_number,
                                                const v1::Number& number);
  // An answer was lost.
  boost::asio::awaitable<absl::Status> MarkUnknown();

  // The operation as it is once it has ended so.
  v1::Operation Concluded(const Settled& settled, CallEnvironment::TimePoint now) const;
  boost::asio::awaitable<absl::Status> Write(v1::Operation operation);

 private:
  const std::shared_ptr<OperationJournal> journal_;
  v1::Operation operation_;
};

}  // namespace leasegateway

#endif  // LEASE_GATEWAY_UPSTREAM_LEASING_OPERATION_RECORD_H_
