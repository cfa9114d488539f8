// What stands between the gateway and the provider answers in its place: nobody is told that an
// argument, a number or the API key is wrong, reads go on from memory, and no write is believed to
// be refused. And what the provider itself says of the key.

#include <gmock/gmock.h>

#include <thread>

#include "absl/strings/str_cat.h"
#include "tests/support/availability_fixture.h"
#include "tests/support/http_client.h"

namespace leasegateway {
namespace {

using grpc::StatusCode;
using std::chrono::milliseconds;
using ::testing::HasSubstr;
using ::testing::Not;

class RoadTest : public AvailabilityTest {
 protected:
  // Memory has both lists, with a lease, and answers alone only while the provider gives no answer.
  void StartWarm() {
    StartGateway([](Config& config) {
      config.retry_attempts = 1;
      config.cache_fresh = milliseconds(20);
      config.cache_stale_while_revalidate = milliseconds(0);
      config.admin_listen = "127.0.0.1:0";
    });
    leased_ = FirstAvailable();
    ASSERT_TRUE(Lease(leased_).ok());
    MustList();
    EXPECT_EQ(Leases().leases_size(), 1);
    number_ = FirstAvailable();
  }
  // For as long as it is there.
  void Always(const std::string& route, const std::string& fault) {
    Fault(absl::StrCat(R"({"route":")", route, R"(","fraction":1,)", fault, "}"));
  }
  // Until memory has stood in for the provider; all reads until then are answered too.
  void ExpectReadsFromMemory() {
    EXPECT_TRUE(Eventually([&] { return MustList().numbers_size() > 0 && IsFromMemory(); }))
        << cache_status_;
    EXPECT_TRUE(Eventually([&] { return Leases().leases_size() == 1 && IsFromMemory(); }))
        << cache_status_;
    v1::GetNumberResponse response;
    EXPECT_TRUE(Eventually([&] {
      const auto status = Find(number_, &response);
      EXPECT_TRUE(status.ok()) << status.error_message();
      return IsFromMemory();
    })) << cache_status_;
    EXPECT_EQ(response.number().phone_number(), number_);
  }
  bool IsFromMemory() const {
    return cache_status_.find("detail=stale-if-error") != std::string::npos;
  }
  HttpAnswer Ask(const std::string& path) { return Http(server_->admin_port(), "GET", path); }
  Failure Configure(const std::string& number) {
    v1::ConfigureFailoverRequest request;
    request.set_phone_number(number);
    request.mutable_failover()->set_enabled(false);
    v1::ConfigureFailoverResponse response;
    return Explain(stub_->ConfigureFailover(Context().get(), request, &response));
  }
  Failure ListPastMemory() {
    ListRequest request;
    request.mutable_max_staleness();  // zero: ask the provider
    ListResponse response;
    return Explain(List(request, &response));
  }

