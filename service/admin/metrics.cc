#include "service/admin/metrics.h"

#include <dirent.h>
#include <grpcpp/grpcpp.h>
#include <prometheus/metric_family.h>
#include <prometheus/text_serializer.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <iterator>
#include <limits>
#include <sstream>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "leasegateway/v1/lease_service.grpc.pb.h"

namespace leasegateway {
namespace {

using std::chrono::steady_clock;

double Seconds(std::chrono::nanoseconds time) {
  return std::chrono::duration<double>(time).count();
}

// --- what a scrape sees --------------------------------------------------------------------------

struct Process {
  double resident_bytes = 0;
  double virtual_bytes = 0;
  double cpu_seconds = 0;
  double open_files = 0;
  double max_files = 0;
  double threads = 0;
  double start_time = 0;
};

double OpenFiles() {
  DIR* const folder = ::opendir("/proc/self/fd");
  if (folder == nullptr) return 0;
  double count = 0;
  while (::readdir(folder) != nullptr) ++count;
  ::closedir(folder);
  return std::max(0.0, count - 3);  // ".", ".." and the folder itself
}

// Seconds since 1970 at which the machine was started.
double BootTime() {
  std::ifstream file("/proc/stat");
  for (std::string word; file >> word;) {
    double value = 0;
    if (word == "btime" && file >> value) return value;
  }
  return 0;
}

Process ReadProcess() {
  Process process;
  std::ifstream file("/proc/self/stat");
  const std::string text{std::istreambuf_iterator<char>(file), {}};
  // After the name in parentheses, which may hold anything, come the fields from the third on.
  std::istringstream rest(text.substr(std::min(text.rfind(')') + 1, text.size())));
  std::vector<std::string> fields{std::istream_iterator<std::string>(rest), {}};
  const auto field = [&](std::size_t number) {
    return number - 3 < fields.size() ? std::strtod(fields[number - 3].c_str(), nullptr) : 0.0;
  };
  const auto ticks = static_cast<double>(::sysconf(_SC_CLK_TCK));
  process.cpu_seconds = (field(14) + field(15)) / ticks;
  process.threads = field(20);
  static const double boot_time = BootTime();
  process.start_time = boot_time + field(22) / ticks;
  process.virtual_bytes = field(23);
  process.resident_bytes = field(24) * static_cast<double>(::sysconf(_SC_PAGESIZE));
  process.open_files = OpenFiles();
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) == 0) {
    process.max_files = static_cast<double>(limit.rlim_cur);
  }
  return process;
}

struct Upstream {
  std::shared_ptr<const UpstreamStats> stats;
  GuardedLeaseApi::Stats guard;
  ConnectionPool::Counts pool;
  RetryBudget::Stats budget;
};

// One look at all sources, so that the metrics of a scrape fit together.
struct Snapshot {
  CallMetrics::Totals calls;
  Process process;
  std::optional<Upstream> upstream;
  std::optional<CachingLeaseApi::Stats> cache;
  std::optional<AvailabilitySearch::Stats> search;
  std::optional<SqliteJournal::Stats> journal;
  int watchers = 0;
  std::size_t open_operations = 0;
};

// --- declarations --------------------------------------------------------------------------------

enum class Type { kCounter, kGauge, kHistogram };

// The samples of one metric.
class Samples {
 public:
  explicit Samples(const std::vector<std::string>& labels) : labels_(labels) {}

  // `values` are those of the declared labels, in their order.
  void Add(const std::vector<std::string>& values, double value) {
    prometheus::ClientMetric& metric = New(values);
    metric.counter.value = metric.gauge.value = value;
  }
  template <typename Value>
  void Add(const std::vector<std::string>& values, const std::atomic<Value>& value) {
    Add(values, static_cast<double>(value.load(std::memory_order_relaxed)));
  }
  void Add(const std::vector<std::string>& values, const TimeHistogram::Snapshot& times) {
    auto& histogram = New(values).histogram;
    for (std::size_t i = 0; i < times.buckets.size(); ++i) {
      histogram.sample_count += times.buckets[i];
      const double bound = i < TimeHistogram::kBounds.size()
                               ? Seconds(TimeHistogram::kBounds[i])
                               : std::numeric_limits<double>::infinity();
      histogram.bucket.push_back({histogram.sample_count, bound});
    }
    histogram.sample_sum = Seconds(times.sum);
  }

  std::vector<prometheus::ClientMetric> Take() { return std::move(metrics_); }

 private:
  prometheus::ClientMetric& New(const std::vector<std::string>& values) {
    prometheus::ClientMetric& metric = metrics_.emplace_back();
    for (std::size_t i = 0; i < labels_.size() && i < values.size(); ++i) {
      metric.label.push_back({labels_[i], values[i]});
    }
    return metric;
  }

