#include <cstddef>
#include <utility>
#include <vector>

#include "service/admin/metric_groups.h"
#include "service/admin/metric_samples.h"
#include "service/admin/metric_snapshot.h"

namespace leasegateway {
namespace {

template <typename Of>
void AddCount(const MetricSnapshot& s, MetricSamples& out, Of CallersStats::*count) {
  if (s.callers) out.Add({}, static_cast<double>((*s.callers).*count));
}

template <typename Names, typename Of>
void AddByName(const MetricSnapshot& s, MetricSamples& out, const Names& names,
               Of CallersStats::*counts) {
  if (!s.callers) return;
  for (std::size_t i = 0; i < names.size(); ++i) {
    out.Add({names[i]}, static_cast<double>(((*s.callers).*counts)[i]));
  }
}

std::vector<MetricDeclaration> IdentityDeclarations() {
  return {
      {"lease_gateway_callers_file_ok",
       kMetricGauge,
       "1",
       {},
       "0 while the callers file or a keys_file in it has a fault and what was before is in force; "
       "1 also without one",
       [](const MetricSnapshot& s, MetricSamples& out) {
         AddCount(s, out, &CallersStats::file_ok);
       }},
      {"lease_gateway_callers_reloads_total",
       kMetricCounter,
       "1",
       {"result"},
       "Times the callers file had changed: it is in force since (ok), or was refused",
       [](const MetricSnapshot& s, MetricSamples& out) {
         if (!s.callers) return;
         out.Add({"ok"}, static_cast<double>(s.callers->reloads));
         out.Add({"refused"}, static_cast<double>(s.callers->refused_reloads));
       }},
      {"lease_gateway_identity_failures_total",
       kMetricCounter,
       "1",
       {"why"},
       "Calls refused with IDENTITY_INVALID",
       [](const MetricSnapshot& s, MetricSamples& out) {
         AddByName(s, out, kIdentityFailureNames, &CallersStats::identity_failures);
       }},
      {"lease_gateway_token_verifications_total",
       kMetricCounter,
       "1",
       {"result"},
       "Bearer tokens: verified anew or remembered from a moment ago, and refused, of both",
       [](const MetricSnapshot& s, MetricSamples& out) {
         if (!s.callers) return;
         out.Add({"verified"}, static_cast<double>(s.callers->tokens_verified));
         out.Add({"remembered"}, static_cast<double>(s.callers->tokens_remembered));
         out.Add({"refused"}, static_cast<double>(s.callers->tokens_refused));
       }},
  };
}

std::vector<MetricDeclaration> RefusalDeclarations() {
  return {
      {"lease_gateway_calls_not_allowed_total",
       kMetricCounter,
       "1",
       {},
       "Calls refused with NOT_ALLOWED, as the caller had no right to them",
       [](const MetricSnapshot& s, MetricSamples& out) {
         AddCount(s, out, &CallersStats::not_allowed);
       }},
      {"lease_gateway_quota_refusals_total",
       kMetricCounter,
       "1",
       {"limit"},
       "Calls refused with QUOTA_EXCEEDED, by the limit's key in the callers file",
       [](const MetricSnapshot& s, MetricSamples& out) {
         AddByName(s, out, kQuotaLimitNames, &CallersStats::quota_refusals);
       }},
      {"lease_gateway_spend_refusals_total",
       kMetricCounter,
       "1",
       {},
       "Purchases refused with SPEND_LIMIT_EXCEEDED",
       [](const MetricSnapshot& s, MetricSamples& out) {
         AddCount(s, out, &CallersStats::spend_refusals);
       }},
      {"lease_gateway_spend_overruns_total",
       kMetricCounter,
       "1",
       {},
       "Purchases for which the provider charged more than had been reserved",
       [](const MetricSnapshot& s, MetricSamples& out) {
         AddCount(s, out, &CallersStats::spend_overruns);
       }},
  };
}

}  // namespace

std::vector<MetricDeclaration> CallersDeclarations() {
  auto all = IdentityDeclarations();
  for (MetricDeclaration& declared : RefusalDeclarations()) all.push_back(std::move(declared));
  return all;
}

}  // namespace leasegateway
