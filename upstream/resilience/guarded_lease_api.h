#ifndef LEASE_GATEWAY_UPSTREAM_RESILIENCE_GUARDED_LEASE_API_H_
#define LEASE_GATEWAY_UPSTREAM_RESILIENCE_GUARDED_LEASE_API_H_

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "upstream/call_environment.h"
#include "upstream/lease_api.h"
#include "upstream/resilience/admission_queue.h"
#include "upstream/resilience/circuit_breaker.h"
#include "upstream/resilience/rate_limiter.h"
#include "upstream/upstream_stats.h"

namespace leasegateway {

struct GuardOptions {
  CircuitBreaker::Options breaker;
  AdmissionQueue::Options admission;
  double rate = 0;  // calls a second, 0: no limit; RateLimiter
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

  LeaseApiResult<NumberList> ListAvailableNumbers(CallContext context) override;
  LeaseApiResult<v1::Number> GetNumber(CallContext context, std::string phone_number) override;
  LeaseApiResult<v1::Lease> CreateLease(CallContext context, std::string phone_number,
                                        v1::BillingMethod method) override;
  LeaseApiResult<LeaseList> ListLeases(CallContext context) override;
  LeaseApiResult<v1::Lease> GetLease(CallContext context, std::string phone_number) override;
  LeaseApiResult<v1::Termination> TerminateLease(CallContext context,
                                                 std::string phone_number) override;
  LeaseApiResult<v1::Failover> ConfigureFailover(CallContext context, std::string phone_number,
                                                 v1::Failover failover) override;
  LeaseApiResult<v1::CallForwarding> GetCallForwarding(CallContext context,
                                                       std::string phone_number) override;
  LeaseApiResult<v1::CallForwarding> EnableCallForwarding(CallContext context,
                                                          std::string phone_number,
                                                          std::string forward_to) override;
  LeaseApiResult<v1::CallForwarding> DisableCallForwarding(CallContext context,
                                                           std::string phone_number) override;

 private:
  struct State;

  // `phone_number` is empty for a list.
  template <typename T>
  LeaseApiResult<T> Guard(CallContext context, UpstreamOperation operation,
                          std::string phone_number,
                          std::function<LeaseApiResult<T>(CallContext)> call);

  const std::shared_ptr<LeaseApi> inner_;
  const std::shared_ptr<State> state_;
};

}  // namespace leasegateway

#endif  // LEASE_GATEWAY_UPSTREAM_RESILIENCE_GUARDED_LEASE_API_H_
