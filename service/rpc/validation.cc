#include "service/rpc/validation.h"

#include <algorithm>
#include <cctype>

#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "google/rpc/error_details.pb.h"
#include "upstream/availability/number_filter.h"
#include "upstream/availability/order_by.h"
#include "upstream/upstream_error.h"

namespace leasegateway {
namespace {

constexpr int kMaxFailoverNumbers = 1000;
constexpr int kMaxBatch = 1000;
constexpr int kMaxFilterValues = 100;
constexpr std::size_t kMaxFilterBytes = 64;
constexpr std::size_t kMaxDigits = 15;
constexpr std::size_t kMaxLeaseIdBytes = 128;
constexpr std::size_t kMaxDetailBytes = 3'000;  // of violations

bool IsDigit(char c) { return c >= '0' && c <= '9'; }

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
    // A client takes 8 KiB of metadata at most (gRPC's default), which these become.
    bytes_ += field.size() + description.size();
    if (bytes_ > kMaxDetailBytes) {
      ++left_out_;
      return;
    }
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

  // May be empty.
  void CheckRequestId(const std::string& value) {
    if (!value.empty() && !IsUuid(value)) {
      Add("request_id", reason::kInvalidRequestId,
          Quote(value) + " is not a UUID such as 9b2f6a3e-5c1d-4f7a-8e90-1a2b3c4d5e6f");
    }
  }

  void CheckBillingMethod(v1::BillingMethod value) {
    switch (value) {
      case v1::BILLING_METHOD_UNSPECIFIED:
      case v1::BILLING_METHOD_MONTHLY:
      case v1::BILLING_METHOD_SERVICE_CONTRACT:
        break;
      default:
        Add("billing_method", reason::kInvalidBillingMethod,
            absl::StrCat(static_cast<int>(value),
                         " can't be asked for: MONTHLY or SERVICE_CONTRACT, or none"));
    }
  }

  // An amount, 0 or more, with its currency.
  void CheckMoney(const std::string& field, const google::type::Money& money,
                  std::string_view reason) {
    const std::string& currency = money.currency_code();
    const auto is_letter = [](unsigned char c) { return std::isalpha(c) != 0; };
    if (currency.size() != 3 || !std::all_of(currency.begin(), currency.end(), is_letter)) {
      Add(field + ".currency_code", reason,
          Quote(currency) + " is no currency of three letters (ISO 4217), for example USD");
    }
    if (money.units() < 0 || money.nanos() < 0) {
      Add(field, reason,
          absl::StrCat(money.units(), " units and ", money.nanos(),
                       " nanos must not be below zero"));
    } else if (money.nanos() > 999'999'999) {
      Add(field + ".nanos", reason, absl::StrCat(money.nanos(), " is more than 999999999"));
    }
  }

  void CheckOrderBy(const std::string& value) {
    const absl::Status order = ParseOrderBy(value).status();
    if (!order.ok()) Add("order_by", reason::kInvalidOrderBy, std::string(order.message()));
  }

  void CheckPageSize(int value) {
    if (value >= 0) return;
    Add("page_size", reason::kInvalidPageSize, absl::StrCat(value, " must not be below zero"));
  }

  void CheckMaxStaleness(bool is_set, const google::protobuf::Duration& value) {
    if (!is_set) return;
    const std::string text = absl::StrCat(value.seconds(), " s and ", value.nanos(), " ns");
    if (value.seconds() < 0 || value.nanos() < 0) {
      Add("max_staleness", reason::kInvalidMaxStaleness, text + " must not be below zero");
    } else if (value.seconds() > 315'576'000'000 || value.nanos() > 999'999'999) {
      Add("max_staleness", reason::kInvalidMaxStaleness,
          text + " is no google.protobuf.Duration: at most 315576000000 s and 999999999 ns");
    }
  }

  void CheckFilter(const v1::AvailabilityFilter& filter);

  absl::Status status() const {
    if (reason_.empty()) return absl::OkStatus();
    std::string message;
    for (const auto& violation : bad_request_.field_violations()) {
      absl::StrAppend(&message, message.empty() ? "" : "; ", violation.field(), ": ",
                      violation.description());
      if (message.size() > 1024) break;  // the details have more
    }
    auto status = MakeError(absl::StatusCode::kInvalidArgument, reason_, message,
                            {{"field", bad_request_.field_violations(0).field()}});
    google::rpc::BadRequest details = bad_request_;
    if (left_out_ > 0) {
      auto& rest = *details.add_field_violations();
      rest.set_field("...");
      rest.set_description(absl::StrCat("and ", left_out_, " more violations"));
    }
    status.SetPayload("type.googleapis.com/google.rpc.BadRequest",
                      absl::Cord(details.SerializeAsString()));
    return status;
  }

