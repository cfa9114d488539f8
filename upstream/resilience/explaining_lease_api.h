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

  boost::asio::awaitable<absl::StatusOr<AnyReply>> Call(CallContext context,
                                                        Operation operation) override;

 private:
  boost::asio::awaitable<absl::Status> Explain(CallContext context, std::string phone_number,
                                               absl::Status status);

  std::unique_ptr<LeaseApi> inner_;
};

}  // namespace leasegateway

#endif  // LEASE_GATEWAY_UPSTREAM_RESILIENCE_EXPLAINING_LEASE_API_H_
