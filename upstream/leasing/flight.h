#ifndef LEASE_GATEWAY_UPSTREAM_LEASING_FLIGHT_H_
#define LEASE_GATEWAY_UPSTREAM_LEASING_FLIGHT_H_

#include <atomic>
#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/strand.hpp>
#include <chrono>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "leasegateway/v1/resources.pb.h"
#include "upstream/call_context.h"
#include "upstream/call_environment.h"
#include "upstream/leasing/operation_rules.h"

namespace leasegateway {

// What became of an operation, as its callers are told.
struct Outcome {
  absl::Status status;
  v1::Operation operation;
  v1::ResponseMetadata metadata;
  // Only told again out of the journal: done by then, perhaps by a process whose writes aren't
  // known here.
  std::optional<std::chrono::system_clock::time_point> settled_at = std::nullopt;
};

// Of an operation that the journal has as SUCCEEDED or FAILED.
Outcome Replayed(const v1::Operation& operation);

// One operation under way, and those who wait for it. Its life runs on `strand`, in a coroutine
// that calls what stands under "the life"; FlightTable calls the rest. Thread-safe.
class Flight {
 public:
  using TimePoint = CallEnvironment::TimePoint;

  // Does not change.
  struct Identity {
    std::string request_id;
    std::string fingerprint;                                         // of the arguments
    std::string call_id;                                             // of the first call
    std::string caller;                                              // likewise
    v1::IdentityKind identity_kind = v1::IDENTITY_KIND_UNSPECIFIED;  // likewise
    bool sees_all_operations = true;                                 // likewise
    std::shared_ptr<const TraceContext> trace;
    std::string share = {};  // of the table's room, and where requests wait: CallContext::share
  };

  // Who brings the arguments, and what it may spend; null: it is not limited.
  struct Buyer {
    std::string caller;
    std::shared_ptr<const SpendingRules> spending;
  };

  // Without callers, until Join. `stopped`, which all flights of a process share, becomes true when
  // the gateway stops, before any of them gives up a number that another one waits for.
  Flight(const boost::asio::any_io_executor& executor, CallEnvironment environment,
         Identity identity, std::shared_ptr<const std::atomic<bool>> stopped);

  const Identity& identity() const { return identity_; }
  TimePoint began() const { return began_; }
  const boost::asio::strand<boost::asio::any_io_executor>& strand() const { return strand_; }
  // Of the life's coroutine. Used only on the strand.
  boost::asio::cancellation_signal& cancellation() { return cancellation_; }
  // What the requests of the operation cost.
  const std::shared_ptr<CallStats>& stats() const { return stats_; }

  // --- callers

  // Takes a caller in, who is woken when there is an outcome. When there is one already, it is
  // returned and nobody is woken. The first one's arguments count, and its limits; all have the
  // same arguments.
  std::optional<Outcome> Join(Arguments arguments, TimePoint deadline,
                              std::shared_ptr<Wakeup> waiter, Buyer buyer = {});
  // The outcome. While there is none the caller leaves, and hears what is known by now: ABORTED,
  // OUTCOME_UNKNOWN, when the provider may have got a request, else CANCELLED or DEADLINE.
  absl::StatusOr<Outcome> Leave(const std::shared_ptr<Wakeup>& waiter, bool cancelled);
  // Whether a call with this request_id and fingerprint is one for this flight. Nothing: that is
  // not known yet, as the journal may have the request_id as another request's; `rival` is woken
  // once it is.
  std::optional<bool> IsFor(const CallContext& context, const std::string& fingerprint,
                            std::shared_ptr<Wakeup> rival);
  void WakeRivals();

  // --- the life

  // The journal has the request_id with this fingerprint, as an operation of `caller`.
  void OwnId(std::string caller);
  // Null after a restart, until a caller brings them. Valid as long as the flight.
  const Arguments* arguments() const;
  // Nobody, as long as there are no arguments.
  Buyer buyer() const;
  // The latest of its callers', also of those who have left.
  TimePoint deadline() const;
  // Until when callers wait; nothing: nobody does.
  std::optional<TimePoint> AwaitedUntil() const;
  // Whether callers wait who want it done, then or now, and the gateway goes on.
  bool IsWanted(TimePoint then) const;
  bool IsWanted() const { return IsWanted(environment_.now()); }
  // A request may go out for callers who wait. From then on they are told that it may have arrived.
  bool MaySend();
  // Whether the provider may have got a request whose outcome isn't known.
  void SetSent(bool sent);
  // Why IsWanted or MaySend said no: STOPPING, CANCELLED or DEADLINE.
  absl::Status WhyNotSent() const;
  // Waits until then. A caller who comes and Stop end it early.
  static boost::asio::awaitable<void> NapUntil(std::shared_ptr<Flight> flight, TimePoint until);
  // As long as `longest` at most, half of which is left to chance.
  static boost::asio::awaitable<void> Nap(std::shared_ptr<Flight> flight,
                                          std::chrono::milliseconds longest);
  // Tells all callers. The first outcome counts.
  void Publish(Outcome outcome);
  // The gateway stops: nothing new is begun.
  bool IsStopped() const { return *stopped_; }

  // Ends naps, looks and waits for a number; what was sent runs to its end.
  static void Cancel(const std::shared_ptr<Flight>& flight);

 private:
  bool IsWantedLocked(TimePoint then) const;
  void WakeRivalsLocked();

  const boost::asio::strand<boost::asio::any_io_executor> strand_;
  boost::asio::cancellation_signal cancellation_;
  const CallEnvironment environment_;
  const Identity identity_;
  const TimePoint began_ = environment_.now();
  const std::shared_ptr<const std::atomic<bool>> stopped_;
  const std::shared_ptr<CallStats> stats_ = std::make_shared<CallStats>();

  mutable std::mutex mutex_;          // guards all below
  std::optional<std::string> owner_;  // the operation's caller, once it is known
  std::vector<std::shared_ptr<Wakeup>> rivals_;
  std::optional<Arguments> arguments_;  // set once
  Buyer buyer_;                         // likewise
  TimePoint deadline_ = TimePoint::min();
  std::vector<std::shared_ptr<Wakeup>> waiters_;
  std::shared_ptr<Wakeup> nap_;
  bool sent_ = false;
  bool done_ = false;
  Outcome outcome_;
};

}  // namespace leasegateway

#endif  // LEASE_GATEWAY_UPSTREAM_LEASING_FLIGHT_H_
