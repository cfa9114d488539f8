#include "service/admin/metric_snapshot.h"

namespace leasegateway {
namespace {

AccountSnapshot TakeSnapshotOf(const AccountSources& of) {
  return {
      of.account,   {of.upstream, of.upstream->guard(), of.upstream->pool(), of.upstream->budget()},
      of.cache(),   of.search(),
      of.leasing(), of.watchers()};
}

}  // namespace

MetricSnapshot TakeSnapshot(const CallMetrics& calls, const std::optional<MetricSources>& sources) {
  MetricSnapshot snapshot;
  snapshot.calls = calls.totals();
  snapshot.process = ReadProcessStats();
  if (!sources) return snapshot;
  for (const AccountSources& account : sources->accounts) {
    snapshot.accounts.push_back(TakeSnapshotOf(account));
  }
  if (sources->calls) snapshot.calls_under_way = sources->calls();
  snapshot.callers = sources->callers ? sources->callers() : CallersStats();
  snapshot.admin = sources->admin;
  if (sources->connections) snapshot.connections = sources->connections();
  if (sources->journal) snapshot.journal = sources->journal();
  if (sources->database) snapshot.database = sources->database();
  return snapshot;
}

}  // namespace leasegateway
