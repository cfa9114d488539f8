#ifndef LEASE_GATEWAY_UPSTREAM_LEASING_OPERATION_RULES_H_
#define LEASE_GATEWAY_UPSTREAM_LEASING_OPERATION_RULES_H_

#include <string>
#include <variant>

#include "absl/status/status.h"
#include "google/rpc/status.pb.h"
#include "leasegateway/v1/lease_service.pb.h"
#include "leasegateway/v1/resources.pb.h"

namespace leasegateway {

// What an operation is and what is decided by. Pure functions.

// What a caller asks for.
using Arguments =
    std::variant<v1::CreateLeaseRequest, v1::LeaseAnyNumberRequest, v1::TerminateLeaseRequest>;
v1::OperationKind KindOf(const Arguments& arguments);

// 32 bytes that differ when any argument does, `request_id`, `validate_only` and `account` aside.
std::string Fingerprint(v1::CreateLeaseRequest request);
std::string Fingerprint(v1::LeaseAnyNumberRequest request);
std::string Fingerprint(v1::TerminateLeaseRequest request);

// What is known of a purchase or a termination that failed so.
enum class Fate {
  kNotSent,  // nothing of it can have reached the provider
  kRefused,  // the provider answered 4xx; only a look shows whether it was done all the same
  kLost,     // it may have been done, or still be
};
Fate FateOf(const absl::Status& failure);
// Whether it is an answer 4xx of the provider.
bool IsRefusal(const absl::Status& failure);

// Whether the same request will always fail so, so that its `request_id` gets the same answer from
// now on. Otherwise it is tried anew.
bool IsFinal(const absl::Status& status);

// Whether it failed because of the caller who waited for it, or of its gateway: for another one who
// asks for the same it is worth a try.
bool IsOfItsCaller(const absl::Status& status);

// Whether a purchase that failed so leaves another number to be tried.
bool IsGone(const absl::Status& status);

// What stands in the way of leasing the number: ALREADY_EXISTS, ALREADY_LEASED, with the lease as a
// detail; FAILED_PRECONDITION, NUMBER_NOT_AVAILABLE. OK also for a status of which this version
// doesn't know whether it does.
absl::Status CheckLeasable(const v1::Number& number);

// FAILED_PRECONDITION, NUMBER_NOT_AVAILABLE: of two requests for a number the other one has it.
absl::Status OvertakenError(const std::string& phone_number);

// FAILED_PRECONDITION, PRICE_CHANGED, when an amount that is set in `expected` is another one now.
absl::Status CheckPrice(const v1::Pricing& expected, const v1::Number& number);

// FAILED_PRECONDITION: NOT_LEASED, or LEASE_CHANGED when `lease_id` is given and isn't the lease's.
absl::Status CheckLease(const v1::Number& number, const std::string& lease_id);

// As CheckLeasable; and NOT_FOUND, NO_MATCHING_NUMBER, when the filter doesn't match the number any
// more.
absl::Status CheckMatching(const v1::LeaseAnyNumberRequest& request, const v1::Number& number);

// Whether what is asked for may be done to the number as it is now. `overtaken`: another operation
// leased it while this one waited for it. `lease_id`: of the lease that this operation tried to end
// before, or empty.
absl::Status CheckAllowed(const Arguments& arguments, const v1::Number& number, bool overtaken,
                          const std::string& lease_id);

// INVALID_ARGUMENT, REQUEST_ID_REUSED. The same for other arguments and for another caller: it
// tells nothing of the request that has the name.
absl::Status RequestIdReusedError(const std::string& request_id);
// ABORTED, OUTCOME_UNKNOWN.
absl::Status OutcomeUnknownError(const std::string& request_id, const std::string& cause);

// ABORTED, OWNERSHIP_LOST: another process goes on with it. Callers don't see it.
absl::Status OwnershipLostError(const std::string& request_id);
// UNAVAILABLE, STOPPING.
absl::Status StoppingError();
// UNAVAILABLE, NOT_APPLIED.
absl::Status NotAppliedError(const std::string& why);
// `status`, with the word that the provider has heard of nothing.
absl::Status NotSentError(absl::Status status);

// As the journal keeps an error, with its details, and back.
google::rpc::Status ToProto(const absl::Status& status);
absl::Status FromProto(const google::rpc::Status& status);

}  // namespace leasegateway

#endif  // LEASE_GATEWAY_UPSTREAM_LEASING_OPERATION_RULES_H_
