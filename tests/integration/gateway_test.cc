// All operations and every row of the error table, through a real gRPC client, the gateway,
// verified TLS and the sandbox.
#include <gmock/gmock.h>

#include <atomic>
#include <condition_variable>
#include <mutex>
#include <sstream>
#include <thread>
#include <vector>

#include "service/process/logging.h"
#include "tests/support/gateway_fixture.h"

namespace leasegateway {
namespace {

using grpc::StatusCode;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

TEST_F(GatewayTest, AllTenOperations) {
  StartGateway();
  v1::ListAvailableNumbersResponse available;
  ASSERT_TRUE(stub_->ListAvailableNumbers(Context().get(), {}, &available).ok());
  ASSERT_EQ(available.numbers_size(), 100);
  EXPECT_EQ(available.total_size(), 100);
  EXPECT_EQ(available.next_page_token(), "");
  EXPECT_EQ(available.metadata().upstream_request_id().substr(0, 4), "req_");
  EXPECT_GT(available.metadata().fetch_time().seconds(), 1'700'000'000);
  EXPECT_GT(available.metadata().upstream_time().seconds(), 1'700'000'000);
  const std::string number = available.numbers(0).phone_number();
  const std::string other = available.numbers(1).phone_number();

  v1::GetNumberResponse got;
  ASSERT_TRUE(Get(number, &got).ok());
  EXPECT_EQ(got.number().SerializeAsString(), available.numbers(0).SerializeAsString());
  EXPECT_FALSE(got.number().has_lease());

  v1::CreateLeaseResponse leased;
  const auto status = Lease(number, &leased, 10'000, kRequestId);
  ASSERT_TRUE(status.ok()) << status.error_message();
  EXPECT_EQ(leased.request_id(), kRequestId);
  EXPECT_EQ(leased.lease().phone_number(), number);
  EXPECT_EQ(leased.lease().status(), v1::LEASE_STATUS_ACTIVE);
  EXPECT_EQ(leased.lease().billing().price().monthly_rate().SerializeAsString(),
            got.number().pricing().monthly_rate().SerializeAsString());
  EXPECT_EQ(CountInLedger("lease", number), 1);

  v1::ListLeasesResponse leases;
  ASSERT_TRUE(stub_->ListLeases(Context().get(), {}, &leases).ok());
  ASSERT_EQ(leases.leases_size(), 1);
  EXPECT_EQ(leases.total_size(), 1);
  EXPECT_EQ(leases.leases(0).lease_id(), leased.lease().lease_id());
  EXPECT_EQ(leases.leases(0).number().phone_number(), number);

  v1::GetLeaseRequest get_lease;
  get_lease.set_phone_number(number);
  v1::GetLeaseResponse lease;
  ASSERT_TRUE(stub_->GetLease(Context().get(), get_lease, &lease).ok());
  EXPECT_EQ(lease.lease().lease_id(), leased.lease().lease_id());
  EXPECT_EQ(lease.lease().number().status(), v1::NUMBER_STATUS_LEASED);

  v1::ConfigureFailoverRequest configure;
  configure.set_phone_number(number);
  configure.mutable_failover()->set_enabled(true);
  configure.mutable_failover()->set_mode(v1::FAILOVER_MODE_SELECTIVE);
  configure.mutable_failover()->add_phone_numbers(other);
  v1::ConfigureFailoverResponse configured;
  ASSERT_TRUE(stub_->ConfigureFailover(Context().get(), configure, &configured).ok());
  EXPECT_EQ(configured.phone_number(), number);
  EXPECT_TRUE(configured.failover().enabled());
  EXPECT_EQ(configured.failover().mode(), v1::FAILOVER_MODE_SELECTIVE);
  EXPECT_EQ(configured.failover().phone_numbers(0), other);

  v1::EnableCallForwardingRequest enable;
  enable.set_phone_number(number);
  enable.set_forward_to(other);
  v1::EnableCallForwardingResponse enabled;
  ASSERT_TRUE(stub_->EnableCallForwarding(Context().get(), enable, &enabled).ok());
  EXPECT_TRUE(enabled.call_forwarding().enabled());
  EXPECT_EQ(enabled.call_forwarding().forward_to(), other);
  EXPECT_EQ(enabled.call_forwarding().status(), v1::CALL_FORWARDING_STATUS_QUEUED);
  EXPECT_GT(enabled.call_forwarding().estimated_completion_time().seconds(), 1'700'000'000);
  EXPECT_LT(enabled.call_forwarding().estimated_completion_time().seconds(), 10'000'000'000);

  v1::GetCallForwardingRequest get_forwarding;
  get_forwarding.set_phone_number(number);
  v1::GetCallForwardingResponse forwarding;
  ASSERT_TRUE(stub_->GetCallForwarding(Context().get(), get_forwarding, &forwarding).ok());
  EXPECT_EQ(forwarding.call_forwarding().forward_to(), other);

  v1::DisableCallForwardingRequest disable;
  disable.set_phone_number(number);
  v1::DisableCallForwardingResponse disabled;
  ASSERT_TRUE(stub_->DisableCallForwarding(Context().get(), disable, &disabled).ok());
  EXPECT_FALSE(disabled.call_forwarding().enabled());

  v1::TerminateLeaseResponse terminated;
  ASSERT_TRUE(Terminate(number, &terminated, kOtherId).ok());
  EXPECT_EQ(terminated.request_id(), kOtherId);
  EXPECT_EQ(terminated.termination().lease_id(), leased.lease().lease_id());
  EXPECT_EQ(terminated.termination().status(), v1::LEASE_STATUS_TERMINATED);
  EXPECT_EQ(CountInLedger("terminate", number), 1);
  // The provider answers 404 when there is nothing to list.
  v1::ListLeasesResponse none;
  ASSERT_TRUE(stub_->ListLeases(Context().get(), {}, &none).ok());
  EXPECT_EQ(none.leases_size(), 0);
}

TEST_F(GatewayTest, EmptyInventoryIsAnEmptyList) {
  sandbox::SandboxOptions options;
  options.numbers = 0;
  StartGateway(nullptr, options);
  v1::ListAvailableNumbersResponse available;
  const auto status = stub_->ListAvailableNumbers(Context().get(), {}, &available);
  ASSERT_TRUE(status.ok()) << status.error_message();
  EXPECT_EQ(available.total_size(), 0);
}

struct HttpRow {
  const char* name;
  const char* fault;
  StatusCode code;
  const char* reason;
  const char* detail;  // a type that must be there beside ErrorInfo; empty: none
};

// What CTest shows of a row.
void PrintTo(const HttpRow& row, std::ostream* out) { *out << row.name; }

class ReadErrors : public GatewayTest, public testing::WithParamInterface<HttpRow> {};

TEST_P(ReadErrors, MapToCodeAndReason) {
  StartGateway([](Config& config) {
    config.retry_attempts = 1;
    config.response_timeout = std::chrono::milliseconds(1'500);
    config.read_timeout = std::chrono::milliseconds(1'500);
    config.max_body_bytes = 1 << 20;
  });
  const std::string number = FirstAvailable();
  Fault(GetParam().fault);
  const auto failure = Explain(Get(number));
  EXPECT_EQ(failure.code, GetParam().code);
  EXPECT_EQ(failure.reason, GetParam().reason);
  EXPECT_EQ(failure.info.domain(), "leasegateway");
  if (*GetParam().detail) {
    EXPECT_EQ(failure.detail_types.count(GetParam().detail), 1U);
  }
  // Nothing of it lasts.
  sandbox_->Control("DELETE", "/_sandbox/faults", "").IgnoreError();
  if (failure.reason != "UPSTREAM_RATE_LIMITED") {
    EXPECT_TRUE(Get(number).ok());
  }
}

constexpr HttpRow kReadErrors[] = {
    {"Http400", R"({"route":"*","count":1,"kind":"status","status":400})",
     StatusCode::INVALID_ARGUMENT, "UPSTREAM_REJECTED", ""},
    {"Http401", R"({"route":"*","count":1,"kind":"status","status":401})",
     StatusCode::FAILED_PRECONDITION, "UPSTREAM_CREDENTIALS_REJECTED", "PreconditionFailure"},
    {"Http403", R"({"route":"*","count":1,"kind":"status","status":403})",
     StatusCode::PERMISSION_DENIED, "UPSTREAM_FORBIDDEN", ""},
    {"Http403Agreement",
     R"({"route":"*","count":1,"kind":"status","status":403,"agreement_url":"https://x.example/a"})",
     StatusCode::FAILED_PRECONDITION, "AGREEMENT_REQUIRED", "Help"},
    {"Http404", R"({"route":"*","count":1,"kind":"status","status":404})", StatusCode::NOT_FOUND,
     "NUMBER_NOT_FOUND", ""},
    {"Http429", R"({"route":"*","count":1,"kind":"status","status":429,"retry_after":"7"})",
     StatusCode::RESOURCE_EXHAUSTED, "UPSTREAM_RATE_LIMITED", "RetryInfo"},
    {"Http500", R"({"route":"*","count":1,"kind":"status","status":500})", StatusCode::UNAVAILABLE,
     "UPSTREAM_FAILED", "RetryInfo"},
    {"Http503WithoutEnvelope",
     R"({"route":"*","count":1,"kind":"status","status":503,"envelope":false})",
     StatusCode::UNAVAILABLE, "UPSTREAM_FAILED", "RetryInfo"},
    {"GarbageBody", R"({"route":"*","count":1,"kind":"garbage"})", StatusCode::INTERNAL,
     "UPSTREAM_MALFORMED", ""},
    {"TruncatedBody", R"({"route":"*","count":1,"kind":"truncate"})", StatusCode::UNAVAILABLE,
     "UPSTREAM_UNREACHABLE", "RetryInfo"},
    {"HtmlBody", R"({"route":"*","count":1,"kind":"html"})", StatusCode::UNAVAILABLE,
     "UPSTREAM_INTERMEDIARY", "RetryInfo"},
    {"NoBody", R"({"route":"*","count":1,"kind":"status","status":503,"body":""})",
     StatusCode::UNAVAILABLE, "UPSTREAM_INTERMEDIARY", "RetryInfo"},
    // The first strikes a kept-alive connection, which a read may try again on a new one.
    {"Reset", R"({"route":"*","count":2,"kind":"reset"})", StatusCode::UNAVAILABLE,
     "UPSTREAM_UNREACHABLE", "RetryInfo"},
    {"NeverAnswered", R"({"route":"*","count":1,"kind":"hang"})", StatusCode::UNAVAILABLE,
     "UPSTREAM_UNREACHABLE", "RetryInfo"},
};
INSTANTIATE_TEST_SUITE_P(Rows, ReadErrors, testing::ValuesIn(kReadErrors),
                         [](const auto& row) { return row.param.name; });

TEST_F(GatewayTest, ErrorCarriesTheProvidersIdAndStatus) {
  StartGateway();
  const auto failure = Explain(Get("+19999999999"));
  EXPECT_EQ(failure.code, StatusCode::NOT_FOUND);
  EXPECT_EQ(failure.reason, "NUMBER_NOT_FOUND");
  EXPECT_EQ(failure.info.metadata().at("http_status"), "404");
  EXPECT_EQ(failure.info.metadata().at("upstream_error_id").substr(0, 4), "err_");
}

TEST_F(GatewayTest, NotLeased) {
  StartGateway();
  const std::string number = FirstAvailable();
  auto failure = Explain(Terminate(number));
  EXPECT_EQ(failure.code, StatusCode::FAILED_PRECONDITION);
  EXPECT_EQ(failure.reason, "NOT_LEASED");
  v1::GetLeaseRequest request;
  request.set_phone_number(number);
  v1::GetLeaseResponse response;
  failure = Explain(stub_->GetLease(Context().get(), request, &response));
  EXPECT_EQ(failure.code, StatusCode::NOT_FOUND);
  EXPECT_EQ(failure.reason, "NOT_LEASED");
}

// What fails twice and then works, the caller does not see; nor a write that was refused unapplied.
TEST_F(GatewayTest, TransientFailuresAreTriedAgain) {
  StartGateway();
  const std::string number = FirstAvailable();
  Fault(R"({"route":"GET /{number}","count":2,"kind":"status","status":503})");
  EXPECT_TRUE(Get(number).ok());
  Fault(R"({"route":"GET /{number}","count":3,"kind":"status","status":503})");
  const auto status = Get(number);
  const auto failure = Explain(status);
  EXPECT_EQ(failure.code, StatusCode::UNAVAILABLE);
  EXPECT_EQ(failure.info.metadata().at("attempts"), "3");
  EXPECT_EQ(failure.info.metadata().at("retry_stopped"), "exhausted");
  EXPECT_NE(status.error_message().find("(after 3 attempts)"), std::string::npos);
  Fault(R"({"route":"POST /lease/{number}","count":1,"kind":"status","status":429})");
  EXPECT_TRUE(Lease(number).ok());
  EXPECT_EQ(CountInLedger("lease", number), 1);
}

TEST_F(GatewayTest, CircuitOpensAndClosesByItself) {
  StartGateway();
  const auto numbers = Available(3);
  ASSERT_EQ(numbers.size(), 3U);
  Fault(R"({"route":"GET /{number}","count":1000,"kind":"status","status":503})");
  Failure failure{};
  for (std::size_t i = 0; i < 100 && failure.reason != "CIRCUIT_OPEN"; ++i) {
    failure = Explain(Get(numbers[i % 3]));
  }
  EXPECT_EQ(failure.code, StatusCode::UNAVAILABLE);
  EXPECT_EQ(failure.reason, "CIRCUIT_OPEN");
  EXPECT_EQ(failure.info.metadata().at("circuit"), "get_number");
  EXPECT_EQ(failure.info.metadata().at("request_sent"), "false");
  EXPECT_EQ(failure.detail_types.count("RetryInfo"), 1U);
  sandbox_->Control("DELETE", "/_sandbox/faults", "").IgnoreError();
  int in_a_row = 0;
  for (int i = 0; i < 600 && in_a_row < 10; ++i) {
    in_a_row = Get(numbers[0]).ok() ? in_a_row + 1 : 0;
    if (in_a_row == 0) std::this_thread::sleep_for(std::chrono::milliseconds(50));
  }
  EXPECT_EQ(in_a_row, 10);
}

// A sent write without an answer is ABORTED, with a pushback that keeps clients from retrying.
TEST_F(GatewayTest, WriteWithoutAnswerIsOutcomeUnknown) {
  StartGateway();
  const std::string number = FirstAvailable();
  ASSERT_TRUE(Lease(number).ok());
  for (const char* fault :
       {R"({"route":"POST /{number}/configure","count":1,"kind":"close","when":"before"})",
        R"({"route":"POST /{number}/configure","count":1,"kind":"status","status":500})",
        R"({"route":"POST /{number}/configure","count":1,"kind":"close","when":"after"})"}) {
    Fault(fault);
    v1::ConfigureFailoverRequest request;
    request.set_phone_number(number);
    request.mutable_failover()->set_enabled(false);
    v1::ConfigureFailoverResponse response;
    auto context = Context();
    const auto failure = Explain(stub_->ConfigureFailover(context.get(), request, &response));
    EXPECT_EQ(failure.code, StatusCode::ABORTED) << fault;
    EXPECT_EQ(failure.reason, "OUTCOME_UNKNOWN") << fault;
    const auto& trailers = context->GetServerTrailingMetadata();
    const auto pushback = trailers.find("grpc-retry-pushback-ms");
    ASSERT_NE(pushback, trailers.end());
    EXPECT_EQ(pushback->second, "-1");
  }
}

// gRPC's own retries wait as they are told, and say how many there were (gRFC A6).
TEST_F(GatewayTest, RetriesOfTheClientWaitForThePushbackAndAreLogged) {
  std::ostringstream log;
  InitLoggingTo(log, "info", "text");
  StartGateway([](Config& config) { config.retry_attempts = 1; });
  const std::string number = FirstAvailable();
  grpc::ChannelArguments arguments;
  arguments.SetServiceConfigJSON(R"({"methodConfig":[{
    "name":[{"service":"leasegateway.v1.LeaseService"}],
    "retryPolicy":{"maxAttempts":3,"initialBackoff":"0.001s","maxBackoff":"0.001s",
                   "backoffMultiplier":1,"retryableStatusCodes":["UNAVAILABLE","ABORTED"]}}]})");
  stub_ = v1::LeaseService::NewStub(
      grpc::CreateCustomChannel(target_, grpc::InsecureChannelCredentials(), arguments));
  Fault(R"({"route":"GET /{number}","count":1,"kind":"status","status":503,"retry_after":"1"})");
  const auto started = std::chrono::steady_clock::now();
  EXPECT_TRUE(Get(number).ok());
  EXPECT_GE(std::chrono::steady_clock::now() - started, std::chrono::milliseconds(1'000));
  // What may have been done is not sent again, whatever the policy says.
  Fault(R"({"route":"POST /{number}/configure","count":1,"kind":"close","when":"after"})");
  v1::ConfigureFailoverRequest request;
  request.set_phone_number(number);
  request.mutable_failover()->set_enabled(false);
  v1::ConfigureFailoverResponse response;
  EXPECT_EQ(stub_->ConfigureFailover(Context().get(), request, &response).error_code(),
            StatusCode::ABORTED);
  server_.reset();
  ShutdownLogging();
  EXPECT_THAT(log.str(), HasSubstr("code=UNAVAILABLE reason=UPSTREAM_FAILED"));
  std::vector<std::string> again;
  std::istringstream lines(log.str());
  for (std::string line; std::getline(lines, line);) {
    if (line.find("previous_attempts=") != std::string::npos) again.push_back(line);
  }
  EXPECT_THAT(
      again, ElementsAre(AllOf(HasSubstr("/GetNumber code=OK"), HasSubstr("previous_attempts=1"))));
}

TEST_F(GatewayTest, RetryInfoIsThePushback) {
  StartGateway([](Config& config) { config.retry_attempts = 1; });
  const std::string number = FirstAvailable();
  v1::GetNumberRequest request;
  request.set_phone_number(number);
  request.mutable_max_staleness();  // zero: ask the provider
  v1::GetNumberResponse response;
  const auto pushback = [&](grpc::StatusCode code) {
    const auto context = Context();
    EXPECT_EQ(stub_->GetNumber(context.get(), request, &response).error_code(), code);
    const auto& trailers = context->GetServerTrailingMetadata();
    const auto found = trailers.find("grpc-retry-pushback-ms");
    return found == trailers.end() ? "none"
                                   : std::string(found->second.data(), found->second.size());
  };
  Fault(R"({"route":"GET /{number}","count":1,"kind":"status","status":403})");
  EXPECT_EQ(pushback(StatusCode::PERMISSION_DENIED), "none");
  Fault(R"({"route":"GET /{number}","count":1,"kind":"status","status":429,"retry_after":"7"})");
  EXPECT_EQ(pushback(StatusCode::RESOURCE_EXHAUSTED), "7000");
}

TEST_F(GatewayTest, CallerWhoGoesAwayDoesNotStopASentPost) {
  StartGateway();
  const std::string number = FirstAvailable();
  Fault(
      R"({"route":"POST /lease/{number}","count":1,"kind":"delay","delay_ms":2000,"when":"before"})");
  EXPECT_EQ(Lease(number, nullptr, 1000).error_code(), StatusCode::ABORTED);
  // The gateway waits for the answer; its connection goes back to the pool and is used again.
  for (int i = 0; i < 1000 && CountInLedger("lease", number) == 0; ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  EXPECT_EQ(CountInLedger("lease", number), 1);
  v1::GetNumberResponse response;
  ASSERT_TRUE(Get(number, &response).ok());
  EXPECT_EQ(response.number().status(), v1::NUMBER_STATUS_LEASED);
}

TEST_F(GatewayTest, DeadlineIsPassedOn) {
  StartGateway([](Config& config) { config.default_deadline = std::chrono::milliseconds(200); });
  const std::string number = FirstAvailable();
  Fault(R"({"route":"*","count":1,"kind":"hang"})");
  v1::GetNumberRequest request;
  request.set_phone_number(number);
  request.mutable_max_staleness();  // zero: ask the provider
  v1::GetNumberResponse response;
  grpc::ClientContext without_deadline;
  const auto failure = Explain(stub_->GetNumber(&without_deadline, request, &response));
  EXPECT_EQ(failure.code, StatusCode::DEADLINE_EXCEEDED);
  EXPECT_EQ(failure.reason, "DEADLINE");
}

TEST_F(GatewayTest, FullQueueIsOverloaded) {
  StartGateway([](Config& config) {
    config.pool_size = 1;
    config.pool_queue = 1;
    config.pool_wait = std::chrono::seconds(10);
  });
  const std::string number = FirstAvailable();
  Fault(R"({"route":"*","count":3,"kind":"delay","delay_ms":500,"when":"before"})");
  std::atomic<int> overloaded{0};
  std::vector<std::thread> callers;
  for (int i = 0; i < 3; ++i) {
    callers.emplace_back([&] {
      const auto failure = Explain(Get(number));
      overloaded += failure.code == StatusCode::RESOURCE_EXHAUSTED &&
                    failure.reason == "OVERLOADED" && failure.detail_types.count("RetryInfo") == 1;
    });
  }
  for (auto& caller : callers) caller.join();
  EXPECT_EQ(overloaded, 1);
}

TEST_F(GatewayTest, UnreachableProvider) {
  StartGateway([](Config& config) { config.upstream_url = "https://127.0.0.1:1/numbers"; });
  const auto failure = Explain(Get("+13059478667"));
  EXPECT_EQ(failure.code, StatusCode::UNAVAILABLE);
  EXPECT_EQ(failure.reason, "UPSTREAM_UNREACHABLE");
  EXPECT_EQ(failure.info.metadata().at("request_sent"), "false");
}

TEST_F(GatewayTest, BodyPastTheLimit) {
  StartGateway([](Config& config) { config.max_body_bytes = 2000; });
  v1::ListAvailableNumbersResponse response;
  const auto status = stub_->ListAvailableNumbers(Context().get(), {}, &response);
  EXPECT_EQ(Explain(status).reason, "UPSTREAM_MALFORMED");
  EXPECT_NE(status.error_message().find("max_body_bytes, 2000"), std::string::npos);
}

TEST_F(GatewayTest, RefusesAnUnknownAuthority) {
  StartGateway([](Config& config) { config.upstream_ca_file = ""; });
  const auto status = Get("+13059478667");
  EXPECT_EQ(status.error_code(), StatusCode::UNAVAILABLE);
  EXPECT_EQ(Explain(status).reason, "UPSTREAM_TLS");
  EXPECT_NE(status.error_message().find("certificate"), std::string::npos);
}

TEST_F(GatewayTest, RefusesAnExpiredCertificate) {
  sandbox::SandboxOptions options;
  options.certificate_days = 0;
  StartGateway(nullptr, options);
  const auto status = Get("+13059478667");
  EXPECT_EQ(Explain(status).reason, "UPSTREAM_TLS");
  EXPECT_NE(status.error_message().find("expired"), std::string::npos) << status.error_message();
}

TEST_F(GatewayTest, RefusesACertificateForAnotherHost) {
  // Listening everywhere, the sandbox has a certificate for localhost and 127.0.0.1, not for
  // 127.0.0.2.
  sandbox::SandboxOptions options;
  options.address = "0.0.0.0";
  StartGateway(
      [this](Config& config) {
        const std::string url = sandbox_->url();
        config.upstream_url = "https://127.0.0.2" + url.substr(url.rfind(':'));
      },
      options);
  const auto status = Get("+13059478667");
  EXPECT_EQ(Explain(status).reason, "UPSTREAM_TLS") << status.error_message();
  EXPECT_NE(status.error_message().find("mismatch"), std::string::npos) << status.error_message();
}

TEST_F(GatewayTest, WrongKeyIsTheGatewaysOwnFault) {
  StartGateway([](Config& config) { config.api_key = "contiguity_sk_wrong"; });
  const auto failure = Explain(Get("+13059478667"));
  EXPECT_EQ(failure.code, StatusCode::FAILED_PRECONDITION);
  EXPECT_EQ(failure.reason, "UPSTREAM_CREDENTIALS_REJECTED");
}

TEST_F(GatewayTest, KeyThatIsReplacedOnDiskIsUsedFromTheNextRequestOn) {
  const std::string path = testing::TempDir() + "/api-key-" + std::to_string(getpid());
  StartGateway([&](Config& config) {
    config.api_key = "contiguity_sk_wrong";
    std::ofstream(path) << config.api_key;
    config.upstream_token_file = path;
    config.file_refresh = std::chrono::milliseconds(100);
  });
  EXPECT_EQ(Explain(Get("+13059478667")).reason, "UPSTREAM_CREDENTIALS_REJECTED");
  std::ofstream(path + ".new") << sandbox_->key() << "\n";
  std::filesystem::rename(path + ".new", path);
  const auto give_up = std::chrono::steady_clock::now() + std::chrono::seconds(20);
  grpc::Status status;
  do {
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    status = Get("+13059478667");
  } while (Explain(status).reason == "UPSTREAM_CREDENTIALS_REJECTED" &&
           std::chrono::steady_clock::now() < give_up);
  EXPECT_NE(FirstAvailable(), "") << status.error_message();
  std::filesystem::remove(path);
}

TEST_F(GatewayTest, TokenSchemeIsAcceptedToo) {
  StartGateway([](Config& config) { config.auth_scheme = "Token"; });
  EXPECT_NE(FirstAvailable(), "");
}

TEST_F(GatewayTest, BadArgumentsNameFieldValueAndRule) {
  StartGateway();
  v1::CreateLeaseRequest request;
  request.set_phone_number("0123");
  request.set_request_id("one");
  v1::CreateLeaseResponse response;
  const auto failure = Explain(stub_->CreateLease(Context().get(), request, &response));
  EXPECT_EQ(failure.code, StatusCode::INVALID_ARGUMENT);
  EXPECT_EQ(failure.reason, "INVALID_PHONE_NUMBER");
  ASSERT_EQ(failure.bad_request.field_violations_size(), 2);
  EXPECT_EQ(failure.bad_request.field_violations(0).field(), "phone_number");
  EXPECT_NE(failure.bad_request.field_violations(0).description().find("\"0123\""),
            std::string::npos);
  EXPECT_EQ(failure.bad_request.field_violations(1).field(), "request_id");
}

TEST_F(GatewayTest, TakenPortIsAClearError) {
  StartGateway();
  Config config;
  config.listen = target_;
  config.sandbox = true;
  const auto second = Server::Start(config);
  ASSERT_FALSE(second.ok());
  EXPECT_NE(second.status().message().find(target_), absl::string_view::npos);
}

// Many calls at once over 64 connections; then the same cancelled: the places come free.
TEST_F(GatewayTest, ManyConcurrentCallsAndTheirCancellation) {
  constexpr int kCalls = CONCURRENT_CALLS;
  StartGateway([](Config& config) { config.pool_wait = std::chrono::minutes(1); });
  const std::string number = FirstAvailable();
  const auto run = [&](bool cancel) {
    struct Call {
      grpc::ClientContext context;
      v1::GetNumberRequest request;
      v1::GetNumberResponse response;
    };
    std::vector<std::unique_ptr<Call>> calls;
    std::mutex mutex;
    std::condition_variable all_done;
    int done = 0;
    int ok = 0;
    for (int i = 0; i < kCalls; ++i) {
      calls.push_back(std::make_unique<Call>());
      Call& call = *calls.back();
      call.request.set_phone_number(number);
      call.request.mutable_max_staleness();  // zero: ask the provider
      call.context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(60));
      stub_->async()->GetNumber(&call.context, &call.request, &call.response,
                                [&](const grpc::Status& status) {
                                  const std::lock_guard lock(mutex);
                                  ok += status.ok();
                                  if (++done == kCalls) all_done.notify_one();
                                });
    }
    if (cancel) {
      for (auto& call : calls) call->context.TryCancel();
    }
    std::unique_lock lock(mutex);
    EXPECT_TRUE(all_done.wait_for(lock, std::chrono::seconds(70), [&] { return done == kCalls; }));
    return ok;
  };
  EXPECT_EQ(run(false), kCalls);
  Fault(R"({"route":"GET /{number}","count":1000,"kind":"hang"})");
  EXPECT_EQ(run(true), 0);
  sandbox_->Control("DELETE", "/_sandbox/faults", "").IgnoreError();
  EXPECT_EQ(run(false), kCalls);
}

// Calls in flight at the drain finish; none fails.
TEST_F(GatewayTest, DrainLetsCallsFinish) {
  StartGateway();
  const std::string number = FirstAvailable();
  Fault(R"({"route":"*","count":20,"kind":"delay","delay_ms":300,"when":"before"})");
  std::atomic<int> ok{0};
  std::vector<std::thread> callers;
  for (int i = 0; i < 20; ++i) callers.emplace_back([&] { ok += Get(number).ok(); });
  // The drain begins once the provider has them all.
  for (int i = 0; i < 200; ++i) {
    const auto left = sandbox_->Control("GET", "/_sandbox/faults", "");
    if (left.ok() && left->find("delay") == std::string::npos) break;
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  server_->Drain();
  for (auto& caller : callers) caller.join();
  EXPECT_EQ(ok, 20);
}

}  // namespace
}  // namespace leasegateway