 private:
  std::string reason_;  // of the first violation
  google::rpc::BadRequest bad_request_;
  std::size_t bytes_ = 0;
  std::size_t left_out_ = 0;
};

// Without the plus sign that a prefix or pattern may have.
std::string_view Digits(std::string_view text) {
  return !text.empty() && text[0] == '+' ? text.substr(1) : text;
}

// Whether a pattern can begin like `prefix`: character by character, up to the first "*".
template <typename Iterator>
bool CanBegin(Iterator pattern, Iterator pattern_end, Iterator prefix, Iterator prefix_end) {
  for (; prefix != prefix_end; ++prefix, ++pattern) {
    if (pattern == pattern_end) return false;
    if (*pattern == '*') return true;
    if (*pattern != '?' && *pattern != *prefix) return false;
  }
  return true;
}

class FilterChecks {
 public:
  FilterChecks(const v1::AvailabilityFilter& filter, Violations& violations)
      : filter_(filter), violations_(violations) {}

  void Run() {
    Words("filter.countries", filter_.countries());
    for (int i = 0; i < std::min(filter_.countries_size(), kMaxFilterValues); ++i) {
      const std::string& country = filter_.countries(i);
      const auto is_letter = [](unsigned char c) { return std::isalpha(c) != 0; };
      if (country.size() == 2 && std::all_of(country.begin(), country.end(), is_letter)) continue;
      Add(absl::StrCat("filter.countries[", i, "]"),
          Quote(country) + " is no country of two letters (ISO 3166-1 alpha-2), for example US");
    }
    Words("filter.regions", filter_.regions());
    Words("filter.cities", filter_.cities());
    Words("filter.carriers", filter_.carriers());
    Words("filter.channels", filter_.channels());
    Words("filter.allowed_requirements.requirements",
          filter_.allowed_requirements().requirements());
    if (filter_.has_min_reputation() &&
        !(filter_.min_reputation() >= 0 && filter_.min_reputation() <= 1)) {
      Add("filter.min_reputation", absl::StrCat(filter_.min_reputation(), " is not from 0 to 1"));
    }
    if (filter_.max_previous_owners() < 0) {
      Add("filter.max_previous_owners",
          absl::StrCat(filter_.max_previous_owners(), " must not be below zero"));
    }
    Statuses();
    Prices();
    Numbers();
  }

 private:
  void Add(const std::string& field, const std::string& description) {
    violations_.Add(field, reason::kInvalidFilter, description);
  }

  template <typename List>
  void Words(const std::string& field, const List& words) {
    if (words.size() > kMaxFilterValues) {
      Add(field, absl::StrCat("has ", words.size(), " values, at most ", kMaxFilterValues));
      return;
    }
    for (int i = 0; i < words.size(); ++i) {
      if (words[i].empty() || words[i].size() > kMaxFilterBytes) {
        Add(absl::StrCat(field, "[", i, "]"),
            absl::StrCat(Quote(words[i]), " must have 1 to ", kMaxFilterBytes, " bytes"));
      }
    }
  }

  void Statuses() {
    if (filter_.statuses_size() > kMaxFilterValues) {
      Add("filter.statuses",
          absl::StrCat("has ", filter_.statuses_size(), " values, at most ", kMaxFilterValues));
      return;
    }
    for (int i = 0; i < filter_.statuses_size(); ++i) {
      const int status = filter_.statuses(i);
      if (!v1::NumberStatus_IsValid(status) || status == v1::NUMBER_STATUS_UNSPECIFIED) {
        Add(absl::StrCat("filter.statuses[", i, "]"),
            absl::StrCat(status, " is no status to look for"));
      }
    }
  }

  void Prices() {
    constexpr auto kReason = reason::kInvalidFilter;
    if (filter_.has_max_monthly_rate()) {
      violations_.CheckMoney("filter.max_monthly_rate", filter_.max_monthly_rate(), kReason);
    }
    if (filter_.has_max_upfront_fee()) {
      violations_.CheckMoney("filter.max_upfront_fee", filter_.max_upfront_fee(), kReason);
    }
    if (filter_.has_max_monthly_rate() && filter_.has_max_upfront_fee() &&
        !absl::EqualsIgnoreCase(filter_.max_monthly_rate().currency_code(),
                                filter_.max_upfront_fee().currency_code())) {
      Add("filter.max_upfront_fee.currency_code",
          absl::StrCat(Quote(filter_.max_upfront_fee().currency_code()),
                       " contradicts filter.max_monthly_rate, ",
                       Quote(filter_.max_monthly_rate().currency_code()),
                       ": a number has its prices in one currency"));
    }
  }

