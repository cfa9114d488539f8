#include "service/leasectl/errors.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "google/rpc/error_details.pb.h"

namespace leasegateway {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

constexpr char kId[] = "9b2f6a3e-5c1d-4f7a-8e90-1a2b3c4d5e6f";

grpc::Status Error(grpc::StatusCode code, const std::string& reason) {
  google::rpc::Status status;
  status.set_code(code);
  google::rpc::ErrorInfo info;
  info.set_reason(reason);
  EXPECT_TRUE(reason.empty() || status.add_details()->PackFrom(info));
  return {code, "what happened", status.SerializeAsString()};
}

CallFacts Purchase() {
  CallFacts facts;
  facts.kind = CallFacts::Kind::kPurchase;
  facts.request_id = kId;
  facts.connected = true;
  return facts;
}

TEST(LeasectlErrors, UnknownOutcomeOfAPurchaseSaysHowToGoOn) {
  for (const auto& [code, reason, exit_code] :
       {std::tuple{grpc::StatusCode::ABORTED, "OUTCOME_UNKNOWN", kOutcomeUnknown},
        std::tuple{grpc::StatusCode::UNAVAILABLE, "", kOutcomeUnknown},  // the connection broke
        std::tuple{grpc::StatusCode::DEADLINE_EXCEEDED, "", kTimedOut}}) {
    const Failure failure = Explain(Error(code, reason), Purchase());
    EXPECT_EQ(failure.exit_code, exit_code) << failure.text;
    EXPECT_THAT(failure.text, HasSubstr(std::string("--request-id ") + kId));
    EXPECT_THAT(failure.text, HasSubstr(std::string("`leasectl operation ") + kId + "`"));
  }
}

TEST(LeasectlErrors, KnownOutcomeSaysWhatToDoInstead) {
  for (const auto& [code, reason, hint] :
       {std::tuple{grpc::StatusCode::ALREADY_EXISTS, "ALREADY_LEASED", "leasectl leases"},
        std::tuple{grpc::StatusCode::FAILED_PRECONDITION, "PRICE_CHANGED", "leasectl get"},
        std::tuple{grpc::StatusCode::FAILED_PRECONDITION, "LEASE_CHANGED", "leasectl show"},
        std::tuple{grpc::StatusCode::FAILED_PRECONDITION, "JOURNAL_UNAVAILABLE", "disk"},
        std::tuple{grpc::StatusCode::NOT_FOUND, "NO_MATCHING_NUMBER", "search for more"},
        std::tuple{grpc::StatusCode::NOT_FOUND, "OPERATION_NOT_FOUND", "leasectl operations"},
        std::tuple{grpc::StatusCode::INVALID_ARGUMENT, "REQUEST_ID_REUSED", "without --request-id"},
        std::tuple{grpc::StatusCode::UNAVAILABLE, "NOT_APPLIED", "try again"}}) {
    const Failure failure = Explain(Error(code, reason), Purchase());
    EXPECT_THAT(failure.text, HasSubstr(std::string("hint: "))) << reason;
    EXPECT_THAT(failure.text, HasSubstr(hint));
    EXPECT_THAT(failure.text, Not(HasSubstr("may have been done")));
  }
}

TEST(LeasectlErrors, WhatACallerMayNotDoSaysWhereToLook) {
  for (const auto& [code, reason, hint, exit_code] :
       {std::tuple{grpc::StatusCode::UNAUTHENTICATED, "IDENTITY_INVALID", "--token-file", kDenied},
        std::tuple{grpc::StatusCode::PERMISSION_DENIED, "NOT_ALLOWED", "--account", kDenied},
        std::tuple{grpc::StatusCode::INVALID_ARGUMENT, "INVALID_ACCOUNT", "--account", kRefused},
        std::tuple{grpc::StatusCode::RESOURCE_EXHAUSTED, "QUOTA_EXCEEDED", "slow down",
                   kUnavailable},
        std::tuple{grpc::StatusCode::FAILED_PRECONDITION, "SPEND_LIMIT_EXCEEDED",
                   "nothing was bought", kRefused}}) {
    const Failure failure = Explain(Error(code, reason), Purchase());
    EXPECT_EQ(failure.exit_code, exit_code) << failure.text;
    EXPECT_THAT(failure.text, HasSubstr("hint: "));
    EXPECT_THAT(failure.text, HasSubstr(hint));
    EXPECT_THAT(failure.text, Not(HasSubstr("may have been done")));
    // Nobody learns more from it who is not let in at all.
    if (code != grpc::StatusCode::UNAUTHENTICATED) {
      EXPECT_THAT(failure.text, HasSubstr("`leasectl whoami`"));
    }
  }
}

TEST(LeasectlErrors, QuotaSaysWhichAndWhenToTryAgain) {
  google::rpc::Status status;
  status.set_code(grpc::StatusCode::RESOURCE_EXHAUSTED);
  google::rpc::ErrorInfo info;
  info.set_reason("QUOTA_EXCEEDED");
  google::rpc::QuotaFailure quota;
  auto& violation = *quota.add_violations();
  violation.set_subject("caller:orders");
  violation.set_description("writes_per_second is 5");
  google::rpc::RetryInfo retry;
  retry.mutable_retry_delay()->set_nanos(200'000'000);
  ASSERT_TRUE(status.add_details()->PackFrom(info));
  ASSERT_TRUE(status.add_details()->PackFrom(quota));
  ASSERT_TRUE(status.add_details()->PackFrom(retry));
  const Failure failure = Explain(
      {grpc::StatusCode::RESOURCE_EXHAUSTED, "too fast", status.SerializeAsString()}, Purchase());
  EXPECT_THAT(failure.text, HasSubstr("  caller:orders: writes_per_second is 5\n"));
  EXPECT_THAT(failure.text, HasSubstr("  retry after: 200ms\n"));
}

}  // namespace
}  // namespace leasegateway
