// What callers see of each other's purchases, on one account.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "tests/support/callers_fixture.h"

namespace leasegateway {
namespace {

using testing::HasSubstr;
using testing::Not;

constexpr char kOperationsCallers[] = R"(
roles:
  buyer: [read, lease, terminate, see_operations]
  auditor: [lease, see_all_operations]
callers:
  - {name: orders, match: {spiffe: spiffe://prod/orders}, roles: {sales: [buyer]}}
  - {name: returns, match: {spiffe: spiffe://prod/returns}, roles: {sales: [buyer]}}
  - {name: audit, match: {spiffe: spiffe://prod/audit}, roles: {sales: [auditor]}}
)";

class CallersOperationsTest : public CallersTest {
 protected:
  grpc::Status Buy(const std::string& caller, const std::string& number,
                   const std::string& request_id, bool validate_only = false) {
    v1::CreateLeaseRequest request;
    request.set_phone_number(number);
    request.set_request_id(request_id);
    request.set_validate_only(validate_only);
    return stub_->CreateLease(As(caller).get(), request, &created_);
  }
  grpc::Status Find(const std::string& caller, const std::string& request_id) {
    v1::GetOperationRequest request;
    request.set_request_id(request_id);
    return stub_->GetOperation(As(caller).get(), request, &found_);
  }
  int CountSeenBy(const std::string& caller, const std::string& of = "") {
    v1::ListOperationsRequest request;
    request.set_caller(of);
    v1::ListOperationsResponse response;
    const auto status = stub_->ListOperations(As(caller).get(), request, &response);
    EXPECT_TRUE(status.ok()) << status.error_message();
    return response.operations_size();
  }
  std::string FirstFor(const std::string& caller) {
    v1::ListAvailableNumbersResponse response;
    EXPECT_TRUE(stub_->ListAvailableNumbers(As(caller).get(), {}, &response).ok());
    return response.numbers_size() > 0 ? response.numbers(0).phone_number() : "";
  }

  v1::CreateLeaseResponse created_;
  v1::GetOperationResponse found_;
};

TEST_F(CallersOperationsTest, AnotherCallersRequestIdIsRefusedAndTellsNothing) {
  StartWithCallers(kOperationsCallers);
  const std::string number = FirstFor("orders");
  ASSERT_TRUE(Buy("orders", number, kRequestId).ok());
  for (const bool validate_only : {false, true}) {
    const auto status = Buy("returns", number, kRequestId, validate_only);
    EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT) << validate_only;
    EXPECT_EQ(Explain(status).reason, "REQUEST_ID_REUSED");
    EXPECT_THAT(status.error_message() + status.error_details(), Not(HasSubstr("orders")));
    EXPECT_THAT(status.error_message() + status.error_details(), Not(HasSubstr(number)));
  }
  EXPECT_EQ(CountInLedger("lease", number), 1);
  // Its own is answered again.
  EXPECT_TRUE(Buy("orders", number, kRequestId).ok());
}

TEST_F(CallersOperationsTest, ACallerSeesItsOwnUnlessItMaySeeAll) {
  StartWithCallers(kOperationsCallers);
  ASSERT_TRUE(Buy("orders", FirstFor("orders"), kRequestId).ok());
  EXPECT_TRUE(Find("orders", kRequestId).ok());
  EXPECT_EQ(found_.operation().caller(), "orders");
  const auto hidden = Explain(Find("returns", kRequestId));
  const auto missing = Explain(Find("returns", kOtherId));
  EXPECT_EQ(hidden.reason, "OPERATION_NOT_FOUND");
  EXPECT_EQ(missing.reason, "OPERATION_NOT_FOUND");
  EXPECT_TRUE(Find("audit", kRequestId).ok());
  EXPECT_EQ(CountSeenBy("orders"), 1);
  EXPECT_EQ(CountSeenBy("returns"), 0);
  EXPECT_EQ(CountSeenBy("returns", "orders"), 0);
  EXPECT_EQ(CountSeenBy("audit"), 1);
  EXPECT_EQ(CountSeenBy("audit", "returns"), 0);
}

TEST_F(CallersOperationsTest, WhoMaySeeAllJoinsAnothersRequest) {
  StartWithCallers(kOperationsCallers);
  const std::string number = FirstFor("orders");
  ASSERT_TRUE(Buy("orders", number, kRequestId).ok());
  const auto status = Buy("audit", number, kRequestId);
  EXPECT_TRUE(status.ok()) << status.error_message();
  EXPECT_EQ(CountInLedger("lease", number), 1);
}

}  // namespace
}  // namespace leasegateway
