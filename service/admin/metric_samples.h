#ifndef LEASE_GATEWAY_SERVICE_ADMIN_METRIC_SAMPLES_H_
#define LEASE_GATEWAY_SERVICE_ADMIN_METRIC_SAMPLES_H_

#include <prometheus/client_metric.h>

#include <atomic>
#include <chrono>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "upstream/time_histogram.h"

namespace leasegateway {

inline double Seconds(std::chrono::nanoseconds time) {
  return std::chrono::duration<double>(time).count();
}

// The samples of one metric, as they are read off a snapshot. `labels` outlive it.
class MetricSamples {
 public:
  explicit MetricSamples(const std::vector<std::string>& labels) : labels_(labels) {}

  // From now on samples are of this account: its name is the value of the first label.
  void SetAccount(std::string account) { account_ = std::move(account); }

  // `values` are those of the declared labels, in their order; without that of the account.
  void Add(const std::vector<std::string>& values, double value) {
    prometheus::ClientMetric& metric = New(values);
    metric.counter.value = metric.gauge.value = value;
  }
  template <typename Value>
  void Add(const std::vector<std::string>& values, const std::atomic<Value>& value) {
    Add(values, static_cast<double>(value.load(std::memory_order_relaxed)));
  }
  void Add(const std::vector<std::string>& values, const TimeHistogram::Snapshot& times);

  std::vector<prometheus::ClientMetric> Take() { return std::move(metrics_); }

 private:
  prometheus::ClientMetric& New(const std::vector<std::string>& values);

  const std::vector<std::string>& labels_;
  std::optional<std::string> account_;
  std::vector<prometheus::ClientMetric> metrics_;
};

}  // namespace leasegateway

#endif  // LEASE_GATEWAY_SERVICE_ADMIN_METRIC_SAMPLES_H_
