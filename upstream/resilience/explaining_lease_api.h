#ifndef LEASE_GATEWAY_UPSTREAM_RESILIENCE_EXPLAINING_LEASE_API_H_
#define LEASE_GATEWAY_UPSTREAM_RESILIENCE_EXPLAINING_LEASE_API_H_

#include <memory>
#include <string>

#include "upstream/lease_api.h"

namespace leasegateway {

// Finds out why the provider rejected an operation on a leased number (UPSTREAM_REJECTED says only
// that it did): looks at the number once, and turns the error into FAILED_PRECONDITION, NOT_LEASED,
// where that is the cause. Everything else passes through, leasing and terminating included:
// RecordedLeaseApi looks after every refusal of those.
class ExplainingLeaseApi final : public LeaseApi {
 public:
  explicit ExplainingLeaseApi(std::unique_ptr<LeaseApi> inner) : inner_(std::move(inner)) {}

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
  boost::asio::awaitable<absl::Status> Explain(CallContext context, std::string phone_number,
                                               absl::Status status);

  std::unique_ptr<LeaseApi> inner_;
};

}  // namespace leasegateway

#endif  // LEASE_GATEWAY_UPSTREAM_RESILIENCE_EXPLAINING_LEASE_API_H_
