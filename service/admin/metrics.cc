#include "service/admin/metrics.h"

#include <prometheus/metric_family.h>
#include <prometheus/text_serializer.h>

#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "service/admin/metric_declarations.h"
#include "service/admin/metric_samples.h"

namespace leasegateway {
namespace {

prometheus::MetricType ToPrometheus(const std::string& type) {
  if (type == kMetricCounter) return prometheus::MetricType::Counter;
  if (type == kMetricHistogram) return prometheus::MetricType::Histogram;
  return prometheus::MetricType::Gauge;
}

}  // namespace

void Metrics::Attach(MetricSources sources) {
  const std::lock_guard lock(mutex_);
  sources_ = std::move(sources);
}

void Metrics::Detach() {
  const std::lock_guard lock(mutex_);
  sources_.reset();
}

std::string Metrics::Text() const {
  const std::lock_guard lock(mutex_);
  const MetricSnapshot snapshot = TakeSnapshot(*calls_, sources_);
  std::vector<prometheus::MetricFamily> families;
  for (const MetricDeclaration& declared : MetricDeclarations()) {
    MetricSamples samples(declared.labels);
    declared.collect(snapshot, samples);
    families.push_back({declared.name, declared.help, ToPrometheus(declared.type), samples.Take()});
  }
  return prometheus::TextSerializer().Serialize(families);
}

std::string PrintMetrics() {
  std::string table = "| metric | type | unit | labels | what it is |\n|---|---|---|---|---|\n";
  for (const MetricDeclaration& metric : MetricDeclarations()) {
    absl::StrAppend(&table, "| `", metric.name, "` | ", metric.type, " | ", metric.unit, " | ",
                    absl::StrJoin(metric.labels, ", "), " | ", metric.help, " |\n");
  }
  return table;
}

}  // namespace leasegateway
