#ifndef LEASE_GATEWAY_UPSTREAM_LEASING_OPERATION_LIFE_H_
#define LEASE_GATEWAY_UPSTREAM_LEASING_OPERATION_LIFE_H_

#include <boost/asio/awaitable.hpp>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "leasegateway/v1/lease_service.pb.h"
#include "leasegateway/v1/resources.pb.h"
#include "upstream/leasing/flight.h"
#include "upstream/leasing/journal/spending_rules.h"
#include "upstream/leasing/leasing_parts.h"
#include "upstream/leasing/number_hold.h"
#include "upstream/leasing/number_locks.h"
#include "upstream/leasing/operation_record.h"
#include "upstream/leasing/operation_requests.h"

namespace leasegateway {

// The life of one operation: its intent is written down; it gets a number, looks at it, and records
// that a request goes out before that does; reconciliation finds out what became of it; the outcome
// is written down and its callers are told; the number is kept until nothing can arrive for it any
// more. OperationRecord has the states on the way.
//
//   Begin ─┬─ LeaseOrEnd ────────────── Take ─┬─ Try ── Reconciliation ── Finish ── Keep ── Unlock
//      │   └─ LeaseAny: each number in turn ──┘                             │
//      └─ TakeUp: while another process has it, wait for its outcome ◀──────┘ it was taken over
//
// One coroutine on the strand of the operation's flight.
class OperationLife {
 public:
  using TimePoint = CallEnvironment::TimePoint;

  // Of an operation that begins with a call, which the flight has.
  OperationLife(std::shared_ptr<const LeasingParts> parts, std::shared_ptr<NumberLocks> locks,
                std::shared_ptr<Flight> flight);
  // Of one that another process left in the journal and that is this one's now: unresolved, or
  // settled but with a number to be kept until its `quiet_at`. Takes the number's lock if a request
  // may be on its way, so those that are there at the start are made before the first call.
  OperationLife(std::shared_ptr<const LeasingParts> parts, std::shared_ptr<NumberLocks> locks,
                std::shared_ptr<Flight> flight, const OperationJournal::Record& found);
  OperationLife(const OperationLife&) = delete;
  OperationLife& operator=(const OperationLife&) = delete;

  // Once, as FlightTable::Life. When the gateway stops, what is open stays so, in the journal.
  static boost::asio::awaitable<void> Run(std::shared_ptr<OperationLife> life);

 private:
  // How far the operation was when this life began.
  enum class Start {
    kCalled,    // not begun
    kIntended,  // INTENDED by another process: nothing was sent
    kOpen,      // SENT or UNKNOWN: a request may be on its way
    kSettled,   // SUCCEEDED or FAILED: only the number has to be kept
  };
  static Start StartOf(v1::OperationState state);

  boost::asio::awaitable<void> RunToTheEnd();

  // Writes down the intent. An outcome, when there is nothing more to do.
  boost::asio::awaitable<std::optional<Outcome>> Begin();
  OperationJournal::Entry Intent() const;
  // Of an operation that the journal has: waits for the process that works on it, if there is one
  // that is alive, and makes it this process's when there is something to do. An outcome, when
  // there isn't.
  boost::asio::awaitable<std::optional<Outcome>> TakeUp();
  // Another process works on it. Waits until that may have changed; an outcome when no caller
  // waits.
  boost::asio::awaitable<std::optional<Outcome>> Follow();
  // The outcome that another process has found.
  Outcome Learned();
  // By this process or another one, as far as is known.
  bool MaySomethingBeSent() const;
  // Writes down that it begins anew, or prepares to look after what was sent.
  boost::asio::awaitable<absl::Status> GoOn();

  // Does what is asked for, once the operation is this process's and begun.
  boost::asio::awaitable<Settled> Work();
  // CreateLease and TerminateLease.
  boost::asio::awaitable<Settled> LeaseOrEnd();
  boost::asio::awaitable<Settled> LeaseAny();
  // Of the number that was tried by an earlier process or call. Nothing: another one can be tried.
  boost::asio::awaitable<std::optional<Settled>> SettleOpen();
  // Looks at the number, writes down that a request goes out, sends it, and finds out what became
  // of it. It has the number.
  boost::asio::awaitable<Settled> Try(std::string phone_number);
  // Writes down that a request goes out for the number as it was seen. Where limits of live leases
  // stand in the way, it is tried once more when some have turned out to have ended elsewhere.
  boost::asio::awaitable<absl::Status> MarkSent(std::string phone_number, v1::Number number);
  // A number at least as dear as one that would have passed a limit.
  bool IsTooDear(const v1::Number& number) const;
  // Of the number on record, which it has.
  boost::asio::awaitable<Settled> Reconcile(bool send);

  // Writes down the outcome and tells the callers. They hear of it also when it can't be written,
  // and writing is tried until it succeeds: what the journal has then leads to the same outcome.
  // Only that nothing was done is not told then where another process could still do it. Nobody is
  // told when the operation turns out to be another process's.
  boost::asio::awaitable<void> Finish(Settled settled);
  absl::Status StoppingUnknown() const;
  // Whether the provider charged more for a purchase than was asked for.
  void NoteOverrun(const v1::Operation& done) const;

  // Waits for the number. Not OK: time is over, the gateway stops, or the journal fails.
  boost::asio::awaitable<absl::Status> Take(std::string phone_number);
  // Keeps the number until then, or until the gateway stops.
  boost::asio::awaitable<void> Keep(TimePoint until);
  // Gives up the number, once the journal no longer says that a request for it may be on its way.
  boost::asio::awaitable<absl::Status> Leave();
  void Unlock();

  const std::shared_ptr<const LeasingParts> parts_;
  const std::shared_ptr<Flight> flight_;
  OperationRecord record_;
  OperationRequests requests_;
  NumberHold number_;
  const Start start_;
  const TimePoint quiet_until_;  // of kSettled

  std::vector<SpendingPrice> too_dear_;  // that would have passed a limit
  bool open_ = false;                    // a request of an earlier time may be on its way
  bool joined_ = false;                  // another process has worked on it meanwhile
  absl::Status not_begun_;  // it is this process's, but that it begins anew could not be written
  bool published_ = false;  // the callers have been told
};

}  // namespace leasegateway

#endif  // LEASE_GATEWAY_UPSTREAM_LEASING_OPERATION_LIFE_H_
