#include "service/validation.h"

#include <algorithm>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "google/rpc/error_details.pb.h"
#include "upstream/upstream_error.h"

namespace leasegateway {
namespace {

constexpr int kMaxFailoverNumbers = 1000;

bool IsDigit(char c) { return c >= '0' && c <= '9'; }

// RFC 9562, any version, hexadecimal digits in either case.
bool IsUuid(std::string_view text) {
  if (text.size() != 36) return false;
  for (size_t i = 0; i < text.size(); ++i) {
    const bool hyphen = i == 8 || i == 13 || i == 18 || i == 23;
    const bool hex = IsDigit(text[i]) || (text[i] >= 'a' && text[i] <= 'f') ||
                     (text[i] >= 'A' && text[i] <= 'F');
    if (hyphen ? text[i] != '-' : !hex) return false;
  }
  return true;
}

// Short and printable, whatever a caller sends.
std::string Quote(std::string_view value) {
  constexpr size_t kMost = 64;
  const bool cut = value.size() > kMost;
  const std::string escaped = absl::CHexEscape(std::string(value.substr(0, kMost)));
  return absl::StrCat("\"", escaped, "\"", cut ? absl::StrCat("… (", value.size(), " bytes)") : "");
}

class Violations {
 public:
  void Add(const std::string& field, std::string_view reason, const std::string& description) {
    if (reason_.empty()) reason_ = reason;
    auto& violation = *bad_request_.add_field_violations();
    violation.set_field(field);
    violation.set_description(description);
  }

  void CheckPhoneNumber(const std::string& field, const std::string& value,
                        std::string_view reason = reason::kInvalidPhoneNumber) {
    if (value.empty()) {
      Add(field, reason, "is required: a number in E.164 format, for example +13059478667");
    } else if (!IsPhoneNumber(value)) {
      Add(field, reason,
          Quote(value) +
              " is not in E.164 format: a plus sign, then 2 to 15 digits of which the "
              "first is not 0, for example +13059478667");
    }
  }

  void CheckRequestId(const std::string& value) {
    if (value.empty()) {
      Add("request_id", reason::kInvalidRequestId,
          "is required: a UUID that is new for each purchase or termination");
    } else if (!IsUuid(value)) {
      Add("request_id", reason::kInvalidRequestId,
          Quote(value) + " is not a UUID such as 9b2f6a3e-5c1d-4f7a-8e90-1a2b3c4d5e6f");
    }
  }

  absl::Status status() const {
    if (reason_.empty()) return absl::OkStatus();
    std::string message;
    for (const auto& violation : bad_request_.field_violations()) {
      absl::StrAppend(&message, message.empty() ? "" : "; ", violation.field(), ": ",
                      violation.description());
      if (message.size() > 1024) break;  // the details have them all
    }
    auto status = MakeError(absl::StatusCode::kInvalidArgument, reason_, message,
                            {{"field", bad_request_.field_violations(0).field()}});
    status.SetPayload("type.googleapis.com/google.rpc.BadRequest",
                      absl::Cord(bad_request_.SerializeAsString()));
    return status;
  }

 private:
  std::string reason_;  // of the first violation
  google::rpc::BadRequest bad_request_;
};

absl::Status CheckOnlyPhoneNumber(const std::string& phone_number) {
  Violations violations;
  violations.CheckPhoneNumber("phone_number", phone_number);
  return violations.status();
}

}  // namespace

bool IsPhoneNumber(std::string_view text) {
  return text.size() >= 3 && text.size() <= 16 && text[0] == '+' && text[1] != '0' &&
         std::all_of(text.begin() + 1, text.end(), IsDigit);
}

absl::Status Validate(const v1::ListAvailableNumbersRequest&) { return absl::OkStatus(); }

absl::Status Validate(const v1::GetNumberRequest& request) {
  return CheckOnlyPhoneNumber(request.phone_number());
}

absl::Status Validate(const v1::CreateLeaseRequest& request) {
  Violations violations;
  violations.CheckPhoneNumber("phone_number", request.phone_number());
  violations.CheckRequestId(request.request_id());
  switch (request.billing_method()) {
    case v1::BILLING_METHOD_UNSPECIFIED:
    case v1::BILLING_METHOD_MONTHLY:
    case v1::BILLING_METHOD_SERVICE_CONTRACT:
      break;
    default:
      violations.Add("billing_method", reason::kInvalidBillingMethod,
                     absl::StrCat(static_cast<int>(request.billing_method()),
                                  " can't be asked for: MONTHLY or SERVICE_CONTRACT, or none"));
  }
  return violations.status();
}

absl::Status Validate(const v1::ListLeasesRequest&) { return absl::OkStatus(); }

absl::Status Validate(const v1::GetLeaseRequest& request) {
  return CheckOnlyPhoneNumber(request.phone_number());
}

absl::Status Validate(const v1::TerminateLeaseRequest& request) {
  Violations violations;
  violations.CheckPhoneNumber("phone_number", request.phone_number());
  violations.CheckRequestId(request.request_id());
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
  return CheckOnlyPhoneNumber(request.phone_number());
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
  return CheckOnlyPhoneNumber(request.phone_number());
}

}  // namespace leasegateway
