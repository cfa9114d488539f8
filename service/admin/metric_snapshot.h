#ifndef LEASE_GATEWAY_SERVICE_ADMIN_METRIC_SNAPSHOT_H_
#define LEASE_GATEWAY_SERVICE_ADMIN_METRIC_SNAPSHOT_H_

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "service/admin/admin_stats.h"
#include "service/admin/process_stats.h"
#include "service/callers/callers_stats.h"
#include "service/guard/connection_guard.h"
#include "service/rpc/call_limit.h"
#include "service/rpc/call_metrics.h"
#include "service/rpc/search.h"
#include "upstream/availability/caching_lease_api.h"
#include "upstream/lease_api_factory.h"
#include "upstream/leasing/journal/sqlite/sqlite_journal.h"
#include "upstream/leasing/recorded_lease_api.h"

namespace leasegateway {

// Of the database that replicas share.
struct DatabaseStats {
  bool up = false;
  int connections = 0;  // open ones, that for LISTEN included
  std::uint64_t committed = 0;
  std::uint64_t failed = 0;   // nothing was changed
  std::uint64_t unknown = 0;  // whether anything was is not known
  std::optional<std::chrono::steady_clock::duration> heartbeat_age;  // nothing: there was none
  int replicas = 1;  // that are alive, this one included
  std::uint64_t news_heard = 0;
  std::uint64_t news_gaps = 0;  // in which some may have been missed
};

// What a scrape asks of an account, none of it null.
struct AccountSources {
  std::string account;
  std::shared_ptr<const UpstreamStats> upstream;
  std::function<CachingLeaseApi::Stats()> cache;
  std::function<AvailabilitySearch::Stats()> search;
  std::function<RecordedLeaseApi::Stats()> leasing;
  std::function<int()> watchers;
};

// What a scrape asks, each from any thread and none of them slow.
struct MetricSources {
  std::vector<AccountSources> accounts;  // in the order in which they are listed
  std::function<CallLimit::Stats()> calls;
  std::function<CallersStats()> callers;  // null: there is no callers file
  std::function<ConnectionGuard::Stats()> connections;
  std::shared_ptr<const AdminStats> admin;
  // Null where purchases are written down in the other one.
  std::function<SqliteJournal::Stats()> journal;
  std::function<DatabaseStats()> database;
};

// What is read of UpstreamStats.
struct UpstreamSnapshot {
  std::shared_ptr<const UpstreamStats> stats;
  GuardedLeaseApi::Stats guard;
  ConnectionPool::Counts pool;
  RetryBudget::Stats budget;
};

// One look at the sources of an account.
struct AccountSnapshot {
  std::string account;
  UpstreamSnapshot upstream;
  CachingLeaseApi::Stats cache;
  AvailabilitySearch::Stats search;
  RecordedLeaseApi::Stats leasing;
  int watchers = 0;
};

// One look at all sources, so that the metrics of a scrape fit together.
struct MetricSnapshot {
  CallMetrics::Totals calls;
  std::optional<CallLimit::Stats> calls_under_way;
  std::optional<CallersStats> callers;
  ProcessStats process;
  std::vector<AccountSnapshot> accounts;
  std::optional<SqliteJournal::Stats> journal;
  std::optional<DatabaseStats> database;
  std::optional<ConnectionGuard::Stats> connections;
  std::shared_ptr<const AdminStats> admin;
};

// Without sources there are only the calls and the process.
MetricSnapshot TakeSnapshot(const CallMetrics& calls, const std::optional<MetricSources>& sources);

}  // namespace leasegateway

#endif  // LEASE_GATEWAY_SERVICE_ADMIN_METRIC_SNAPSHOT_H_