  void Digits(const std::string& field, std::string_view digits) {
    if (digits.empty() || digits.size() > kMaxDigits ||
        !std::all_of(digits.begin(), digits.end(), IsDigit)) {
      Add(field, absl::StrCat(Quote(digits), " must have 1 to ", kMaxDigits, " digits"));
    }
  }

  void Contradicts(std::string_view field, std::string_view value) {
    Add("filter.number_pattern", absl::StrCat(Quote(filter_.number_pattern()), " contradicts ",
                                              absl::string_view(field.data(), field.size()), ", ",
                                              Quote(value), ": no number matches both"));
  }

  void Numbers() {
    const std::string_view prefix = leasegateway::Digits(filter_.number_prefix());
    const std::string_view suffix = filter_.number_suffix();
    const std::string_view pattern = leasegateway::Digits(filter_.number_pattern());
    if (!filter_.number_prefix().empty()) {
      Digits("filter.number_prefix", prefix);
      if (prefix.substr(0, 1) == "0") {
        Add("filter.number_prefix",
            Quote(filter_.number_prefix()) + " matches nothing: no number begins with 0");
      }
    }
    if (!suffix.empty()) Digits("filter.number_suffix", suffix);
    if (!filter_.number_contains().empty()) {
      Digits("filter.number_contains", filter_.number_contains());
    }
    if (filter_.number_pattern().empty()) return;
    const auto may_stand = [](char c) { return IsDigit(c) || c == '?' || c == '*'; };
    const auto stars = std::count(pattern.begin(), pattern.end(), '*');
    if (pattern.empty() || pattern.size() > kMaxFilterBytes ||
        !std::all_of(pattern.begin(), pattern.end(), may_stand)) {
      Add("filter.number_pattern",
          absl::StrCat(Quote(filter_.number_pattern()), " must have 1 to ", kMaxFilterBytes,
                       " of these: digits, ? for one digit, * for any; for example +1305*77??"));
    } else if (pattern.size() - static_cast<std::size_t>(stars) > kMaxDigits) {
      Add("filter.number_pattern", absl::StrCat(Quote(filter_.number_pattern()),
                                                " asks for more than ", kMaxDigits, " digits"));
    } else if (pattern[0] == '0') {
      Add("filter.number_pattern",
          Quote(filter_.number_pattern()) + " matches nothing: no number begins with 0");
    } else if (!CanBegin(pattern.begin(), pattern.end(), prefix.begin(), prefix.end())) {
      Contradicts("filter.number_prefix", filter_.number_prefix());
    } else if (!CanBegin(pattern.rbegin(), pattern.rend(), suffix.rbegin(), suffix.rend())) {
      Contradicts("filter.number_suffix", suffix);
    }
  }

  const v1::AvailabilityFilter& filter_;
  Violations& violations_;
};

void Violations::CheckFilter(const v1::AvailabilityFilter& filter) {
  FilterChecks(filter, *this).Run();
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

absl::Status CheckPhoneNumber(const std::string& phone_number) {
  Violations violations;
  violations.CheckPhoneNumber("phone_number", phone_number);
  return violations.status();
}

bool IsPhoneNumber(std::string_view text) {
  return text.size() >= 3 && text.size() <= 16 && text[0] == '+' && text[1] != '0' &&
         std::all_of(text.begin() + 1, text.end(), IsDigit);
}

absl::Status FieldViolation(const std::string& field, std::string_view reason,
                            const std::string& description) {
  Violations violations;
  violations.Add(field, reason, description);
  return violations.status();
}

absl::Status Validate(const v1::ListAvailableNumbersRequest& request) {
  Violations violations;
  violations.CheckPageSize(request.page_size());
  violations.CheckFilter(request.filter());
  violations.CheckOrderBy(request.order_by());
  violations.CheckMaxStaleness(request.has_max_staleness(), request.max_staleness());
  return violations.status();
}

absl::Status Validate(const v1::WatchAvailabilityRequest& request) {
  Violations violations;
  violations.CheckFilter(request.filter());
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
  violations.CheckFilter(request.filter());
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
                   absl::StrCat(Quote(lease_id), " must be at most ", kMaxLeaseIdBytes,
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
