// The admin port of a running gateway, and what callers' trace context becomes.

#include <gmock/gmock.h>

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <list>
#include <map>
#include <regex>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "service/admin/metric_declarations.h"
#include "service/process/logging.h"
#include "tests/support/gateway_fixture.h"
#include "tests/support/http_client.h"

namespace leasegateway {
namespace {

using std::chrono::milliseconds;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr char kTrace[] = "4bf92f3577b34da6a3ce929d0e0e4736";
constexpr char kSpan[] = "00f067aa0ba902b7";

class AdminTest : public GatewayTest {
 protected:
  void StartWithAdmin(const std::function<void(Config&)>& adjust = nullptr) {
    StartGateway([&](Config& config) {
      config.admin_listen = "127.0.0.1:0";
      if (adjust) adjust(config);
    });
  }
  HttpAnswer Ask(const std::string& path) { return Http(server_->admin_port(), "GET", path); }

  // Samples by name with labels, as they stand in the text.
  std::map<std::string, double> Scrape() {
    const HttpAnswer answer = Ask("/metrics");
    EXPECT_EQ(answer.status, 200);
    std::map<std::string, double> samples;
    std::istringstream text(answer.body);
    for (std::string line; std::getline(text, line);) {
      const auto space = line.rfind(' ');
      if (!line.starts_with("#")) samples[line.substr(0, space)] = std::stod(line.substr(space));
    }
    return samples;
  }
  // The sum of a metric's samples whose labels have all that `labels` says.
  static double Sum(const std::map<std::string, double>& samples, const std::string& name,
                    const std::vector<std::string>& labels = {}) {
    double sum = 0;
    for (const auto& [key, value] : samples) {
      const bool matches = key.substr(0, key.find('{')) == name &&
                           std::all_of(labels.begin(), labels.end(), [&](const auto& label) {
                             return key.find(label) != key.npos;
                           });
      if (matches) sum += value;
    }
    return sum;
  }
};

TEST_F(AdminTest, EveryDeclaredMetricIsThereAndThoseOfCallsMove) {
  StartWithAdmin();
  const auto before = Scrape();
  const std::string number = FirstAvailable();
  ASSERT_NE(number, "");
  FirstAvailable();  // from memory
  v1::GetNumberRequest bad;
  bad.set_phone_number("nonsense");
  v1::GetNumberResponse ignored;
  EXPECT_EQ(stub_->GetNumber(Context().get(), bad, &ignored).error_code(),
            grpc::StatusCode::INVALID_ARGUMENT);
  v1::ListLeasesResponse leases;
  EXPECT_TRUE(stub_->ListLeases(Context().get(), {}, &leases).ok());
  EXPECT_TRUE(Lease(number).ok());
  auto watch_context = Context();
  auto watch = stub_->WatchAvailability(watch_context.get(), {});
  v1::WatchAvailabilityResponse state;
  ASSERT_TRUE(watch->Read(&state));
  const auto after = Scrape();

  std::set<std::string> names;
  for (const auto& [key, value] : after) names.insert(key.substr(0, key.find('{')));
  for (const MetricDeclaration& metric : MetricDeclarations()) {
    // It has no database that it shares.
    const bool shared = std::regex_match(
        metric.name, std::regex("lease_gateway_(database|replica|news|shared_lists).*"));
    EXPECT_NE(names.contains(metric.name + (metric.type == "histogram" ? "_count" : "")), shared)
        << metric.name;
  }
  const auto grown = [&](const std::string& name, const std::vector<std::string>& labels = {}) {
    return Sum(after, name, labels) - Sum(before, name, labels);
  };
  const std::string list = "grpc_method=\"ListAvailableNumbers\"";
  EXPECT_EQ(grown("grpc_server_started_total", {list}), 2);
  EXPECT_EQ(grown("grpc_server_handled_total", {list, "grpc_code=\"OK\""}), 2);
  EXPECT_EQ(grown("grpc_server_handling_seconds_count", {list}), 2);
  EXPECT_GT(grown("grpc_server_handling_seconds_sum", {list}), 0);
  EXPECT_EQ(grown("grpc_server_handled_total",
                  {"grpc_method=\"GetNumber\"", "grpc_code=\"InvalidArgument\""}),
            1);
  EXPECT_EQ(grown("grpc_server_started_total", {"grpc_method=\"WatchAvailability\""}), 1);
  EXPECT_EQ(Sum(after, "lease_gateway_watchers"), 1);
  EXPECT_GE(grown("lease_gateway_upstream_attempts_total",
                  {"operation=\"create_lease\"", "outcome=\"ok\""}),
            1);
  EXPECT_GE(grown("lease_gateway_upstream_attempt_seconds_count"), 3);
  for (const char* phase : {"resolve", "connect", "handshake", "send", "wait", "read"}) {
    const std::string label = std::string("phase=\"") + phase + "\"";
    EXPECT_GE(grown("lease_gateway_upstream_phase_seconds_count", {label}), 1) << phase;
  }
  EXPECT_GE(Sum(after, "lease_gateway_upstream_connections"), 1);
  EXPECT_EQ(Sum(after, "lease_gateway_upstream_breaker_state", {"\"closed\""}), 1);
  EXPECT_GT(Sum(after, "lease_gateway_upstream_service_time_seconds"), 0);
  EXPECT_GT(Sum(after, "lease_gateway_upstream_retry_budget"), 0);
  EXPECT_EQ(grown("lease_gateway_cache_requests_total", {"\"fresh\""}), 1);
  EXPECT_GE(grown("lease_gateway_cache_requests_total", {"\"miss\""}), 2);
  EXPECT_GE(grown("lease_gateway_cache_refreshes_total", {"\"available\"", "\"ok\""}), 1);
  EXPECT_GT(Sum(after, "lease_gateway_cache_numbers", {"\"available\""}), 10);
  EXPECT_GT(Sum(after, "lease_gateway_cache_bytes"), 1'000);
  EXPECT_EQ(Sum(after, "lease_gateway_journal_operations", {"\"succeeded\""}), 1);
  EXPECT_GE(grown("lease_gateway_journal_commits_total"), 1);
  EXPECT_EQ(Sum(after, "lease_gateway_journal_writable"), 1);
  EXPECT_GT(Sum(after, "process_resident_memory_bytes"), 1 << 20);
  EXPECT_GT(Sum(after, "process_open_fds"), 3);
  watch_context->TryCancel();
  watch->Finish();
}

TEST_F(AdminTest, AProviderThatIsDownShowsAndLeavesAWarmGatewayReady) {
  StartWithAdmin([](Config& config) { config.retry_attempts = 2; });
  const std::string number = FirstAvailable();
  Fault(R"({"route":"*","kind":"status","status":503,"fraction":1})");
  EXPECT_EQ(Get(number).error_code(), grpc::StatusCode::UNAVAILABLE);
  const auto samples = Scrape();
  EXPECT_GE(Sum(samples, "lease_gateway_upstream_attempts_total",
                {"\"get_number\"", "outcome=\"failed\""}),
            2);
  EXPECT_GE(Sum(samples, "lease_gateway_upstream_retries_total", {"\"allowed\""}), 1);
  EXPECT_GE(Sum(samples, "lease_gateway_cache_refreshes_total", {"\"numbers\"", "\"failed\""}), 1);
  EXPECT_EQ(Sum(samples, "grpc_server_handled_total",
                {"grpc_method=\"GetNumber\"", "grpc_code=\"Unavailable\""}),
            1);
  EXPECT_EQ(Ask("/readyz").status, 200);
}

TEST_F(AdminTest, ColdGatewayIsUnreadyWhileItsKeyIsRefused) {
  StartWithAdmin();
  EXPECT_EQ(Ask("/readyz").status, 200);
  config_.api_key = "contiguity_sk_another";
  Serve();
  v1::ListAvailableNumbersResponse response;
  EXPECT_FALSE(stub_->ListAvailableNumbers(Context().get(), {}, &response).ok());
  const HttpAnswer answer = Ask("/readyz");
  EXPECT_EQ(answer.status, 503);
  EXPECT_THAT(answer.body, HasSubstr("the provider does not take the gateway's API key"));
  EXPECT_THAT(Ask("/metrics").body,
              HasSubstr("lease_gateway_upstream_credentials_rejected{account=\"default\"} 1\n"));
  EXPECT_EQ(Ask("/livez").status, 200);
}

TEST_F(AdminTest, UnreadyGatewayFindsOutThatItsKeyIsTakenAgain) {
  StartWithAdmin();
  Fault(R"({"route":"GET /leases","kind":"status","status":401,"count":1})");
  v1::ListAvailableNumbersResponse response;
  EXPECT_FALSE(stub_->ListAvailableNumbers(Context().get(), {}, &response).ok());
  // The look that says no asks the provider itself.
  int status = 0;
  for (int i = 0; i < 1'000 && status != 200; ++i) {
    status = Ask("/readyz").status;
    std::this_thread::sleep_for(milliseconds(10));
  }
  EXPECT_EQ(status, 200);
}

TEST_F(AdminTest, AScrapeFindsThatOutWhereNobodyAsksForReadiness) {
  // Lists that nobody reads are not refreshed.
  StartWithAdmin([](Config& config) { config.cache_idle = milliseconds(0); });
  Fault(R"({"route":"GET /leases","kind":"status","status":401,"count":1})");
  v1::ListAvailableNumbersResponse response;
  EXPECT_FALSE(stub_->ListAvailableNumbers(Context().get(), {}, &response).ok());
  double refused = 1;
  for (int i = 0; i < 1'000 && refused != 0; ++i) {
    std::this_thread::sleep_for(milliseconds(10));
    refused = Sum(Scrape(), "lease_gateway_upstream_credentials_rejected");
  }
  EXPECT_EQ(refused, 0);
}

// Or the alert would stay for as long as nobody reads that list.
TEST_F(AdminTest, ListThatWasForbiddenOnceIsAskedForAgain) {
  StartWithAdmin();
  FirstAvailable();
  const std::string metric = "lease_gateway_upstream_credentials_rejected{account=\"default\"} ";
  EXPECT_THAT(Ask("/metrics").body, HasSubstr(metric + "0\n"));
  Fault(R"({"route":"GET /leased","kind":"status","status":403,"count":1})");
  v1::ListLeasesResponse response;
  EXPECT_FALSE(stub_->ListLeases(Context().get(), {}, &response).ok());
  // Nobody reads it, and memory has the numbers: it is the look itself that asks.
  const HttpAnswer ready = Ask("/readyz");
  EXPECT_EQ(ready.status, 200);
  EXPECT_THAT(ready.body, HasSubstr("the provider forbids lists to the gateway's API key"));
  std::string text;
  for (int i = 0; i < 1'000 && text.find(metric + "0\n") == std::string::npos; ++i) {
    std::this_thread::sleep_for(milliseconds(10));
    text = Ask("/metrics").body;
  }
  EXPECT_THAT(text, HasSubstr(metric + "0\n"));
  EXPECT_EQ(Ask("/readyz").body, "ready\n");
}

TEST_F(AdminTest, WarmGatewayStaysReadyWithARefusedKey) {
  StartWithAdmin();
  const std::string number = FirstAvailable();
  Fault(R"({"route":"*","kind":"status","status":401,"fraction":1})");
  EXPECT_FALSE(Get(number).ok());
  const HttpAnswer answer = Ask("/readyz");
  EXPECT_EQ(answer.status, 200);
  EXPECT_THAT(answer.body, HasSubstr("memory still answers"));
}

TEST_F(AdminTest, GatewayWithARefusedKeyIsUnreadyOnceMemoryAnswersNoMore) {
  StartWithAdmin([](Config& config) {
    config.cache_fresh = config.cache_stale_while_revalidate = milliseconds(50);
    config.cache_stale_if_error = milliseconds(100);
  });
  const std::string number = FirstAvailable();
  Fault(R"({"route":"*","kind":"status","status":401,"fraction":1})");
  EXPECT_FALSE(Get(number).ok());
  std::this_thread::sleep_for(milliseconds(150));
  EXPECT_EQ(Ask("/readyz").status, 503);
}

TEST_F(AdminTest, JournalThatCanNotBeWrittenIsSaidAndLeavesTheGatewayReady) {
  const auto folder =
      std::filesystem::path(testing::TempDir()) / ("admin-journal-" + std::to_string(getpid()));
  std::filesystem::create_directories(folder);
  StartWithAdmin([&](Config& config) { config.journal = folder / "journal.db"; });
  const std::string number = FirstAvailable();
  std::filesystem::rename(folder / "journal.db", folder / "moved.db");
  EXPECT_EQ(Lease(number).error_code(), grpc::StatusCode::FAILED_PRECONDITION);
  HttpAnswer answer = Ask("/readyz");
  EXPECT_EQ(answer.status, 200);
  EXPECT_THAT(answer.body, HasSubstr("purchases can't be written down"));
  std::filesystem::rename(folder / "moved.db", folder / "journal.db");
  for (int i = 0; i < 3'000 && answer.body.find("written down") != answer.body.npos; ++i) {
    std::this_thread::sleep_for(milliseconds(10));
    answer = Ask("/readyz");
  }
  EXPECT_THAT(answer.body, Not(HasSubstr("written down")));
  EXPECT_TRUE(Lease(number).ok());
  server_.reset();
  std::filesystem::remove_all(folder);
}

TEST_F(AdminTest, UnreadyFromTheBeginningOfTheDrainAndThereUntilTheEnd) {
  StartWithAdmin([](Config& config) { config.drain_wait = milliseconds(1'500); });
  EXPECT_EQ(Ask("/readyz").status, 200);
  const int draining = server_->admin_port();
  std::thread drain([&] { server_->Drain(); });
  HttpAnswer answer;
  for (int i = 0; i < 100'000 && answer.status != 503; ++i) {
    answer = Http(draining, "GET", "/readyz");
  }
  EXPECT_EQ(answer.status, 503);
  EXPECT_THAT(answer.body, HasSubstr("it drains"));
  drain.join();
  EXPECT_EQ(Http(draining, "GET", "/livez").status, 200);
  EXPECT_THAT(Http(draining, "GET", "/metrics").body,
              HasSubstr("lease_gateway_watchers{account=\"default\"} 0\n"));
  server_.reset();
  EXPECT_EQ(Http(draining, "GET", "/livez").status, 0);
}

TEST_F(AdminTest, ScrapesAreAnsweredWhileTwoThousandSlowClientsComeAndItCountsThem) {
  StartWithAdmin();
  // What they send, and no more; none reads.
  const std::vector<std::string> parts = {
      "", "GET /readyz HTTP/1.1\r\nhost:",
      "PUT /loglevel HTTP/1.1\r\nhost: x\r\ncontent-length: 10\r\n\r\nlevel",
      "GET /metrics HTTP/1.1\r\nhost: x\r\n\r\n"};
  std::list<HttpClient> held;
  std::map<std::string, double> samples;
  for (std::uint32_t i = 0; i < 2'000; ++i) {
    if (held.size() == 500) held.pop_front();
    HttpClient& client = held.emplace_back(server_->admin_port(), INADDR_LOOPBACK,
                                           0x7f000100 + i / 20);  // 127.0.1.0 and on
    ASSERT_TRUE(client.connected());
    client.Send(parts[i % parts.size()]);
    if (i % 200 != 199) continue;
    const auto began = std::chrono::steady_clock::now();
    samples = Scrape();
    EXPECT_LT(std::chrono::steady_clock::now() - began, std::chrono::seconds(4));
  }
  const std::string lost = "lease_gateway_admin_connections_lost_total";
  EXPECT_GT(Sum(samples, lost, {"\"made_room\""}), 500);
  EXPECT_EQ(Sum(samples, lost, {"\"max_connections\""}), 0);
  EXPECT_LE(Sum(samples, "lease_gateway_admin_connections"), 256);
  EXPECT_GT(Sum(samples, "lease_gateway_admin_connections"), 100);
}

TEST_F(AdminTest, ShowsTheConfigurationWithoutTheKey) {
  StartWithAdmin();
  const HttpAnswer answer = Ask("/config");
  EXPECT_THAT(answer.body, HasSubstr("admin_listen: \"127.0.0.1:0\""));
  EXPECT_THAT(answer.body, HasSubstr("REDACTED"));
  EXPECT_THAT(answer.body, Not(HasSubstr(sandbox_->key())));
}

TEST_F(AdminTest, ATakenPortIsAnErrorOfTheStart) {
  StartWithAdmin();
  Config config = config_;
  config.admin_listen = "127.0.0.1:" + std::to_string(server_->admin_port());
  const auto second = Server::Start(config);
  ASSERT_FALSE(second.ok());
  EXPECT_THAT(std::string(second.status().message()), HasSubstr("is the port taken?"));
}

TEST_F(AdminTest, NoAdminPortUnlessAsked) {
  StartGateway();
  EXPECT_EQ(server_->admin_port(), 0);
}

class TraceTest : public AdminTest {
 protected:
  // What the sandbox got with its latest request.
  std::string Sent(const std::string& header) {
    const auto reply = sandbox_->Control("GET", "/_sandbox/requests", "");
    EXPECT_TRUE(reply.ok()) << reply.status();
    std::smatch found;
    const bool there =
        std::regex_search(*reply, found, std::regex("\"" + header + "\": *\"([^\"]*)\""));
    return there ? found[1].str() : "none";
  }
  // Asks for a number, past memory, with this metadata.
  void Ask(const std::vector<std::pair<std::string, std::string>>& metadata) {
    v1::GetNumberRequest request;
    request.set_phone_number(number_);
    request.mutable_max_staleness()->set_seconds(0);
    v1::GetNumberResponse response;
    const auto context = Context();
    for (const auto& [key, value] : metadata) context->AddMetadata(key, value);
    const auto status = stub_->GetNumber(context.get(), request, &response);
    EXPECT_TRUE(status.ok()) << status.error_message();
  }
  void SetUp() override {
    StartGateway([](Config& config) { config.cache_fresh = std::chrono::hours(1); });
    number_ = FirstAvailable();
  }
  // Serves anew, with this log; no thread of a gateway may see its loggers change.
  void ServeWithLog(std::ostringstream& log, const char* format) {
    server_.reset();
    InitLoggingTo(log, "info", format);
    Serve();
  }
  std::string number_;
};

TEST_F(TraceTest, TheCallersTraceGoesOnToTheProviderAndIntoTheLog) {
  std::ostringstream log;
  ServeWithLog(log, "text");
  const std::string parent = std::string("00-") + kTrace + "-" + kSpan + "-01";
  Ask({{"traceparent", parent}, {"tracestate", "a=1"}, {"tracestate", "b=2"}});
  const std::string first = Sent("traceparent");
  EXPECT_THAT(first, HasSubstr(std::string("00-") + kTrace + "-"));
  EXPECT_THAT(first, Not(HasSubstr(kSpan)));
  EXPECT_EQ(first.substr(53), "01");
  const std::string tracestate = Sent("tracestate");
  EXPECT_TRUE(tracestate == "a=1,b=2" || tracestate == "b=2,a=1") << tracestate;
  Ask({{"traceparent", parent}});
  EXPECT_NE(Sent("traceparent"), first);  // a span an exchange
  EXPECT_EQ(Sent("tracestate"), "");
  server_.reset();
  ShutdownLogging();
  EXPECT_THAT(log.str(), HasSubstr(std::string("trace_id=") + kTrace));
  EXPECT_THAT(log.str(), HasSubstr("span_id="));
  EXPECT_THAT(log.str(),
              Not(HasSubstr(first.substr(36, 16))));  // the call's own, not the exchange's
}

TEST_F(TraceTest, BeginsATraceWhereThereIsNoneByTheRules) {
  std::set<std::string> traces;
  Ask({});
  traces.insert(Sent("traceparent").substr(0, 35));
  const std::string upper = "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01";
  Ask({{"traceparent", upper}, {"tracestate", "a=1"}});
  traces.insert(Sent("traceparent").substr(0, 35));
  EXPECT_EQ(Sent("tracestate"), "");
  const std::string good = std::string("00-") + kTrace + "-" + kSpan + "-01";
  Ask({{"traceparent", good}, {"traceparent", good}});  // twice is none
  traces.insert(Sent("traceparent").substr(0, 35));
  EXPECT_EQ(traces.size(), 3U);
  for (const std::string& trace : traces) {
    EXPECT_TRUE(std::regex_match(trace, std::regex("00-[0-9a-f]{32}"))) << trace;
    EXPECT_EQ(trace.find(kTrace), trace.npos);
  }
}

TEST_F(TraceTest, ALoggedHitHasItsTrace) {
  config_.access_log_hits = 1;
  std::ostringstream log;
  ServeWithLog(log, "json");
  FirstAvailable();
  const auto context = Context();
  context->AddMetadata("traceparent", std::string("00-") + kTrace + "-" + kSpan + "-00");
  v1::ListAvailableNumbersResponse response;
  EXPECT_TRUE(stub_->ListAvailableNumbers(context.get(), {}, &response).ok());
  server_.reset();
  ShutdownLogging();
  EXPECT_THAT(log.str(), HasSubstr(std::string("\"trace_id\":\"") + kTrace + "\""));
  EXPECT_THAT(log.str(), Not(HasSubstr("sampled")));
}

TEST_F(TraceTest, OneHitInSoManyIsLogged) {
  constexpr int kEach = 5;
  constexpr int kCalls = 1'000;
  config_.access_log_hits = kEach;
  std::ostringstream log;
  ServeWithLog(log, "json");
  FirstAvailable();
  for (int i = 0; i < kCalls; ++i) {
    v1::ListAvailableNumbersResponse response;
    ASSERT_TRUE(stub_->ListAvailableNumbers(Context().get(), {}, &response).ok());
  }
  server_.reset();
  ShutdownLogging();
  const std::string text = log.str();
  const std::string sampled = absl::StrCat("\"sampled\":", kEach, ",");
  int lines = 0;
  for (auto at = text.find(sampled); at != text.npos; at = text.find(sampled, at + 1)) ++lines;
  // Each of gRPC's threads may be short of its next turn.
  EXPECT_LE(lines, kCalls / kEach);
  EXPECT_GE(lines, kCalls / kEach - 64);
}

}  // namespace
}  // namespace leasegateway
