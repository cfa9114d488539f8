#ifndef LEASE_GATEWAY_UPSTREAM_RESILIENCE_RETRYING_LEASE_API_H_
#define LEASE_GATEWAY_UPSTREAM_RESILIENCE_RETRYING_LEASE_API_H_

#include <memory>

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

  boost::asio::awaitable<absl::StatusOr<AnyReply>> Call(CallContext context,
                                                        Operation operation) override;

 private:
  struct State;

  const std::shared_ptr<LeaseApi> inner_;
  const std::shared_ptr<State> state_;
};

}  // namespace leasegateway

#endif  // LEASE_GATEWAY_UPSTREAM_RESILIENCE_RETRYING_LEASE_API_H_
