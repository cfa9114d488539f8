#include "upstream/upstream_error.h"

#include <gtest/gtest.h>

#include "google/rpc/error_details.pb.h"

namespace leasegateway {
namespace {

using absl::StatusCode;
using std::chrono::milliseconds;

TEST(UpstreamError, LongerMessageKeepsCodeAndDetails) {
  auto status = MakeError(StatusCode::kResourceExhausted, reason::kUpstreamRateLimited,
                          "the provider answered 429 to GET /x");
  SetRetryDelay(status, milliseconds(7000));
  AppendToMessage(status, " (twice)");
  EXPECT_EQ(status.code(), StatusCode::kResourceExhausted);
  EXPECT_EQ(status.message(), "the provider answered 429 to GET /x (twice)");
  EXPECT_EQ(ReasonOf(status), reason::kUpstreamRateLimited);
  EXPECT_EQ(RetryDelayOf(status), milliseconds(7000));
}

TEST(UpstreamError, TransportFailures) {
  const auto unsent = FromTransport("POST /x", "refused", reason::kUpstreamUnreachable,
                                    RequestState::kNotSent, true);
  EXPECT_EQ(unsent.code(), StatusCode::kUnavailable);
  EXPECT_EQ(ReasonOf(unsent), reason::kUpstreamUnreachable);
  EXPECT_EQ(MetadataOf(unsent)["request_sent"], "false");
  const auto read =
      FromTransport("GET /x", "reset", reason::kUpstreamUnreachable, RequestState::kSent, false);
  EXPECT_EQ(read.code(), StatusCode::kUnavailable);
  const auto write =
      FromTransport("POST /x", "reset", reason::kUpstreamUnreachable, RequestState::kSent, true);
  EXPECT_EQ(write.code(), StatusCode::kAborted);
  EXPECT_EQ(ReasonOf(write), reason::kOutcomeUnknown);
  EXPECT_EQ(RetryDelayOf(write), std::nullopt);
}

TEST(UpstreamError, QuotaFailureIsADetailBesideTheReason) {
  auto status = MakeError(StatusCode::kResourceExhausted, reason::kQuotaExceeded, "too many");
  AddQuotaViolation(status, "caller:orders", "watchers: 4");
  google::rpc::QuotaFailure failure;
  const auto payload = status.GetPayload("type.googleapis.com/google.rpc.QuotaFailure");
  ASSERT_TRUE(payload && failure.ParseFromString(std::string(*payload)));
  ASSERT_EQ(failure.violations_size(), 1);
  EXPECT_EQ(failure.violations(0).subject(), "caller:orders");
  EXPECT_EQ(failure.violations(0).description(), "watchers: 4");
  EXPECT_EQ(ReasonOf(status), reason::kQuotaExceeded);
}

}  // namespace
}  // namespace leasegateway
