#ifndef LEASE_GATEWAY_SERVICE_ADMIN_METRIC_SNAPSHOT_H_
#define LEASE_GATEWAY_SERVICE_ADMIN_METRIC_SNAPSHOT_H_

#include <cstddef>
#include <functional>
#include <memory>
#include <optional>

#include "service/admin/process_stats.h"
#include "service/rpc/call_metrics.h"
#include "service/rpc/search.h"
#include "upstream/availability/caching_lease_api.h"
#include "upstream/lease_api_factory.h"
#include "upstream/leasing/journal/sqlite/sqlite_journal.h"

namespace leasegateway {

// What a scrape asks, each from any thread and none of them slow.
struct MetricSources {
  std::shared_ptr<const UpstreamStats> upstream;
  std::function<CachingLeaseApi::Stats()> cache;
  std::function<AvailabilitySearch::Stats()> search;
  std::function<int()> watchers;
  std::function<SqliteJournal::Stats()> journal;
  std::function<std::size_t()> open_operations;
};

// What is read of UpstreamStats.
struct UpstreamSnapshot {
  std::shared_ptr<const UpstreamStats> stats;
  GuardedLeaseApi::Stats guard;
  ConnectionPool::Counts pool;
  RetryBudget::Stats budget;
};

// One look at all sources, so that the metrics of a scrape fit together.
struct MetricSnapshot {
  CallMetrics::Totals calls;
  ProcessStats process;
  std::optional<UpstreamSnapshot> upstream;
  std::optional<CachingLeaseApi::Stats> cache;
  std::optional<AvailabilitySearch::Stats> search;
  std::optional<SqliteJournal::Stats> journal;
  int watchers = 0;
  std::size_t open_operations = 0;
};

// Without sources there are only the calls and the process.
MetricSnapshot TakeSnapshot(const CallMetrics& calls, const std::optional<MetricSources>& sources);

}  // namespace leasegateway

#endif  // LEASE_GATEWAY_SERVICE_ADMIN_METRIC_SNAPSHOT_H_
