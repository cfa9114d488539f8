#ifndef LEASE_GATEWAY_UPSTREAM_RESILIENCE_OBSERVED_LEASE_API_H_
#define LEASE_GATEWAY_UPSTREAM_RESILIENCE_OBSERVED_LEASE_API_H_

#include <memory>

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

  boost::asio::awaitable<absl::StatusOr<AnyReply>> Call(CallContext context,
                                                        Operation operation) override;

 private:
  const std::unique_ptr<LeaseApi> inner_;
  const std::shared_ptr<AttemptStats> stats_;
  const CallEnvironment environment_;
};

}  // namespace leasegateway

#endif  // LEASE_GATEWAY_UPSTREAM_RESILIENCE_OBSERVED_LEASE_API_H_
