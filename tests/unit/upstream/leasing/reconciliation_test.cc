#include "upstream/leasing/reconciliation.h"

#include <gtest/gtest.h>

#include <chrono>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "tests/support/leasing_fixture.h"
#include "upstream/upstream_error.h"

namespace leasegateway {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

struct LostCase {
  const char* name;
  bool done;
  absl::Status answer;
};
class LostAnswerTest : public RecordedLeaseApiTest, public testing::WithParamInterface<LostCase> {};

TEST_P(LostAnswerTest, LeaseIsFoundOrSentAgainAndChargedOnce) {
  provider_->steps.push_back(Lost(GetParam().done, GetParam().answer));
  const auto call = Lease();
  ASSERT_TRUE(call->ended() && call->result->ok()) << call->reason();
  EXPECT_EQ((*call->result)->lease().lease_id(), "lsd_1");
  EXPECT_EQ((*call->result)->lease().phone_number(), kNumber);
  EXPECT_EQ(provider_->TotalCharges(), 1);
  EXPECT_EQ(provider_->posts.size(), GetParam().done ? 1u : 2u);
  EXPECT_EQ(Recorded().settlement(), GetParam().done ? v1::OPERATION_SETTLEMENT_RECONCILED
                                                     : v1::OPERATION_SETTLEMENT_ANSWERED);
  if (GetParam().done) {
    EXPECT_EQ(found_, std::vector<std::string>{"lsd_1"});
  }
}

TEST_P(LostAnswerTest, EndIsFoundOrSentAgain) {
  provider_->Give(kNumber, "lsd_77");
  provider_->steps.push_back(Lost(GetParam().done, GetParam().answer));
  const auto call = Terminate(kId);
  ASSERT_TRUE(call->ended() && call->result->ok()) << call->reason();
  EXPECT_EQ((*call->result)->termination().lease_id(), "lsd_77");
  EXPECT_EQ((*call->result)->termination().phone_number(), kNumber);
  EXPECT_EQ((*call->result)->termination().status(), v1::LEASE_STATUS_TERMINATED);
  EXPECT_EQ(provider_->records[kNumber].ends, 1);
  EXPECT_EQ(provider_->deletes.size(), GetParam().done ? 1u : 2u);
}

TEST_P(LostAnswerTest, RestartFindsOutWithoutSendingAgain) {
  provider_->steps.push_back(Lost(GetParam().done, GetParam().answer));
  provider_->look_failures = {absl::OkStatus()};
  provider_->all_looks_fail = absl::OkStatus();
  provider_->on_write = [this] { provider_->all_looks_fail = Unreachable(); };
  const auto call = Lease(kId, kNumber, milliseconds(500));
  Advance(milliseconds(500));
  EXPECT_EQ(call->reason(), "OUTCOME_UNKNOWN");
  EXPECT_EQ(call->result->status().code(), absl::StatusCode::kAborted);
  EXPECT_EQ(Recorded().state(), v1::OPERATION_STATE_UNKNOWN);
  Stop();
  provider_->all_looks_fail = absl::OkStatus();
  Start();
  Advance(seconds(20));
  EXPECT_EQ(Recorded().state(),
            GetParam().done ? v1::OPERATION_STATE_SUCCEEDED : v1::OPERATION_STATE_FAILED);
  EXPECT_EQ(provider_->posts.size(), 1u);
  EXPECT_EQ(api_->stats().open, 0u);
  // The same request: the lease that was made, or one that is made now.
  provider_->on_write = nullptr;
  const auto again = Lease();
  ASSERT_TRUE(again->ended() && again->result->ok()) << again->reason();
  EXPECT_EQ(provider_->TotalCharges(), 1);
}

INSTANTIATE_TEST_SUITE_P(Cases, LostAnswerTest,
                         testing::Values(LostCase{"ResetAfter", true, LostAnswer(true)},
                                         LostCase{"ResetBefore", false, LostAnswer(true)},
                                         LostCase{"Status500After", true, Http(500, true)},
                                         LostCase{"Status503Before", false, Http(503, true)},
                                         LostCase{"MalformedAfter", true,
                                                  MakeError(absl::StatusCode::kInternal,
                                                            reason::kUpstreamMalformed, "no JSON")},
                                         LostCase{"MalformedBefore", false,
                                                  MakeError(absl::StatusCode::kInternal,
                                                            reason::kUpstreamMalformed, "no JSON")},
                                         LostCase{"InternalAfter", true, absl::InternalError("?")}),
                         [](const auto& each) { return each.param.name; });

TEST_F(RecordedLeaseApiTest, LostRequestForANumberThatAnotherGotFails) {
  provider_->steps.push_back(Lost(false));
  provider_->on_write = [this] { provider_->Take(kNumber); };
  const auto call = Lease();
  Advance(options_.settle - milliseconds(1));
  EXPECT_FALSE(call->ended()) << "the other could give it back, and then the request arrive";
  Advance(options_.longest_look);
  EXPECT_EQ(call->reason(), "NUMBER_NOT_AVAILABLE");
  EXPECT_EQ(call->result->status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(Recorded().state(), v1::OPERATION_STATE_FAILED);
  EXPECT_EQ(Lease()->reason(), "NUMBER_NOT_AVAILABLE") << "the same answer again";
  EXPECT_EQ(provider_->posts.size(), 1u);
}

TEST_F(RecordedLeaseApiTest, RequestThatArrivesLateIsFound) {
  options_.may_resend = [] { return false; };
  Stop();
  Start();
  provider_->steps.push_back({true, LostAnswer(true), seconds(3), milliseconds(100)});
  const auto call = Lease(kId, kNumber, seconds(1));
  Advance(seconds(1));
  EXPECT_EQ(call->reason(), "OUTCOME_UNKNOWN");
  EXPECT_EQ(Recorded().state(), v1::OPERATION_STATE_UNKNOWN);
  Advance(seconds(10));
  EXPECT_EQ(Recorded().state(), v1::OPERATION_STATE_SUCCEEDED);
  EXPECT_EQ(Recorded().lease_id(), "lsd_1");
  EXPECT_EQ(found_, std::vector<std::string>{"lsd_1"});
  EXPECT_EQ(provider_->posts.size(), 1u);
}

TEST_F(RecordedLeaseApiTest, RequestThatArrivesWhileItIsSentAgainIsChargedOnce) {
  // The second is refused, because the first has come meanwhile.
  provider_->steps.push_back({true, LostAnswer(true), milliseconds(1'000), milliseconds(100)});
  provider_->steps.push_back({true, {}, milliseconds(2'000), milliseconds(2'000)});
  const auto call = Lease();
  Advance(seconds(5));
  ASSERT_TRUE(call->ended() && call->result->ok()) << call->reason();
  EXPECT_EQ(provider_->TotalCharges(), 1);
  EXPECT_EQ(provider_->posts.size(), 2u);
}

TEST_F(RecordedLeaseApiTest, NothingIsSaidToBeUndoneBeforeItCanNotArriveAnyMore) {
  options_.may_resend = [] { return false; };
  Stop();
  Start();
  provider_->steps.push_back(Lost(false));
  const auto call = Lease();
  Advance(options_.settle - milliseconds(1));
  EXPECT_FALSE(call->ended());
  Advance(options_.longest_look);
  EXPECT_EQ(call->reason(), "NOT_APPLIED");
  EXPECT_EQ(call->result->status().code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(Recorded().state(), v1::OPERATION_STATE_FAILED);
  EXPECT_EQ(Recorded().settlement(), v1::OPERATION_SETTLEMENT_RECONCILED);
  EXPECT_EQ(provider_->posts.size(), 1u);
  // And then the same request makes a new attempt.
  const auto again = Lease();
  ASSERT_TRUE(again->ended() && again->result->ok());
  EXPECT_EQ(provider_->TotalCharges(), 1);
}

TEST_F(RecordedLeaseApiTest, RefusalOfTheFirstRequestIsFinalOnceALookConfirmsIt) {
  provider_->steps.push_back({false, Http(400, true)});
  EXPECT_EQ(Lease()->reason(), "UPSTREAM_REJECTED");
  EXPECT_EQ(provider_->looks, 2);
  EXPECT_EQ(Recorded().settlement(), v1::OPERATION_SETTLEMENT_ANSWERED);
  EXPECT_EQ(Lease()->reason(), "UPSTREAM_REJECTED");
  EXPECT_EQ(provider_->posts.size(), 1u);
  EXPECT_EQ(api_->stats().open, 0u);
}

// The provider's own, and a middleman's.
struct RefusalCase {
  const char* name;
  int status;
  bool is_middlemans;
};
class RefusalTest : public RecordedLeaseApiTest, public testing::WithParamInterface<RefusalCase> {
 protected:
  static absl::Status Refusal() {
    return GetParam().is_middlemans ? MiddlemansHttp(GetParam().status, true)
                                    : Http(GetParam().status, true);
  }
};

TEST_P(RefusalTest, OfALeaseThatWasMadeAllTheSameIsNotBelieved) {
  provider_->steps.push_back({true, Refusal()});
  const auto call = Lease();
  ASSERT_TRUE(call->ended() && call->result->ok()) << call->reason();
  EXPECT_EQ((*call->result)->lease().lease_id(), "lsd_1");
  EXPECT_EQ(Recorded().state(), v1::OPERATION_STATE_SUCCEEDED);
  EXPECT_EQ(Recorded().settlement(), v1::OPERATION_SETTLEMENT_RECONCILED);
  EXPECT_EQ(found_, std::vector<std::string>{"lsd_1"});
  EXPECT_EQ((*Lease()->result)->lease().lease_id(), "lsd_1");
  EXPECT_EQ(provider_->posts.size(), 1u);
}

TEST_P(RefusalTest, OfAnEndThatWasMadeAllTheSameIsNotBelieved) {
  provider_->Give(kNumber, "lsd_77");
  provider_->steps.push_back({true, Refusal()});
  const auto call = Terminate(kId);
  ASSERT_TRUE(call->ended() && call->result->ok()) << call->reason();
  EXPECT_EQ((*call->result)->termination().lease_id(), "lsd_77");
  EXPECT_EQ(Recorded().settlement(), v1::OPERATION_SETTLEMENT_RECONCILED);
  EXPECT_EQ(found_, std::vector<std::string>{"lsd_77"});
  EXPECT_EQ(provider_->deletes.size(), 1u);
}

TEST_P(RefusalTest, OfANumberThatAnotherGotStaysARefusal) {
  provider_->steps.push_back({false, Refusal()});
  provider_->on_write = [this] { provider_->Take(kNumber); };
  const auto call = Lease();
  if (GetParam().is_middlemans) Advance(options_.settle + options_.longest_look);
  ASSERT_TRUE(call->ended());
  const bool says_why =
      !GetParam().is_middlemans &&
      (GetParam().status == 401 || GetParam().status == 403 || GetParam().status == 404);
  EXPECT_EQ(call->reason(), says_why ? ReasonOf(Refusal()) : "NUMBER_NOT_AVAILABLE");
  EXPECT_EQ(MetadataOf(call->result->status())["http_status"],
            GetParam().is_middlemans ? "" : absl::StrCat(GetParam().status));
  EXPECT_EQ(found_, std::vector<std::string>{absl::StrCat("taken ", kNumber)});
  EXPECT_EQ(provider_->posts.size(), 1u);
}

TEST_P(RefusalTest, IsNotFinalBeforeALook) {
  provider_->steps.push_back({true, Refusal()});
  provider_->on_write = [this] { provider_->all_looks_fail = LostAnswer(false); };
  const auto call = Lease(kId, kNumber, seconds(1));
  Advance(seconds(1));
  EXPECT_EQ(call->reason(), "OUTCOME_UNKNOWN");
  EXPECT_EQ(Recorded().state(), v1::OPERATION_STATE_UNKNOWN);
  const auto other = Lease(kId2);
  Advance(seconds(20));
  EXPECT_FALSE(other->ended()) << "nobody else may lease it meanwhile";
  provider_->all_looks_fail = absl::OkStatus();
  Advance(options_.longest_look);
  EXPECT_EQ(Recorded().state(), v1::OPERATION_STATE_SUCCEEDED);
  EXPECT_EQ(Recorded().lease_id(), "lsd_1");
  EXPECT_EQ(provider_->posts.size(), 1u);
}

INSTANTIATE_TEST_SUITE_P(
    Cases, RefusalTest,
    testing::Values(
        RefusalCase{"S400", 400, false}, RefusalCase{"S401", 401, false},
        RefusalCase{"S403", 403, false}, RefusalCase{"S404", 404, false},
        RefusalCase{"S409", 409, false}, RefusalCase{"S410", 410, false},
        RefusalCase{"S422", 422, false}, RefusalCase{"S429", 429, false},
        RefusalCase{"S499", 499, false}, RefusalCase{"Middlemans302", 302, true},
        RefusalCase{"Middlemans400", 400, true}, RefusalCase{"Middlemans401", 401, true},
        RefusalCase{"Middlemans403", 403, true}, RefusalCase{"Middlemans404", 404, true},
        RefusalCase{"Middlemans407", 407, true}, RefusalCase{"Middlemans408", 408, true},
        RefusalCase{"Middlemans409", 409, true}, RefusalCase{"Middlemans410", 410, true},
        RefusalCase{"Middlemans429", 429, true}, RefusalCase{"Middlemans503", 503, true}),
    [](const auto& each) { return each.param.name; });

// What stands in front of the provider may refuse while the request goes on its way.
TEST_F(RecordedLeaseApiTest, MiddlemansRefusalIsNeverBelieved) {
  options_.may_resend = [] { return false; };
  Stop();
  Start();
  provider_->steps.push_back({true, MiddlemansHttp(403, true), seconds(3), milliseconds(0)});
  const auto made = Lease();
  Advance(seconds(10));
  ASSERT_TRUE(made->ended() && made->result->ok()) << made->reason();
  EXPECT_EQ(provider_->posts.size(), 1u);

  provider_->Add(kOther);
  provider_->steps.push_back({false, MiddlemansHttp(400, true)});
  const auto lost = Lease(kId2, kOther);
  Advance(options_.settle - milliseconds(1));
  EXPECT_FALSE(lost->ended());
  Advance(options_.longest_look);
  EXPECT_EQ(lost->reason(), "NOT_APPLIED");
  EXPECT_EQ(lost->result->status().code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(provider_->posts.size(), 2u);
  // Nor is it the answer of that request_id from now on.
  const auto again = Lease(kId2, kOther);
  EXPECT_TRUE(again->ended() && again->result->ok()) << again->reason();
}

TEST_F(RecordedLeaseApiTest, RequestThatAMiddlemanAnsweredIsSentAgainOnceALookShowsNothing) {
  for (const int status : {200, 302, 401, 403, 407, 503}) {
    provider_->steps.push_back({false, MiddlemansHttp(status, true)});
  }
  const auto call = Lease();
  Advance(seconds(9));
  EXPECT_EQ(provider_->posts.size(), 6u) << "five times at most";
  EXPECT_EQ(provider_->TotalCharges(), 0);
  EXPECT_FALSE(call->ended());
}

TEST_F(RecordedLeaseApiTest, RetryAfterOfAMiddlemanIsWaitedFor) {
  for (const int status : {429, 503}) {
    const std::string number = status == 429 ? kNumber : kOther;
    if (status == 503) provider_->Add(number);
    const std::size_t before = provider_->posts.size();
    provider_->steps.push_back({false, MiddlemansHttp(status, true, "2")});
    const auto call = Lease(status == 429 ? kId : kId2, number);
    Advance(milliseconds(1'999));
    EXPECT_EQ(provider_->posts.size(), before + 1) << status;
    Advance(milliseconds(1));
    EXPECT_EQ(provider_->posts.size(), before + 2) << status;
    EXPECT_TRUE(call->ended() && call->result->ok()) << call->reason();
  }
  // Nobody has the time: it is not sent at all.
  const std::string third = "+13059478669";
  provider_->Add(third);
  const std::size_t before = provider_->posts.size();
  provider_->steps.push_back({false, MiddlemansHttp(503, true, "60")});
  const auto hasty = Lease("3d1f8b64-99e4-4c2f-8f7e-3c8e1b5daf22", third);
  Advance(options_.settle + options_.longest_look);
  EXPECT_EQ(hasty->reason(), "NOT_APPLIED");
  EXPECT_EQ(provider_->posts.size(), before + 1);
}

TEST_F(RecordedLeaseApiTest, WhileTheRetryAfterOfAMiddlemanPassesLooksGoOn) {
  for (const int status : {429, 503}) {
    const std::string number = status == 429 ? kNumber : kOther;
    if (status == 503) provider_->Add(number);
    const std::size_t before = provider_->posts.size();
    provider_->steps.push_back(
        {true, MiddlemansHttp(status, true, "20"), seconds(1), milliseconds(0)});
    const auto call = Lease(status == 429 ? kId : kId2, number);
    Advance(seconds(4));
    EXPECT_TRUE(call->ended() && call->result->ok()) << call->reason();
    EXPECT_EQ(provider_->posts.size(), before + 1) << status;
  }
}

// The request may still arrive, but its caller waits for the next one.
TEST_F(RecordedLeaseApiTest, RetryAfterThatIsLongerThanTheSettleTimeIsWaitedForAsWell) {
  const auto retry_after = std::chrono::ceil<seconds>(options_.settle) + seconds(5);
  provider_->steps.push_back({false, MiddlemansHttp(503, true, absl::StrCat(retry_after.count()))});
  const auto call = Lease();
  Advance(retry_after - milliseconds(1));
  EXPECT_FALSE(call->ended());
  EXPECT_EQ(provider_->posts.size(), 1u);
  Advance(milliseconds(1));
  EXPECT_TRUE(call->ended() && call->result->ok()) << call->reason();
  EXPECT_EQ(provider_->posts.size(), 2u);
}

TEST_F(RecordedLeaseApiTest, RefusedEndDoesNotReachANewerLease) {
  provider_->Give(kNumber, "lsd_77");
  provider_->steps.push_back({true, Http(429, true)});
  // Somebody else of the account leases it anew at once.
  provider_->on_write = [this] {
    provider_->look_time = milliseconds(100);
    provider_->on_write = nullptr;
  };
  const auto end = Terminate(kId, "lsd_77");
  provider_->Give(kNumber, "lsd_78");
  Advance(seconds(5));
  ASSERT_TRUE(end->ended() && end->result->ok()) << end->reason();
  EXPECT_EQ((*end->result)->termination().lease_id(), "lsd_77");
  EXPECT_EQ(provider_->deletes.size(), 1u);
  EXPECT_EQ(provider_->records[kNumber].number.lease().lease_id(), "lsd_78");
}

TEST_F(RecordedLeaseApiTest, NumberThatTheProviderForgotIsNotSaidToBeGivenBack) {
  provider_->Give(kNumber, "lsd_77");
  provider_->steps.push_back({false, Http(404, true)});
  provider_->on_write = [this] { provider_->records.erase(kNumber); };
  EXPECT_EQ(Terminate(kId)->reason(), "NUMBER_NOT_FOUND");
  EXPECT_EQ(Recorded().state(), v1::OPERATION_STATE_FAILED);
}

TEST_F(RecordedLeaseApiTest, RateLimitedRequestIsLookedAfterThenSentAgainWhenTheProviderSays) {
  provider_->steps.push_back({false, Http(429, true, "2")});
  provider_->steps.push_back({false, Http(429, true)});
  const auto first = Lease();
  EXPECT_EQ(provider_->looks, 2);
  Advance(milliseconds(1'999));
  EXPECT_EQ(provider_->posts.size(), 1u);
  const auto second = Lease();  // whoever comes does not make it earlier
  EXPECT_EQ(provider_->posts.size(), 1u);
  Advance(milliseconds(1));
  EXPECT_EQ(provider_->posts.size(), 2u);
  Advance(milliseconds(100));
  EXPECT_EQ(provider_->posts.size(), 3u);
  ASSERT_TRUE(first->ended() && first->result->ok()) << first->reason();
  ASSERT_TRUE(second->ended() && second->result->ok()) << second->reason();
  EXPECT_EQ(provider_->TotalCharges(), 1);
}

TEST_F(RecordedLeaseApiTest, RateLimitedRequestIsNotSentAgainWithoutTimeBudgetOrEnd) {
  provider_->steps.push_back({false, Http(429, true, "2")});
  const auto in_a_hurry = Lease(kId, kNumber, seconds(2));
  EXPECT_EQ(in_a_hurry->reason(), "UPSTREAM_RATE_LIMITED");
  EXPECT_EQ(RetryDelayOf(in_a_hurry->result->status()), seconds(2));
  EXPECT_EQ(provider_->posts.size(), 1u);

  for (int i = 0; i < 10; ++i) provider_->steps.push_back({false, Http(429, true)});
  const auto call = Lease();
  Advance(seconds(20));
  EXPECT_EQ(call->reason(), "UPSTREAM_RATE_LIMITED");
  EXPECT_EQ(provider_->posts.size(), 7u);

  options_.may_resend = [] { return false; };
  Stop();
  Start();
  const auto without_budget = Lease();
  Advance(seconds(20));
  EXPECT_EQ(without_budget->reason(), "UPSTREAM_RATE_LIMITED");
  EXPECT_EQ(provider_->posts.size(), 8u);
  EXPECT_EQ(provider_->TotalCharges(), 0);
}

TEST_F(RecordedLeaseApiTest, NothingIsSentAgainForAPriceThatHasChanged) {
  for (const absl::Status& answer : {Http(429, true, "2"), LostAnswer(true)}) {
    const std::string id = answer.code() == absl::StatusCode::kAborted ? kId : kId2;
    provider_->steps.push_back({false, answer});
    provider_->on_write = [this] {
      *provider_->records[kNumber].number.mutable_pricing()->mutable_monthly_rate() = Usd(9);
    };
    auto request = LeaseRequest(kNumber);
    *request.mutable_expected_price()->mutable_monthly_rate() = Usd(5);
    const auto call = Run(api_->CreateLease(Context(id, seconds(60)), request));
    Advance(seconds(30));
    ASSERT_TRUE(call->ended());
    EXPECT_FALSE(call->result->ok());
    *provider_->records[kNumber].number.mutable_pricing()->mutable_monthly_rate() = Usd(5);
  }
  EXPECT_EQ(provider_->posts.size(), 2u);
  EXPECT_EQ(provider_->TotalCharges(), 0);
}

TEST_F(RecordedLeaseApiTest, EndThatWasRateLimitedIsNotSentAgainToANewerLease) {
  provider_->Give(kNumber, "lsd_77");
  provider_->steps.push_back({false, Http(429, true, "2")});
  const auto end = Terminate(kId, "lsd_77");
  Advance(seconds(1));
  provider_->Give(kNumber, "lsd_78");  // by somebody else of the account, while it waits
  Advance(seconds(5));
  ASSERT_TRUE(end->ended() && end->result->ok()) << end->reason();
  EXPECT_EQ(provider_->deletes.size(), 1u);
  EXPECT_EQ(provider_->records[kNumber].number.lease().lease_id(), "lsd_78");
}

TEST_F(RecordedLeaseApiTest, CallerOfARateLimitedRequestIsToldThatNothingWasDone) {
  provider_->steps.push_back({false, Http(429, true, "2")});
  const auto patient = Lease();
  const auto call = Lease(kId, kNumber, seconds(1));
  Advance(seconds(1));
  EXPECT_EQ(call->reason(), "DEADLINE");
  EXPECT_EQ(MetadataOf(call->result->status())["request_sent"], "false");
  Advance(seconds(5));
  EXPECT_TRUE(patient->ended() && patient->result->ok());
}

TEST_F(RecordedLeaseApiTest, LostEndIsNotSentAgainToANewerLease) {
  provider_->Give(kNumber, "lsd_77");
  provider_->steps.push_back(Lost(false));
  // Somebody else of the account has ended it and leased anew meanwhile.
  provider_->on_write = [this] { provider_->Give(kNumber, "lsd_78"); };
  const auto end = Terminate(kId, "lsd_77");
  ASSERT_TRUE(end->ended() && end->result->ok());
  EXPECT_EQ((*end->result)->termination().lease_id(), "lsd_77");
  EXPECT_EQ(provider_->deletes.size(), 1u);
  EXPECT_EQ(provider_->records[kNumber].number.lease().lease_id(), "lsd_78");
}

TEST_F(RecordedLeaseApiTest, LooksForALostRequestAreNotPutOffForCallers) {
  provider_->steps.push_back(Lost(true));
  provider_->on_write = [this] { provider_->all_looks_fail = LostAnswer(false); };
  const auto call = Lease(kId, kNumber, seconds(1));
  Advance(seconds(2));
  EXPECT_TRUE(call->ended());  // its caller has gone
  provider_->background_looks = 0;
  const int before = provider_->looks;
  Advance(seconds(20));
  EXPECT_GT(provider_->looks, before);
  EXPECT_EQ(provider_->background_looks, 0);
}

}  // namespace
}  // namespace leasegateway
