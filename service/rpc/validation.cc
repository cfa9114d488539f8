#include "service/rpc/validation.h"

#include <algorithm>
#include <cstddef>
#include <string>
#include <string_view>
#include <utility>

#include "absl/strings/str_cat.h"
#include "service/rpc/filter_checks.h"
#include "service/rpc/violations.h"
#include "upstream/upstream_error.h"

namespace leasegateway {
namespace {

constexpr int kMaxFailoverNumbers = 1000;
constexpr int kMaxBatch = 1000;
constexpr std::size_t kMaxLeaseIdBytes = 128;
constexpr std::size_t kMaxCallerBytes = 256;

// Of a name in the callers file, an identity or an address; may be empty.
bool IsCallerName(const std::string& text) {
  const auto is_control = [](unsigned char c) { return c < 0x20 || c == 0x7f; };
  return text.size() <= kMaxCallerBytes && std::none_of(text.begin(), text.end(), is_control);
}

bool IsBefore(const google::protobuf::Timestamp& a, const google::protobuf::Timestamp& b) {
  return std::pair(a.seconds(), a.nanos()) < std::pair(b.seconds(), b.nanos());
}

std::string Show(const google::protobuf::Timestamp& time) {
  return absl::StrCat(time.seconds(), " s and ", time.nanos(), " ns");
}

template <typename Request>
absl::Status CheckPhoneNumberAndStaleness(const Request& request) {
  Violations violations;
  violations.CheckPhoneNumber("phone_number", request.phone_number());
  if constexpr (requires { request.max_staleness(); }) {
    violations.CheckMaxStaleness(request.has_max_staleness(), request.max_staleness());
  }
  return violations.status();
}

}  // namespace

absl::Status CheckAccount(std::string_view account) {
  Violations violations;
  violations.CheckAccount(account);
  return violations.status();
}

absl::Status CheckPhoneNumber(const std::string& phone_number) {
  Violations violations;
  violations.CheckPhoneNumber("phone_number", phone_number);
  return violations.status();
}

absl::Status Validate(const v1::ListAvailableNumbersRequest& request) {
  Violations violations;
  violations.CheckPageSize(request.page_size());
  FilterChecks(request.filter(), violations).Run();
  violations.CheckOrderBy(request.order_by());
  violations.CheckMaxStaleness(request.has_max_staleness(), request.max_staleness());
  return violations.status();
}

absl::Status Validate(const v1::WatchAvailabilityRequest& request) {
  Violations violations;
  FilterChecks(request.filter(), violations).Run();
  return violations.status();
}

absl::Status Validate(const v1::BatchGetNumbersRequest& request) {
  Violations violations;
  const int count = request.phone_numbers_size();
  if (count == 0 || count > kMaxBatch) {
    violations.Add("phone_numbers", reason::kInvalidBatch,
                   absl::StrCat("has ", count, " numbers, must have 1 to ", kMaxBatch));
  }
  violations.CheckMaxStaleness(request.has_max_staleness(), request.max_staleness());
  return violations.status();
}

absl::Status Validate(const v1::GetNumberRequest& request) {
  return CheckPhoneNumberAndStaleness(request);
}

absl::Status Validate(const v1::CreateLeaseRequest& request) {
  Violations violations;
  violations.CheckPhoneNumber("phone_number", request.phone_number());
  violations.CheckRequestId(request.request_id());
  violations.CheckBillingMethod(request.billing_method());
  if (!request.has_expected_price()) return violations.status();
  const v1::Pricing& price = request.expected_price();
  constexpr auto kReason = reason::kInvalidRequest;
  if (!price.has_monthly_rate() && !price.has_upfront_fee()) {
    violations.Add("expected_price", kReason,
                   "has no amount: set monthly_rate, upfront_fee or both, or leave it out");
  }
  if (price.has_monthly_rate()) {
    violations.CheckMoney("expected_price.monthly_rate", price.monthly_rate(), kReason);
  }
  if (price.has_upfront_fee()) {
    violations.CheckMoney("expected_price.upfront_fee", price.upfront_fee(), kReason);
  }
  return violations.status();
}

absl::Status Validate(const v1::LeaseAnyNumberRequest& request) {
  constexpr char kRule[] = "is required: nothing is bought without a ceiling";
  Violations violations;
  if (!request.filter().has_max_monthly_rate()) {
    violations.Add("filter.max_monthly_rate", reason::kPriceCeilingMissing, kRule);
  }
  if (!request.filter().has_max_upfront_fee()) {
    violations.Add("filter.max_upfront_fee", reason::kPriceCeilingMissing, kRule);
  }
  FilterChecks(request.filter(), violations).Run();
  violations.CheckOrderBy(request.order_by());
  violations.CheckRequestId(request.request_id());
  violations.CheckBillingMethod(request.billing_method());
  return violations.status();
}

absl::Status Validate(const v1::ListLeasesRequest& request) {
  Violations violations;
  violations.CheckMaxStaleness(request.has_max_staleness(), request.max_staleness());
  return violations.status();
}

absl::Status Validate(const v1::GetLeaseRequest& request) {
  return CheckPhoneNumberAndStaleness(request);
}

absl::Status Validate(const v1::TerminateLeaseRequest& request) {
  Violations violations;
  violations.CheckPhoneNumber("phone_number", request.phone_number());
  violations.CheckRequestId(request.request_id());
  const std::string& lease_id = request.lease_id();
  const auto is_printable = [](unsigned char c) { return c > 0x20 && c < 0x7f; };
  if (lease_id.size() > kMaxLeaseIdBytes ||
      !std::all_of(lease_id.begin(), lease_id.end(), is_printable)) {
    violations.Add("lease_id", reason::kInvalidRequest,
                   absl::StrCat(QuoteValue(lease_id), " must be at most ", kMaxLeaseIdBytes,
                                " printable ASCII characters without spaces"));
  }
  return violations.status();
}

absl::Status Validate(const v1::GetOperationRequest& request) {
  Violations violations;
  if (request.request_id().empty()) {
    violations.Add("request_id", reason::kInvalidRequestId,
                   "is required: the UUID of the purchase or termination");
  }
  violations.CheckRequestId(request.request_id());
  return violations.status();
}

absl::Status Validate(const v1::ListOperationsRequest& request) {
  Violations violations;
  violations.CheckPageSize(request.page_size());
  if (!request.phone_number().empty()) {
    violations.CheckPhoneNumber("phone_number", request.phone_number());
  }
  if (!v1::OperationState_IsValid(request.state())) {
    violations.Add("state", reason::kInvalidRequest,
                   absl::StrCat(static_cast<int>(request.state()), " is no state to look for"));
  }
  if (!v1::OperationKind_IsValid(request.kind())) {
    violations.Add("kind", reason::kInvalidRequest,
                   absl::StrCat(static_cast<int>(request.kind()), " is no kind to look for"));
  }
  if (!IsCallerName(request.caller())) {
    violations.Add("caller", reason::kInvalidRequest,
                   absl::StrCat(QuoteValue(request.caller()), " must be at most ", kMaxCallerBytes,
                                " bytes of printable text"));
  }
  if (request.has_start_time()) violations.CheckTime("start_time", request.start_time());
  if (request.has_end_time()) violations.CheckTime("end_time", request.end_time());
  if (request.has_start_time() && request.has_end_time() &&
      !IsBefore(request.start_time(), request.end_time())) {
    violations.Add("end_time", reason::kInvalidRequest,
                   absl::StrCat(Show(request.end_time()), " must be after start_time, ",
                                Show(request.start_time())));
  }
  return violations.status();
}

absl::Status Validate(const v1::ConfigureFailoverRequest& request) {
  constexpr auto kReason = reason::kInvalidFailover;
  Violations violations;
  violations.CheckPhoneNumber("phone_number", request.phone_number());
  if (!request.has_failover()) {
    violations.Add("failover", kReason, "is required");
    return violations.status();
  }
  const v1::Failover& failover = request.failover();
  const bool selective = failover.mode() == v1::FAILOVER_MODE_SELECTIVE;
  if (!v1::FailoverMode_IsValid(failover.mode())) {
    violations.Add("failover.mode", kReason,
                   absl::StrCat(static_cast<int>(failover.mode()), " is not ALL or SELECTIVE"));
  } else if (failover.enabled() && failover.mode() == v1::FAILOVER_MODE_UNSPECIFIED) {
    violations.Add("failover.mode", kReason, "is required when enabled: ALL or SELECTIVE");
  }
  const int count = failover.phone_numbers_size();
  if (count > kMaxFailoverNumbers) {
    violations.Add("failover.phone_numbers", kReason,
                   absl::StrCat("has ", count, " numbers, at most ", kMaxFailoverNumbers));
    return violations.status();
  }
  if (selective && failover.enabled() && count == 0) {
    violations.Add("failover.phone_numbers", kReason,
                   "is required when mode is SELECTIVE: the numbers to cover");
  } else if (!selective && count > 0) {
    violations.Add("failover.phone_numbers", kReason, "is only for mode SELECTIVE");
  }
  for (int i = 0; i < count; ++i) {
    const std::string field = absl::StrCat("failover.phone_numbers[", i, "]");
    violations.CheckPhoneNumber(field, failover.phone_numbers(i), kReason);
    if (failover.phone_numbers(i) == request.phone_number() && !request.phone_number().empty()) {
      violations.Add(field, kReason, "is the number itself, which can't cover itself");
    }
  }
  return violations.status();
}

absl::Status Validate(const v1::GetCallForwardingRequest& request) {
  return CheckPhoneNumberAndStaleness(request);
}

absl::Status Validate(const v1::EnableCallForwardingRequest& request) {
  Violations violations;
  violations.CheckPhoneNumber("phone_number", request.phone_number());
  violations.CheckPhoneNumber("forward_to", request.forward_to(), reason::kInvalidForwardTo);
  if (!request.forward_to().empty() && request.forward_to() == request.phone_number()) {
    violations.Add("forward_to", reason::kInvalidForwardTo,
                   "is phone_number itself: calls would go round in a circle");
  }
  return violations.status();
}

absl::Status Validate(const v1::DisableCallForwardingRequest& request) {
  return CheckPhoneNumberAndStaleness(request);
}

}  // namespace leasegateway
