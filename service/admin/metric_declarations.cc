#include "service/admin/metric_declarations.h"

#include <grpcpp/grpcpp.h>

#include <cstddef>
#include <string>
#include <utility>

#include "leasegateway/v1/lease_service.grpc.pb.h"
#include "service/admin/metric_groups.h"
#include "service/admin/metric_samples.h"
#include "service/admin/metric_snapshot.h"

namespace leasegateway {
namespace {

std::string Service() { return v1::LeaseService::service_full_name(); }

// As gRPC's own libraries for Prometheus write them.
constexpr const char* kCodeNames[CallMetrics::kCodes] = {
    "OK",       "Canceled",       "Unknown",          "InvalidArgument",   "DeadlineExceeded",
    "NotFound", "AlreadyExists",  "PermissionDenied", "ResourceExhausted", "FailedPrecondition",
    "Aborted",  "OutOfRange",     "Unimplemented",    "Internal",          "Unavailable",
    "DataLoss", "Unauthenticated"};

template <typename Each>
void ForEachMethod(const MetricSnapshot& snapshot, Each each) {
  for (std::size_t i = 0; i < CallMetrics::kMethods; ++i) {
    each(kMethodNames[i], snapshot.calls.methods[i]);
  }
}

std::vector<MetricDeclaration> CallDeclarations() {
  return {
      {"grpc_server_started_total",
       kMetricCounter,
       "1",
       {"grpc_service", "grpc_method"},
       "Calls that have begun",
       [](const MetricSnapshot& s, MetricSamples& out) {
         ForEachMethod(s, [&](const char* method, const CallMetrics::Totals::Of& of) {
           out.Add({Service(), method}, static_cast<double>(of.started));
         });
       }},
      {"grpc_server_handled_total",
       kMetricCounter,
       "1",
       {"grpc_service", "grpc_method", "grpc_code"},
       "Calls that have ended, by gRPC code; those that never occurred but OK are left out",
       [](const MetricSnapshot& s, MetricSamples& out) {
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
       [](const MetricSnapshot& s, MetricSamples& out) {
         ForEachMethod(s, [&](const char* method, const CallMetrics::Totals::Of& of) {
           out.Add({Service(), method}, of.time);
         });
       }},
      {"lease_gateway_calls",
       kMetricGauge,
       "1",
       {},
       "Calls under way, without watches and those that memory answers at once",
       [](const MetricSnapshot& s, MetricSamples& out) {
         if (s.calls_under_way) out.Add({}, s.calls_under_way->calls);
       }},
      {"lease_gateway_calls_refused_total",
       kMetricCounter,
       "1",
       {},
       "Calls that were refused at once, as max_calls were under way",
       [](const MetricSnapshot& s, MetricSamples& out) {
         if (s.calls_under_way) out.Add({}, static_cast<double>(s.calls_under_way->refused));
       }},
  };
}

std::vector<AccountMetricDeclaration> WatchDeclarations() {
  return {
      {"lease_gateway_watchers",
       kMetricGauge,
       "1",
       {},
       "Calls of WatchAvailability under way",
       [](const AccountSnapshot& s, MetricSamples& out) { out.Add({}, s.watchers); }},
  };
}

std::vector<MetricDeclaration> ProcessDeclarations() {
  return {
      {"lease_gateway_build_info",
       kMetricGauge,
       "1",
       {"version", "grpc", "compiler"},
       "1; what the process was built from",
       [](const MetricSnapshot&, MetricSamples& out) {
         out.Add({LEASE_GATEWAY_VERSION, grpc::Version(), __VERSION__}, 1);
       }},
      {"process_cpu_seconds_total",
       kMetricCounter,
       "seconds",
       {},
       "User and system CPU time",
       [](const MetricSnapshot& s, MetricSamples& out) { out.Add({}, s.process.cpu_seconds); }},
      {"process_resident_memory_bytes",
       kMetricGauge,
       "bytes",
       {},
       "Resident memory",
       [](const MetricSnapshot& s, MetricSamples& out) { out.Add({}, s.process.resident_bytes); }},
      {"process_virtual_memory_bytes",
       kMetricGauge,
       "bytes",
       {},
       "Virtual memory",
       [](const MetricSnapshot& s, MetricSamples& out) { out.Add({}, s.process.virtual_bytes); }},
      {"process_open_fds",
       kMetricGauge,
       "1",
       {},
       "Open file descriptors",
       [](const MetricSnapshot& s, MetricSamples& out) { out.Add({}, s.process.open_files); }},
      {"process_max_fds",
       kMetricGauge,
       "1",
       {},
       "File descriptors that may be open",
       [](const MetricSnapshot& s, MetricSamples& out) { out.Add({}, s.process.max_files); }},
      {"process_threads",
       kMetricGauge,
       "1",
       {},
       "Threads",
       [](const MetricSnapshot& s, MetricSamples& out) { out.Add({}, s.process.threads); }},
      {"process_start_time_seconds",
       kMetricGauge,
       "seconds",
       {},
       "Start, in seconds since 1970",
       [](const MetricSnapshot& s, MetricSamples& out) { out.Add({}, s.process.start_time); }},
  };
}

MetricDeclaration Declaration(MetricDeclaration declared) { return declared; }

// It is read off the snapshot of each account, whose name becomes the first label.
MetricDeclaration Declaration(AccountMetricDeclaration declared) {
  declared.labels.insert(declared.labels.begin(), "account");
  return {std::move(declared.name),
          std::move(declared.type),
          std::move(declared.unit),
          std::move(declared.labels),
          std::move(declared.help),
          [collect = std::move(declared.collect)](const MetricSnapshot& s, MetricSamples& out) {
            for (const AccountSnapshot& account : s.accounts) {
              out.SetAccount(account.account);
              collect(account, out);
            }
          }};
}

}  // namespace

const std::vector<MetricDeclaration>& MetricDeclarations() {
  static const auto* const declarations = [] {
    auto* const all = new std::vector<MetricDeclaration>;
    const auto add = [all](auto group) {
      for (auto& declared : group) all->push_back(Declaration(std::move(declared)));
    };
    add(CallDeclarations());
    add(WatchDeclarations());
    add(CallersDeclarations());
    add(ConnectionDeclarations());
    add(UpstreamDeclarations());
    add(CacheResultDeclarations());
    add(CacheDeclarations());
    add(SharedListDeclarations());
    add(LeasingDeclarations());
    add(JournalDeclarations());
    add(DatabaseDeclarations());
    add(ProcessDeclarations());
    return all;
  }();
  return *declarations;
}

}  // namespace leasegateway
