// Leasing and terminating through the journal: what the caller is told, what the sandbox's ledger
// says was bought, and what the journal has, under faults, cancellations and restarts.
#include <sys/resource.h>

#include <algorithm>
#include <csignal>
#include <functional>
#include <future>
#include <thread>
#include <vector>

#include "tests/support/gateway_fixture.h"

namespace leasegateway {
namespace {

using grpc::StatusCode;
using Milliseconds = std::chrono::milliseconds;

constexpr char kSecondKey[] = "contiguity_sk_second";

google::type::Money Usd(std::int64_t units) {
  google::type::Money money;
  money.set_currency_code("USD");
  money.set_units(units);
  return money;
}

class LeasingTest : public GatewayTest {
 protected:
  ~LeasingTest() override {
    server_.reset();
    if (!folder_.empty()) std::filesystem::remove_all(folder_);
  }

  // The journal in a file, so that a gateway that starts again finds it.
  void KeepJournal(Config& config) {
    std::string pattern = testing::TempDir() + "leasing_testXXXXXX";
    folder_ = mkdtemp(pattern.data());
    config.journal = folder_ + "/journal.db";
  }

  grpc::Status LeaseAny(const v1::LeaseAnyNumberRequest& request,
                        v1::LeaseAnyNumberResponse* response) {
    return stub_->LeaseAnyNumber(Context().get(), request, response);
  }

  // The cheapest first, at most `units` dollars a month.
  static v1::LeaseAnyNumberRequest Cheapest(std::int64_t units) {
    v1::LeaseAnyNumberRequest request;
    request.set_request_id(kRequestId);
    request.set_order_by("pricing.monthly_rate");
    *request.mutable_filter()->mutable_max_monthly_rate() = Usd(units);
    *request.mutable_filter()->mutable_max_upfront_fee() = Usd(1'000'000);
    return request;
  }

  // What can be leased, as `request` has it in order.
  std::vector<v1::Number> Candidates(const v1::LeaseAnyNumberRequest& request) {
    v1::ListAvailableNumbersRequest list;
    *list.mutable_filter() = request.filter();
    list.set_order_by(request.order_by());
    v1::ListAvailableNumbersResponse response;
    const auto status = stub_->ListAvailableNumbers(Context().get(), list, &response);
    EXPECT_TRUE(status.ok()) << status.error_message();
    return {response.numbers().begin(), response.numbers().end()};
  }

  v1::Operation OperationOf(const std::string& request_id) {
    v1::GetOperationRequest request;
    request.set_request_id(request_id);
    v1::GetOperationResponse response;
    const auto status = stub_->GetOperation(Context().get(), request, &response);
    EXPECT_TRUE(status.ok()) << status.error_message();
    return response.operation();
  }

  // The operation once it is in `state`; as it is after 20 s, if it never is.
  v1::Operation Eventually(const std::string& request_id, v1::OperationState state) {
    v1::Operation operation = OperationOf(request_id);
    for (int i = 0; i < 400 && operation.state() != state; ++i) {
      std::this_thread::sleep_for(Milliseconds(50));
      operation = OperationOf(request_id);
    }
    return operation;
  }

  // The account's lease of the number, as the provider has it now; empty: none.
  std::string LeaseIdNow(const std::string& number) {
    v1::GetNumberResponse response;
    EXPECT_TRUE(Get(number, &response).ok());
    return response.number().lease().lease_id();
  }

  void ExpectOnePurchase(const std::string& number) {
    EXPECT_EQ(CountInLedger("lease", number), 1);
    EXPECT_EQ(CountInLedger("charge", number), 1);
  }

  void Patch(const std::string& number, const std::string& json) {
    const auto reply = sandbox_->Control("POST", "/_sandbox/numbers/" + number, json);
    ASSERT_TRUE(reply.ok()) << reply.status();
  }

  // How many requests the provider got on a route.
  int Asked(const std::string& route) {
    const auto reply = sandbox_->Control("GET", "/_sandbox/requests", "");
    google::protobuf::Struct stats;
    EXPECT_TRUE(google::protobuf::util::JsonStringToMessage(*reply, &stats).ok());
    const auto& routes = stats.fields().at("routes").struct_value().fields();
    const auto found = routes.find(route);
    return found == routes.end() ? 0 : static_cast<int>(found->second.number_value());
  }

