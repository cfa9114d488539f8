// Leasing and terminating when requests or answers are lost: nothing is bought twice, and nothing
// that was bought is lost.
#include <future>
#include <thread>

#include "tests/support/leasing_gateway.h"

namespace leasegateway {
namespace {

using Milliseconds = std::chrono::milliseconds;
using grpc::StatusCode;

struct LostRow {
  const char* name;
  const char* fault;  // without the route
  bool applied;       // before the answer was lost
};

void PrintTo(const LostRow& row, std::ostream* out) { *out << row.name; }

class LostAnswer : public LeasingTest, public testing::WithParamInterface<LostRow> {
 protected:
  void Start() {
    StartGateway([](Config& config) {
      config.response_timeout = Milliseconds(300);
      config.read_timeout = Milliseconds(300);
    });
  }
  void Lose(const std::string& route) {
    Fault(R"({"route":")" + route + R"(","count":1,)" + GetParam().fault + "}");
  }
};

TEST_P(LostAnswer, IsLeasedOnceAndTheCallerGetsIt) {
  Start();
  const std::string number = FirstAvailable();
  Lose("POST /lease/{number}");
  v1::CreateLeaseResponse response;
  const auto status = Lease(number, &response, 10'000, kRequestId);
  ASSERT_TRUE(status.ok()) << status.error_message();
  EXPECT_EQ(response.lease().lease_id(), LeaseIdNow(number));
  EXPECT_EQ(response.lease().phone_number(), number);
  ExpectOnePurchase(number);
  const auto operation = OperationOf(kRequestId);
  EXPECT_EQ(operation.state(), v1::OPERATION_STATE_SUCCEEDED);
  EXPECT_EQ(operation.settlement(), GetParam().applied ? v1::OPERATION_SETTLEMENT_RECONCILED
                                                       : v1::OPERATION_SETTLEMENT_ANSWERED);
  EXPECT_EQ(operation.lease_id(), response.lease().lease_id());
  // Memory has learnt of it.
  v1::ListLeasesResponse leases;
  ASSERT_TRUE(stub_->ListLeases(Context().get(), {}, &leases).ok());
  EXPECT_EQ(leases.leases_size(), 1);
  EXPECT_NE(FirstAvailable(), number);
}

TEST_P(LostAnswer, IsTerminatedOnceAndTheCallerIsTold) {
  Start();
  const std::string number = FirstAvailable();
  v1::CreateLeaseResponse leased;
  ASSERT_TRUE(Lease(number, &leased).ok());
  Lose("DELETE /leased/{number}");
  v1::TerminateLeaseResponse response;
  const auto status = Terminate(number, &response, kOtherId);
  ASSERT_TRUE(status.ok()) << status.error_message();
  EXPECT_EQ(response.termination().lease_id(), leased.lease().lease_id());
  EXPECT_EQ(response.termination().status(), v1::LEASE_STATUS_TERMINATED);
  EXPECT_EQ(response.termination().has_terminate_time(), !GetParam().applied);
  EXPECT_EQ(CountInLedger("terminate", number), 1);
  EXPECT_EQ(LeaseIdNow(number), "");
}

TEST_P(LostAnswer, LeaseAnyBuysOneNumber) {
  Start();
  const auto request = Cheapest(1'000);
  const auto candidates = Candidates(request);
  Lose("POST /lease/{number}");
  v1::LeaseAnyNumberResponse response;
  const auto status = LeaseAny(request, &response);
  ASSERT_TRUE(status.ok()) << status.error_message();
  EXPECT_EQ(response.lease().phone_number(), candidates[0].phone_number());
  v1::ListLeasesResponse leases;
  ASSERT_TRUE(stub_->ListLeases(Context().get(), {}, &leases).ok());
  EXPECT_EQ(leases.leases_size(), 1);
  ExpectOnePurchase(candidates[0].phone_number());
}

constexpr LostRow kLost[] = {
    {"ClosedAfter", R"("kind":"close","when":"after")", true},
    {"ResetAfter", R"("kind":"reset","when":"after")", true},
    {"TruncatedAfter", R"("kind":"truncate","when":"after")", true},
    {"NeverAnsweredAfter", R"("kind":"hang","when":"after")", true},
    {"Http500After", R"("kind":"status","status":500,"when":"after")", true},
    {"Http503After", R"("kind":"status","status":503,"when":"after")", true},
    {"GarbageAfter", R"("kind":"garbage","when":"after","status":200)", true},
    {"HtmlAfter", R"("kind":"html","when":"after","status":200)", true},
    // Applied, then refused: in the provider's own forms, and in a middleman's.
    {"Http400After", R"("kind":"status","status":400,"when":"after")", true},
    {"Http401After", R"("kind":"status","status":401,"when":"after")", true},
    {"Http403After", R"("kind":"status","status":403,"when":"after")", true},
    {"AgreementAfter",
     R"("kind":"status","status":403,"agreement_url":"https://x.example/a","when":"after")", true},
    {"Http404After", R"("kind":"status","status":404,"when":"after")", true},
    {"Http409After", R"("kind":"status","status":409,"when":"after")", true},
    {"Http409PlainAfter", R"("kind":"status","status":409,"envelope":false,"when":"after")", true},
    {"Http429After", R"("kind":"status","status":429,"when":"after")", true},
    {"Bare400After", R"("kind":"status","status":400,"body":"","when":"after")", true},
    {"Bare404After", R"("kind":"status","status":404,"body":"","when":"after")", true},
    {"Bare409After", R"("kind":"status","status":409,"body":"{}","when":"after")", true},
    {"Html403After", R"("kind":"html","status":403,"when":"after")", true},
    {"Html429After", R"("kind":"html","status":429,"retry_after":"1","when":"after")", true},
    {"ClosedBefore", R"("kind":"close","when":"before")", false},
    {"ResetBefore", R"("kind":"reset","when":"before")", false},
    {"NeverAnsweredBefore", R"("kind":"hang","when":"before")", false},
    {"Http500Before", R"("kind":"status","status":500,"when":"before")", false},
    {"Http429Before", R"("kind":"status","status":429,"when":"before")", false},
};
INSTANTIATE_TEST_SUITE_P(Rows, LostAnswer, testing::ValuesIn(kLost),
                         [](const auto& row) { return row.param.name; });

TEST_F(LeasingTest, RefusalThatIsTrueStaysOneAndMemoryLearnsWhy) {
  StartGateway(nullptr, TwoAccounts());
  const std::string number = FirstAvailable();
  Fault(R"({"route":"POST /lease/{number}","count":1,"kind":"status","status":409})");
  const auto refused = Explain(Lease(number, nullptr, 10'000, kRequestId));
  EXPECT_EQ(refused.code, StatusCode::INVALID_ARGUMENT);
  EXPECT_EQ(refused.reason, "UPSTREAM_REJECTED");
  EXPECT_EQ(CountInLedger("lease", number), 0);
  EXPECT_EQ(OperationOf(kRequestId).settlement(), v1::OPERATION_SETTLEMENT_ANSWERED);
  EXPECT_EQ(FirstAvailable(), number);
  // Somebody else gets it between the look and the request.
  Fault(R"({"route":"POST /lease/{number}","number":")" + number +
        R"(","count":1,"kind":"delay","delay_ms":4000,"when":"before"})");
  auto waiting = std::async(std::launch::async,
                            [&] { return Explain(Lease(number, nullptr, 10'000, kOtherId)); });
  for (int i = 0; i < 1000 && Asked("POST /lease/{number}") < 2; ++i) {
    std::this_thread::sleep_for(Milliseconds(2));
  }
  TakeAway(number);
  const auto taken = waiting.get();
  EXPECT_EQ(taken.code, StatusCode::FAILED_PRECONDITION);
  EXPECT_EQ(taken.reason, "NUMBER_NOT_AVAILABLE");
  EXPECT_EQ(taken.info.metadata().at("http_status"), "400");
  EXPECT_EQ(taken.detail_types.count("PreconditionFailure"), 1U);
  EXPECT_NE(FirstAvailable(), number);
  ExpectOnePurchase(number);
}

TEST_F(LeasingTest, NobodyKnowsBeforeTheDeadlineThenItIsFoundOut) {
  StartGateway([](Config& config) { config.response_timeout = std::chrono::seconds(2); });
  const std::string number = FirstAvailable();
  Fault(R"({"route":"POST /lease/{number}","count":1,"kind":"hang","when":"after"})");
  v1::CreateLeaseRequest request;
  request.set_phone_number(number);
  request.set_request_id(kRequestId);
  v1::CreateLeaseResponse response;
  auto context = Context(1'000);
  const auto failure = Explain(stub_->CreateLease(context.get(), request, &response));
  EXPECT_EQ(failure.code, StatusCode::ABORTED);
  EXPECT_EQ(failure.reason, "OUTCOME_UNKNOWN");
  EXPECT_EQ(failure.info.metadata().at("request_id"), kRequestId);
  const auto& trailers = context->GetServerTrailingMetadata();
  const auto pushback = trailers.find("grpc-retry-pushback-ms");
  ASSERT_NE(pushback, trailers.end());
  EXPECT_EQ(pushback->second, "-1");
  const auto state = OperationOf(kRequestId).state();
  EXPECT_TRUE(state == v1::OPERATION_STATE_SENT || state == v1::OPERATION_STATE_UNKNOWN) << state;

  const auto operation = Eventually(kRequestId, v1::OPERATION_STATE_SUCCEEDED);
  EXPECT_EQ(operation.state(), v1::OPERATION_STATE_SUCCEEDED);
  EXPECT_EQ(operation.settlement(), v1::OPERATION_SETTLEMENT_RECONCILED);
  // Then the same request has the answer.
  const auto status = Lease(number, &response, 10'000, kRequestId);
  ASSERT_TRUE(status.ok()) << status.error_message();
  EXPECT_EQ(response.lease().lease_id(), operation.lease_id());
  ExpectOnePurchase(number);
}

TEST_F(LeasingTest, WithoutBudgetNothingIsSentAgainUntilTheNextRequest) {
  StartGateway([](Config& config) { config.retry_budget_percent = config.retry_budget_floor = 0; });
  const std::string number = FirstAvailable();
  Fault(R"({"route":"POST /lease/{number}","count":1,"kind":"close","when":"before"})");
  EXPECT_EQ(Explain(Lease(number, nullptr, 500, kRequestId)).reason, "OUTCOME_UNKNOWN");
  const auto operation = Eventually(kRequestId, v1::OPERATION_STATE_FAILED);
  EXPECT_EQ(operation.state(), v1::OPERATION_STATE_FAILED);
  EXPECT_EQ(operation.settlement(), v1::OPERATION_SETTLEMENT_RECONCILED);
  google::rpc::ErrorInfo info;
  for (const auto& detail : operation.error().details()) {
    static_cast<void>(detail.UnpackTo(&info));
  }
  EXPECT_EQ(info.reason(), "NOT_APPLIED");
  EXPECT_EQ(Asked("POST /lease/{number}"), 1);
  EXPECT_EQ(CountInLedger("lease", number), 0);
  const auto status = Lease(number, nullptr, 10'000, kRequestId);
  EXPECT_TRUE(status.ok()) << status.error_message();
  EXPECT_EQ(OperationOf(kRequestId).state(), v1::OPERATION_STATE_SUCCEEDED);
  ExpectOnePurchase(number);
}

TEST_F(LeasingTest, CallerWhoGoesAwayDoesNotStopAPurchase) {
  StartGateway();
  const std::string number = FirstAvailable();
  Fault(
      R"({"route":"POST /lease/{number}","count":1,"kind":"delay","delay_ms":500,"when":"before"})");
  const int asked = Asked("POST /lease/{number}");
  v1::CreateLeaseRequest request;
  request.set_phone_number(number);
  request.set_request_id(kRequestId);
  v1::CreateLeaseResponse response;
  auto context = Context();
  std::promise<grpc::Status> ended;
  stub_->async()->CreateLease(context.get(), &request, &response,
                              [&](const grpc::Status& status) { ended.set_value(status); });
  for (int i = 0; i < 1000 && Asked("POST /lease/{number}") == asked; ++i) {
    std::this_thread::sleep_for(Milliseconds(2));
  }
  context->TryCancel();
  EXPECT_EQ(ended.get_future().get().error_code(), StatusCode::CANCELLED);
  const auto operation = Eventually(kRequestId, v1::OPERATION_STATE_SUCCEEDED);
  EXPECT_EQ(operation.state(), v1::OPERATION_STATE_SUCCEEDED);
  EXPECT_EQ(operation.lease_id(), LeaseIdNow(number));
  ExpectOnePurchase(number);
}

}  // namespace
}  // namespace leasegateway
