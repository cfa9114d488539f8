#ifndef LEASE_GATEWAY_UPSTREAM_LEASING_FLIGHT_TABLE_H_
#define LEASE_GATEWAY_UPSTREAM_LEASING_FLIGHT_TABLE_H_

#include <atomic>
#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "upstream/call_context.h"
#include "upstream/call_environment.h"
#include "upstream/leasing/flight.h"
#include "upstream/leasing/operation_rules.h"

namespace leasegateway {

// The operations under way, by `request_id`: callers of the same one wait for the same flight. Each
// flight's life is a coroutine of its own, which goes on when its callers have left; the flight is
// in the table until it ends. Thread-safe.
class FlightTable : public std::enable_shared_from_this<FlightTable> {
 public:
  using TimePoint = CallEnvironment::TimePoint;
  // Runs on the flight's strand to the end of the operation, and publishes its outcome before. When
  // it throws, callers hear OUTCOME_UNKNOWN.
  using Life = std::function<boost::asio::awaitable<void>(std::shared_ptr<Flight>)>;

  struct Limits {
    // In the table. Who has a share may have as many as there is room left: alone half of them, two
    // a third each, so that nobody fills it.
    std::size_t max_open = 10'000;
    // Callers are told a moment before their deadline what is known by then.
    std::chrono::milliseconds margin{30};
  };

  // `life`: of what begins with a call. `executor`: of all lives.
  FlightTable(boost::asio::any_io_executor executor, CallEnvironment environment, Limits limits,
              Life life);

  // Joins the flight of the context's `request_id`, or begins it, and waits for its outcome, which
  // has a status of its own. Without one it fails: with STOPPING, OVERLOADED, or REQUEST_ID_REUSED
  // when the flight is one with another fingerprint, or of another caller whose operations this one
  // may not see; with OUTCOME_UNKNOWN, DEADLINE or CANCELLED when it waits no longer. Awaited on a
  // strand, while this lives; a cancellation ends the wait, not the flight.
  boost::asio::awaitable<absl::StatusOr<Outcome>> Execute(CallContext context,
                                                          std::string fingerprint,
                                                          Arguments arguments);

  // A flight that no caller asked for, for the journal had it as open.
  std::shared_ptr<Flight> MakeFlight(Flight::Identity identity) const;
  // False: there is one of its `request_id`, which shall go on instead.
  bool Resume(const std::shared_ptr<Flight>& flight, Life life);

  // Refuses new calls, stops all flights and waits for the end of their lives: the executor must
  // run. Called once.
  void Stop();

  std::size_t size() const;
  // Since the oldest flight began; nothing: there is none.
  std::optional<TimePoint::duration> oldest() const;

 private:
  // What a call finds under its request_id: an answer at once, a flight to wait for, or neither and
  // a rival that it is woken by to try again.
  struct Found {
    std::optional<absl::StatusOr<Outcome>> answer;
    std::shared_ptr<Flight> flight;
    bool created = false;
    std::shared_ptr<Wakeup> rival;
  };
  Found FindOrBegin(const CallContext& context, const std::string& fingerprint,
                    const Arguments& arguments, const std::shared_ptr<Wakeup>& waiter,
                    const boost::asio::any_io_executor& executor);
  boost::asio::awaitable<Found> Enter(CallContext context, std::string fingerprint,
                                      Arguments arguments, std::shared_ptr<Wakeup> waiter);
  bool HasRoom(const std::string& share) const;  // with the lock held
  absl::Status TooManyError() const;             // likewise
  void Launch(const std::shared_ptr<Flight>& flight, const Life& life);
  void End(Flight& flight);

  const boost::asio::any_io_executor executor_;
  const CallEnvironment environment_;
  const Limits limits_;
  const Life life_;
  // Set under mutex_; shared with all flights.
  const std::shared_ptr<std::atomic<bool>> stopped_ = std::make_shared<std::atomic<bool>>(false);

  mutable std::mutex mutex_;  // guards all below; taken before a flight's own
  std::map<std::string, std::shared_ptr<Flight>> flights_;  // by request_id
  std::map<std::string, std::size_t> by_share_;             // flights of each that has any
  std::condition_variable all_ended_;
};

}  // namespace leasegateway

#endif  // LEASE_GATEWAY_UPSTREAM_LEASING_FLIGHT_TABLE_H_
