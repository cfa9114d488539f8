#ifndef LEASE_GATEWAY_UPSTREAM_LEASING_OPERATION_RECORD_H_
#define LEASE_GATEWAY_UPSTREAM_LEASING_OPERATION_RECORD_H_

#include <boost/asio/awaitable.hpp>
#include <chrono>
#include <cstdint>
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
// function makes each change: it is written down first, and not made when that fails:
// JOURNAL_UNAVAILABLE; OWNERSHIP_LOST when another process has taken it over, and then this one
// changes nothing any more until it has it again (TakeOver).
//
//   Begin             -> INTENDED
//   MarkIntended      FAILED, SENT, UNKNOWN -> INTENDED
//   MarkSent          INTENDED -> SENT
//   MarkUnknown       SENT -> UNKNOWN
//   Conclude          SENT, UNKNOWN -> SUCCEEDED; INTENDED, SENT, UNKNOWN -> FAILED
//
// Awaited on the strand of its operation, by one coroutine.
class OperationRecord {
 public:
  using TimePoint = CallEnvironment::TimePoint;

  explicit OperationRecord(std::shared_ptr<OperationJournal> journal);
  // Of one that the journal has.
  OperationRecord(std::shared_ptr<OperationJournal> journal, const OperationJournal::Record& found);

  const v1::Operation& operation() const { return operation_; }
  OperationJournal::Owner owner() const { return owner_; }
  // A write was refused, because the operation isn't this process's any more.
  bool is_lost() const { return lost_; }
  // The first byte of a request may go out before this; the latest MarkSent or Grant says so. In
  // the past for what another process has left: nothing is granted to this one yet.
  TimePoint send_before() const { return send_before_; }
  // Nothing may be sent earlier: a request of the process that had it before may be on its way.
  TimePoint quiet_at() const { return quiet_at_; }

  // Writes down the intent, or reads what the journal has under its `request_id`: `existed`.
  // `claimed`: the number is this operation's. REQUEST_ID_REUSED when what is there has another
  // fingerprint, or another caller and `of_any` is not set.
  struct Begun {
    bool existed = false;
    bool claimed = false;
  };
  boost::asio::awaitable<absl::StatusOr<Begun>> Begin(OperationJournal::Entry intent, bool claim,
                                                      bool of_any);
  // Reads it anew, for one that another process works on.
  boost::asio::awaitable<absl::Status> Read();
  // Makes it this process's, unless one that is alive has it: owner() says so then.
  boost::asio::awaitable<absl::Status> TakeOver();
  // Claims a number for it.
  boost::asio::awaitable<absl::StatusOr<OperationJournal::Claimed>> Claim(std::string phone_number);

  // The same request comes again after an error that may pass; or it goes on to another number,
  // where what another operation leases from now on must not be taken for this one's after a
  // restart. What it has claimed is free then.
  boost::asio::awaitable<absl::Status> MarkIntended();
  // Before the first byte, which goes out within `window` or never. `number` is the one at
  // `phone_number` as it is before: with its price, and the lease that is to be ended. A purchase
  // takes what it may cost out of `spending`: SPEND_LIMIT_EXCEEDED.
  boost::asio::awaitable<absl::Status> MarkSent(
      const std::string& phone_number, const v1::Number& number, std::chrono::milliseconds window,
      std::shared_ptr<const SpendingRules> spending = nullptr);
  // The same for one more request, where the time of the one before is over.
  boost::asio::awaitable<absl::Status> Grant(
      std::chrono::milliseconds window, std::shared_ptr<const SpendingRules> spending = nullptr);
  // An answer was lost.
  boost::asio::awaitable<absl::Status> MarkUnknown();

  // The operation as it is once it has ended so.
  v1::Operation Concluded(const Settled& settled, TimePoint now) const;
  // Writes it; the number is free after `quiet`.
  boost::asio::awaitable<absl::Status> Conclude(v1::Operation done,
                                                std::chrono::milliseconds quiet);

 private:
  void Take(const OperationJournal::Record& found);
  boost::asio::awaitable<absl::Status> Write(OperationJournal::Change change);

  const std::shared_ptr<OperationJournal> journal_;
  v1::Operation operation_;
  OperationJournal::Owner owner_ = OperationJournal::Owner::kUs;
  std::int64_t revision_ = 0;
  TimePoint send_before_ = TimePoint::min();
  TimePoint quiet_at_ = TimePoint::min();
  bool lost_ = false;
};

}  // namespace leasegateway

#endif  // LEASE_GATEWAY_UPSTREAM_LEASING_OPERATION_RECORD_H_
