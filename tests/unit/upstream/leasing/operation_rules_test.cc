#include "upstream/leasing/operation_rules.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/fake_calls.h"
#include "upstream/transport/https_connection.h"
#include "upstream/upstream_error.h"

namespace leasegateway {
namespace {

using testing::HasSubstr;

absl::Status WithReason(std::string_view reason, const ErrorMetadata& metadata = {}) {
  return MakeError(absl::StatusCode::kInternal, reason, "", metadata);
}

TEST(OperationRules, LostIsWhatNobodyAnswered) {
  EXPECT_EQ(FateOf(LostAnswer(true)), Fate::kLost);
  EXPECT_EQ(FateOf(WithReason(reason::kUpstreamMalformed)), Fate::kLost);
  EXPECT_EQ(FateOf(WithReason(reason::kUpstreamMalformed, {{"http_status", "404"}})), Fate::kLost);
  EXPECT_EQ(FateOf(WithReason(reason::kInternal)), Fate::kLost);
  EXPECT_EQ(FateOf(absl::InternalError("of nobody knows whom")), Fate::kLost);
  for (const int status : {500, 502, 503, 504, 599, 302, 100}) {
    EXPECT_EQ(FateOf(Http(status, true)), Fate::kLost) << status;
  }
  for (int status = 400; status < 500; ++status) {
    EXPECT_EQ(FateOf(MiddlemansHttp(status, true)), Fate::kLost) << status;
    EXPECT_FALSE(IsRefusal(MiddlemansHttp(status, true))) << status;
  }
}

TEST(OperationRules, RefusedIsWhatTheProviderAnsweredSo) {
  for (int status = 400; status < 500; ++status) {
    EXPECT_EQ(FateOf(Http(status, true)), Fate::kRefused) << status;
    EXPECT_TRUE(IsRefusal(Http(status, true))) << status;
  }
  for (const int status : {302, 500}) EXPECT_FALSE(IsRefusal(Http(status, true))) << status;
}

TEST(OperationRules, NotSentIsWhatNeverLeft) {
  EXPECT_EQ(FateOf(Unreachable()), Fate::kNotSent);
  EXPECT_EQ(FateOf(DeadlineError("waiting for a connection")), Fate::kNotSent);
  EXPECT_EQ(FateOf(CancelledError("waiting for a connection")), Fate::kNotSent);
  for (const auto why : {reason::kOverloaded, reason::kCircuitOpen, reason::kUpstreamRateLimited}) {
    EXPECT_EQ(FateOf(WithReason(why, {{"request_sent", "false"}})), Fate::kNotSent) << why;
  }
}

TEST(OperationRules, FingerprintIsOfWhatIsAskedForAndNotOfItsName) {
  v1::CreateLeaseRequest request;
  request.set_phone_number("+12");
  const std::string fingerprint = Fingerprint(request);
  // The account is said or it is the caller's only one.
  request.set_account("sales");
  request.set_request_id("x");
  request.set_validate_only(true);
  EXPECT_EQ(Fingerprint(request), fingerprint);
  request.set_phone_number("+13");
  EXPECT_NE(Fingerprint(request), fingerprint);
}

TEST(OperationRules, FailuresThatMayPassAreNotFinal) {
  for (const int status : {401, 403, 429, 500}) EXPECT_FALSE(IsFinal(Http(status, true)));
  EXPECT_FALSE(IsFinal(Unreachable()));
  EXPECT_FALSE(IsFinal(WithReason(reason::kNotApplied)));
  EXPECT_FALSE(IsFinal(WithReason(reason::kNoMatchingNumber)));
  EXPECT_FALSE(IsFinal(WithReason(reason::kJournalUnavailable)));
  for (const int status : {400, 404}) EXPECT_TRUE(IsFinal(Http(status, true)));
  EXPECT_TRUE(IsFinal(WithReason(reason::kAlreadyLeased)));
  EXPECT_TRUE(IsFinal(WithReason(reason::kNumberNotAvailable)));
}

TEST(OperationRules, FingerprintIsOfTheArgumentsAlone) {
  v1::CreateLeaseRequest request;
  request.set_phone_number("+13059478667");
  const std::string fingerprint = Fingerprint(request);
  EXPECT_EQ(fingerprint.size(), 32u);
  request.set_request_id("9b2f6a3e-5c1d-4f7a-8e90-1a2b3c4d5e6f");
  request.set_validate_only(true);
  EXPECT_EQ(Fingerprint(request), fingerprint);
  request.set_billing_method(v1::BILLING_METHOD_MONTHLY);
  EXPECT_NE(Fingerprint(request), fingerprint);
  v1::TerminateLeaseRequest other;
  other.set_phone_number("+13059478667");
  EXPECT_NE(Fingerprint(other), fingerprint);
}

TEST(OperationRules, PriceIsComparedAmountByAmount) {
  v1::Number number;
  number.set_phone_number("+13059478667");
  auto& rate = *number.mutable_pricing()->mutable_monthly_rate();
  rate.set_currency_code("USD");
  rate.set_units(5);
  rate.set_nanos(250'000'000);
  v1::Pricing expected;
  EXPECT_TRUE(CheckPrice(expected, number).ok());
  *expected.mutable_monthly_rate() = rate;
  EXPECT_TRUE(CheckPrice(expected, number).ok());
  expected.mutable_monthly_rate()->set_nanos(250'000'001);
  EXPECT_THAT(std::string(CheckPrice(expected, number).message()),
              HasSubstr("5.250000001 USD: +13059478667 costs 5.25 USD now"));
  *expected.mutable_monthly_rate() = rate;
  expected.mutable_monthly_rate()->set_currency_code("CAD");
  EXPECT_EQ(ReasonOf(CheckPrice(expected, number)), "PRICE_CHANGED");
  *expected.mutable_monthly_rate() = rate;
  *expected.mutable_upfront_fee() = rate;
  EXPECT_THAT(std::string(CheckPrice(expected, number).message()), HasSubstr("no such price"));
}

TEST(OperationRules, ErrorsSurviveTheJournal) {
  absl::Status status = Http(429, true, "7");
  AddPrecondition(status, "TYPE", "subject", "description");
  const absl::Status back = FromProto(ToProto(status));
  EXPECT_EQ(back, status);
  EXPECT_EQ(RetryDelayOf(back), std::chrono::milliseconds(7'000));
}

}  // namespace
}  // namespace leasegateway
