// One table of all metrics, in a function a subject: it grows with them beyond the length of other
// files and functions.
#include "service/admin/metric_declarations.h"

#include <grpcpp/grpcpp.h>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <string>
#include <utility>

#include "leasegateway/v1/lease_service.grpc.pb.h"
#include "service/admin/metric_samples.h"
#include "service/admin/metric_snapshot.h"

namespace leasegateway {
namespace {

using Snapshot = MetricSnapshot;
using Samples = MetricSamples;

std::string Service() { return v1::LeaseService::service_full_name(); }

// As gRPC's own libraries for Prometheus write them.
constexpr const char* kCodeNames[CallMetrics::kCodes] = {
    "OK",       "Canceled",       "Unknown",          "InvalidArgument",   "DeadlineExceeded",
    "NotFound", "AlreadyExists",  "PermissionDenied", "ResourceExhausted", "FailedPrecondition",
    "Aborted",  "OutOfRange",     "Unimplemented",    "Internal",          "Unavailable",
    "DataLoss", "Unauthenticated"};

template <typename Each>
void ForEachMethod(const Snapshot& snapshot, Each each) {
  for (std::size_t i = 0; i < CallMetrics::kMethods; ++i) {
    each(kMethodNames[i], snapshot.calls.methods[i]);
  }
}

template <typename Each>
void ForEachList(const CachingLeaseApi::Stats& cache, Each each) {
  each("available", cache.available);
  each("leases", cache.leases);
  each("numbers", cache.numbers);
}

constexpr std::pair<const char*, v1::OperationState> kOperationStates[] = {
    {"intended", v1::OPERATION_STATE_INTENDED}, {"sent", v1::OPERATION_STATE_SENT},
    {"unknown", v1::OPERATION_STATE_UNKNOWN},   {"succeeded", v1::OPERATION_STATE_SUCCEEDED},
    {"failed", v1::OPERATION_STATE_FAILED},
};

std::vector<MetricDeclaration> CallDeclarations() {
  return {
      {"grpc_server_started_total",
       kMetricCounter,
       "1",
       {"grpc_service", "grpc_method"},
       "Calls that have begun",
       [](const Snapshot& s, Samples& out) {
         ForEachMethod(s, [&](const char* method, const CallMetrics::Totals::Of& of) {
           out.Add({Service(), method}, static_cast<double>(of.started));
         });
       }},
      {"grpc_server_handled_total",
       kMetricCounter,
       "1",
       {"grpc_service", "grpc_method", "grpc_code"},
       "Calls that have ended, by gRPC code; those that never occurred but OK are left out",
       [](const Snapshot& s, Samples& out) {
         ForEachMethod(s, [&](const char* method, const CallMetrics::Totals::Of& of) {
           for (std::size_t code = 0; code < CallMetrics::kCodes; ++code) {
             if (code > 0 && of.handled[code] == 0) continue;
             out.Add({Service(), method, kCodeNames[code]}, static_cast<double>(of.handled[code]));
           }
         });
       }},
      {"grpc_server_handling_seconds",
       kMetricHistogram,
       "seconds",
       {"grpc_service", "grpc_method"},
       "From the beginning of a call to its end; of WatchAvailability, as long as it was watched",
       [](const Snapshot& s, Samples& out) {
         ForEachMethod(s, [&](const char* method, const CallMetrics::Totals::Of& of) {
           out.Add({Service(), method}, of.time);
         });
       }},
      {"lease_gateway_watchers",
       kMetricGauge,
       "1",
       {},
       "Calls of WatchAvailability under way",
       [](const Snapshot& s, Samples& out) {
         if (s.cache) out.Add({}, s.watchers);
       }},
  };
}

constexpr std::pair<CircuitBreaker::State, const char*> kBreakerStates[] = {
    {CircuitBreaker::State::kClosed, "closed"},
    {CircuitBreaker::State::kOpen, "open"},
    {CircuitBreaker::State::kHalfOpen, "half_open"}};

std::vector<MetricDeclaration> UpstreamDeclarations() {
  return {
      {"lease_gateway_upstream_attempts_total",
       kMetricCounter,
       "1",
       {"operation", "outcome"},
       "Attempts at an operation of the provider, by how they ended; retries count",
       [](const Snapshot& s, Samples& out) {
         for (std::size_t i = 0; s.upstream && i < kUpstreamOperationNames.size(); ++i) {
           for (std::size_t j = 0; j < kAttemptOutcomeNames.size(); ++j) {
             out.Add(
                 {std::string(kUpstreamOperationNames[i]), std::string(kAttemptOutcomeNames[j])},
                 s.upstream->stats->attempts.outcomes[i][j]);
           }
         }
       }},
      {"lease_gateway_upstream_tolerated_total",
       kMetricCounter,
       "1",
       {"operation", "kind"},
       "What replies of the provider were taken in spite of: items and fields left out, amounts "
       "unknown or rounded",
       [](const Snapshot& s, Samples& out) {
         for (std::size_t i = 0; s.upstream && i < kUpstreamOperationNames.size(); ++i) {
           for (std::size_t j = 0; j < Tolerated::kNames.size(); ++j) {
             const std::uint64_t count = s.upstream->stats->tolerated.count(
                 static_cast<UpstreamOperation>(i), static_cast<Tolerated::Kind>(j));
             out.Add({std::string(kUpstreamOperationNames[i]), std::string(Tolerated::kNames[j])},
                     static_cast<double>(count));
           }
         }
       }},
      {"lease_gateway_upstream_attempt_seconds",
       kMetricHistogram,
       "seconds",
       {"operation"},
       "Time of an attempt, with all its phases",
       [](const Snapshot& s, Samples& out) {
         for (std::size_t i = 0; s.upstream && i < kUpstreamOperationNames.size(); ++i) {
           out.Add({std::string(kUpstreamOperationNames[i])},
                   s.upstream->stats->attempts.times[i].snapshot());
         }
       }},
      {"lease_gateway_upstream_phase_seconds",
       kMetricHistogram,
       "seconds",
       {"phase"},
       "Time of a part of an exchange: resolve, connect, handshake, send, wait for the header, "
       "read",
       [](const Snapshot& s, Samples& out) {
         for (std::size_t i = 0; s.upstream && i < kPhaseNames.size(); ++i) {
           out.Add({std::string(kPhaseNames[i])}, s.upstream->stats->phases.times[i].snapshot());
         }
       }},
      {"lease_gateway_upstream_connections",
       kMetricGauge,
       "1",
       {"state"},
       "Connections to the provider, in use (or being made) or idle",
       [](const Snapshot& s, Samples& out) {
         if (!s.upstream) return;
         out.Add({"used"}, s.upstream->pool.open - s.upstream->pool.idle);
         out.Add({"idle"}, s.upstream->pool.idle);
       }},
      {"lease_gateway_upstream_connection_waiters",
       kMetricGauge,
       "1",
       {},
       "Attempts that wait for a connection",
       [](const Snapshot& s, Samples& out) {
         if (s.upstream) out.Add({}, s.upstream->pool.waiting);
       }},
      {"lease_gateway_upstream_queue",
       kMetricGauge,
       "1",
       {"state"},
       "Calls that were admitted to the provider, and those that wait to be",
       [](const Snapshot& s, Samples& out) {
         if (!s.upstream) return;
         out.Add({"in_flight"}, s.upstream->guard.queue.in_flight);
         out.Add({"waiting"}, s.upstream->guard.queue.waiting);
       }},
      {"lease_gateway_upstream_service_time_seconds",
       kMetricGauge,
       "seconds",
       {},
       "Moving mean of an attempt's time, by which the queue decides; 0: none yet",
       [](const Snapshot& s, Samples& out) {
         if (s.upstream) out.Add({}, Seconds(s.upstream->guard.service_time));
       }},
      {"lease_gateway_upstream_refusals_total",
       kMetricCounter,
       "1",
       {"reason"},
       "Attempts that the gateway itself refused",
       [](const Snapshot& s, Samples& out) {
         if (!s.upstream) return;
         out.Add({"circuit_open"}, static_cast<double>(s.upstream->guard.circuit_open));
         out.Add({"rate_limited"}, static_cast<double>(s.upstream->guard.rate_limited));
         out.Add({"overloaded"}, static_cast<double>(s.upstream->guard.overloaded));
       }},
      {"lease_gateway_upstream_breaker_state",
       kMetricGauge,
       "1",
       {"state"},
       "1 for the state that the circuit of the provider as a whole is in",
       [](const Snapshot& s, Samples& out) {
         if (!s.upstream) return;
         for (const auto& [state, name] : kBreakerStates) {
           out.Add({name}, s.upstream->guard.breaker == state ? 1 : 0);
         }
       }},
      {"lease_gateway_upstream_operation_breaker_state",
       kMetricGauge,
       "1",
       {"operation", "state"},
       "1 for the state that the circuit of an operation is in",
       [](const Snapshot& s, Samples& out) {
         for (std::size_t i = 0; s.upstream && i < kUpstreamOperationNames.size(); ++i) {
           for (const auto& [state, name] : kBreakerStates) {
             out.Add({std::string(kUpstreamOperationNames[i]), name},
                     s.upstream->guard.operation_breakers[i] == state ? 1 : 0);
           }
         }
       }},
      {"lease_gateway_upstream_retries_total",
       kMetricCounter,
       "1",
       {"budget"},
       "Retries that the budget allowed, and those that it refused",
       [](const Snapshot& s, Samples& out) {
         if (!s.upstream) return;
         out.Add({"allowed"}, static_cast<double>(s.upstream->budget.allowed));
         out.Add({"refused"}, static_cast<double>(s.upstream->budget.refused));
       }},
      {"lease_gateway_upstream_retry_budget",
       kMetricGauge,
       "1",
       {},
       "Retries that the budget has left",
       [](const Snapshot& s, Samples& out) {
         if (s.upstream) out.Add({}, s.upstream->budget.left);
       }},
      {"lease_gateway_upstream_rate_limit",
       kMetricGauge,
       "calls/s",
       {},
       "Rate in force for calls of the provider; 0: no limit",
       [](const Snapshot& s, Samples& out) {
         if (s.upstream) out.Add({}, s.upstream->guard.rate);
       }},
      {"lease_gateway_upstream_credentials_rejected",
       kMetricGauge,
       "1",
       {},
       "1 while the provider's latest answer was that it doesn't take the gateway's API key, or "
       "forbids it a list",
       [](const Snapshot& s, Samples& out) {
         if (!s.upstream) return;
         out.Add({}, s.upstream->stats->attempts.is_key_refused() ? 1 : 0);
       }},
  };
}

std::vector<MetricDeclaration> CacheDeclarations() {
  return {
      {"lease_gateway_cache_requests_total",
       kMetricCounter,
       "1",
       {"result"},
       "Calls by where their answer came from: memory (fresh, stale, stale_if_error) or the "
       "provider (miss, expired, request, bypass)",
       [](const Snapshot& s, Samples& out) {
         for (std::size_t i = 0; i < kCacheResultNames.size(); ++i) {
           out.Add({kCacheResultNames[i]}, static_cast<double>(s.calls.cache[i]));
         }
       }},
      {"lease_gateway_cache_collapsed_total",
       kMetricCounter,
       "1",
       {},
       "Calls that waited for a request to the provider that was under way for others",
       [](const Snapshot& s, Samples& out) {
         out.Add({}, static_cast<double>(s.calls.collapsed));
       }},
      {"lease_gateway_cache_age_seconds",
       kMetricGauge,
       "seconds",
       {"list"},
       "Time since the provider was asked for the list that memory has; none: no sample",
       [](const Snapshot& s, Samples& out) {
         if (!s.cache) return;
         if (s.cache->available_age) out.Add({"available"}, Seconds(*s.cache->available_age));
         if (s.cache->leases_age) out.Add({"leases"}, Seconds(*s.cache->leases_age));
       }},
      {"lease_gateway_cache_numbers",
       kMetricGauge,
       "1",
       {"kind"},
       "Numbers in memory: in the list of available ones, and single ones beside it",
       [](const Snapshot& s, Samples& out) {
         if (!s.cache) return;
         out.Add({"available"}, static_cast<double>(s.cache->available_numbers));
         out.Add({"single"}, static_cast<double>(s.cache->single_numbers));
       }},
      {"lease_gateway_cache_bytes",
       kMetricGauge,
       "bytes",
       {},
       "Memory that the lists take",
       [](const Snapshot& s, Samples& out) {
         if (s.cache) out.Add({}, static_cast<double>(s.cache->bytes));
       }},
      {"lease_gateway_cache_refreshes_total",
       kMetricCounter,
       "1",
       {"list", "result"},
       "Requests to the provider for memory, for a caller or ahead of time",
       [](const Snapshot& s, Samples& out) {
         if (!s.cache) return;
         ForEachList(*s.cache, [&](const char* list, const CachingLeaseApi::Stats::Refreshes& of) {
           out.Add({list, "ok"}, static_cast<double>(of.ok));
           out.Add({list, "failed"}, static_cast<double>(of.failed));
           out.Add({list, "given_up"}, static_cast<double>(of.given_up));
         });
       }},
      {"lease_gateway_cache_history_lists",
       kMetricGauge,
       "1",
       {},
       "Lists that page walks go through, the newest included",
       [](const Snapshot& s, Samples& out) {
         if (s.search) out.Add({}, static_cast<double>(s.search->snapshots));
       }},
      {"lease_gateway_cache_history_bytes",
       kMetricGauge,
       "bytes",
       {},
       "Memory that those of them take which newer ones have replaced",
       [](const Snapshot& s, Samples& out) {
         if (s.search) out.Add({}, static_cast<double>(s.search->bytes));
       }},
      {"lease_gateway_cache_history_evicted_total",
       kMetricCounter,
       "1",
       {},
       "Lists whose page walks ended early, as cache_history_bytes were used up",
       [](const Snapshot& s, Samples& out) {
         if (s.search) out.Add({}, static_cast<double>(s.search->evicted));
       }},
  };
}

std::vector<MetricDeclaration> LeasingDeclarations() {
  return {
      {"lease_gateway_journal_open_operations",
       kMetricGauge,
       "1",
       {},
       "Purchases and terminations that this process works on",
       [](const Snapshot& s, Samples& out) {
         if (s.leasing) out.Add({}, static_cast<double>(s.leasing->open));
       }},
      {"lease_gateway_oldest_open_operation_seconds",
       kMetricGauge,
       "seconds",
       {},
       "Time since this process began with the oldest of them; 0: there is none",
       [](const Snapshot& s, Samples& out) {
         if (s.leasing) out.Add({}, s.leasing->oldest ? Seconds(*s.leasing->oldest) : 0.0);
       }},
      {"lease_gateway_operations_adopted_total",
       kMetricCounter,
       "1",
       {},
       "Operations that this process went on with, as theirs had ended",
       [](const Snapshot& s, Samples& out) {
         if (s.leasing) out.Add({}, static_cast<double>(s.leasing->adopted));
       }},
      {"lease_gateway_operations_ownership_lost_total",
       kMetricCounter,
       "1",
       {},
       "Operations that another replica took over while this process worked on them",
       [](const Snapshot& s, Samples& out) {
         if (s.leasing) out.Add({}, static_cast<double>(s.leasing->ownership_lost));
       }},
      {"lease_gateway_operations_joined_total",
       kMetricCounter,
       "1",
       {},
       "Operations that another replica worked on while callers waited here",
       [](const Snapshot& s, Samples& out) {
         if (s.leasing) out.Add({}, static_cast<double>(s.leasing->joined));
       }},
  };
}

// Without a database they have no samples.
std::vector<MetricDeclaration> DatabaseDeclarations() {
  return {
      {"lease_gateway_database_up",
       kMetricGauge,
       "1",
       {},
       "0 while the database that replicas share can't be reached or takes no writes",
       [](const Snapshot& s, Samples& out) {
         if (s.database) out.Add({}, s.database->up ? 1 : 0);
       }},
      {"lease_gateway_database_connections",
       kMetricGauge,
       "1",
       {},
       "Connections to it, with that for LISTEN",
       [](const Snapshot& s, Samples& out) {
         if (s.database) out.Add({}, s.database->connections);
       }},
      {"lease_gateway_database_transactions_total",
       kMetricCounter,
       "1",
       {"result"},
       "Transactions that were committed, that changed nothing, and of which that isn't known",
       [](const Snapshot& s, Samples& out) {
         if (!s.database) return;
         out.Add({"committed"}, static_cast<double>(s.database->committed));
         out.Add({"failed"}, static_cast<double>(s.database->failed));
         out.Add({"unknown"}, static_cast<double>(s.database->unknown));
       }},
      {"lease_gateway_replicas",
       kMetricGauge,
       "1",
       {},
       "Replicas that are alive by the database's clock, this one included",
       [](const Snapshot& s, Samples& out) {
         if (s.database) out.Add({}, s.database->replicas);
       }},
      {"lease_gateway_replica_heartbeat_age_seconds",
       kMetricGauge,
       "seconds",
       {},
       "Time since this replica's last heartbeat; beyond ownership_time others take over. None "
       "yet: "
       "no sample",
       [](const Snapshot& s, Samples& out) {
         if (s.database && s.database->heartbeat_age) {
           out.Add({}, Seconds(*s.database->heartbeat_age));
         }
       }},
      {"lease_gateway_news_heard_total",
       kMetricCounter,
       "1",
       {},
       "Changes that replicas, this one included, told of",
       [](const Snapshot& s, Samples& out) {
         if (s.database) out.Add({}, static_cast<double>(s.database->news_heard));
       }},
      {"lease_gateway_news_gaps_total",
       kMetricCounter,
       "1",
       {},
       "Times in which some may have been missed, and all was read anew",
       [](const Snapshot& s, Samples& out) {
         if (s.database) out.Add({}, static_cast<double>(s.database->news_gaps));
       }},
  };
}

// Of the file.
std::vector<MetricDeclaration> JournalDeclarations() {
  return {
      {"lease_gateway_journal_operations",
       kMetricGauge,
       "1",
       {"state"},
       "Purchases and terminations in the journal",
       [](const Snapshot& s, Samples& out) {
         if (!s.journal) return;
         for (const auto& [name, state] : kOperationStates) {
           const auto found = s.journal->entries.find(state);
           out.Add({name},
                   found == s.journal->entries.end() ? 0.0 : static_cast<double>(found->second));
         }
       }},
      {"lease_gateway_journal_oldest_unresolved_seconds",
       kMetricGauge,
       "seconds",
       {},
       "Age of the oldest operation whose outcome isn't known; 0: all are",
       [](const Snapshot& s, Samples& out) {
         if (!s.journal) return;
         const auto& oldest = s.journal->oldest_unresolved;
         out.Add({},
                 oldest ? std::max(0.0, Seconds(std::chrono::system_clock::now() - *oldest)) : 0.0);
       }},
      {"lease_gateway_journal_commits_total",
       kMetricCounter,
       "1",
       {},
       "Transactions that were written",
       [](const Snapshot& s, Samples& out) {
         if (s.journal) out.Add({}, static_cast<double>(s.journal->commits));
       }},
      {"lease_gateway_journal_failures_total",
       kMetricCounter,
       "1",
       {},
       "Transactions that could not be written",
       [](const Snapshot& s, Samples& out) {
         if (s.journal) out.Add({}, static_cast<double>(s.journal->failures));
       }},
      {"lease_gateway_journal_writable",
       kMetricGauge,
       "1",
       {},
       "0 when the latest transaction could not be written",
       [](const Snapshot& s, Samples& out) {
         if (s.journal) out.Add({}, s.journal->last_write.ok() ? 1 : 0);
       }},
      {"lease_gateway_journal_queued",
       kMetricGauge,
       "1",
       {},
       "Reads and writes that wait for the journal's thread",
       [](const Snapshot& s, Samples& out) {
         if (s.journal) out.Add({}, static_cast<double>(s.journal->queued));
       }},
      {"lease_gateway_journal_pruned_total",
       kMetricCounter,
       "1",
       {},
       "Settled operations that were deleted, as they were older than journal_retention",
       [](const Snapshot& s, Samples& out) {
         if (s.journal) out.Add({}, static_cast<double>(s.journal->pruned));
       }},
  };
}

std::vector<MetricDeclaration> ProcessDeclarations() {
  return {
      {"lease_gateway_build_info",
       kMetricGauge,
       "1",
       {"version", "grpc", "compiler"},
       "1; what the process was built from",
       [](const Snapshot&, Samples& out) {
         out.Add({LEASE_GATEWAY_VERSION, grpc::Version(), __VERSION__}, 1);
       }},
      {"process_cpu_seconds_total",
       kMetricCounter,
       "seconds",
       {},
       "User and system CPU time",
       [](const Snapshot& s, Samples& out) { out.Add({}, s.process.cpu_seconds); }},
      {"process_resident_memory_bytes",
       kMetricGauge,
       "bytes",
       {},
       "Resident memory",
       [](const Snapshot& s, Samples& out) { out.Add({}, s.process.resident_bytes); }},
      {"process_virtual_memory_bytes",
       kMetricGauge,
       "bytes",
       {},
       "Virtual memory",
       [](const Snapshot& s, Samples& out) { out.Add({}, s.process.virtual_bytes); }},
      {"process_open_fds",
       kMetricGauge,
       "1",
       {},
       "Open file descriptors",
       [](const Snapshot& s, Samples& out) { out.Add({}, s.process.open_files); }},
      {"process_max_fds",
       kMetricGauge,
       "1",
       {},
       "File descriptors that may be open",
       [](const Snapshot& s, Samples& out) { out.Add({}, s.process.max_files); }},
      {"process_threads",
       kMetricGauge,
       "1",
       {},
       "Threads",
       [](const Snapshot& s, Samples& out) { out.Add({}, s.process.threads); }},
      {"process_start_time_seconds",
       kMetricGauge,
       "seconds",
       {},
       "Start, in seconds since 1970",
       [](const Snapshot& s, Samples& out) { out.Add({}, s.process.start_time); }},
  };
}

}  // namespace

const std::vector<MetricDeclaration>& MetricDeclarations() {
  static const auto* const declarations = [] {
    auto* const all = new std::vector<MetricDeclaration>;
    for (const auto& group :
         {CallDeclarations, UpstreamDeclarations, CacheDeclarations, LeasingDeclarations,
          JournalDeclarations, DatabaseDeclarations, ProcessDeclarations}) {
      for (MetricDeclaration& declared : group()) all->push_back(std::move(declared));
    }
    return all;
  }();
  return *declarations;
}

}  // namespace leasegateway
