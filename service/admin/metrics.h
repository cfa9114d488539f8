#ifndef LEASE_GATEWAY_SERVICE_ADMIN_METRICS_H_
#define LEASE_GATEWAY_SERVICE_ADMIN_METRICS_H_

#include <cstddef>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

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

// All metrics of the process, declared in metrics.cc, each once. Thread-safe.
class Metrics {
 public:
  // Without sources there are only the metrics of calls and of the process.
  explicit Metrics(std::shared_ptr<const CallMetrics> calls) : calls_(std::move(calls)) {}

  void Attach(MetricSources sources);
  // Returns when no scrape asks the sources any more.
  void Detach();

  // Prometheus's text format, version 0.0.4.
  std::string Text() const;

 private:
  const std::shared_ptr<const CallMetrics> calls_;
  mutable std::mutex mutex_;  // held for the length of a scrape
  std::optional<MetricSources> sources_;
};

struct MetricDeclaration {
  std::string name;
  std::string type;  // counter, gauge or histogram
  std::string unit;  // "1": a plain number
  std::vector<std::string> labels;
  std::string help;
};
std::vector<MetricDeclaration> MetricDeclarations();

// The table of service/README.md.
std::string PrintMetrics();

}  // namespace leasegateway

#endif  // LEASE_GATEWAY_SERVICE_ADMIN_METRICS_H_
