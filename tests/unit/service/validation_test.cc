#include "service/validation.h"

#include <gtest/gtest.h>

#include "absl/strings/cord.h"
#include "google/rpc/error_details.pb.h"
#include "upstream/upstream_error.h"

namespace leasegateway {
namespace {

constexpr char kNumber[] = "+13059478667";
constexpr char kOther[] = "+13059278337";
constexpr char kUuid[] = "9b2f6a3e-5c1d-4f7a-8e90-1a2b3c4d5e6f";

google::rpc::BadRequest Violations(const absl::Status& status) {
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  google::rpc::BadRequest bad_request;
  const auto payload = status.GetPayload("type.googleapis.com/google.rpc.BadRequest");
  EXPECT_TRUE(payload && bad_request.ParseFromString(std::string(*payload)));
  return bad_request;
}

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
    EXPECT_EQ(Violations(status).field_violations(0).field(), "phone_number");
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
  request.set_billing_method(v1::BILLING_METHOD_GOODWILL);
  const auto bad_request = Violations(Validate(request));
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
       {"", "1", "9b2f6a3e-5c1d-4f7a-8e90-1a2b3c4d5e6g", "9b2f6a3e05c1d-4f7a-8e90-1a2b3c4d5e6f"}) {
    request.set_request_id(bad);
    EXPECT_EQ(ReasonOf(Validate(request)), reason::kInvalidRequestId) << bad;
  }
  request.set_request_id(kUuid);
  EXPECT_TRUE(Validate(request).ok());
}

TEST(Validation, Failover) {
  v1::ConfigureFailoverRequest request;
  request.set_phone_number(kNumber);
  EXPECT_EQ(Violations(Validate(request)).field_violations(0).field(), "failover");
  auto& failover = *request.mutable_failover();
  EXPECT_TRUE(Validate(request).ok());  // disabled
  failover.set_enabled(true);
  EXPECT_EQ(Violations(Validate(request)).field_violations(0).field(), "failover.mode");
  failover.set_mode(static_cast<v1::FailoverMode>(9));
  EXPECT_EQ(ReasonOf(Validate(request)), reason::kInvalidFailover);
  failover.set_mode(v1::FAILOVER_MODE_ALL);
  EXPECT_TRUE(Validate(request).ok());
  failover.add_phone_numbers(kOther);
  EXPECT_EQ(Violations(Validate(request)).field_violations(0).field(), "failover.phone_numbers");
  failover.set_mode(v1::FAILOVER_MODE_SELECTIVE);
  EXPECT_TRUE(Validate(request).ok());
  failover.add_phone_numbers(kNumber);
  EXPECT_EQ(Violations(Validate(request)).field_violations(0).field(), "failover.phone_numbers[1]");
  failover.clear_phone_numbers();
  EXPECT_EQ(Violations(Validate(request)).field_violations(0).field(), "failover.phone_numbers");
  for (int i = 0; i < 1001; ++i) failover.add_phone_numbers(kOther);
  EXPECT_EQ(Violations(Validate(request)).field_violations_size(), 1);
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

}  // namespace
}  // namespace leasegateway