  // Has another account of the same provider lease the number.
  void TakeAway(const std::string& number) {
    Config config = config_;
    config.api_key = kSecondKey;
    config.journal = ":memory:";
    const auto other = Server::Start(config);
    ASSERT_TRUE(other.ok()) << other.status();
    const auto stub = v1::LeaseService::NewStub(grpc::CreateChannel(
        "127.0.0.1:" + std::to_string((*other)->port()), grpc::InsecureChannelCredentials()));
    v1::CreateLeaseRequest request;
    request.set_phone_number(number);
    v1::CreateLeaseResponse response;
    const auto status = stub->CreateLease(Context().get(), request, &response);
    ASSERT_TRUE(status.ok()) << status.error_message();
  }

  sandbox::SandboxOptions TwoAccounts() {
    sandbox::SandboxOptions options;
    options.keys = {"contiguity_sk_first", kSecondKey};
    return options;
  }

  std::string folder_;
};

TEST_F(LeasingTest, SameRequestAgainIsTheSamePurchase) {
  StartGateway();
  const std::string number = FirstAvailable();
  v1::CreateLeaseResponse first, second;
  ASSERT_TRUE(Lease(number, &first, 10'000, kRequestId).ok());
  // A UUID is the same in upper case.
  std::string upper = kRequestId;
  std::transform(upper.begin(), upper.end(), upper.begin(), ::toupper);
  const auto status = Lease(number, &second, 10'000, upper);
  ASSERT_TRUE(status.ok()) << status.error_message();
  EXPECT_EQ(second.request_id(), kRequestId);
  EXPECT_EQ(second.lease().SerializeAsString(), first.lease().SerializeAsString());
  EXPECT_EQ(second.metadata().upstream_request_id(), first.metadata().upstream_request_id());
  ExpectOnePurchase(number);

  const v1::Operation operation = OperationOf(upper);
  EXPECT_EQ(operation.request_id(), kRequestId);
  EXPECT_EQ(operation.kind(), v1::OPERATION_KIND_LEASE);
  EXPECT_EQ(operation.state(), v1::OPERATION_STATE_SUCCEEDED);
  EXPECT_EQ(operation.settlement(), v1::OPERATION_SETTLEMENT_ANSWERED);
  EXPECT_EQ(operation.lease_id(), first.lease().lease_id());
  EXPECT_EQ(operation.price().SerializeAsString(),
            first.lease().billing().price().SerializeAsString());
  EXPECT_NE(operation.caller().find("127.0.0.1"), std::string::npos) << operation.caller();
}

TEST_F(LeasingTest, SameRequestIdWithOtherArgumentsIsRefused) {
  StartGateway();
  const std::string number = FirstAvailable();
  ASSERT_TRUE(Lease(number, nullptr, 10'000, kRequestId).ok());
  v1::CreateLeaseRequest other;
  other.set_phone_number(number);
  other.set_request_id(kRequestId);
  other.set_billing_method(v1::BILLING_METHOD_SERVICE_CONTRACT);
  v1::CreateLeaseResponse ignored;
  v1::LeaseAnyNumberResponse any;
  for (const auto& status : {stub_->CreateLease(Context().get(), other, &ignored),
                             Terminate(number, nullptr, kRequestId), LeaseAny(Cheapest(5), &any)}) {
    const auto failure = Explain(status);
    EXPECT_EQ(failure.code, StatusCode::INVALID_ARGUMENT);
    EXPECT_EQ(failure.reason, "REQUEST_ID_REUSED");
    EXPECT_EQ(failure.info.metadata().at("request_id"), kRequestId);
  }
  ExpectOnePurchase(number);
  EXPECT_EQ(CountInLedger("terminate", number), 0);
}

TEST_F(LeasingTest, GatewayNamesARequestWithoutAName) {
  StartGateway();
  const std::string number = FirstAvailable();
  v1::CreateLeaseResponse leased;
  ASSERT_TRUE(Lease(number, &leased).ok());
  ASSERT_EQ(leased.request_id().size(), 36U);
  EXPECT_EQ(leased.request_id()[14], '4');  // random (RFC 9562)
  EXPECT_EQ(OperationOf(leased.request_id()).lease_id(), leased.lease().lease_id());
  // Each gets a name of its own, which its error has, too.
  const auto failure = Explain(Lease(number));
  EXPECT_EQ(failure.code, StatusCode::ALREADY_EXISTS);
  EXPECT_EQ(failure.reason, "ALREADY_LEASED");
  EXPECT_EQ(failure.info.metadata().at("lease_id"), leased.lease().lease_id());
  EXPECT_EQ(failure.detail_types.count("Lease"), 1U);
  const std::string named = failure.info.metadata().at("request_id");
  EXPECT_NE(named, leased.request_id());
  EXPECT_EQ(OperationOf(named).state(), v1::OPERATION_STATE_FAILED);
  EXPECT_EQ(Explain(Lease("0123")).info.metadata().at("request_id").size(), 36U);
  ExpectOnePurchase(number);
}

TEST_F(LeasingTest, NumberOfAnotherAccountIsNotAvailable) {
  StartGateway(nullptr, TwoAccounts());
  const std::string number = FirstAvailable();
  TakeAway(number);
  const auto failure = Explain(Lease(number));
  EXPECT_EQ(failure.code, StatusCode::FAILED_PRECONDITION);
  EXPECT_EQ(failure.reason, "NUMBER_NOT_AVAILABLE");
  EXPECT_EQ(failure.detail_types.count("PreconditionFailure"), 1U);
  ExpectOnePurchase(number);
}

// --- lost requests and lost answers --------------------------------------------------------------

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
  for (const auto& detail : operation.error().details()) detail.UnpackTo(&info);
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

// --- at the same time ----------------------------------------------------------------------------

TEST_F(LeasingTest, CallersOfTheSameRequestShareIt) {
  StartGateway();
  const std::string number = FirstAvailable();
  Fault(
      R"({"route":"POST /lease/{number}","count":1,"kind":"delay","delay_ms":300,"when":"before"})");
  std::vector<std::future<std::string>> callers;
  for (int i = 0; i < 8; ++i) {
    callers.push_back(std::async(std::launch::async, [&] {
      v1::CreateLeaseResponse response;
      const auto status = Lease(number, &response, 10'000, kRequestId);
      return status.ok() ? response.lease().lease_id() : status.error_message();
    }));
  }
  std::set<std::string> answers;
  for (auto& caller : callers) answers.insert(caller.get());
  EXPECT_EQ(answers, std::set<std::string>{LeaseIdNow(number)});
  EXPECT_EQ(Asked("POST /lease/{number}"), 1);
  ExpectOnePurchase(number);
}

TEST_F(LeasingTest, OfTwoRequestsForANumberOneGetsIt) {
  StartGateway();
  const std::string number = FirstAvailable();
  Fault(
      R"({"route":"POST /lease/{number}","count":1,"kind":"delay","delay_ms":300,"when":"before"})");
  std::vector<std::future<grpc::Status>> callers;
  for (int i = 0; i < 8; ++i) {
    callers.push_back(std::async(std::launch::async, [&] { return Lease(number); }));
  }
  int leased = 0;
  for (auto& caller : callers) {
    const auto failure = Explain(caller.get());
    if (failure.code == StatusCode::OK) {
      ++leased;
    } else if (failure.code == StatusCode::ALREADY_EXISTS) {  // came when the first had it
      EXPECT_EQ(failure.reason, "ALREADY_LEASED");
    } else {
      EXPECT_EQ(failure.code, StatusCode::FAILED_PRECONDITION);
      EXPECT_EQ(failure.reason, "NUMBER_NOT_AVAILABLE");
    }
  }
  EXPECT_EQ(leased, 1);
  ExpectOnePurchase(number);
}

// --- restarts ------------------------------------------------------------------------------------

TEST_F(LeasingTest, GatewayThatStartsAgainGivesTheSameAnswer) {
  StartGateway([this](Config& config) { KeepJournal(config); });
  const std::string number = FirstAvailable();
  v1::CreateLeaseResponse first, second;
  ASSERT_TRUE(Lease(number, &first, 10'000, kRequestId).ok());
  Serve();
  const auto status = Lease(number, &second, 10'000, kRequestId);
  ASSERT_TRUE(status.ok()) << status.error_message();
  EXPECT_EQ(second.lease().SerializeAsString(), first.lease().SerializeAsString());
  EXPECT_EQ(Explain(Terminate(number, nullptr, kRequestId)).reason, "REQUEST_ID_REUSED");
  ExpectOnePurchase(number);
}

TEST_F(LeasingTest, GatewayThatStartsAgainFindsOutWhatWasOpen) {
  StartGateway([this](Config& config) {
    KeepJournal(config);
    config.response_timeout = Milliseconds(2'000);
  });
  const std::string number = FirstAvailable();
  // Neither the answer nor a look gets through until the gateway has ended.
  Fault(R"([{"route":"POST /lease/{number}","count":1,"kind":"close","when":"after"},
            {"route":"GET /{number}","fraction":1,"kind":"status","status":503}])");
  auto failure = Explain(Lease(number, nullptr, 500, kRequestId));
  // The look before the purchase fails as well: nothing is bought blindly.
  EXPECT_EQ(failure.code, StatusCode::UNAVAILABLE);
  EXPECT_EQ(CountInLedger("lease", number), 0);

  sandbox_->Control("DELETE", "/_sandbox/faults", "").IgnoreError();
  Fault(R"({"route":"POST /lease/{number}","count":1,"kind":"hang","when":"after"})");
  failure = Explain(Lease(number, nullptr, 400, kRequestId));
  EXPECT_EQ(failure.reason, "OUTCOME_UNKNOWN");
  Fault(R"({"route":"GET /{number}","fraction":1,"kind":"status","status":503})");
  Serve();
  EXPECT_NE(OperationOf(kRequestId).state(), v1::OPERATION_STATE_SUCCEEDED);
  sandbox_->Control("DELETE", "/_sandbox/faults", "").IgnoreError();
  const auto operation = Eventually(kRequestId, v1::OPERATION_STATE_SUCCEEDED);
  EXPECT_EQ(operation.state(), v1::OPERATION_STATE_SUCCEEDED);
  EXPECT_EQ(operation.settlement(), v1::OPERATION_SETTLEMENT_RECONCILED);
  EXPECT_EQ(operation.lease_id(), LeaseIdNow(number));
  ExpectOnePurchase(number);
}

TEST_F(LeasingTest, JournalInUseIsAClearError) {
  StartGateway([this](Config& config) { KeepJournal(config); });
  const auto second = Server::Start(config_);
  ASSERT_FALSE(second.ok());
  EXPECT_NE(second.status().message().find(config_.journal), absl::string_view::npos)
      << second.status();
  Config nowhere = config_;
  nowhere.journal = folder_ + "/no/such/journal.db";
  const auto third = Server::Start(nowhere);
  ASSERT_FALSE(third.ok());
  EXPECT_NE(third.status().message().find(nowhere.journal), absl::string_view::npos)
      << third.status();
}

TEST_F(LeasingTest, JournalThatCanNotBeWrittenRefusesPurchases) {
  StartGateway([this](Config& config) { KeepJournal(config); });
  const std::string number = FirstAvailable();
  v1::CreateLeaseResponse leased;
  ASSERT_TRUE(Lease(number, &leased, 10'000, kRequestId).ok());
  std::string other;
  for (const auto& candidate : Candidates(Cheapest(1'000))) other = candidate.phone_number();
  // No file of this process may grow: what a full disk does.
  signal(SIGXFSZ, SIG_IGN);
  rlimit limit{};
  getrlimit(RLIMIT_FSIZE, &limit);
  const rlimit unlimited = limit;
  limit.rlim_cur = 1;
  setrlimit(RLIMIT_FSIZE, &limit);
  v1::LeaseAnyNumberResponse any;
  auto any_request = Cheapest(1'000);
  any_request.clear_request_id();
  const grpc::Status refused[] = {Lease(other), LeaseAny(any_request, &any), Terminate(number)};
  const auto read = Get(number);
  const auto again = Lease(number, nullptr, 10'000, kRequestId);
  const auto operation = OperationOf(kRequestId);
  setrlimit(RLIMIT_FSIZE, &unlimited);
  for (const auto& status : refused) {
    const auto failure = Explain(status);
    EXPECT_EQ(failure.code, StatusCode::FAILED_PRECONDITION) << status.error_message();
    EXPECT_EQ(failure.reason, "JOURNAL_UNAVAILABLE");
    EXPECT_EQ(status.error_message().find(folder_), std::string::npos) << "no paths for callers";
  }
  EXPECT_TRUE(read.ok()) << read.error_message();
  EXPECT_TRUE(again.ok()) << again.error_message();
  EXPECT_EQ(operation.lease_id(), leased.lease().lease_id());
  EXPECT_EQ(CountInLedger("lease", other), 0);
  EXPECT_EQ(CountInLedger("terminate", number), 0);
  // Nothing has to be done once it may grow again.
  EXPECT_TRUE(Terminate(number).ok());
  EXPECT_TRUE(Lease(other).ok());
}

// --- what the caller has seen --------------------------------------------------------------------

TEST_F(LeasingTest, TerminatesTheLeaseThatTheCallerHasSeen) {
  StartGateway();
  const std::string number = FirstAvailable();
  v1::CreateLeaseResponse first, second;
  ASSERT_TRUE(Lease(number, &first).ok());
  v1::TerminateLeaseRequest request;
  request.set_phone_number(number);
  request.set_lease_id(first.lease().lease_id());
  request.set_request_id(kRequestId);
  v1::TerminateLeaseResponse response;
  ASSERT_TRUE(stub_->TerminateLease(Context().get(), request, &response).ok());
  ASSERT_TRUE(Lease(number, &second).ok());

  // The same request again is the same end, of the first lease.
  v1::TerminateLeaseResponse again;
  ASSERT_TRUE(stub_->TerminateLease(Context().get(), request, &again).ok());
  EXPECT_EQ(again.termination().SerializeAsString(), response.termination().SerializeAsString());
  EXPECT_EQ(LeaseIdNow(number), second.lease().lease_id());
  request.set_request_id(kOtherId);
  const auto failure = Explain(stub_->TerminateLease(Context().get(), request, &again));
  EXPECT_EQ(failure.code, StatusCode::FAILED_PRECONDITION);
  EXPECT_EQ(failure.reason, "LEASE_CHANGED");
  EXPECT_EQ(LeaseIdNow(number), second.lease().lease_id());
  EXPECT_EQ(CountInLedger("terminate", number), 1);
}

TEST_F(LeasingTest, ExpectedPriceHolds) {
  StartGateway();
  const std::string number = FirstAvailable();
  v1::GetNumberResponse seen;
  ASSERT_TRUE(Get(number, &seen).ok());
  Patch(number, R"({"pricing":{"monthly_rate":77.5}})");
  v1::CreateLeaseRequest request;
  request.set_phone_number(number);
  *request.mutable_expected_price() = seen.number().pricing();
  v1::CreateLeaseResponse response;
  const auto status = stub_->CreateLease(Context().get(), request, &response);
  const auto failure = Explain(status);
  EXPECT_EQ(failure.code, StatusCode::FAILED_PRECONDITION);
  EXPECT_EQ(failure.reason, "PRICE_CHANGED");
  EXPECT_NE(status.error_message().find("77.5"), std::string::npos) << status.error_message();
  EXPECT_EQ(CountInLedger("lease", number), 0);
  request.mutable_expected_price()->mutable_monthly_rate()->set_units(77);
  request.mutable_expected_price()->mutable_monthly_rate()->set_nanos(500'000'000);
  ASSERT_TRUE(stub_->CreateLease(Context().get(), request, &response).ok());
  EXPECT_EQ(response.lease().billing().price().monthly_rate().units(), 77);
  ExpectOnePurchase(number);
}

TEST_F(LeasingTest, ValidateOnlySpendsNothing) {
  StartGateway();
  const std::string number = FirstAvailable();
  v1::CreateLeaseRequest request;
  request.set_phone_number(number);
  request.set_request_id(kRequestId);
  request.set_validate_only(true);
  v1::CreateLeaseResponse response;
  const auto status = stub_->CreateLease(Context().get(), request, &response);
  ASSERT_TRUE(status.ok()) << status.error_message();
  EXPECT_EQ(response.lease().phone_number(), number);
  EXPECT_EQ(response.lease().lease_id(), "");
  EXPECT_TRUE(response.lease().billing().price().has_monthly_rate());
  auto any = Cheapest(1'000);
  any.set_validate_only(true);
  v1::LeaseAnyNumberResponse would;
  ASSERT_TRUE(LeaseAny(any, &would).ok());
  EXPECT_EQ(would.lease().phone_number(), Candidates(any)[0].phone_number());
  EXPECT_EQ(would.lease().lease_id(), "");
  EXPECT_EQ(Asked("POST /lease/{number}"), 0);
  v1::GetOperationRequest get;
  get.set_request_id(kRequestId);
  v1::GetOperationResponse none;
  const auto missing = Explain(stub_->GetOperation(Context().get(), get, &none));
  EXPECT_EQ(missing.code, StatusCode::NOT_FOUND);
  EXPECT_EQ(missing.reason, "OPERATION_NOT_FOUND");

  // It finds what the purchase would fail with; the name is still free for the purchase.
  *request.mutable_expected_price()->mutable_monthly_rate() = Usd(12'345);
  EXPECT_EQ(Explain(stub_->CreateLease(Context().get(), request, &response)).reason,
            "PRICE_CHANGED");
  request.clear_expected_price();
  request.set_validate_only(false);
  ASSERT_TRUE(stub_->CreateLease(Context().get(), request, &response).ok());
  request.set_request_id(kOtherId);
  request.set_validate_only(true);
  EXPECT_EQ(Explain(stub_->CreateLease(Context().get(), request, &response)).reason,
            "ALREADY_LEASED");
  ExpectOnePurchase(number);
}

// --- any number ----------------------------------------------------------------------------------

TEST_F(LeasingTest, LeaseAnyTakesTheFirstInTheOrder) {
  StartGateway();
  const auto request = Cheapest(1'000);
  const auto candidates = Candidates(request);
  ASSERT_GT(candidates.size(), 2U);
  v1::LeaseAnyNumberResponse first, second;
  const auto status = LeaseAny(request, &first);
  ASSERT_TRUE(status.ok()) << status.error_message();
  EXPECT_EQ(first.lease().phone_number(), candidates[0].phone_number());
  EXPECT_EQ(first.request_id(), kRequestId);
  // The same request again is the same number, although that matches no more.
  ASSERT_TRUE(LeaseAny(request, &second).ok());
  EXPECT_EQ(second.lease().SerializeAsString(), first.lease().SerializeAsString());
  EXPECT_EQ(Asked("POST /lease/{number}"), 1);
  auto other = request;
  other.set_request_id(kOtherId);
  ASSERT_TRUE(LeaseAny(other, &second).ok());
  EXPECT_EQ(second.lease().phone_number(), candidates[1].phone_number());
  EXPECT_EQ(OperationOf(kOtherId).kind(), v1::OPERATION_KIND_LEASE_ANY);
  EXPECT_EQ(OperationOf(kOtherId).phone_number(), candidates[1].phone_number());
}

TEST_F(LeasingTest, LeaseAnyGoesOnWhenANumberIsGoneOrDearer) {
  StartGateway([](Config& config) { config.cache_fresh = std::chrono::hours(1); }, TwoAccounts());
  auto request = Cheapest(1'000);
  auto candidates = Candidates(request);
  ASSERT_GT(candidates.size(), 4U);
  *request.mutable_filter()->mutable_max_monthly_rate() = candidates[3].pricing().monthly_rate();
  // Memory does not know it yet: one belongs to somebody else, one is above the ceiling, one can't
  // be leased.
  TakeAway(candidates[0].phone_number());
  Patch(candidates[1].phone_number(), R"({"pricing":{"monthly_rate":2000}})");
  Patch(candidates[2].phone_number(), R"({"status":"unavailable"})");
  v1::LeaseAnyNumberResponse response;
  const auto status = LeaseAny(request, &response);
  ASSERT_TRUE(status.ok()) << status.error_message();
  EXPECT_EQ(response.lease().phone_number(), candidates[3].phone_number());
  v1::ListLeasesResponse leases;
  ASSERT_TRUE(stub_->ListLeases(Context().get(), {}, &leases).ok());
  EXPECT_EQ(leases.leases_size(), 1);
}

TEST_F(LeasingTest, LeaseAnyStaysBelowTheCeilings) {
  StartGateway();
  v1::LeaseAnyNumberResponse response;
  auto failure = Explain(LeaseAny(Cheapest(0), &response));
  EXPECT_EQ(failure.code, StatusCode::NOT_FOUND);
  EXPECT_EQ(failure.reason, "NO_MATCHING_NUMBER");
  EXPECT_EQ(failure.info.metadata().at("request_id"), kRequestId);
  auto without = Cheapest(5);
  without.mutable_filter()->clear_max_upfront_fee();
  failure = Explain(LeaseAny(without, &response));
  EXPECT_EQ(failure.code, StatusCode::INVALID_ARGUMENT);
  EXPECT_EQ(failure.reason, "PRICE_CEILING_MISSING");
  EXPECT_EQ(Asked("POST /lease/{number}"), 0);
}

TEST_F(LeasingTest, ManyLeaseAnyAtOnceGetANumberEach) {
  StartGateway();
  std::vector<std::future<std::string>> callers;
  for (int i = 0; i < 10; ++i) {
    callers.push_back(std::async(std::launch::async, [&] {
      auto request = Cheapest(1'000);
      request.clear_request_id();
      v1::LeaseAnyNumberResponse response;
      const auto status = LeaseAny(request, &response);
      EXPECT_TRUE(status.ok()) << status.error_message();
      return response.lease().phone_number();
    }));
  }
  std::set<std::string> numbers;
  for (auto& caller : callers) numbers.insert(caller.get());
  EXPECT_EQ(numbers.size(), 10U);
  for (const auto& number : numbers) ExpectOnePurchase(number);
}

// --- the record ----------------------------------------------------------------------------------

TEST_F(LeasingTest, OperationsAreListedNewestFirstInPages) {
  StartGateway();
  std::vector<std::string> expected;
  const auto candidates = Candidates(Cheapest(1'000));
  ASSERT_GT(candidates.size(), 4U);
  for (int i = 0; i < 4; ++i) {
    v1::CreateLeaseResponse response;
    ASSERT_TRUE(Lease(candidates[static_cast<std::size_t>(i)].phone_number(), &response).ok());
    expected.insert(expected.begin(), response.request_id());
  }
  v1::TerminateLeaseResponse ended;
  ASSERT_TRUE(Terminate(candidates[0].phone_number(), &ended).ok());
  expected.insert(expected.begin(), ended.request_id());

  const auto list = [&](v1::ListOperationsRequest request) {
    std::vector<std::string> ids;
    int pages = 0;
    do {
      v1::ListOperationsResponse page;
      const auto status = stub_->ListOperations(Context().get(), request, &page);
      EXPECT_TRUE(status.ok()) << status.error_message();
      EXPECT_LE(page.operations_size(), request.page_size() == 0 ? 100 : request.page_size());
      for (const auto& operation : page.operations()) ids.push_back(operation.request_id());
      request.set_page_token(page.next_page_token());
    } while (!request.page_token().empty() && ++pages < 10);
    return ids;
  };
  v1::ListOperationsRequest request;
  EXPECT_EQ(list(request), expected);
  request.set_page_size(2);
  EXPECT_EQ(list(request), expected);
  request.set_phone_number(candidates[0].phone_number());
  EXPECT_EQ(list(request), (std::vector{expected[0], expected[4]}));
  request.clear_phone_number();
  request.set_state(v1::OPERATION_STATE_FAILED);
  EXPECT_EQ(list(request), std::vector<std::string>());

  request.set_page_token("garbage");
  v1::ListOperationsResponse page;
  const auto failure = Explain(stub_->ListOperations(Context().get(), request, &page));
  EXPECT_EQ(failure.code, StatusCode::INVALID_ARGUMENT);
  EXPECT_EQ(failure.reason, "INVALID_PAGE_TOKEN");
  ASSERT_EQ(failure.bad_request.field_violations_size(), 1);
  EXPECT_EQ(failure.bad_request.field_violations(0).field(), "page_token");
}

}  // namespace
}  // namespace leasegateway
