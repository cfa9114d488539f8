#ifndef LEASE_GATEWAY_SERVICE_ADMIN_METRIC_GROUPS_H_
#define LEASE_GATEWAY_SERVICE_ADMIN_METRIC_GROUPS_H_

#include <vector>

#include "service/admin/metric_declaration.h"

namespace leasegateway {

// The tables that MetricDeclarations() puts together, by subject.
std::vector<MetricDeclaration> CallersDeclarations();      // who calls, and who was refused
std::vector<MetricDeclaration> ConnectionDeclarations();   // callers' connections
std::vector<MetricDeclaration> CacheResultDeclarations();  // whether memory answered
std::vector<MetricDeclaration> JournalDeclarations();   // the file; where there is none no samples
std::vector<MetricDeclaration> DatabaseDeclarations();  // likewise

// Those of each account.
std::vector<AccountMetricDeclaration> UpstreamDeclarations();    // calls of the provider
std::vector<AccountMetricDeclaration> CacheDeclarations();       // memory
std::vector<AccountMetricDeclaration> SharedListDeclarations();  // of replicas; else no samples
std::vector<AccountMetricDeclaration> LeasingDeclarations();     // operations

}  // namespace leasegateway

#endif  // LEASE_GATEWAY_SERVICE_ADMIN_METRIC_GROUPS_H_
