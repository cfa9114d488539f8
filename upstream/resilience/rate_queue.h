#ifndef LEASE_GATEWAY_UPSTREAM_RESILIENCE_RATE_QUEUE_H_
#define LEASE_GATEWAY_UPSTREAM_RESILIENCE_RATE_QUEUE_H_

#include <boost/asio/awaitable.hpp>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "upstream/call_environment.h"
#include "upstream/resilience/rate_limiter.h"

namespace leasegateway {

// Where calls wait for a token of the rate limiter, a second at most as they come. Calls of nobody
// in particular are promised the next one that is free, in the order in which they come. Those that
// have a share take turns, share by share: one whose caller has a thousand waiting delays another
// caller's by a token. Thread-safe.
class RateQueue {
  struct State;

 public:
  using TimePoint = CallEnvironment::TimePoint;

  RateQueue(double rate, CallEnvironment environment);

  RateLimiter& limiter();

  // Takes a token that is there and that nobody waits for. False: there is none.
  bool TakeNow(TimePoint now);

  // Waits for one. A background call takes only what nobody waits for. Awaited on a strand, where
  // TakeNow took none. RESOURCE_EXHAUSTED with UPSTREAM_RATE_LIMITED and RetryInfo, CANCELLED or
  // DEADLINE_EXCEEDED, all with `request_sent` "false": no token was taken then.
  boost::asio::awaitable<absl::Status> Take(TimePoint deadline, bool background, std::string share);

 private:
  static boost::asio::awaitable<absl::Status> TakePromised(std::shared_ptr<State> state,
                                                           TimePoint::duration patience);
  static boost::asio::awaitable<absl::Status> TakeInTurn(std::shared_ptr<State> state,
                                                         TimePoint deadline, std::string share);

  const std::shared_ptr<State> state_;
};

}  // namespace leasegateway

#endif  // LEASE_GATEWAY_UPSTREAM_RESILIENCE_RATE_QUEUE_H_
