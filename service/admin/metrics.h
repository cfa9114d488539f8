#ifndef LEASE_GATEWAY_SERVICE_ADMIN_METRICS_H_
#define LEASE_GATEWAY_SERVICE_ADMIN_METRICS_H_

#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>

#include "service/admin/metric_snapshot.h"
#include "service/rpc/call_metrics.h"

namespace leasegateway {

// All metrics of the process, as metric_declarations.h has them. Thread-safe.
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

// The table of service/README.md.
std::string PrintMetrics();

}  // namespace leasegateway

#endif  // LEASE_GATEWAY_SERVICE_ADMIN_METRICS_H_
