#include <cstddef>
#include <string>
#include <utility>

#include "service/admin/metric_groups.h"
#include "service/admin/metric_samples.h"
#include "service/admin/metric_snapshot.h"

namespace leasegateway {
namespace {

constexpr std::pair<CircuitBreaker::State, const char*> kBreakerStates[] = {
    {CircuitBreaker::State::kClosed, "closed"},
    {CircuitBreaker::State::kOpen, "open"},
    {CircuitBreaker::State::kHalfOpen, "half_open"}};

}  // namespace

std::vector<AccountMetricDeclaration> UpstreamDeclarations() {
  return {
      {"lease_gateway_upstream_attempts_total",
       kMetricCounter,
       "1",
       {"operation", "outcome"},
       "Attempts at an operation of the provider, by how they ended; retries count",
       [](const AccountSnapshot& s, MetricSamples& out) {
         for (std::size_t i = 0; i < kUpstreamOperationNames.size(); ++i) {
           for (std::size_t j = 0; j < kAttemptOutcomeNames.size(); ++j) {
             out.Add(
                 {std::string(kUpstreamOperationNames[i]), std::string(kAttemptOutcomeNames[j])},
                 s.upstream.stats->attempts.outcomes[i][j]);
           }
         }
       }},
      {"lease_gateway_upstream_tolerated_total",
       kMetricCounter,
       "1",
       {"operation", "kind"},
       "What replies of the provider were taken in spite of: items and fields left out, amounts "
       "unknown or rounded",
       [](const AccountSnapshot& s, MetricSamples& out) {
         for (std::size_t i = 0; i < kUpstreamOperationNames.size(); ++i) {
           for (std::size_t j = 0; j < Tolerated::kNames.size(); ++j) {
             const std::uint64_t count = s.upstream.stats->tolerated.count(
                 static_cast<UpstreamOperation>(i), static_cast<Tolerated::Kind>(j));
             out.Add({std::string(kUpstreamOperationNames[i]), std::string(Tolerated::kNames[j])},
                     static_cast<double>(count));
           }
         }
       }},
      {"lease_gateway_upstream_received_bytes_total",
       kMetricCounter,
       "bytes",
       {"operation", "kind"},
       "Answers of the provider: as they came, with their header, without TLS (wire), and the text "
       "that became of their bodies (text)",
       [](const AccountSnapshot& s, MetricSamples& out) {
         for (std::size_t i = 0; i < kUpstreamOperationNames.size(); ++i) {
           const ReceivedBytes& received = s.upstream.stats->received;
           const std::string operation(kUpstreamOperationNames[i]);
           out.Add({operation, "wire"}, static_cast<double>(received.wire[i]));
           out.Add({operation, "text"}, static_cast<double>(received.text[i]));
         }
       }},
      {"lease_gateway_upstream_attempt_seconds",
       kMetricHistogram,
       "seconds",
       {"operation"},
       "Time of an attempt, with all its phases",
       [](const AccountSnapshot& s, MetricSamples& out) {
         for (std::size_t i = 0; i < kUpstreamOperationNames.size(); ++i) {
           out.Add({std::string(kUpstreamOperationNames[i])},
                   s.upstream.stats->attempts.times[i].snapshot());
         }
       }},
      {"lease_gateway_upstream_phase_seconds",
       kMetricHistogram,
       "seconds",
       {"phase"},
       "Time of a part of an exchange: resolve, connect, tunnel, handshake, send, wait for the "
       "header, "
       "read",
       [](const AccountSnapshot& s, MetricSamples& out) {
         for (std::size_t i = 0; i < kPhaseNames.size(); ++i) {
           out.Add({std::string(kPhaseNames[i])}, s.upstream.stats->phases.times[i].snapshot());
         }
       }},
      {"lease_gateway_upstream_connections",
       kMetricGauge,
       "1",
       {"state"},
       "Connections to the provider, in use (or being made) or idle",
       [](const AccountSnapshot& s, MetricSamples& out) {
         out.Add({"used"}, s.upstream.pool.open - s.upstream.pool.idle);
         out.Add({"idle"}, s.upstream.pool.idle);
       }},
      {"lease_gateway_upstream_connection_waiters",
       kMetricGauge,
       "1",
       {},
       "Attempts that wait for a connection",
       [](const AccountSnapshot& s, MetricSamples& out) { out.Add({}, s.upstream.pool.waiting); }},
      {"lease_gateway_upstream_handshakes_total",
       kMetricCounter,
       "1",
       {"result"},
       "TLS handshakes with the provider: full, resumed from a session of before, or failed",
       [](const AccountSnapshot& s, MetricSamples& out) {
         const auto& handshakes = s.upstream.stats->handshakes;
         out.Add({"full"}, handshakes.full);
         out.Add({"resumed"}, handshakes.resumed);
         out.Add({"failed"}, handshakes.failed);
       }},
      {"lease_gateway_upstream_lookups_total",
       kMetricCounter,
       "1",
       {"result"},
       "Look-ups of the name that is dialled on the road to the provider, its own or a proxy's: "
       "found, or "
       "failed, also where the last addresses stand in",
       [](const AccountSnapshot& s, MetricSamples& out) {
         out.Add({"found"}, s.upstream.stats->lookups.found);
         out.Add({"failed"}, s.upstream.stats->lookups.failed);
       }},
      {"lease_gateway_upstream_queue",
       kMetricGauge,
       "1",
       {"state"},
       "Calls that were admitted to the provider, and those that wait to be",
       [](const AccountSnapshot& s, MetricSamples& out) {
         out.Add({"in_flight"}, s.upstream.guard.queue.in_flight);
         out.Add({"waiting"}, s.upstream.guard.queue.waiting);
       }},
      {"lease_gateway_upstream_service_time_seconds",
       kMetricGauge,
       "seconds",
       {},
       "Moving mean of an attempt's time, by which the queue decides; 0: none yet",
       [](const AccountSnapshot& s, MetricSamples& out) {
         out.Add({}, Seconds(s.upstream.guard.service_time));
       }},
      {"lease_gateway_upstream_refusals_total",
       kMetricCounter,
       "1",
       {"reason"},
       "Attempts that the gateway itself refused",
       [](const AccountSnapshot& s, MetricSamples& out) {
         out.Add({"circuit_open"}, static_cast<double>(s.upstream.guard.circuit_open));
         out.Add({"rate_limited"}, static_cast<double>(s.upstream.guard.rate_limited));
         out.Add({"overloaded"}, static_cast<double>(s.upstream.guard.overloaded));
       }},
      {"lease_gateway_upstream_breaker_state",
       kMetricGauge,
       "1",
       {"state"},
       "1 for the state that the circuit of the provider as a whole is in",
       [](const AccountSnapshot& s, MetricSamples& out) {
         for (const auto& [state, name] : kBreakerStates) {
           out.Add({name}, s.upstream.guard.breaker == state ? 1 : 0);
         }
       }},
      {"lease_gateway_upstream_operation_breaker_state",
       kMetricGauge,
       "1",
       {"operation", "state"},
       "1 for the state that the circuit of an operation is in",
       [](const AccountSnapshot& s, MetricSamples& out) {
         for (std::size_t i = 0; i < kUpstreamOperationNames.size(); ++i) {
           for (const auto& [state, name] : kBreakerStates) {
             out.Add({std::string(kUpstreamOperationNames[i]), name},
                     s.upstream.guard.operation_breakers[i] == state ? 1 : 0);
           }
         }
       }},
      {"lease_gateway_upstream_retries_total",
       kMetricCounter,
       "1",
       {"budget"},
       "Retries that the budget allowed, and those that it refused",
       [](const AccountSnapshot& s, MetricSamples& out) {
         out.Add({"allowed"}, static_cast<double>(s.upstream.budget.allowed));
         out.Add({"refused"}, static_cast<double>(s.upstream.budget.refused));
       }},
      {"lease_gateway_upstream_retry_budget",
       kMetricGauge,
       "1",
       {},
       "Retries that the budget has left",
       [](const AccountSnapshot& s, MetricSamples& out) { out.Add({}, s.upstream.budget.left); }},
      {"lease_gateway_upstream_rate_limit",
       kMetricGauge,
       "calls/s",
       {},
       "Rate in force for calls of the provider; 0: no limit",
       [](const AccountSnapshot& s, MetricSamples& out) { out.Add({}, s.upstream.guard.rate); }},
      {"lease_gateway_upstream_credentials_rejected",
       kMetricGauge,
       "1",
       {},
       "1 while the provider's latest answer was that it doesn't take the gateway's API key, or "
       "forbids it a list",
       [](const AccountSnapshot& s, MetricSamples& out) {
         out.Add({}, s.upstream.stats->attempts.is_key_refused() ? 1 : 0);
       }},
  };
}

}  // namespace leasegateway
