#include "service/admin/metrics.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>
#include <regex>
#include <set>
#include <sstream>
#include <string>
#include <thread>
#include <type_traits>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "service/admin/metric_declarations.h"

namespace leasegateway {
namespace {

using std::chrono::milliseconds;
using std::chrono::nanoseconds;
using ::testing::Contains;
using ::testing::Each;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

CacheOutcome Fresh() {
  CacheOutcome outcome;
  outcome.forward = CacheOutcome::Forward::kHit;
  outcome.ttl = milliseconds(1);
  return outcome;
}

AccountSources Account() {
  AccountSources account;
  account.account = "default";
  auto upstream = std::make_shared<UpstreamStats>();
  upstream->guard = [] { return GuardedLeaseApi::Stats(); };
  upstream->pool = [] { return ConnectionPool::Counts{5, 2, 3}; };
  upstream->budget = [] { return RetryBudget::Stats{2.5, 1, 0}; };
  upstream->handshakes.full = 16;
  upstream->handshakes.resumed = 17;
  upstream->handshakes.failed = 18;
  upstream->lookups.found = 30;
  upstream->lookups.failed = 31;
  upstream->received.Add(UpstreamOperation::kListLeases, 31, 32);
  account.upstream = upstream;
  account.cache = [] {
    CachingLeaseApi::Stats stats;
    stats.available_age = std::chrono::seconds(3);
    stats.available.unchanged = 33;
    stats.leases.unchanged = 34;
    stats.shared = {.is_up = true,
                    .sequence = 21,
                    .pending = 22,
                    .appended = 23,
                    .loaded = 24,
                    .made = 25,
                    .made_bytes = 26,
                    .claims_given = 27,
                    .claims_refused = 28,
                    .restored = 29,
                    .failed = 30};
    return stats;
  };
  account.search = [] {
    return AvailabilitySearch::Stats{.snapshots = 8, .bytes = 9, .evicted = 10};
  };
  account.leasing = [] {
    return RecordedLeaseApi::Stats{
        .open = 4, .oldest = std::chrono::seconds(11), .adopted = 12, .ownership_lost = 13};
  };
  account.watchers = [] { return 7; };
  return account;
}

MetricSources Sources() {
  MetricSources sources;
  sources.accounts = {Account()};
  sources.calls = [] { return CallLimit::Stats{.calls = 35, .refused = 36}; };
  sources.connections = [] { return ConnectionGuard::Stats(); };
  const auto admin = std::make_shared<AdminStats>();
  admin->connections = 35;
  admin->Note(AdminLoss::kUnreadAnswer, {}, {});
  sources.admin = admin;
  sources.journal = [] { return SqliteJournal::Stats(); };
  sources.database = [] {
    return DatabaseStats{.up = true,
                         .connections = 5,
                         .committed = 14,
                         .unknown = 15,
                         .heartbeat_age = milliseconds(500),
                         .replicas = 3};
  };
  return sources;
}

// The values of service/README.md's table and of the text are the only ones that a label may have.
TEST(MetricsTest, DeclarationsAreWellFormed) {
  std::set<std::string> names;
  for (const MetricDeclaration& metric : MetricDeclarations()) {
    EXPECT_TRUE(names.insert(metric.name).second) << metric.name << " is declared twice";
    EXPECT_TRUE(std::regex_match(metric.name, std::regex("(grpc_server|lease_gateway|process)_"
                                                         "[a-z_]*[a-z]")))
        << metric.name;
    EXPECT_EQ(metric.name.ends_with("_total"), metric.type == "counter") << metric.name;
    if (metric.unit == "seconds" && metric.type != "counter") {
      EXPECT_TRUE(metric.name.ends_with("_seconds")) << metric.name;
    }
    EXPECT_FALSE(metric.help.empty()) << metric.name;
  }
}

TEST(MetricsTest, ReadmeHasTheTable) {
  std::ifstream file(SOURCE_DIR "/service/README.md");
  std::stringstream readme;
  readme << file.rdbuf();
  EXPECT_THAT(readme.str(), HasSubstr("\n" + PrintMetrics() + "\n"))
      << "put the output of lease-gateway --print-metrics into service/README.md";
}

TEST(MetricsTest, EveryDeclaredMetricIsInTheText) {
  Metrics metrics(std::make_shared<CallMetrics>());
  metrics.Attach(Sources());
  const std::string text = metrics.Text();
  for (const MetricDeclaration& metric : MetricDeclarations()) {
    EXPECT_THAT(text, HasSubstr("# TYPE " + metric.name + " " + metric.type + "\n"));
    EXPECT_TRUE(std::regex_search(
        text, std::regex("\n" + metric.name + (metric.type == "histogram" ? "_count" : "") +
                         "(\\{[^\n]*\\})? [0-9.e+-]+\n")))
        << metric.name << " has no sample";
  }
  EXPECT_THAT(text, HasSubstr("lease_gateway_calls 35\n"));
  EXPECT_THAT(text, HasSubstr("lease_gateway_calls_refused_total 36\n"));
  EXPECT_THAT(text, HasSubstr("lease_gateway_admin_connections 35\n"));
  EXPECT_THAT(
      text, HasSubstr("lease_gateway_admin_connections_lost_total{reason=\"unread_answer\"} 1\n"));
  EXPECT_THAT(
      text,
      HasSubstr("lease_gateway_upstream_connections{account=\"default\",state=\"used\"} 3\n"));
  EXPECT_THAT(
      text,
      HasSubstr(
          "lease_gateway_upstream_handshakes_total{account=\"default\",result=\"full\"} 16\n"));
  EXPECT_THAT(
      text,
      HasSubstr(
          "lease_gateway_upstream_handshakes_total{account=\"default\",result=\"resumed\"} 17\n"));
  EXPECT_THAT(
      text,
      HasSubstr(
          "lease_gateway_upstream_handshakes_total{account=\"default\",result=\"failed\"} 18\n"));
  EXPECT_THAT(
      text,
      HasSubstr("lease_gateway_upstream_lookups_total{account=\"default\",result=\"found\"} 30\n"));
  EXPECT_THAT(
      text,
      HasSubstr(
          "lease_gateway_upstream_lookups_total{account=\"default\",result=\"failed\"} 31\n"));
  for (const char* sample : {"account=\"default\",operation=\"list_leases\",kind=\"wire\"} 31\n",
                             "account=\"default\",operation=\"list_leases\",kind=\"text\"} 32\n",
                             "account=\"default\",operation=\"get_number\",kind=\"wire\"} 0\n"}) {
    EXPECT_THAT(text,
                HasSubstr(std::string("lease_gateway_upstream_received_bytes_total{") + sample));
  }
  EXPECT_THAT(
      text,
      HasSubstr(
          "lease_gateway_cache_unchanged_total{account=\"default\",list=\"available\"} 33\n"));
  EXPECT_THAT(
      text,
      HasSubstr("lease_gateway_cache_unchanged_total{account=\"default\",list=\"leases\"} 34\n"));
  EXPECT_THAT(text, HasSubstr("lease_gateway_upstream_retry_budget{account=\"default\"} 2.5\n"));
  EXPECT_THAT(
      text,
      HasSubstr("lease_gateway_cache_age_seconds{account=\"default\",list=\"available\"} 3\n"));
  EXPECT_THAT(text, HasSubstr("lease_gateway_cache_history_lists{account=\"default\"} 8\n"));
  EXPECT_THAT(text, HasSubstr("lease_gateway_cache_history_bytes{account=\"default\"} 9\n"));
  EXPECT_THAT(text,
              HasSubstr("lease_gateway_cache_history_evicted_total{account=\"default\"} 10\n"));
  EXPECT_THAT(text, HasSubstr("lease_gateway_watchers{account=\"default\"} 7\n"));
  EXPECT_THAT(text, HasSubstr("lease_gateway_journal_open_operations{account=\"default\"} 4\n"));
  EXPECT_THAT(text,
              HasSubstr("lease_gateway_oldest_open_operation_seconds{account=\"default\"} 11\n"));
  EXPECT_THAT(text, HasSubstr("lease_gateway_operations_adopted_total{account=\"default\"} 12\n"));
  EXPECT_THAT(text,
              HasSubstr("lease_gateway_operations_ownership_lost_total{account=\"default\"} 13\n"));
  EXPECT_THAT(text, HasSubstr("lease_gateway_database_up 1\n"));
  EXPECT_THAT(text,
              HasSubstr("lease_gateway_database_transactions_total{result=\"unknown\"} 15\n"));
  EXPECT_THAT(text, HasSubstr("lease_gateway_replica_heartbeat_age_seconds 0.5\n"));
  EXPECT_THAT(text, HasSubstr("lease_gateway_replicas 3\n"));
  for (const char* shared :
       {"up{} 1", "sequence{} 21", "pending_writes{} 22", "writes_total{} 23",
        "refreshes_read_total{} 24", "refreshes_made_total{} 25", "written_bytes_total{} 26",
        "claims_total{,result=\"given\"} 27", "claims_total{,result=\"refused\"} 28",
        "restored_total{} 29", "failures_total{} 30"}) {
    EXPECT_THAT(text, HasSubstr(absl::StrCat(
                          "lease_gateway_shared_lists_",
                          absl::StrReplaceAll(shared, {{"{", "{account=\"default\""}}), "\n")));
  }
}

// The lines of this account, without its label.
std::vector<std::string> LinesOf(const std::string& text, const std::string& account) {
  const std::string label = absl::StrCat("{account=\"", account, "\"");
  std::vector<std::string> lines;
  for (const auto line : absl::StrSplit(text, '\n')) {
    if (absl::StrContains(line, label)) lines.push_back(absl::StrReplaceAll(line, {{label, "{"}}));
  }
  return lines;
}

// All zero but this one.
template <typename Stats, typename Value>
auto StatsWith(Value Stats::*member, std::type_identity_t<Value> value) {
  return [member, value] {
    Stats stats;
    stats.*member = value;
    return stats;
  };
}

TEST(MetricsTest, EachAccountHasSamplesOfItsOwn) {
  Metrics metrics(std::make_shared<CallMetrics>());
  MetricSources sources = Sources();
  sources.accounts = {Account(), Account()};
  sources.accounts[0].account = "sales";
  sources.accounts[1].account = "support";
  metrics.Attach(sources);
  const std::string text = metrics.Text();
  EXPECT_EQ(LinesOf(text, "sales"), LinesOf(text, "support")) << "all the same but the name";
  EXPECT_GT(LinesOf(text, "sales").size(), 100U);
  EXPECT_THAT(LinesOf(text, "default"), IsEmpty());

  sources.accounts[1].watchers = [] { return 70; };
  sources.accounts[1].leasing = StatsWith(&RecordedLeaseApi::Stats::open, 40);
  sources.accounts[1].search = StatsWith(&AvailabilitySearch::Stats::snapshots, 80);
  sources.accounts[1].cache = StatsWith(&CachingLeaseApi::Stats::bytes, 90);
  const auto upstream = std::make_shared<UpstreamStats>();
  upstream->pool = [] { return ConnectionPool::Counts{50, 20, 30}; };
  upstream->budget = [] { return RetryBudget::Stats{25, 1, 0}; };
  upstream->guard = StatsWith(&GuardedLeaseApi::Stats::rate, 12);
  upstream->lookups.found = 300;
  sources.accounts[1].upstream = upstream;
  metrics.Attach(sources);
  const std::vector<std::string> sales = LinesOf(metrics.Text(), "sales");
  const std::vector<std::string> support = LinesOf(metrics.Text(), "support");
  EXPECT_EQ(sales, LinesOf(text, "sales"));
  for (const char* line :
       {"watchers{} 70", "journal_open_operations{} 40", "cache_history_lists{} 80",
        "cache_bytes{} 90", "upstream_connections{,state=\"used\"} 30",
        "upstream_retry_budget{} 25", "upstream_rate_limit{} 12",
        "upstream_lookups_total{,result=\"found\"} 300"}) {
    EXPECT_THAT(support, Contains(absl::StrCat("lease_gateway_", line)));
  }
  EXPECT_THAT(support, Each(Not(HasSubstr("shared_lists"))));
}

TEST(MetricsTest, MetricsOfAccountsAndNoOthersHaveTheLabelInFront) {
  const std::set<std::string> of_the_process = {"cache_requests_total", "cache_collapsed_total"};
  const std::regex of_accounts(
      "lease_gateway_(upstream|cache|shared_lists|operations)_.*|lease_gateway_watchers|"
      "lease_gateway_(journal_open_operations|oldest_open_operation_seconds)");
  for (const MetricDeclaration& metric : MetricDeclarations()) {
    const bool expected =
        std::regex_match(metric.name, of_accounts) &&
        !of_the_process.contains(std::string(absl::StripPrefix(metric.name, "lease_gateway_")));
    EXPECT_EQ(!metric.labels.empty() && metric.labels.front() == "account", expected)
        << metric.name;
    EXPECT_LE(std::count(metric.labels.begin(), metric.labels.end(), "account"), 1) << metric.name;
  }
}

TEST(MetricsTest, CallersAreCountedByFixedNames) {
  Metrics metrics(std::make_shared<CallMetrics>());
  MetricSources sources = Sources();
  metrics.Attach(sources);
  std::string text = metrics.Text();
  for (const char* without :
       {"callers_file_ok 1", "callers_reloads_total{result=\"refused\"} 0",
        "identity_failures_total{why=\"expired\"} 0", "spend_overruns_total 0"}) {
    EXPECT_THAT(text, HasSubstr(std::string("\nlease_gateway_") + without + "\n"));
  }
  sources.callers = [] {
    CallersStats stats;
    stats.file_ok = false;
    stats.reloads = 1;
    stats.refused_reloads = 2;
    stats.identity_failures[IdentityFailureOf("unknown_key")] = 3;
    stats.tokens_verified = 4;
    stats.tokens_refused = 5;
    stats.tokens_remembered = 6;
    stats.not_allowed = 7;
    stats.quota_refusals[static_cast<std::size_t>(QuotaLimit::kRows)] = 8;
    stats.spend_refusals = 9;
    stats.spend_overruns = 10;
    return stats;
  };
  metrics.Attach(sources);
  text = metrics.Text();
  for (const char* sample :
       {"callers_file_ok 0", "callers_reloads_total{result=\"ok\"} 1",
        "callers_reloads_total{result=\"refused\"} 2",
        "identity_failures_total{why=\"unknown_key\"} 3",
        "identity_failures_total{why=\"other\"} 0",
        "token_verifications_total{result=\"verified\"} 4",
        "token_verifications_total{result=\"refused\"} 5",
        "token_verifications_total{result=\"remembered\"} 6", "calls_not_allowed_total 7",
        "quota_refusals_total{limit=\"rows_per_minute\"} 8",
        "quota_refusals_total{limit=\"watchers\"} 0", "spend_refusals_total 9",
        "spend_overruns_total 10"}) {
    EXPECT_THAT(text, HasSubstr(std::string("\nlease_gateway_") + sample + "\n"));
  }
}

TEST(MetricsTest, LabelsAreTheDeclaredOnesAndFew) {
  Metrics metrics(std::make_shared<CallMetrics>());
  metrics.Attach(Sources());
  std::istringstream text(metrics.Text());
  std::size_t samples = 0;
  const auto declarations = MetricDeclarations();
  for (std::string line; std::getline(text, line);) {
    if (line.starts_with("#")) continue;
    ++samples;
    std::string name = line.substr(0, line.find_first_of("{ "));
    std::vector<std::string> labels;
    const std::regex label("([a-z_]+)=\"[^\"]*\"");
    for (std::sregex_iterator at(line.begin(), line.end(), label), end; at != end; ++at) {
      if ((*at)[1] != "le") labels.push_back((*at)[1]);
    }
    const auto declared =
        std::find_if(declarations.begin(), declarations.end(), [&](const MetricDeclaration& each) {
          return name == each.name ||
                 (each.type == "histogram" &&
                  std::regex_match(name, std::regex(each.name + "_(bucket|sum|count)")));
        });
    ASSERT_NE(declared, declarations.end()) << line;
    EXPECT_EQ(labels, declared->labels) << line;
  }
  EXPECT_GT(samples, 100U);
  EXPECT_LT(samples, 1'500U);
}

TEST(MetricsTest, CountsCallsByMethodCodeAndTime) {
  const auto calls = std::make_shared<CallMetrics>();
  const Metrics metrics(calls);
  calls->Hit(Method::kGetNumber, Fresh(), std::chrono::microseconds(40));
  calls->Started(Method::kGetNumber);
  calls->Started(Method::kGetNumber);
  calls->Handled(Method::kGetNumber, absl::StatusCode::kNotFound, milliseconds(30));
  const std::string text = metrics.Text();
  const std::string labels =
      "{grpc_service=\"leasegateway.v1.LeaseService\",grpc_method=\"GetNumber\"";
  EXPECT_THAT(text, HasSubstr("grpc_server_started_total" + labels + "} 3\n"));
  EXPECT_THAT(text, HasSubstr("grpc_server_handled_total" + labels + ",grpc_code=\"OK\"} 1\n"));
  EXPECT_THAT(text,
              HasSubstr("grpc_server_handled_total" + labels + ",grpc_code=\"NotFound\"} 1\n"));
  EXPECT_THAT(text, Not(HasSubstr("grpc_code=\"Internal\"")));
  EXPECT_THAT(text, HasSubstr("grpc_server_handling_seconds_count" + labels + "} 2\n"));
  EXPECT_THAT(text, HasSubstr("grpc_server_handling_seconds_sum" + labels + "} 0.03004\n"));
  EXPECT_THAT(text,
              HasSubstr("grpc_server_handling_seconds_bucket" + labels + ",le=\"5e-05\"} 1\n"));
  EXPECT_THAT(text,
              HasSubstr("grpc_server_handling_seconds_bucket" + labels + ",le=\"0.05\"} 2\n"));
  EXPECT_THAT(text,
              HasSubstr("grpc_server_handling_seconds_bucket" + labels + ",le=\"+Inf\"} 2\n"));
}

TEST(MetricsTest, NoCallGetsLostBetweenThreads) {
  CallMetrics calls;
  constexpr int kThreads = 40;  // more than there are shards
  constexpr int kCalls = 1'000;
  std::vector<std::thread> threads;
  for (int i = 0; i < kThreads; ++i) {
    threads.emplace_back([&calls] {
      for (int j = 0; j < kCalls; ++j) {
        calls.Hit(Method::kListLeases, Fresh(), nanoseconds(10));
        calls.Started(Method::kGetLease);
        calls.Handled(Method::kGetLease, absl::StatusCode::kAborted, nanoseconds(10));
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  const CallMetrics::Totals totals = calls.totals();
  const auto& hits = totals.methods[static_cast<std::size_t>(Method::kListLeases)];
  EXPECT_EQ(hits.started, kThreads * kCalls);
  EXPECT_EQ(hits.handled[0], kThreads * kCalls);
  EXPECT_EQ(hits.time.count(), kThreads * kCalls);
  EXPECT_EQ(hits.time.sum, nanoseconds(10) * kThreads * kCalls);
  const auto& others = totals.methods[static_cast<std::size_t>(Method::kGetLease)];
  EXPECT_EQ(others.handled[static_cast<std::size_t>(absl::StatusCode::kAborted)],
            kThreads * kCalls);
  EXPECT_EQ(totals.cache[static_cast<std::size_t>(CacheResult::kFresh)], kThreads * kCalls);
}

TEST(MetricsTest, NamesWhereAnAnswerCameFrom) {
  using Forward = CacheOutcome::Forward;
  CacheOutcome outcome = Fresh();
  EXPECT_EQ(ResultOf(outcome), CacheResult::kFresh);
  outcome.ttl = milliseconds(-1);
  EXPECT_EQ(ResultOf(outcome), CacheResult::kStale);
  outcome.stale_if_error = true;
  EXPECT_EQ(ResultOf(outcome), CacheResult::kStaleIfError);
  outcome.stale_if_error = false;
  for (const auto& [forward, result] : {std::pair(Forward::kMiss, CacheResult::kMiss),
                                        std::pair(Forward::kStale, CacheResult::kExpired),
                                        std::pair(Forward::kRequest, CacheResult::kRequest),
                                        std::pair(Forward::kBypass, CacheResult::kBypass)}) {
    outcome.forward = forward;
    EXPECT_EQ(ResultOf(outcome), result);
  }
}

TEST(MetricsTest, WithoutSourcesThereAreTheCallsAndTheProcess) {
  Metrics metrics(std::make_shared<CallMetrics>());
  metrics.Attach(Sources());
  metrics.Detach();
  const std::string text = metrics.Text();
  EXPECT_THAT(text, Not(HasSubstr("\nlease_gateway_watchers")));
  EXPECT_THAT(text, HasSubstr("\nprocess_resident_memory_bytes "));
  std::smatch threads;
  ASSERT_TRUE(std::regex_search(text, threads, std::regex("\nprocess_threads ([0-9]+)")));
  EXPECT_GE(std::stoi(threads[1]), 1);
  std::smatch start;
  ASSERT_TRUE(
      std::regex_search(text, start, std::regex("\nprocess_start_time_seconds ([0-9.e+]+)")));
  const double age =
      std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count() -
      std::stod(start[1]);
  EXPECT_GT(age, -5);
  EXPECT_LT(age, 3'600);
}

}  // namespace
}  // namespace leasegateway
