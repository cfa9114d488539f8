#include "upstream/resilience/explaining_lease_api.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/use_future.hpp>

#include "tests/support/fake_calls.h"
#include "tests/support/scripted_lease_api.h"
#include "upstream/upstream_error.h"

namespace leasegateway {
namespace {

class ExplainingLeaseApiTest : public testing::Test {
 protected:
  ExplainingLeaseApiTest() : api_(std::make_unique<ScriptedLeaseApi>(&script_)) {
    script_.Refuse(MakeError(absl::StatusCode::kInvalidArgument, reason::kUpstreamRejected, "no",
                             {{"upstream_error_id", "err_1"}}));
    script_.number = Reply<v1::Number>();
  }
  template <typename T>
  absl::Status Run(LeaseApiResult<T> call) {
    asio_.restart();
    auto future = boost::asio::co_spawn(asio_, std::move(call), boost::asio::use_future);
    asio_.run();
    return future.get().status();
  }
  v1::Number& number() { return script_.number->value; }

  LeaseApiScript script_;
  ExplainingLeaseApi api_;
  boost::asio::io_context asio_;
};

TEST_F(ExplainingLeaseApiTest, RejectedOperationsOnANumberThatIsNotLeased) {
  for (const auto& status : {Run(api_.Perform({}, operation::ConfigureFailover{kNumber, {}})),
                             Run(api_.Perform({}, operation::GetCallForwarding{kNumber})),
                             Run(api_.Perform({}, operation::EnableCallForwarding{kNumber, "+1"})),
                             Run(api_.Perform({}, operation::DisableCallForwarding{kNumber}))}) {
    EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
    EXPECT_EQ(ReasonOf(status), reason::kNotLeased);
    EXPECT_EQ(MetadataOf(status)["upstream_error_id"], "err_1");
  }
}

TEST_F(ExplainingLeaseApiTest, RejectedOperationsOnALeasedNumberStayRejected) {
  number().mutable_lease()->set_lease_id("lsd_1");
  EXPECT_EQ(ReasonOf(Run(api_.Perform({}, operation::GetCallForwarding{kNumber}))),
            reason::kUpstreamRejected);
}

TEST_F(ExplainingLeaseApiTest, FailedLookLeavesTheError) {
  script_.number = absl::UnavailableError("down");
  EXPECT_EQ(ReasonOf(Run(api_.Perform({}, operation::GetCallForwarding{kNumber}))),
            reason::kUpstreamRejected);
}

TEST_F(ExplainingLeaseApiTest, OtherErrorsAreNotLookedInto) {
  script_.Refuse(MakeError(absl::StatusCode::kAborted, reason::kOutcomeUnknown, "?"));
  EXPECT_EQ(ReasonOf(Run(api_.Perform({}, operation::ConfigureFailover{kNumber, {}}))),
            reason::kOutcomeUnknown);
  EXPECT_THAT(script_.calls, testing::ElementsAre("ConfigureFailover"));
}

TEST_F(ExplainingLeaseApiTest, LeasingAndTerminatingAreLookedAfterElsewhere) {
  EXPECT_EQ(ReasonOf(Run(
                api_.Perform({}, operation::CreateLease{kNumber, v1::BILLING_METHOD_UNSPECIFIED}))),
            reason::kUpstreamRejected);
  EXPECT_EQ(ReasonOf(Run(api_.Perform({}, operation::TerminateLease{kNumber}))),
            reason::kUpstreamRejected);
  EXPECT_THAT(script_.calls, testing::ElementsAre("CreateLease", "TerminateLease"));
}

}  // namespace
}  // namespace leasegateway
