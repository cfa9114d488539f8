#ifndef LEASE_GATEWAY_UPSTREAM_RESILIENCE_OBSERVED_LEASE_API_H_
#define LEASE_GATEWAY_UPSTREAM_RESILIENCE_OBSERVED_LEASE_API_H_

#include <memory>
#include <string>

#include "upstream/call_environment.h"
#include "upstream/lease_api.h"
#include "upstream/upstream_stats.h"

namespace leasegateway {

// What `stats` says of an attempt that ended so.
AttemptOutcome OutcomeOf(const absl::Status& status);

// Counts the attempts that pass through it, by operation and outcome, and how long they took.
class ObservedLeaseApi final : public LeaseApi {
 public:
  ObservedLeaseApi(std::unique_ptr<LeaseApi> inner, std::shared_ptr<AttemptStats> stats,
                   CallEnvironment environment);

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
  template <typename T>
  LeaseApiResult<T> Observe(UpstreamOperation operation, LeaseApiResult<T> calling);

  const std::unique_ptr<LeaseApi> inner_;
  const std::shared_ptr<AttemptStats> stats_;
  const CallEnvironment environment_;
};

}  // namespace leasegateway

#endif  // LEASE_GATEWAY_UPSTREAM_RESILIENCE_OBSERVED_LEASE_API_H_
