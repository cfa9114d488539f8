#include <cstddef>

#include "service/admin/metric_groups.h"
#include "service/admin/metric_samples.h"
#include "service/admin/metric_snapshot.h"

namespace leasegateway {

std::vector<MetricDeclaration> ConnectionDeclarations() {
  return {
      {"lease_gateway_connections",
       kMetricGauge,
       "1",
       {},
       "Callers' connections",
       [](const MetricSnapshot& s, MetricSamples& out) {
         if (s.connections) out.Add({}, static_cast<double>(s.connections->connections));
       }},
      {"lease_gateway_connections_accepted_total",
       kMetricCounter,
       "1",
       {},
       "Callers' connections that were taken",
       [](const MetricSnapshot& s, MetricSamples& out) {
         if (s.connections) out.Add({}, static_cast<double>(s.connections->accepted));
       }},
      {"lease_gateway_connections_refused_total",
       kMetricCounter,
       "1",
       {"reason"},
       "Those that were not, by why: max_connections, max_connections_per_peer, the address waits "
       "as one of its connections was cut, or is connecting too often",
       [](const MetricSnapshot& s, MetricSamples& out) {
         for (std::size_t i = 0; s.connections && i < kRefusals; ++i) {
           out.Add({kRefusalNames[i]}, static_cast<double>(s.connections->refused[i]));
         }
       }},
      {"lease_gateway_connections_cut_total",
       kMetricCounter,
       "1",
       {"reason"},
       "Those that the guard cut, by why: they cost much and asked for little, or made_room for "
       "others",
       [](const MetricSnapshot& s, MetricSamples& out) {
         for (std::size_t i = 0; s.connections && i < kCutReasons; ++i) {
           out.Add({kCutReasonNames[i]}, static_cast<double>(s.connections->cut[i]));
         }
       }},
      {"lease_gateway_guard_sees",
       kMetricGauge,
       "1",
       {},
       "0: calls were served of which the guard has seen nothing, so it judges nobody",
       [](const MetricSnapshot& s, MetricSamples& out) {
         if (s.connections) out.Add({}, s.connections->sees ? 1 : 0);
       }},
      {"lease_gateway_admin_connections",
       kMetricGauge,
       "1",
       {},
       "Connections to the admin port",
       [](const MetricSnapshot& s, MetricSamples& out) {
         if (s.admin) out.Add({}, s.admin->connections);
       }},
      {"lease_gateway_admin_connections_lost_total",
       kMetricCounter,
       "1",
       {"reason"},
       "Connections that the admin port refused (max_connections, max_connections_per_peer, "
       "no_descriptor) or ended early (made_room: for another; slow_request; unread_answer; "
       "bad_request)",
       [](const MetricSnapshot& s, MetricSamples& out) {
         for (std::size_t i = 0; s.admin && i < kAdminLosses; ++i) {
           out.Add({kAdminLossNames[i]},
                   static_cast<double>(s.admin->losses(static_cast<AdminLoss>(i))));
         }
       }},
  };
}

}  // namespace leasegateway
