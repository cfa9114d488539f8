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

}  // namespace
}  // namespace leasegateway
