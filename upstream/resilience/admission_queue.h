#ifndef LEASE_GATEWAY_UPSTREAM_RESILIENCE_ADMISSION_QUEUE_H_
#define LEASE_GATEWAY_UPSTREAM_RESILIENCE_ADMISSION_QUEUE_H_

#include <boost/asio/awaitable.hpp>
#include <chrono>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "upstream/call_environment.h"

namespace leasegateway {

// At most `max_in_flight` calls at a time. Others wait: callers in turns, share by share, and first
// come, first served within one; background calls behind all of them. Where as many wait as may,
// the last of the share with the most waiting makes room for one of a share with fewer. A call that
// would wait longer than a call usually takes, or past its deadline, is refused at once, so that
// under any load those that are accepted are about as fast as without. Thread-safe: one mutex, held
// for a few instructions at a time.
class AdmissionQueue {
  struct State;

 public:
  using TimePoint = CallEnvironment::TimePoint;
  using Duration = TimePoint::duration;

  struct Options {
    int max_in_flight = 64;
    int max_waiting = 4096;
    // The longest wait is the mean service time, within these bounds; max_wait while there is none.
    std::chrono::milliseconds min_wait{20};
    std::chrono::milliseconds max_wait{1'000};
  };

  AdmissionQueue(const Options& options, CallEnvironment environment);

  // The right to have one call in flight; destroying it frees the place. Move-only.
  class Place {
   public:
    Place(Place&&) = default;
    Place& operator=(Place&&) = delete;
    ~Place();
    // How long the provider took; it goes into the mean. Not for calls that were given up.
    void Served(Duration time);

   private:
    friend class AdmissionQueue;
    explicit Place(std::shared_ptr<State> queue) : queue_(std::move(queue)) {}
    std::shared_ptr<State> queue_;  // null when moved from
  };

  // Must be awaited on a strand. RESOURCE_EXHAUSTED with OVERLOADED and RetryInfo,
  // DEADLINE_EXCEEDED, CANCELLED; all with `request_sent` "false".
  boost::asio::awaitable<absl::StatusOr<Place>> Enter(TimePoint deadline, bool background,
                                                      std::string share = {});

  // The moving mean; 0 before the first call was served.
  Duration service_time() const;

  struct Counts {
    int in_flight = 0;
    int waiting = 0;
  };
  Counts counts() const;

 private:
  const std::shared_ptr<State> state_;
};

}  // namespace leasegateway

#endif  // LEASE_GATEWAY_UPSTREAM_RESILIENCE_ADMISSION_QUEUE_H_
