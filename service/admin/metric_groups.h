#ifndef LEASE_GATEWAY_SERVICE_ADMIN_METRIC_GROUPS_H_
#define LEASE_GATEWAY_SERVICE_ADMIN_METRIC_GROUPS_H_

#include <vector>

#include "service/admin/metric_declaration.h"

namespace leasegateway {

// The tables that MetricDeclarations() puts together, by subject.
std::vector<MetricDeclaration> ConnectionDeclarations();  // callers' connections
std::vector<MetricDeclaration> UpstreamDeclarations();    // calls of the provider
std::vector<MetricDeclaration> CacheDeclarations();       // memory
std::vector<MetricDeclaration> SharedListDeclarations();  // that replicas share; else no samples
std::vector<MetricDeclaration> LeasingDeclarations();     // operations
std::vector<MetricDeclaration> JournalDeclarations();   // the file; where there is none no samples
std::vector<MetricDeclaration> DatabaseDeclarations();  // likewise

}  // namespace leasegateway

#endif  // LEASE_GATEWAY_SERVICE_ADMIN_METRIC_GROUPS_H_
