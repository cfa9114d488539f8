#include "service/admin/metric_samples.h"

#include <cstddef>
#include <limits>

namespace leasegateway {

void MetricSamples::Add(const std::vector<std::string>& values,
                        const TimeHistogram::Snapshot& times) {
  auto& histogram = New(values).histogram;
  for (std::size_t i = 0; i < times.buckets.size(); ++i) {
    histogram.sample_count += times.buckets[i];
    const double bound = i < TimeHistogram::kBounds.size()
                             ? Seconds(TimeHistogram::kBounds[i])
                             : std::numeric_limits<double>::infinity();
    histogram.bucket.push_back({histogram.sample_count, bound});
  }
  histogram.sample_sum = Seconds(times.sum);
}

prometheus::ClientMetric& MetricSamples::New(const std::vector<std::string>& values) {
  prometheus::ClientMetric& metric = metrics_.emplace_back();
  const auto label = [&](const std::string& value) {
    const std::size_t next = metric.label.size();
    if (next < labels_.size()) metric.label.push_back({labels_[next], value});
  };
  if (account_) label(*account_);
  for (const std::string& value : values) label(value);
  return metric;
}

}  // namespace leasegateway
