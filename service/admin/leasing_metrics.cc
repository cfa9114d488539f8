#include <algorithm>
#include <chrono>
#include <utility>

#include "service/admin/metric_groups.h"
#include "service/admin/metric_samples.h"
#include "service/admin/metric_snapshot.h"

namespace leasegateway {
namespace {

constexpr std::pair<const char*, v1::OperationState> kOperationStates[] = {
    {"intended", v1::OPERATION_STATE_INTENDED}, {"sent", v1::OPERATION_STATE_SENT},
    {"unknown", v1::OPERATION_STATE_UNKNOWN},   {"succeeded", v1::OPERATION_STATE_SUCCEEDED},
    {"failed", v1::OPERATION_STATE_FAILED},
};

}  // namespace

std::vector<AccountMetricDeclaration> LeasingDeclarations() {
  return {
      {"lease_gateway_journal_open_operations",
       kMetricGauge,
       "1",
       {},
       "Purchases and terminations that this process works on",
       [](const AccountSnapshot& s, MetricSamples& out) {
         out.Add({}, static_cast<double>(s.leasing.open));
       }},
      {"lease_gateway_oldest_open_operation_seconds",
       kMetricGauge,
       "seconds",
       {},
       "Time since this process began with the oldest of them; 0: there is none",
       [](const AccountSnapshot& s, MetricSamples& out) {
         out.Add({}, s.leasing.oldest ? Seconds(*s.leasing.oldest) : 0.0);
       }},
      {"lease_gateway_operations_adopted_total",
       kMetricCounter,
       "1",
       {},
       "Operations that this process went on with, as theirs had ended",
       [](const AccountSnapshot& s, MetricSamples& out) {
         out.Add({}, static_cast<double>(s.leasing.adopted));
       }},
      {"lease_gateway_operations_ownership_lost_total",
       kMetricCounter,
       "1",
       {},
       "Operations that another replica took over while this process worked on them",
       [](const AccountSnapshot& s, MetricSamples& out) {
         out.Add({}, static_cast<double>(s.leasing.ownership_lost));
       }},
      {"lease_gateway_operations_joined_total",
       kMetricCounter,
       "1",
       {},
       "Operations that another replica worked on while callers waited here",
       [](const AccountSnapshot& s, MetricSamples& out) {
         out.Add({}, static_cast<double>(s.leasing.joined));
       }},
  };
}

std::vector<MetricDeclaration> JournalDeclarations() {
  return {
      {"lease_gateway_journal_operations",
       kMetricGauge,
       "1",
       {"state"},
       "Purchases and terminations in the journal",
       [](const MetricSnapshot& s, MetricSamples& out) {
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
       [](const MetricSnapshot& s, MetricSamples& out) {
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
       [](const MetricSnapshot& s, MetricSamples& out) {
         if (s.journal) out.Add({}, static_cast<double>(s.journal->commits));
       }},
      {"lease_gateway_journal_failures_total",
       kMetricCounter,
       "1",
       {},
       "Transactions that could not be written",
       [](const MetricSnapshot& s, MetricSamples& out) {
         if (s.journal) out.Add({}, static_cast<double>(s.journal->failures));
       }},
      {"lease_gateway_journal_writable",
       kMetricGauge,
       "1",
       {},
       "0 when the latest transaction could not be written",
       [](const MetricSnapshot& s, MetricSamples& out) {
         if (s.journal) out.Add({}, s.journal->last_write.ok() ? 1 : 0);
       }},
      {"lease_gateway_journal_queued",
       kMetricGauge,
       "1",
       {},
       "Reads and writes that wait for the journal's thread",
       [](const MetricSnapshot& s, MetricSamples& out) {
         if (s.journal) out.Add({}, static_cast<double>(s.journal->queued));
       }},
      {"lease_gateway_journal_pruned_total",
       kMetricCounter,
       "1",
       {},
       "Settled operations that were deleted, as they were kept long enough",
       [](const MetricSnapshot& s, MetricSamples& out) {
         if (s.journal) out.Add({}, static_cast<double>(s.journal->pruned));
       }},
  };
}

std::vector<MetricDeclaration> DatabaseDeclarations() {
  return {
      {"lease_gateway_database_up",
       kMetricGauge,
       "1",
       {},
       "0 while the database that replicas share can't be reached or takes no writes",
       [](const MetricSnapshot& s, MetricSamples& out) {
         if (s.database) out.Add({}, s.database->up ? 1 : 0);
       }},
      {"lease_gateway_database_connections",
       kMetricGauge,
       "1",
       {},
       "Connections to it, with that for LISTEN",
       [](const MetricSnapshot& s, MetricSamples& out) {
         if (s.database) out.Add({}, s.database->connections);
       }},
      {"lease_gateway_database_transactions_total",
       kMetricCounter,
       "1",
       {"result"},
       "Transactions that were committed, that changed nothing, and of which that isn't known",
       [](const MetricSnapshot& s, MetricSamples& out) {
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
       [](const MetricSnapshot& s, MetricSamples& out) {
         if (s.database) out.Add({}, s.database->replicas);
       }},
      {"lease_gateway_replica_heartbeat_age_seconds",
       kMetricGauge,
       "seconds",
       {},
       "Time since this replica's last heartbeat; beyond ownership_time others take over. None "
       "yet: "
       "no sample",
       [](const MetricSnapshot& s, MetricSamples& out) {
         if (s.database && s.database->heartbeat_age) {
           out.Add({}, Seconds(*s.database->heartbeat_age));
         }
       }},
      {"lease_gateway_news_heard_total",
       kMetricCounter,
       "1",
       {},
       "Changes that replicas, this one included, told of",
       [](const MetricSnapshot& s, MetricSamples& out) {
         if (s.database) out.Add({}, static_cast<double>(s.database->news_heard));
       }},
      {"lease_gateway_news_gaps_total",
       kMetricCounter,
       "1",
       {},
       "Times in which some may have been missed, and all was read anew",
       [](const MetricSnapshot& s, MetricSamples& out) {
         if (s.database) out.Add({}, static_cast<double>(s.database->news_gaps));
       }},
  };
}

}  // namespace leasegateway
