#include "service/rpc/validation.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <limits>
#include <string>
#include <string_view>
#include <utility>

#include "service/rpc/formats.h"
#include "service/rpc/violations.h"
#include "tests/support/bad_request.h"
#include "upstream/upstream_error.h"

namespace leasegateway {
namespace {

constexpr char kNumber[] = "+13059478667";
constexpr char kOther[] = "+13059278337";
constexpr char kUuid[] = "9b2f6a3e-5c1d-4f7a-8e90-1a2b3c4d5e6f";

TEST(Validation, PhoneNumbers) {
  for (const char* good : {"+12", "+13059478667", "+123456789012345"}) {
    EXPECT_TRUE(IsPhoneNumber(good)) << good;
  }
  for (const std::string bad : {"", "+", "+1", "13059478667", "+03059478667", "+1234567890123456",
                                "+1305947866x", "+1 305", "+1305947866\n", "\xff\xfe\xfd"}) {
    EXPECT_FALSE(IsPhoneNumber(bad)) << bad;
    v1::GetNumberRequest request;
    request.set_phone_number(bad);
    const auto status = Validate(request);
    EXPECT_EQ(ReasonOf(status), reason::kInvalidPhoneNumber);
    EXPECT_EQ(ViolationsOf(status).field_violations(0).field(), "phone_number");
  }
}

TEST(Validation, OversizedValuesAreShortened) {
  v1::GetNumberRequest request;
  request.set_phone_number(std::string(100'000, '9'));
  const auto status = Validate(request);
  EXPECT_LT(status.message().size(), 400U);
  EXPECT_NE(std::string(status.message()).find("100000 bytes"), std::string::npos);
}

TEST(Validation, CreateLeaseNamesEveryField) {
  v1::CreateLeaseRequest request;
  request.set_request_id("one");
  request.set_billing_method(v1::BILLING_METHOD_GOODWILL);
  const auto bad_request = ViolationsOf(Validate(request));
  ASSERT_EQ(bad_request.field_violations_size(), 3);
  EXPECT_EQ(bad_request.field_violations(0).field(), "phone_number");
  EXPECT_EQ(bad_request.field_violations(1).field(), "request_id");
  EXPECT_EQ(bad_request.field_violations(2).field(), "billing_method");
  request.set_phone_number(kNumber);
  request.set_request_id(kUuid);
  EXPECT_EQ(ReasonOf(Validate(request)), reason::kInvalidBillingMethod);
  request.set_billing_method(v1::BILLING_METHOD_SERVICE_CONTRACT);
  EXPECT_TRUE(Validate(request).ok());
}

TEST(Validation, RequestIds) {
  v1::TerminateLeaseRequest request;
  request.set_phone_number(kNumber);
  for (const char* bad :
       {"1", "9b2f6a3e-5c1d-4f7a-8e90-1a2b3c4d5e6g", "9b2f6a3e05c1d-4f7a-8e90-1a2b3c4d5e6f"}) {
    request.set_request_id(bad);
    EXPECT_EQ(ReasonOf(Validate(request)), reason::kInvalidRequestId) << bad;
  }
  for (const char* good : {"", kUuid, "9B2F6A3E-5C1D-4F7A-8E90-1A2B3C4D5E6F"}) {
    request.set_request_id(good);
    EXPECT_TRUE(Validate(request).ok()) << good;
  }
}

// The description of the one violation, of `field`.
std::string OneViolation(const absl::Status& status, std::string_view reason,
                         const std::string& field) {
  EXPECT_EQ(ReasonOf(status), reason);
  const auto bad_request = ViolationsOf(status);
  EXPECT_EQ(bad_request.field_violations_size(), 1) << status;
  EXPECT_EQ(bad_request.field_violations(0).field(), field);
  return bad_request.field_violations(0).description();
}

TEST(Validation, ExpectedPrice) {
  v1::CreateLeaseRequest request;
  request.set_phone_number(kNumber);
  auto& price = *request.mutable_expected_price();
  OneViolation(Validate(request), reason::kInvalidRequest, "expected_price");
  price.mutable_upfront_fee()->set_currency_code("USD");
  EXPECT_TRUE(Validate(request).ok());
  price.mutable_upfront_fee()->set_units(-1);
  EXPECT_NE(OneViolation(Validate(request), reason::kInvalidRequest, "expected_price.upfront_fee")
                .find("-1 units"),
            std::string::npos);
  price.clear_upfront_fee();
  price.mutable_monthly_rate()->set_units(5);
  OneViolation(Validate(request), reason::kInvalidRequest,
               "expected_price.monthly_rate.currency_code");
  price.mutable_monthly_rate()->set_currency_code("USD");
  EXPECT_TRUE(Validate(request).ok());
  price.mutable_monthly_rate()->set_nanos(1'000'000'000);
  OneViolation(Validate(request), reason::kInvalidRequest, "expected_price.monthly_rate.nanos");
}

TEST(Validation, LeaseIdIsShortAndPrintable) {
  v1::TerminateLeaseRequest request;
  request.set_phone_number(kNumber);
  for (const std::string& good : {std::string("lsd_1234567890"), std::string(128, 'x')}) {
    request.set_lease_id(good);
    EXPECT_TRUE(Validate(request).ok()) << good;
  }
  for (const std::string& bad : {std::string(129, 'x'), std::string("lsd 1"), std::string("lsd\n"),
                                 std::string("lsd_\xc3\xa9")}) {
    request.set_lease_id(bad);
    OneViolation(Validate(request), reason::kInvalidRequest, "lease_id");
  }
}

TEST(Validation, LeaseAnyNeedsBothCeilings) {
  v1::LeaseAnyNumberRequest request;
  auto bad_request = ViolationsOf(Validate(request));
  EXPECT_EQ(ReasonOf(Validate(request)), reason::kPriceCeilingMissing);
  ASSERT_EQ(bad_request.field_violations_size(), 2);
  EXPECT_EQ(bad_request.field_violations(0).field(), "filter.max_monthly_rate");
  EXPECT_EQ(bad_request.field_violations(1).field(), "filter.max_upfront_fee");
  auto& filter = *request.mutable_filter();
  filter.mutable_max_monthly_rate()->set_currency_code("USD");
  OneViolation(Validate(request), reason::kPriceCeilingMissing, "filter.max_upfront_fee");
  filter.mutable_max_upfront_fee()->set_currency_code("USD");
  EXPECT_TRUE(Validate(request).ok());
  filter.add_countries("America");
  OneViolation(Validate(request), reason::kInvalidFilter, "filter.countries[0]");
  filter.clear_countries();
  request.set_order_by("price");
  OneViolation(Validate(request), reason::kInvalidOrderBy, "order_by");
  request.clear_order_by();
  request.set_request_id("one");
  OneViolation(Validate(request), reason::kInvalidRequestId, "request_id");
  request.clear_request_id();
  request.set_billing_method(v1::BILLING_METHOD_GOODWILL);
  OneViolation(Validate(request), reason::kInvalidBillingMethod, "billing_method");
}

TEST(Validation, GetOperationNeedsAUuid) {
  v1::GetOperationRequest request;
  EXPECT_NE(
      OneViolation(Validate(request), reason::kInvalidRequestId, "request_id").find("is required"),
      std::string::npos);
  request.set_request_id("one");
  EXPECT_NE(
      OneViolation(Validate(request), reason::kInvalidRequestId, "request_id").find("\"one\""),
      std::string::npos);
  request.set_request_id(kUuid);
  EXPECT_TRUE(Validate(request).ok());
}

TEST(Validation, ListOperations) {
  v1::ListOperationsRequest request;
  EXPECT_TRUE(Validate(request).ok());
  request.set_page_size(-1);
  OneViolation(Validate(request), reason::kInvalidPageSize, "page_size");
  request.set_page_size(100'000);
  request.set_phone_number("305");
  OneViolation(Validate(request), reason::kInvalidPhoneNumber, "phone_number");
  request.set_phone_number(kNumber);
  request.set_state(static_cast<v1::OperationState>(9));
  OneViolation(Validate(request), reason::kInvalidRequest, "state");
  request.set_state(v1::OPERATION_STATE_UNKNOWN);
  EXPECT_TRUE(Validate(request).ok());
}

TEST(Validation, Failover) {
  v1::ConfigureFailoverRequest request;
  request.set_phone_number(kNumber);
  EXPECT_EQ(ViolationsOf(Validate(request)).field_violations(0).field(), "failover");
  auto& failover = *request.mutable_failover();
  EXPECT_TRUE(Validate(request).ok());  // disabled
  failover.set_enabled(true);
  EXPECT_EQ(ViolationsOf(Validate(request)).field_violations(0).field(), "failover.mode");
  failover.set_mode(static_cast<v1::FailoverMode>(9));
  EXPECT_EQ(ReasonOf(Validate(request)), reason::kInvalidFailover);
  failover.set_mode(v1::FAILOVER_MODE_ALL);
  EXPECT_TRUE(Validate(request).ok());
  failover.add_phone_numbers(kOther);
  EXPECT_EQ(ViolationsOf(Validate(request)).field_violations(0).field(), "failover.phone_numbers");
  failover.set_mode(v1::FAILOVER_MODE_SELECTIVE);
  EXPECT_TRUE(Validate(request).ok());
  failover.add_phone_numbers(kNumber);
  EXPECT_EQ(ViolationsOf(Validate(request)).field_violations(0).field(),
            "failover.phone_numbers[1]");
  failover.clear_phone_numbers();
  EXPECT_EQ(ViolationsOf(Validate(request)).field_violations(0).field(), "failover.phone_numbers");
  for (int i = 0; i < 1001; ++i) failover.add_phone_numbers(kOther);
  EXPECT_EQ(ViolationsOf(Validate(request)).field_violations_size(), 1);
}

// gRPC's clients take 8 KiB of metadata by default.
TEST(Validation, DetailsStaySmallHoweverMuchIsWrong) {
  v1::ConfigureFailoverRequest request;
  request.set_phone_number(kNumber);
  auto& failover = *request.mutable_failover();
  failover.set_enabled(true);
  failover.set_mode(v1::FAILOVER_MODE_SELECTIVE);
  for (int i = 0; i < 1'000; ++i) failover.add_phone_numbers("13059478667");
  const absl::Status status = Validate(request);
  EXPECT_LT(status.message().size(), 1'500u);
  const auto violations = ViolationsOf(status);
  EXPECT_LT(violations.ByteSizeLong(), 4'000u);
  EXPECT_EQ(violations.field_violations(0).field(), "failover.phone_numbers[0]");
  const int named = violations.field_violations_size() - 1;
  EXPECT_GT(named, 10);
  EXPECT_EQ(violations.field_violations(named).description(),
            "and " + std::to_string(1'000 - named) + " more violations");
}

TEST(Validation, CallForwarding) {
  v1::EnableCallForwardingRequest request;
  request.set_phone_number(kNumber);
  EXPECT_EQ(ReasonOf(Validate(request)), reason::kInvalidForwardTo);
  request.set_forward_to(kNumber);
  EXPECT_EQ(ReasonOf(Validate(request)), reason::kInvalidForwardTo);
  request.set_forward_to(kOther);
  EXPECT_TRUE(Validate(request).ok());
}

// --- the other fields of reads -----------------------------------------------------------------

TEST(Validation, PageSize) {
  v1::ListAvailableNumbersRequest request;
  for (const int bad : {-1, std::numeric_limits<int>::min()}) {
    request.set_page_size(bad);
    const auto status = Validate(request);
    EXPECT_EQ(ReasonOf(status), reason::kInvalidPageSize);
    EXPECT_EQ(ViolationsOf(status).field_violations(0).field(), "page_size");
    EXPECT_NE(std::string(status.message()).find(std::to_string(bad) + " must not be below zero"),
              std::string::npos);
  }
  for (const int good : {0, 1, 10'000, std::numeric_limits<int>::max()}) {
    request.set_page_size(good);
    EXPECT_TRUE(Validate(request).ok()) << good;
  }
}

TEST(Validation, OrderBy) {
  v1::ListAvailableNumbersRequest request;
  for (const char* bad : {"price", "phone_number asc", "phone_number,", ",", "PHONE_NUMBER",
                          "phone_number desc desc", "phone_number, phone_number desc"}) {
    request.set_order_by(bad);
    const auto status = Validate(request);
    EXPECT_EQ(ReasonOf(status), reason::kInvalidOrderBy) << bad;
    EXPECT_EQ(ViolationsOf(status).field_violations(0).field(), "order_by");
  }
  request.set_order_by("price");
  EXPECT_NE(std::string(Validate(request).message()).find("\"price\" is not a field to order by"),
            std::string::npos);
  for (const char* good : {"", "pricing.monthly_rate desc, phone_number", "create_time"}) {
    request.set_order_by(good);
    EXPECT_TRUE(Validate(request).ok()) << good;
  }
}

template <typename Request>
void CheckMaxStaleness(Request request) {
  SCOPED_TRACE(request.GetTypeName());
  EXPECT_TRUE(Validate(request).ok());
  const auto set = [&](std::int64_t new_seconds, std::int32_t nanos) {
    request.mutable_max_staleness()->set_seconds(new_seconds);
    request.mutable_max_staleness()->set_nanos(nanos);
    return Validate(request);
  };
  const auto refused = [&](std::int64_t new_seconds, std::int32_t nanos, const std::string& rule) {
    const auto status = set(new_seconds, nanos);
    EXPECT_EQ(ReasonOf(status), reason::kInvalidMaxStaleness) << new_seconds << ' ' << nanos;
    const auto bad_request = ViolationsOf(status);
    ASSERT_EQ(bad_request.field_violations_size(), 1);
    EXPECT_EQ(bad_request.field_violations(0).field(), "max_staleness");
    const std::string& text = bad_request.field_violations(0).description();
    EXPECT_NE(text.find(rule), std::string::npos) << text;
    EXPECT_NE(text.find(std::to_string(new_seconds) + " s"), std::string::npos) << text;
    EXPECT_NE(text.find(std::to_string(nanos) + " ns"), std::string::npos) << text;
  };
  EXPECT_TRUE(set(0, 0).ok());
  EXPECT_TRUE(set(0, 1).ok());  // nanos only
  EXPECT_TRUE(set(0, 999'999'999).ok());
  EXPECT_TRUE(set(315'576'000'000, 0).ok());
  refused(-1, 0, "below zero");
  refused(0, -1, "below zero");
  refused(std::numeric_limits<std::int64_t>::min(), 0, "below zero");
  refused(315'576'000'001, 0, "no google.protobuf.Duration");
  refused(std::numeric_limits<std::int64_t>::max(), 0, "no google.protobuf.Duration");
  refused(0, 1'000'000'000, "no google.protobuf.Duration");
}

TEST(Validation, MaxStaleness) {
  CheckMaxStaleness(v1::ListAvailableNumbersRequest());
  CheckMaxStaleness(v1::ListLeasesRequest());
  v1::GetNumberRequest number;
  number.set_phone_number(kNumber);
  CheckMaxStaleness(number);
  v1::GetLeaseRequest lease;
  lease.set_phone_number(kNumber);
  CheckMaxStaleness(lease);
  v1::BatchGetNumbersRequest batch;
  batch.add_phone_numbers(kNumber);
  CheckMaxStaleness(batch);
}

TEST(Validation, OneViolationIsToldHoweverLongItIs) {
  const std::string description(5'000, 'x');
  const auto status = FieldViolation("account", reason::kInvalidAccount, description);
  EXPECT_EQ(OneViolation(status, reason::kInvalidAccount, "account"), description);
}

TEST(Validation, AccountsAreNamesOfLabels) {
  for (const std::string& good : {std::string(), std::string("a"), std::string("0-a"),
                                  std::string("sales-emea-2"), std::string(63, 'x')}) {
    EXPECT_TRUE(CheckAccount(good).ok()) << good;
  }
  for (const std::string& bad :
       {std::string("Sales"), std::string("-a"), std::string("a-"), std::string("a_b"),
        std::string("a.b"), std::string("a b"), std::string(64, 'x'), std::string("\xc3\xa9"),
        std::string(1, '\0')}) {
    const std::string text = OneViolation(CheckAccount(bad), reason::kInvalidAccount, "account");
    EXPECT_TRUE(text.starts_with(QuoteValue(bad) + " is no name of an account")) << text;
  }
}

TEST(Validation, OperationsByCallerAndKind) {
  v1::ListOperationsRequest request;
  for (const std::string& good :
       {std::string("orders"), std::string("spiffe://prod/ns/shop/sa/orders"),
        std::string("ipv4:127.0.0.1:1"), std::string(256, 'x'), std::string("caf\xc3\xa9 1")}) {
    request.set_caller(good);
    EXPECT_TRUE(Validate(request).ok()) << good;
  }
  for (const std::string& bad :
       {std::string(257, 'x'), std::string("a\n"), std::string(1, '\0'), std::string("\x7f")}) {
    request.set_caller(bad);
    const std::string text = OneViolation(Validate(request), reason::kInvalidRequest, "caller");
    EXPECT_EQ(text, QuoteValue(bad) + " must be at most 256 bytes of printable text");
  }
  request.clear_caller();
  for (const auto kind : {v1::OPERATION_KIND_UNSPECIFIED, v1::OPERATION_KIND_TERMINATE}) {
    request.set_kind(kind);
    EXPECT_TRUE(Validate(request).ok());
  }
  request.set_kind(static_cast<v1::OperationKind>(77));
  EXPECT_EQ(OneViolation(Validate(request), reason::kInvalidRequest, "kind"),
            "77 is no kind to look for");
}

TEST(Validation, OperationsByTime) {
  v1::ListOperationsRequest request;
  auto& start = *request.mutable_start_time();
  start.set_seconds(5);
  EXPECT_TRUE(Validate(request).ok());
  auto& end = *request.mutable_end_time();
  end.set_seconds(5);
  EXPECT_EQ(OneViolation(Validate(request), reason::kInvalidRequest, "end_time"),
            "5 s and 0 ns must be after start_time, 5 s and 0 ns");
  end.set_nanos(1);
  EXPECT_TRUE(Validate(request).ok());
  start.set_nanos(2);
  OneViolation(Validate(request), reason::kInvalidRequest, "end_time");
  request.clear_start_time();
  EXPECT_TRUE(Validate(request).ok());
  for (const std::int64_t good : {-62'135'596'800LL, 253'402'300'799LL}) {
    end.set_seconds(good);
    EXPECT_TRUE(Validate(request).ok()) << good;
  }
  for (const auto& [seconds, nanos] :
       {std::pair(-62'135'596'801LL, 0), std::pair(253'402'300'800LL, 0), std::pair(0LL, -1),
        std::pair(0LL, 1'000'000'000)}) {
    request.mutable_end_time()->set_seconds(seconds);
    request.mutable_end_time()->set_nanos(nanos);
    const std::string text = OneViolation(Validate(request), reason::kInvalidRequest, "end_time");
    EXPECT_TRUE(text.starts_with(std::to_string(seconds) + " s and " + std::to_string(nanos) +
                                 " ns is no google.protobuf.Timestamp"))
        << text;
    *request.mutable_start_time() = request.end_time();
    request.clear_end_time();
    OneViolation(Validate(request), reason::kInvalidRequest, "start_time");
    request.clear_start_time();
  }
}

TEST(Validation, Batches) {
  v1::BatchGetNumbersRequest request;
  const auto refused = [&](const std::string& value) {
    const auto status = Validate(request);
    EXPECT_EQ(ReasonOf(status), reason::kInvalidBatch);
    EXPECT_EQ(ViolationsOf(status).field_violations(0).field(), "phone_numbers");
    EXPECT_NE(std::string(status.message()).find("has " + value + " numbers, must have 1 to 1000"),
              std::string::npos)
        << status;
  };
  refused("0");
  request.add_phone_numbers("not a number");  // fails alone
  EXPECT_TRUE(Validate(request).ok());
  while (request.phone_numbers_size() < 1000) request.add_phone_numbers(kNumber);
  EXPECT_TRUE(Validate(request).ok());
  request.add_phone_numbers(kNumber);
  refused("1001");
}

TEST(Validation, OneNumberOfABatch) {
  EXPECT_TRUE(CheckPhoneNumber(kNumber).ok());
  v1::GetNumberRequest request;
  request.set_phone_number("0123");
  EXPECT_EQ(CheckPhoneNumber("0123"), Validate(request));
}

}  // namespace
}  // namespace leasegateway
