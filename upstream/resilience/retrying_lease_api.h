#ifndef LEASE_GATEWAY_UPSTREAM_RESILIENCE_RETRYING_LEASE_API_H_
#define LEASE_GATEWAY_UPSTREAM_RESILIENCE_RETRYING_LEASE_API_H_

#include <functional>
#include <memory>
#include <string>

#include "upstream/call_environment.h"
#include "upstream/lease_api.h"
#include "upstream/resilience/retry_budget.h"
#include "upstream/resilience/retry_policy.h"
#include "upstream/upstream_stats.h"

namespace leasegateway {

// Tries again what failed, as the policy and the budget allow and before the deadline. The metadata
// of an error has `attempts` and `retry_stopped`, and its message the number of attempts where
// there were more than one. A cancellation ends a wait between attempts at once, with CANCELLED.
class RetryingLeaseApi final : public LeaseApi {
 public:
  RetryingLeaseApi(std::unique_ptr<LeaseApi> inner, const RetryPolicy& policy,
                   std::shared_ptr<RetryBudget> budget, CallEnvironment environment);

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

  template <typename T>
  LeaseApiResult<T> Try(CallContext context, UpstreamOperation operation,
                        std::function<LeaseApiResult<T>(CallContext)> call);

  const std::shared_ptr<LeaseApi> inner_;
  const std::shared_ptr<State> state_;
};

}  // namespace leasegateway

#endif  // LEASE_GATEWAY_UPSTREAM_RESILIENCE_RETRYING_LEASE_API_H_