  const std::vector<std::string>& labels_;
  std::vector<prometheus::ClientMetric> metrics_;
};

struct Declared {
  std::string name;
  Type type;
  std::string unit;
  std::vector<std::string> labels;
  std::string help;
  void (*collect)(const Snapshot& snapshot, Samples& samples);
};

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

std::vector<Declared> CallDeclarations() {
  return {
      {"grpc_server_started_total",
       Type::kCounter,
       "1",
       {"grpc_service", "grpc_method"},
       "Calls that have begun",
       [](const Snapshot& s, Samples& out) {
         ForEachMethod(s, [&](const char* method, const CallMetrics::Totals::Of& of) {
           out.Add({Service(), method}, static_cast<double>(of.started));
         });
       }},
      {"grpc_server_handled_total",
       Type::kCounter,
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
       Type::kHistogram,
       "seconds",
       {"grpc_service", "grpc_method"},
       "From the beginning of a call to its end; of WatchAvailability, as long as it was watched",
       [](const Snapshot& s, Samples& out) {
         ForEachMethod(s, [&](const char* method, const CallMetrics::Totals::Of& of) {
           out.Add({Service(), method}, of.time);
         });
       }},
      {"lease_gateway_watchers",
       Type::kGauge,
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

std::vector<Declared> UpstreamDeclarations() {
  return {
      {"lease_gateway_upstream_attempts_total",
       Type::kCounter,
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
       Type::kCounter,
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
       Type::kHistogram,
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
       Type::kHistogram,
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
       Type::kGauge,
       "1",
       {"state"},
       "Connections to the provider, in use (or being made) or idle",
       [](const Snapshot& s, Samples& out) {
         if (!s.upstream) return;
         out.Add({"used"}, s.upstream->pool.open - s.upstream->pool.idle);
         out.Add({"idle"}, s.upstream->pool.idle);
       }},
      {"lease_gateway_upstream_connection_waiters",
       Type::kGauge,
       "1",
       {},
       "Attempts that wait for a connection",
       [](const Snapshot& s, Samples& out) {
         if (s.upstream) out.Add({}, s.upstream->pool.waiting);
       }},
      {"lease_gateway_upstream_queue",
       Type::kGauge,
       "1",
       {"state"},
       "Calls that were admitted to the provider, and those that wait to be",
       [](const Snapshot& s, Samples& out) {
         if (!s.upstream) return;
         out.Add({"in_flight"}, s.upstream->guard.queue.in_flight);
         out.Add({"waiting"}, s.upstream->guard.queue.waiting);
       }},
      {"lease_gateway_upstream_service_time_seconds",
       Type::kGauge,
       "seconds",
       {},
       "Moving mean of an attempt's time, by which the queue decides; 0: none yet",
       [](const Snapshot& s, Samples& out) {
         if (s.upstream) out.Add({}, Seconds(s.upstream->guard.service_time));
       }},
      {"lease_gateway_upstream_refusals_total",
       Type::kCounter,
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
       Type::kGauge,
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
       Type::kGauge,
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
       Type::kCounter,
       "1",
       {"budget"},
       "Retries that the budget allowed, and those that it refused",
       [](const Snapshot& s, Samples& out) {
         if (!s.upstream) return;
         out.Add({"allowed"}, static_cast<double>(s.upstream->budget.allowed));
         out.Add({"refused"}, static_cast<double>(s.upstream->budget.refused));
       }},
      {"lease_gateway_upstream_retry_budget",
       Type::kGauge,
       "1",
       {},
       "Retries that the budget has left",
       [](const Snapshot& s, Samples& out) {
         if (s.upstream) out.Add({}, s.upstream->budget.left);
       }},
      {"lease_gateway_upstream_rate_limit",
       Type::kGauge,
       "calls/s",
       {},
       "Rate in force for calls of the provider; 0: no limit",
       [](const Snapshot& s, Samples& out) {
         if (s.upstream) out.Add({}, s.upstream->guard.rate);
       }},
      {"lease_gateway_upstream_credentials_rejected",
       Type::kGauge,
       "1",
       {},
       "1 while the provider's latest answer was that it doesn't take the gateway's API key",
       [](const Snapshot& s, Samples& out) {
         if (!s.upstream) return;
         const auto& rejected = s.upstream->stats->attempts.credentials_rejected;
         out.Add({}, rejected.load(std::memory_order_relaxed) ? 1 : 0);
       }},
  };
}

std::vector<Declared> CacheDeclarations() {
  return {
      {"lease_gateway_cache_requests_total",
       Type::kCounter,
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
       Type::kCounter,
       "1",
       {},
       "Calls that waited for a request to the provider that was under way for others",
       [](const Snapshot& s, Samples& out) {
         out.Add({}, static_cast<double>(s.calls.collapsed));
       }},
      {"lease_gateway_cache_age_seconds",
       Type::kGauge,
       "seconds",
       {"list"},
       "Time since the provider was asked for the list that memory has; none: no sample",
       [](const Snapshot& s, Samples& out) {
         if (!s.cache) return;
         if (s.cache->available_age) out.Add({"available"}, Seconds(*s.cache->available_age));
         if (s.cache->leases_age) out.Add({"leases"}, Seconds(*s.cache->leases_age));
       }},
      {"lease_gateway_cache_numbers",
       Type::kGauge,
       "1",
       {"kind"},
       "Numbers in memory: in the list of available ones, and single ones beside it",
       [](const Snapshot& s, Samples& out) {
         if (!s.cache) return;
         out.Add({"available"}, static_cast<double>(s.cache->available_numbers));
         out.Add({"single"}, static_cast<double>(s.cache->single_numbers));
       }},
      {"lease_gateway_cache_bytes",
       Type::kGauge,
       "bytes",
       {},
       "Memory that the lists take",
       [](const Snapshot& s, Samples& out) {
         if (s.cache) out.Add({}, static_cast<double>(s.cache->bytes));
       }},
      {"lease_gateway_cache_refreshes_total",
       Type::kCounter,
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
       Type::kGauge,
       "1",
       {},
       "Lists that page walks go through, the newest included",
       [](const Snapshot& s, Samples& out) {
         if (s.search) out.Add({}, static_cast<double>(s.search->snapshots));
       }},
      {"lease_gateway_cache_history_bytes",
       Type::kGauge,
       "bytes",
       {},
       "Memory that those of them take which newer ones have replaced",
       [](const Snapshot& s, Samples& out) {
         if (s.search) out.Add({}, static_cast<double>(s.search->bytes));
       }},
      {"lease_gateway_cache_history_evicted_total",
       Type::kCounter,
       "1",
       {},
       "Lists whose page walks ended early, as cache_history_bytes were used up",
       [](const Snapshot& s, Samples& out) {
         if (s.search) out.Add({}, static_cast<double>(s.search->evicted));
       }},
  };
}

std::vector<Declared> JournalDeclarations() {
  return {
      {"lease_gateway_journal_operations",
       Type::kGauge,
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
       Type::kGauge,
       "seconds",
       {},
       "Age of the oldest operation whose outcome isn't known; 0: all are",
       [](const Snapshot& s, Samples& out) {
         if (!s.journal) return;
         const auto& oldest = s.journal->oldest_unresolved;
         out.Add({},
                 oldest ? std::max(0.0, Seconds(std::chrono::system_clock::now() - *oldest)) : 0.0);
       }},
      {"lease_gateway_journal_open_operations",
       Type::kGauge,
       "1",
       {},
       "Operations that this process works on",
       [](const Snapshot& s, Samples& out) {
         if (s.journal) out.Add({}, static_cast<double>(s.open_operations));
       }},
      {"lease_gateway_journal_commits_total",
       Type::kCounter,
       "1",
       {},
       "Transactions that were written",
       [](const Snapshot& s, Samples& out) {
         if (s.journal) out.Add({}, static_cast<double>(s.journal->commits));
       }},
      {"lease_gateway_journal_failures_total",
       Type::kCounter,
       "1",
       {},
       "Transactions that could not be written",
       [](const Snapshot& s, Samples& out) {
         if (s.journal) out.Add({}, static_cast<double>(s.journal->failures));
       }},
      {"lease_gateway_journal_writable",
       Type::kGauge,
       "1",
       {},
       "0 when the latest transaction could not be written",
       [](const Snapshot& s, Samples& out) {
         if (s.journal) out.Add({}, s.journal->last_write.ok() ? 1 : 0);
       }},
      {"lease_gateway_journal_queued",
       Type::kGauge,
       "1",
       {},
       "Reads and writes that wait for the journal's thread",
       [](const Snapshot& s, Samples& out) {
         if (s.journal) out.Add({}, static_cast<double>(s.journal->queued));
       }},
      {"lease_gateway_journal_pruned_total",
       Type::kCounter,
       "1",
       {},
       "Settled operations that were deleted, as they were older than journal_retention",
       [](const Snapshot& s, Samples& out) {
         if (s.journal) out.Add({}, static_cast<double>(s.journal->pruned));
       }},
  };
}

std::vector<Declared> ProcessDeclarations() {
  return {
      {"lease_gateway_build_info",
       Type::kGauge,
       "1",
       {"version", "grpc", "compiler"},
       "1; what the process was built from",
       [](const Snapshot&, Samples& out) {
         out.Add({LEASE_GATEWAY_VERSION, grpc::Version(), __VERSION__}, 1);
       }},
      {"process_cpu_seconds_total",
       Type::kCounter,
       "seconds",
       {},
       "User and system CPU time",
       [](const Snapshot& s, Samples& out) { out.Add({}, s.process.cpu_seconds); }},
      {"process_resident_memory_bytes",
       Type::kGauge,
       "bytes",
       {},
       "Resident memory",
       [](const Snapshot& s, Samples& out) { out.Add({}, s.process.resident_bytes); }},
      {"process_virtual_memory_bytes",
       Type::kGauge,
       "bytes",
       {},
       "Virtual memory",
       [](const Snapshot& s, Samples& out) { out.Add({}, s.process.virtual_bytes); }},
      {"process_open_fds",
       Type::kGauge,
       "1",
       {},
       "Open file descriptors",
       [](const Snapshot& s, Samples& out) { out.Add({}, s.process.open_files); }},
      {"process_max_fds",
       Type::kGauge,
       "1",
       {},
       "File descriptors that may be open",
       [](const Snapshot& s, Samples& out) { out.Add({}, s.process.max_files); }},
      {"process_threads",
       Type::kGauge,
       "1",
       {},
       "Threads",
       [](const Snapshot& s, Samples& out) { out.Add({}, s.process.threads); }},
      {"process_start_time_seconds",
       Type::kGauge,
       "seconds",
       {},
       "Start, in seconds since 1970",
       [](const Snapshot& s, Samples& out) { out.Add({}, s.process.start_time); }},
  };
}

const std::vector<Declared>& Declarations() {
  static const auto* const declarations = [] {
    auto* const all = new std::vector<Declared>;
    for (const auto& group : {CallDeclarations, UpstreamDeclarations, CacheDeclarations,
                              JournalDeclarations, ProcessDeclarations}) {
      for (Declared& declared : group()) all->push_back(std::move(declared));
    }
    return all;
  }();
  return *declarations;
}

prometheus::MetricType ToPrometheus(Type type) {
  switch (type) {
    case Type::kCounter:
      return prometheus::MetricType::Counter;
    case Type::kHistogram:
      return prometheus::MetricType::Histogram;
    case Type::kGauge:
      break;
  }
  return prometheus::MetricType::Gauge;
}

std::string NameOf(Type type) {
  return type == Type::kCounter ? "counter" : type == Type::kHistogram ? "histogram" : "gauge";
}

Snapshot Look(const CallMetrics& calls, const std::optional<MetricSources>& sources) {
  Snapshot snapshot;
  snapshot.calls = calls.totals();
  snapshot.process = ReadProcess();
  if (!sources) return snapshot;
  snapshot.upstream = Upstream{sources->upstream, sources->upstream->guard(),
                               sources->upstream->pool(), sources->upstream->budget()};
  snapshot.cache = sources->cache();
  snapshot.search = sources->search();
  snapshot.watchers = sources->watchers();
  snapshot.journal = sources->journal();
  snapshot.open_operations = sources->open_operations();
  return snapshot;
}

}  // namespace

void Metrics::Attach(MetricSources sources) {
  const std::lock_guard lock(mutex_);
  sources_ = std::move(sources);
}

void Metrics::Detach() {
  const std::lock_guard lock(mutex_);
  sources_.reset();
}

std::string Metrics::Text() const {
  const std::lock_guard lock(mutex_);
  const Snapshot snapshot = Look(*calls_, sources_);
  std::vector<prometheus::MetricFamily> families;
  for (const Declared& declared : Declarations()) {
    Samples samples(declared.labels);
    declared.collect(snapshot, samples);
    families.push_back({declared.name, declared.help, ToPrometheus(declared.type), samples.Take()});
  }
  return prometheus::TextSerializer().Serialize(families);
}

std::vector<MetricDeclaration> MetricDeclarations() {
  std::vector<MetricDeclaration> declarations;
  for (const Declared& declared : Declarations()) {
    declarations.push_back(
        {declared.name, NameOf(declared.type), declared.unit, declared.labels, declared.help});
  }
  return declarations;
}

std::string PrintMetrics() {
  std::string table = "| metric | type | unit | labels | what it is |\n|---|---|---|---|---|\n";
  for (const MetricDeclaration& metric : MetricDeclarations()) {
    absl::StrAppend(&table, "| `", metric.name, "` | ", metric.type, " | ", metric.unit, " | ",
                    absl::StrJoin(metric.labels, ", "), " | ", metric.help, " |\n");
  }
  return table;
}

}  // namespace leasegateway
