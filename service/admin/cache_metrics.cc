#include <cstddef>

#include "service/admin/metric_groups.h"
#include "service/admin/metric_samples.h"
#include "service/admin/metric_snapshot.h"

namespace leasegateway {
namespace {

template <typename Each>
void ForEachList(const CachingLeaseApi::Stats& cache, Each each) {
  each("available", cache.available);
  each("leases", cache.leases);
  each("numbers", cache.numbers);
}

}  // namespace

std::vector<MetricDeclaration> CacheResultDeclarations() {
  return {
      {"lease_gateway_cache_requests_total",
       kMetricCounter,
       "1",
       {"result"},
       "Calls by where their answer came from: memory (fresh, stale, stale_if_error) or the "
       "provider (miss, expired, request, bypass)",
       [](const MetricSnapshot& s, MetricSamples& out) {
         for (std::size_t i = 0; i < kCacheResultNames.size(); ++i) {
           out.Add({kCacheResultNames[i]}, static_cast<double>(s.calls.cache[i]));
         }
       }},
      {"lease_gateway_cache_collapsed_total",
       kMetricCounter,
       "1",
       {},
       "Calls that waited for a request to the provider that was under way for others",
       [](const MetricSnapshot& s, MetricSamples& out) {
         out.Add({}, static_cast<double>(s.calls.collapsed));
       }},
  };
}

std::vector<AccountMetricDeclaration> CacheDeclarations() {
  return {
      {"lease_gateway_cache_age_seconds",
       kMetricGauge,
       "seconds",
       {"list"},
       "Time since the provider was asked for the list that memory has; none: no sample",
       [](const AccountSnapshot& s, MetricSamples& out) {
         if (s.cache.available_age) out.Add({"available"}, Seconds(*s.cache.available_age));
         if (s.cache.leases_age) out.Add({"leases"}, Seconds(*s.cache.leases_age));
       }},
      {"lease_gateway_cache_numbers",
       kMetricGauge,
       "1",
       {"kind"},
       "Numbers in memory: in the list of available ones, and single ones beside it",
       [](const AccountSnapshot& s, MetricSamples& out) {
         out.Add({"available"}, static_cast<double>(s.cache.available_numbers));
         out.Add({"single"}, static_cast<double>(s.cache.single_numbers));
       }},
      {"lease_gateway_cache_bytes",
       kMetricGauge,
       "bytes",
       {},
       "Memory that the lists take",
       [](const AccountSnapshot& s, MetricSamples& out) {
         out.Add({}, static_cast<double>(s.cache.bytes));
       }},
      {"lease_gateway_cache_refreshes_total",
       kMetricCounter,
       "1",
       {"list", "result"},
       "Requests to the provider for memory, for a caller or ahead of time",
       [](const AccountSnapshot& s, MetricSamples& out) {
         ForEachList(s.cache, [&](const char* list, const CachingLeaseApi::Stats::Refreshes& of) {
           out.Add({list, "ok"}, static_cast<double>(of.ok));
           out.Add({list, "failed"}, static_cast<double>(of.failed));
           out.Add({list, "given_up"}, static_cast<double>(of.given_up));
         });
       }},
      {"lease_gateway_cache_unchanged_total",
       kMetricCounter,
       "1",
       {"list"},
       "Of those that are ok, the lists that did not have to come, as the provider said that they "
       "were as before (304)",
       [](const AccountSnapshot& s, MetricSamples& out) {
         out.Add({"available"}, static_cast<double>(s.cache.available.unchanged));
         out.Add({"leases"}, static_cast<double>(s.cache.leases.unchanged));
       }},
      {"lease_gateway_cache_history_lists",
       kMetricGauge,
       "1",
       {},
       "Lists that page walks go through, the newest included",
       [](const AccountSnapshot& s, MetricSamples& out) {
         out.Add({}, static_cast<double>(s.search.snapshots));
       }},
      {"lease_gateway_cache_history_bytes",
       kMetricGauge,
       "bytes",
       {},
       "Memory that those of them take which newer ones have replaced",
       [](const AccountSnapshot& s, MetricSamples& out) {
         out.Add({}, static_cast<double>(s.search.bytes));
       }},
      {"lease_gateway_cache_history_evicted_total",
       kMetricCounter,
       "1",
       {},
       "Lists whose page walks ended early, as cache_history_bytes were used up",
       [](const AccountSnapshot& s, MetricSamples& out) {
         out.Add({}, static_cast<double>(s.search.evicted));
       }},
  };
}

std::vector<AccountMetricDeclaration> SharedListDeclarations() {
  return {
      {"lease_gateway_shared_lists_up",
       kMetricGauge,
       "1",
       {},
       "0 while the log of the lists that replicas share is away and each asks the provider for "
       "itself",
       [](const AccountSnapshot& s, MetricSamples& out) {
         if (s.cache.shared) out.Add({}, s.cache.shared->is_up ? 1 : 0);
       }},
      {"lease_gateway_shared_lists_sequence",
       kMetricGauge,
       "1",
       {},
       "Entry of that log up to which this replica has read",
       [](const AccountSnapshot& s, MetricSamples& out) {
         if (s.cache.shared) out.Add({}, static_cast<double>(s.cache.shared->sequence));
       }},
      {"lease_gateway_shared_lists_pending_writes",
       kMetricGauge,
       "1",
       {},
       "Writes of this replica that are not in the log yet",
       [](const AccountSnapshot& s, MetricSamples& out) {
         if (s.cache.shared) out.Add({}, static_cast<double>(s.cache.shared->pending));
       }},
      {"lease_gateway_shared_lists_writes_total",
       kMetricCounter,
       "1",
       {},
       "Writes of this replica that it has found in the log",
       [](const AccountSnapshot& s, MetricSamples& out) {
         if (s.cache.shared) out.Add({}, static_cast<double>(s.cache.shared->appended));
       }},
      {"lease_gateway_shared_lists_refreshes_made_total",
       kMetricCounter,
       "1",
       {},
       "Answers of the provider that this replica put into the log for all",
       [](const AccountSnapshot& s, MetricSamples& out) {
         if (s.cache.shared) out.Add({}, static_cast<double>(s.cache.shared->made));
       }},
      {"lease_gateway_shared_lists_refreshes_read_total",
       kMetricCounter,
       "1",
       {},
       "Refreshes that this replica read from the log, its own included",
       [](const AccountSnapshot& s, MetricSamples& out) {
         if (s.cache.shared) out.Add({}, static_cast<double>(s.cache.shared->loaded));
       }},
      {"lease_gateway_shared_lists_written_bytes_total",
       kMetricCounter,
       "bytes",
       {},
       "Lists and differences that this replica put into the log, before compression",
       [](const AccountSnapshot& s, MetricSamples& out) {
         if (s.cache.shared) out.Add({}, static_cast<double>(s.cache.shared->made_bytes));
       }},
      {"lease_gateway_shared_lists_claims_total",
       kMetricCounter,
       "1",
       {"result"},
       "Times this replica wanted to ask the provider for all: given, or refused, as another one "
       "asks or has asked",
       [](const AccountSnapshot& s, MetricSamples& out) {
         if (!s.cache.shared) return;
         out.Add({"given"}, static_cast<double>(s.cache.shared->claims_given));
         out.Add({"refused"}, static_cast<double>(s.cache.shared->claims_refused));
       }},
      {"lease_gateway_shared_lists_restored_total",
       kMetricCounter,
       "1",
       {},
       "Times the lists were read anew, as the log was another one or did not reach back",
       [](const AccountSnapshot& s, MetricSamples& out) {
         if (s.cache.shared) out.Add({}, static_cast<double>(s.cache.shared->restored));
       }},
      {"lease_gateway_shared_lists_failures_total",
       kMetricCounter,
       "1",
       {},
       "Exchanges with the log that failed",
       [](const AccountSnapshot& s, MetricSamples& out) {
         if (s.cache.shared) out.Add({}, static_cast<double>(s.cache.shared->failed));
       }},
  };
}

}  // namespace leasegateway
