#include "service/rpc/violations.h"

#include <algorithm>
#include <cctype>
#include <cstdint>

#include "absl/strings/cord.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "service/rpc/formats.h"
#include "upstream/availability/availability.h"
#include "upstream/availability/order_by.h"

namespace leasegateway {
namespace {

constexpr std::size_t kMaxDetailBytes = 3'000;  // of violations

}  // namespace

std::string QuoteValue(std::string_view value) {
  constexpr size_t kMost = 64;
  const bool cut = value.size() > kMost;
  const std::string escaped = absl::CHexEscape(std::string(value.substr(0, kMost)));
  return absl::StrCat("\"", escaped, "\"", cut ? absl::StrCat("… (", value.size(), " bytes)") : "");
}

void Violations::Add(const std::string& field, std::string_view reason,
                     const std::string& description) {
  if (reason_.empty()) reason_ = reason;
  // A client takes 8 KiB of metadata at most (gRPC's default), which these become.
  bytes_ += field.size() + description.size();
  if (bytes_ > kMaxDetailBytes && bad_request_.field_violations_size() > 0) {
    ++left_out_;
    return;
  }
  auto& violation = *bad_request_.add_field_violations();
  violation.set_field(field);
  violation.set_description(description);
}

void Violations::CheckAccount(std::string_view value) {
  if (value.empty() || IsAccountName(value)) return;
  Add("account", reason::kInvalidAccount,
      QuoteValue(value) +
          " is no name of an account: 1 to 63 of a to z, 0 to 9 and hyphens, with a letter or a "
          "digit at either end");
}

void Violations::CheckPhoneNumber(const std::string& field, const std::string& value,
                                  std::string_view reason) {
  if (value.empty()) {
    Add(field, reason, "is required: a number in E.164 format, for example +13059478667");
  } else if (!IsPhoneNumber(value)) {
    Add(field, reason,
        QuoteValue(value) +
            " is not in E.164 format: a plus sign, then 2 to 15 digits of which the "
            "first is not 0, for example +13059478667");
  }
}

void Violations::CheckRequestId(const std::string& value) {
  if (!value.empty() && !IsUuid(value)) {
    Add("request_id", reason::kInvalidRequestId,
        QuoteValue(value) + " is not a UUID such as 9b2f6a3e-5c1d-4f7a-8e90-1a2b3c4d5e6f");
  }
}

void Violations::CheckBillingMethod(v1::BillingMethod value) {
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

void Violations::CheckMoney(const std::string& field, const google::type::Money& money,
                            std::string_view reason) {
  const std::string& currency = money.currency_code();
  const auto is_letter = [](unsigned char c) { return std::isalpha(c) != 0; };
  if (currency.size() != 3 || !std::all_of(currency.begin(), currency.end(), is_letter)) {
    Add(field + ".currency_code", reason,
        QuoteValue(currency) + " is no currency of three letters (ISO 4217), for example USD");
  }
  if (money.units() < 0 || money.nanos() < 0) {
    Add(field, reason,
        absl::StrCat(money.units(), " units and ", money.nanos(), " nanos must not be below zero"));
  } else if (money.nanos() > 999'999'999) {
    Add(field + ".nanos", reason, absl::StrCat(money.nanos(), " is more than 999999999"));
  }
}

void Violations::CheckOrderBy(const std::string& value) {
  const absl::Status order = ParseOrderBy(value).status();
  if (!order.ok()) Add("order_by", reason::kInvalidOrderBy, std::string(order.message()));
}

void Violations::CheckPageSize(int value) {
  if (value >= 0) return;
  Add("page_size", reason::kInvalidPageSize, absl::StrCat(value, " must not be below zero"));
}

void Violations::CheckMaxStaleness(bool is_set, const google::protobuf::Duration& value) {
  if (!is_set) return;
  const std::string text = absl::StrCat(value.seconds(), " s and ", value.nanos(), " ns");
  if (value.seconds() < 0 || value.nanos() < 0) {
    Add("max_staleness", reason::kInvalidMaxStaleness, text + " must not be below zero");
  } else if (value.seconds() > 315'576'000'000 || value.nanos() > 999'999'999) {
    Add("max_staleness", reason::kInvalidMaxStaleness,
        text + " is no google.protobuf.Duration: at most 315576000000 s and 999999999 ns");
  }
}

void Violations::CheckTime(const std::string& field, const google::protobuf::Timestamp& value) {
  // The years 1 to 9999.
  constexpr std::int64_t kFirst = -62'135'596'800, kLast = 253'402'300'799;
  if (value.seconds() >= kFirst && value.seconds() <= kLast && value.nanos() >= 0 &&
      value.nanos() <= 999'999'999) {
    return;
  }
  Add(field, reason::kInvalidRequest,
      absl::StrCat(value.seconds(), " s and ", value.nanos(),
                   " ns is no google.protobuf.Timestamp: from ", kFirst, " s to ", kLast,
                   " s, and 0 to 999999999 ns"));
}

absl::Status Violations::status() const {
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

absl::Status FieldViolation(const std::string& field, std::string_view reason,
                            const std::string& description) {
  Violations violations;
  violations.Add(field, reason, description);
  return violations.status();
}

}  // namespace leasegateway
