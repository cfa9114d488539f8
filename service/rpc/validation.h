#ifndef LEASE_GATEWAY_SERVICE_RPC_VALIDATION_H_
#define LEASE_GATEWAY_SERVICE_RPC_VALIDATION_H_

#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "leasegateway/v1/lease_service.pb.h"

namespace leasegateway {

// INVALID_ACCOUNT for an `account` of a request that is no name of one. May be empty.
absl::Status CheckAccount(std::string_view account);

// What GetNumber says of a phone number that isn't one.
absl::Status CheckPhoneNumber(const std::string& phone_number);

// What is wrong with a request, found before any call: INVALID_ARGUMENT with a BadRequest that
// names every field, its value (shortened) and the rule; the ErrorInfo's reason is that of the
// first. Tokens are checked where they were made, the numbers of a batch one by one.
absl::Status Validate(const v1::ListAvailableNumbersRequest& request);
absl::Status Validate(const v1::WatchAvailabilityRequest& request);
absl::Status Validate(const v1::GetNumberRequest& request);
absl::Status Validate(const v1::BatchGetNumbersRequest& request);
absl::Status Validate(const v1::CreateLeaseRequest& request);
absl::Status Validate(const v1::LeaseAnyNumberRequest& request);
absl::Status Validate(const v1::ListLeasesRequest& request);
absl::Status Validate(const v1::GetLeaseRequest& request);
absl::Status Validate(const v1::TerminateLeaseRequest& request);
absl::Status Validate(const v1::GetOperationRequest& request);
absl::Status Validate(const v1::ListOperationsRequest& request);
absl::Status Validate(const v1::ConfigureFailoverRequest& request);
absl::Status Validate(const v1::GetCallForwardingRequest& request);
absl::Status Validate(const v1::EnableCallForwardingRequest& request);
absl::Status Validate(const v1::DisableCallForwardingRequest& request);

}  // namespace leasegateway

#endif  // LEASE_GATEWAY_SERVICE_RPC_VALIDATION_H_
