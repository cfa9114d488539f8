// Leasing and terminating through the journal: what the caller is told, what the sandbox's ledger
// says was bought, and what the journal has, also at the same time and after restarts.
#include <sys/resource.h>

#include <csignal>
#include <future>
#include <set>
#include <vector>

#include "tests/support/leasing_gateway.h"

namespace leasegateway {
namespace {

using Milliseconds = std::chrono::milliseconds;
using grpc::StatusCode;

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
