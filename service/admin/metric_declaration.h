#ifndef LEASE_GATEWAY_SERVICE_ADMIN_METRIC_DECLARATION_H_
#define LEASE_GATEWAY_SERVICE_ADMIN_METRIC_DECLARATION_H_

#include <string>
#include <vector>

namespace leasegateway {

class MetricSamples;
struct MetricSnapshot;

inline constexpr char kMetricCounter[] = "counter";
inline constexpr char kMetricGauge[] = "gauge";
inline constexpr char kMetricHistogram[] = "histogram";

// A metric and how it is read.
struct MetricDeclaration {
  std::string name;
  std::string type;  // one of the three
  std::string unit;  // "1": a plain number
  std::vector<std::string> labels;
  std::string help;
  void (*collect)(const MetricSnapshot& snapshot, MetricSamples& samples);
};

}  // namespace leasegateway

#endif  // LEASE_GATEWAY_SERVICE_ADMIN_METRIC_DECLARATION_H_
