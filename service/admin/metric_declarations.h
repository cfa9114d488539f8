#ifndef LEASE_GATEWAY_SERVICE_ADMIN_METRIC_DECLARATIONS_H_
#define LEASE_GATEWAY_SERVICE_ADMIN_METRIC_DECLARATIONS_H_

#include <vector>

#include "service/admin/metric_declaration.h"

namespace leasegateway {

// All metrics of the process, each once, in the order in which they are listed. A new one is an
// entry of a table of its subject (metric_groups.h), and where it reads something new, a member of
// MetricSources and MetricSnapshot, or of AccountSources and AccountSnapshot.
const std::vector<MetricDeclaration>& MetricDeclarations();

}  // namespace leasegateway

#endif  // LEASE_GATEWAY_SERVICE_ADMIN_METRIC_DECLARATIONS_H_
