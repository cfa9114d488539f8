#include "service/admin/metric_snapshot.h"

namespace leasegateway {

MetricSnapshot TakeSnapshot(const CallMetrics& calls, const std::optional<MetricSources>& sources) {
  MetricSnapshot snapshot;
  snapshot.calls = calls.totals();
  snapshot.process = ReadProcessStats();
  if (!sources) return snapshot;
  snapshot.upstream = UpstreamSnapshot{sources->upstream, sources->upstream->guard(),
                                       sources->upstream->pool(), sources->upstream->budget()};
  snapshot.cache = sources->cache();
  snapshot.search = sources->search();
  if (sources->calls) snapshot.calls_under_way = sources->calls();
  snapshot.watchers = sources->watchers();
  snapshot.admin = sources->admin;
  if (sources->connections) snapshot.connections = sources->connections();
  snapshot.leasing = sources->leasing();
  if (sources->journal) snapshot.journal = sources->journal();
  if (sources->database) snapshot.database = sources->database();
  return snapshot;
}

}  // namespace leasegateway