  std::string leased_;
  std::string number_;
};

class MiddlemanTest : public RoadTest, public testing::WithParamInterface<int> {};

TEST_P(MiddlemanTest, SaysNothingOfKeyArgumentOrNumber) {
  StartWarm();
  Always("*", absl::StrCat(R"("kind":"html","status":)", GetParam(),
                           R"(,"server":"squid/5.7","via":"1.1 proxy.corp")"));
  const auto failure = ListPastMemory();
  EXPECT_EQ(failure.code, StatusCode::UNAVAILABLE);
  EXPECT_EQ(failure.reason, "UPSTREAM_INTERMEDIARY");
  EXPECT_EQ(failure.detail_types.count("RetryInfo"), 1U);
  const auto& metadata = failure.info.metadata();
  EXPECT_EQ(metadata.at("http_status"), std::to_string(GetParam()));
  EXPECT_EQ(metadata.at("server"), "squid/5.7");
  EXPECT_EQ(metadata.at("via"), "1.1 proxy.corp");
  EXPECT_EQ(metadata.at("content_type"), "text/html; charset=utf-8");
  EXPECT_EQ(Explain(Get(number_)).reason, "UPSTREAM_INTERMEDIARY");
  ExpectReadsFromMemory();
  EXPECT_THAT(Ask("/readyz").body, Not(HasSubstr("key")));
  EXPECT_EQ(Ask("/readyz").status, 200);
  const std::string metrics = Ask("/metrics").body;
  EXPECT_THAT(metrics,
              HasSubstr("lease_gateway_upstream_credentials_rejected{account=\"default\"} 0\n"));
  EXPECT_THAT(metrics, Not(HasSubstr(R"(operation="get_number",outcome="intermediary"} 0)")));
}

// A purchase that it answers before the provider has it is made all the same, once; one that it
// answers afterwards was made; and other writes are not said to be refused.
TEST_P(MiddlemanTest, WritesThatItAnswersAreLookedAfter) {
  StartWarm();
  const auto numbers = Available(4);
  ASSERT_EQ(numbers.size(), 4U);
  for (const std::size_t i : {0U, 1U}) {
    const char* when = i == 0 ? "before" : "after";
    const std::string fault = absl::StrCat(R"("count":1,"kind":"html","status":)", GetParam(),
                                           R"(,"when":")", when, R"(")");
    Fault(absl::StrCat(R"({"route":"POST /lease/{number}",)", fault, "}"));
    const auto leased = Lease(numbers[i]);
    EXPECT_TRUE(leased.ok()) << when << leased.error_message();
    EXPECT_EQ(CountInLedger("lease", numbers[i]), 1) << when;
    EXPECT_EQ(CountInLedger("charge", numbers[i]), 1) << when;
    // Of another number: until the request can't arrive any more, nobody else gets that one.
    const std::string& ended_number = numbers[2 + i];
    ASSERT_TRUE(Lease(ended_number).ok());
    Fault(absl::StrCat(R"({"route":"DELETE /leased/{number}",)", fault, "}"));
    const auto ended = Terminate(ended_number);
    EXPECT_TRUE(ended.ok()) << when << ended.error_message();
    EXPECT_EQ(CountInLedger("terminate", ended_number), 1) << when;
    Fault(absl::StrCat(R"({"route":"POST /{number}/configure",)", fault, "}"));
    const auto configured = Configure(leased_);
    EXPECT_EQ(configured.code, StatusCode::ABORTED) << when;
    EXPECT_EQ(configured.reason, "OUTCOME_UNKNOWN") << when;
    EXPECT_EQ(configured.info.metadata().at("from_provider"), "false") << when;
  }
}

INSTANTIATE_TEST_SUITE_P(Statuses, MiddlemanTest,
                         testing::Values(200, 302, 400, 401, 403, 404, 407, 410, 429, 503),
                         [](const auto& row) { return absl::StrCat("S", row.param); });

TEST_F(RoadTest, MiddlemanThatAnswersEverythingOpensTheProvidersCircuit) {
  StartGateway([](Config& config) { config.retry_attempts = 1; });
  const auto numbers = Available(25);
  Always("*", R"("kind":"html","status":403)");
  std::string circuit;
  for (std::size_t i = 0; i < 100 && circuit != "provider"; ++i) {
    Get(numbers[i % 25]);
    const auto failure = ListPastMemory();
    if (failure.reason == "CIRCUIT_OPEN") circuit = failure.info.metadata().at("circuit");
  }
  EXPECT_EQ(circuit, "provider");
}

TEST_F(RoadTest, ListThatTheProviderRefusesIsItsFailureNotTheCallers) {
  for (const int status : {400, 410}) {
    StartWarm();
    for (const char* route : {"GET /leases", "GET /leased", "GET /{number}"}) {
      Always(route, absl::StrCat(R"("kind":"status","status":)",
                                 route == std::string("GET /{number}") ? 503 : status));
    }
    const auto failure = ListPastMemory();
    EXPECT_EQ(failure.code, StatusCode::UNAVAILABLE) << status;
    EXPECT_EQ(failure.reason, "UPSTREAM_FAILED") << status;
    EXPECT_EQ(failure.detail_types.count("RetryInfo"), 1U);
    ExpectReadsFromMemory();
  }
}

TEST_F(RoadTest, WhileTheProviderRefusesTheKeyReadsGoOnAndWritesSayIt) {
  for (const int status : {401, 403}) {
    StartWarm();
    Always("*", absl::StrCat(R"("kind":"status","status":)", status));
    const auto failure = ListPastMemory();
    const std::string reason =
        status == 401 ? "UPSTREAM_CREDENTIALS_REJECTED" : "UPSTREAM_FORBIDDEN";
    EXPECT_EQ(failure.reason, reason);
    ExpectReadsFromMemory();
    EXPECT_EQ(Explain(Lease(number_)).reason, reason);
    EXPECT_EQ(Explain(Terminate(leased_)).reason, reason);
    EXPECT_EQ(Configure(leased_).reason, reason);
    EXPECT_EQ(CountInLedger("lease", number_), 0);
    const HttpAnswer ready = Ask("/readyz");
    EXPECT_EQ(ready.status, 200);
    EXPECT_THAT(ready.body,
                HasSubstr(status == 401 ? "the provider does not take the gateway's API key"
                                        : "the provider forbids lists to the gateway's API key"));
    EXPECT_THAT(ready.body, HasSubstr("memory still answers"));
    EXPECT_THAT(Ask("/metrics").body,
                HasSubstr("lease_gateway_upstream_credentials_rejected{account=\"default\"} 1\n"));
    sandbox_->Control("DELETE", "/_sandbox/faults", "").IgnoreError();
    EXPECT_EQ(ListPastMemory().code, StatusCode::OK);
    Leases();
    EXPECT_TRUE(Lease(number_).ok());
  }
}

// The list that was refused is not asked for by anybody any more, not even to refresh it.
TEST_F(RoadTest, AlertEndsOnceTheKeyWorksAlthoughNobodyAsks) {
  const std::string alert = "lease_gateway_upstream_credentials_rejected{account=\"default\"} ";
  for (const int status : {401, 403}) {
    StartWarm();
    config_.cache_idle = milliseconds(0);
    Serve();
    Always("*", absl::StrCat(R"("kind":"status","status":)", status));
    v1::ListLeasesResponse response;
    EXPECT_FALSE(stub_->ListLeases(Context().get(), {}, &response).ok());
    EXPECT_NE(Ask("/metrics").body.find(alert + "1\n"), std::string::npos) << status;
    EXPECT_THAT(Ask("/readyz").body, HasSubstr("key")) << status;
    sandbox_->Control("DELETE", "/_sandbox/faults", "").IgnoreError();
    // Nobody calls from here on but those who watch it.
    const auto until = std::chrono::steady_clock::now() + std::chrono::seconds(60);
    bool is_over = false;
    while (!is_over && std::chrono::steady_clock::now() < until) {
      std::this_thread::sleep_for(milliseconds(100));
      is_over = Ask("/metrics").body.find(alert + "0\n") != std::string::npos;
    }
    EXPECT_TRUE(is_over) << status;
    EXPECT_THAT(Ask("/readyz").body, Not(HasSubstr("key"))) << status;
  }
}

}  // namespace
}  // namespace leasegateway
