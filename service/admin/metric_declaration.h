#ifndef LEASE_GATEWAY_SERVICE_ADMIN_METRIC_DECLARATION_H_
#define LEASE_GATEWAY_SERVICE_ADMIN_METRIC_DECLARATION_H_

#include <functional>
#include <string>
#include <vector>

namespace leasegateway {

class MetricSamples;
struct AccountSnapshot;
struct MetricSnapshot;

inline constexpr char kMetricCounter[] = "counter";
inline constexpr char kMetricGauge[] = "gauge";
inline constexpr char kMetricHistogram[] = "histogram";

// A metric and how it is read off a snapshot.
template <typename Snapshot>
struct MetricDeclarationOf {
  std::string name;
  std::string type;  // one of the three
  std::string unit;  // "1": a plain number
  std::vector<std::string> labels;
  std::string help;
  std::function<void(const Snapshot& snapshot, MetricSamples& samples)> collect;
};
using MetricDeclaration = MetricDeclarationOf<MetricSnapshot>;
// Of each account: the label `account` comes before the labels that are declared.
using AccountMetricDeclaration = MetricDeclarationOf<AccountSnapshot>;

}  // namespace leasegateway

#endif  // LEASE_GATEWAY_SERVICE_ADMIN_METRIC_DECLARATION_H_
