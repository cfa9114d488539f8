#ifndef LEASE_GATEWAY_UPSTREAM_RESILIENCE_GUARDED_LEASE_API_H_
#define LEASE_GATEWAY_UPSTREAM_RESILIENCE_GUARDED_LEASE_API_H_

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "upstream/call_environment.h"
#include "upstream/lease_api.h"
#include "upstream/rate_share.h"
#include "upstream/resilience/admission_queue.h"
#include "upstream/resilience/circuit_breaker.h"
#include "upstream/resilience/rate_limiter.h"
#include "upstream/resilience/rate_queue.h"
#include "upstream/upstream_stats.h"

namespace leasegateway {

struct GuardOptions {
  CircuitBreaker::Options breaker;
  AdmissionQueue::Options admission;
  double rate = 0;  // calls a second, 0: no limit; RateLimiter
  RateShare share;  // with whom
};

// Keeps the gateway and the provider from harming each other: fails fast while the provider, or an
// operation of it, is down (UNAVAILABLE, CIRCUIT_OPEN; the metadata's `circuit` says which), stays
// under the provider's rate (RESOURCE_EXHAUSTED, UPSTREAM_RATE_LIMITED) and refuses what could not
// be served in time (RESOURCE_EXHAUSTED, OVERLOADED). Its own refusals come with RetryInfo and with
// `request_sent` "false".
class GuardedLeaseApi final : public LeaseApi {
 public:
  GuardedLeaseApi(std::unique_ptr<LeaseApi> inner, const GuardOptions& options,
                  CallEnvironment environment);

  struct Stats {
    CircuitBreaker::State breaker = CircuitBreaker::State::kClosed;  // the provider's circuit
    std::array<CircuitBreaker::State, kUpstreamOperationNames.size()> operation_breakers{};
    AdmissionQueue::Counts queue;
    AdmissionQueue::Duration service_time{0};  // the mean; 0: no call yet
    double rate = 0;                           // calls a second in force; 0: no limit
    // Calls refused, since the start.
    std::uint64_t circuit_open = 0;
    std::uint64_t rate_limited = 0;
    std::uint64_t overloaded = 0;
  };
  // Tells the state of the moment, from any thread, also when this object is gone.
  std::function<Stats()> StatsReader() const;

  boost::asio::awaitable<absl::StatusOr<AnyReply>> Call(CallContext context,
                                                        Operation operation) override;

 private:
  struct State;

  const std::shared_ptr<LeaseApi> inner_;
  const std::shared_ptr<State> state_;
};

}  // namespace leasegateway

#endif  // LEASE_GATEWAY_UPSTREAM_RESILIENCE_GUARDED_LEASE_API_H_
