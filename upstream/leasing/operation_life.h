#ifndef LEASE_GATEWAY_UPSTREAM_LEASING_OPERATION_LIFE_H_
#define LEASE_GATEWAY_UPSTREAM_LEASING_OPERATION_LIFE_H_

#include <boost/asio/awaitable.hpp>
#include <memory>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "leasegateway/v1/lease_service.pb.h"
#include "leasegateway/v1/resources.pb.h"
#include "upstream/leasing/flight.h"
#include "upstream/leasing/leasing_parts.h"
#include "upstream/leasing/number_locks.h"
#include "upstream/leasing/operation_record.h"
#include "upstream/leasing/operation_requests.h"

namespace leasegateway {

// The life of one operation: its intent is written down; it gets the lock of a number, looks at it,
// and records that a request goes out before that does; reconciliation finds out what became of it;
// the outcome is written down and its callers are told; the number is kept until nothing can arrive
// for it any more. OperationRecord has the states on the way.
//
//   Begin ─┬─ LeaseOrEnd ────────────── Lock ─┬─ Try ── Reconciliation ── Finish ── Keep ── Unlock
//          └─ LeaseAny: each number in turn ──┘
//
// One coroutine on the strand of the operation's flight.
class OperationLife {
 public:
  using TimePoint = CallEnvironment::TimePoint;

  // Of an operation that begins with a call, which the flight has.
  OperationLife(std::shared_ptr<const LeasingParts> parts, std::shared_ptr<NumberLocks> locks,
                std::shared_ptr<Flight> flight);
  // Of one that an earlier process left in the journal: unresolved, or settled but with a number to
  // be kept until `quiet_until`. Takes the number's lock if a request may be on its way, so these
  // are made before the first call.
  OperationLife(std::shared_ptr<const LeasingParts> parts, std::shared_ptr<NumberLocks> locks,
                std::shared_ptr<Flight> flight, v1::Operation operation, TimePoint quiet_until);
  OperationLife(const OperationLife&) = delete;
  OperationLife& operator=(const OperationLife&) = delete;

  // Once, as FlightTable::Life. When the gateway stops, what is open stays so, in the journal.
  static boost::asio::awaitable<void> Run(std::shared_ptr<OperationLife> life);

 private:
  // How far the operation was when this process began to work on it.
  enum class Start {
    kCalled,    // not begun
    kIntended,  // INTENDED by an earlier process: nothing was sent
    kOpen,      // SENT or UNKNOWN: a request may be on its way
    kSettled,   // SUCCEEDED or FAILED: only the number has to be kept
  };
  static Start StartOf(v1::OperationState state);

  boost::asio::awaitable<void> RunToTheEnd();

  // Writes down the intent. An outcome, when there is nothing more to do.
  boost::asio::awaitable<std::optional<Outcome>> Begin();
  OperationJournal::Entry Intent() const;

  // CreateLease and TerminateLease.
  boost::asio::awaitable<Settled> LeaseOrEnd();
  boost::asio::awaitable<Settled> LeaseAny();
  // Of the number that was tried by an earlier process or call. Nothing: another one can be tried.
  boost::asio::awaitable<std::optional<Settled>> SettleOpen();
  // Looks at the number, writes down that a request goes out, sends it, and finds out what became
  // of it. It has the number's lock.
  boost::asio::awaitable<Settled> Try(std::string phone_number);
  // Of the number on record, whose lock it has.
  boost::asio::awaitable<Settled> Reconcile(bool send);

  // Writes down the outcome and tells the callers. They hear of it also when it can't be written:
  // what the journal has then leads to the same outcome, and writing is tried until it succeeds.
  boost::asio::awaitable<void> Finish(Settled settled);

  bool TryLock(const std::string& phone_number);
  // False: time is over, or the gateway stops.
  boost::asio::awaitable<bool> Lock(std::string phone_number);
  // Keeps the lock until then, or until the gateway stops.
  boost::asio::awaitable<void> Keep(TimePoint until);
  // Gives up the number's lock, once the journal no longer says that a request for the number may
  // be on its way.
  boost::asio::awaitable<absl::Status> Leave();
  void Unlock();

  const std::shared_ptr<const LeasingParts> parts_;
  const std::shared_ptr<NumberLocks> locks_;
  const std::shared_ptr<Flight> flight_;
  OperationRecord record_;
  OperationRequests requests_;
  const Start start_;
  const TimePoint quiet_until_;  // of kSettled

  bool open_ = false;       // a request of an earlier time may be on its way
  std::string holds_;       // the number whose lock it has; empty: none
  bool overtaken_ = false;  // while it waited for that lock, another one leased the number
};

}  // namespace leasegateway

#endif  // LEASE_GATEWAY_UPSTREAM_LEASING_OPERATION_LIFE_H_
