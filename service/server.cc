#include "service/server.h"

#include <grpcpp/ext/channelz_service_plugin.h>
#include <grpcpp/ext/proto_server_reflection_plugin.h>
#include <grpcpp/grpcpp.h>
#include <grpcpp/health_check_service_interface.h>
#include <spdlog/spdlog.h>
#include <stdlib.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/strand.hpp>
#include <boost/asio/use_future.hpp>
#include <fstream>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "leasegateway/v1/lease_service.grpc.pb.h"
#include "service/admin/admin_server.h"
#include "service/admin/metrics.h"
#include "service/config/print.h"
#include "service/process/api_key.h"
#include "service/process/connection_drain.h"
#include "service/process/tls.h"
#include "service/rpc/lease_service.h"
#include "service/rpc/pinned_slice.h"
#include "service/rpc/search.h"
#include "service/rpc/watch_hub.h"
#include "upstream/lease_api_factory.h"
#include "upstream/leasing/journal/sqlite/sqlite_journal.h"
#include "upstream/leasing/recorded_lease_api.h"
#include "upstream/sandbox/sandbox.h"

namespace leasegateway {
namespace {

// A file that is gone when this object is.
class TemporaryFile {
 public:
  static absl::StatusOr<std::unique_ptr<TemporaryFile>> Make(const std::string& content) {
    const char* const folder = ::getenv("TMPDIR");
    std::string path = absl::StrCat(folder != nullptr && *folder != '\0' ? folder : "/tmp",
                                    "/lease-gateway-XXXXXX");
    const int handle = ::mkstemp(path.data());
    if (handle < 0) {
      return absl::FailedPreconditionError(absl::StrCat("can't make a temporary file ", path));
    }
    ::close(handle);
    std::ofstream(path) << content;
    return std::unique_ptr<TemporaryFile>(new TemporaryFile(std::move(path)));
  }
  ~TemporaryFile() { ::unlink(path_.c_str()); }
  const std::string& path() const { return path_; }

 private:
  explicit TemporaryFile(std::string path) : path_(std::move(path)) {}
  const std::string path_;
};

UpstreamOptions ToUpstreamOptions(const Config& config) {
  UpstreamOptions options;
  options.url = config.upstream_url;
  options.ca_file = config.upstream_ca_file;
  options.auth_scheme = config.auth_scheme;
  options.user_agent = "lease-gateway/" LEASE_GATEWAY_VERSION;
  options.https.resolve_timeout = config.resolve_timeout;
  options.https.connect_timeout = config.connect_timeout;
  options.https.handshake_timeout = config.handshake_timeout;
  options.https.send_timeout = config.send_timeout;
  options.https.response_timeout = config.response_timeout;
  options.https.read_timeout = config.read_timeout;
  options.https.idle_timeout = config.idle_timeout;
  options.https.dns_ttl = config.dns_ttl;
  options.https.max_body_bytes = config.max_body_bytes;
  options.https.max_connections = config.pool_size;
  options.https.max_waiters = config.pool_queue;
  options.max_wait = config.pool_wait;
  options.rate = config.upstream_rate;
  options.retry.max_attempts = config.retry_attempts;
  options.retry_budget = std::make_shared<RetryBudget>(RetryBudget::Options{
      .percent = config.retry_budget_percent, .floor = config.retry_budget_floor});
  options.cache.fresh = config.cache_fresh;
  options.cache.stale_while_revalidate = config.cache_stale_while_revalidate;
  options.cache.stale_if_error = config.cache_stale_if_error;
  options.cache.negative = config.cache_negative;
  options.cache.idle = config.cache_idle;
  options.cache.max_numbers = static_cast<std::size_t>(config.cache_numbers);
  options.pin = PinSlice;
  return options;
}

// What gRPC may hold in buffers for all connections together; then it reads more slowly.
constexpr std::size_t kMaxTransportBytes = 1 << 30;

// Beside the names that callers ask health for: SERVING from start to end, so that a gateway that
// drains is not taken for one that hangs.
constexpr char kLiveness[] = "liveness";

// Keeps `api` until its answer is there, which nobody reads.
boost::asio::awaitable<void> Ask(std::shared_ptr<CachingLeaseApi> api, CallContext context) {
  auto asking = api->FindAvailability(std::move(context));
  const auto answer = co_await std::move(asking);
  if (!answer.ok()) spdlog::debug("not ready: {}", std::string(answer.status().message()));
}

// How long a stop waits for connections to end by themselves. gRPC's clients that have no call
// under way look at theirs every 5 s. Calls have until the end of `grace`.
constexpr std::chrono::seconds kGoodbye{7};

int Milliseconds(std::chrono::milliseconds value) { return static_cast<int>(value.count()); }

}  // namespace

struct Server::Parts {
  Config config;
  boost::asio::io_context io;
  std::optional<boost::asio::executor_work_guard<boost::asio::io_context::executor_type>> work;
  std::vector<std::thread> threads;
  std::unique_ptr<sandbox::Sandbox> sandbox;
  std::shared_ptr<SqliteJournal> journal;
  std::shared_ptr<CachingLeaseApi> api;
  std::unique_ptr<RecordedLeaseApi> recorded;
  CallRuntime runtime;
  std::unique_ptr<AvailabilitySearch> search;
  std::unique_ptr<WatchHub> watches;
  std::unique_ptr<grpc::Service> service;
  std::unique_ptr<ServingCertificates> certificates;  // of TLS
  std::unique_ptr<grpc::Server> server;
  int port = 0;
  bool drained = false;
  std::shared_ptr<UpstreamStats> upstream_stats;
  std::unique_ptr<Metrics> metrics;
  enum class Phase { kStarting, kServing, kDraining };
  std::atomic<Phase> phase{Phase::kStarting};
  std::mutex probing;  // held while what readiness looks at is in use
  bool probeable = false;
  std::chrono::steady_clock::time_point probed;
  std::unique_ptr<AdminServer> admin;

  absl::Status StartAdmin();
  void AttachAdmin();
  void DetachAdmin();
  Readiness Ready();
  void AskProvider();

  absl::Status OpenTransport();
  absl::Status OpenJournal();
  absl::Status StartUpstream();
  void StartThreads();
  absl::Status Recover();
  absl::Status StartGrpc();
};

absl::Status Server::Parts::OpenTransport() {
  if (const auto problem = CheckTls(TlsOptionsOf(config), absl::Now())) {
    return absl::FailedPreconditionError(
        absl::StrCat(problem->key, ": \"", problem->value, "\": ", problem->rule));
  }
  if (config.tls_cert_file.empty()) {
    if (config.allow_plaintext) {
      spdlog::warn("{} is served without TLS, as allow_plaintext says", config.listen);
    }
    return absl::OkStatus();
  }
  auto opened = ServingCertificates::Open(TlsOptionsOf(config));
  if (!opened.ok()) return opened.status();
  certificates = *std::move(opened);
  return absl::OkStatus();
}

absl::Status Server::Parts::StartAdmin() {
  metrics = std::make_unique<Metrics>(runtime.metrics);
  if (config.admin_listen.empty()) return absl::OkStatus();
  AdminPages pages;
  pages.metrics = [this] { return metrics->Text(); };
  pages.config = [this] { return PrintConfig(config); };
  pages.readiness = [this] { return Ready(); };
  pages.calls = io.get_executor();
  auto started = AdminServer::Start(config.admin_listen, std::move(pages), AdminServer::Options());
  if (!started.ok()) return started.status();
  admin = *std::move(started);
  return absl::OkStatus();
}

void Server::Parts::AttachAdmin() {
  MetricSources sources;
  sources.upstream = upstream_stats;
  sources.cache = [this] { return api->stats(); };
  sources.search = [this] { return search->stats(); };
  sources.watchers = [this] { return watches->watchers(); };
  sources.journal = [this] { return journal->stats(); };
  sources.open_operations = [this] { return recorded->open(); };
  metrics->Attach(std::move(sources));
  const std::lock_guard lock(probing);
  probeable = true;
}

// Before what it looks at goes away.
void Server::Parts::DetachAdmin() {
  if (metrics) metrics->Detach();
  const std::lock_guard lock(probing);
  probeable = false;
}

// A provider that is down does not make a gateway unready: others could do no better, and memory
// may have answers. Neither does a journal that can't be written: reads go on, and those who lease
// are told why not.
Readiness Server::Parts::Ready() {
  if (phase == Phase::kStarting) return {false, "it starts\n"};
  if (phase == Phase::kDraining) return {false, "it drains: new calls go to another one\n"};
  const std::lock_guard lock(probing);
  if (!probeable) return {false, "it stops\n"};
  Readiness readiness{true, ""};
  const absl::Status last_write = journal->stats().last_write;
  if (!last_write.ok()) {
    absl::StrAppend(&readiness.words, "purchases can't be written down: ", last_write.message(),
                    "\n");
  }
  if (upstream_stats->attempts.credentials_rejected.load(std::memory_order_relaxed)) {
    // As long as it answers: the provider's refusal is no outage, which would make that longer.
    const auto age = api->stats().available_age;
    const bool warm = age && *age <= config.cache_fresh + config.cache_stale_while_revalidate;
    readiness.ready = readiness.ready && warm;
    absl::StrAppend(&readiness.words, "the provider does not take the gateway's API key",
                    warm ? "; memory still answers" : "", "\n");
    if (!warm) AskProvider();
  }
  return readiness;
}

// While it isn't ready no caller asks the provider, so nobody else would see that it takes the key
// again.
void Server::Parts::AskProvider() {
  constexpr std::chrono::seconds kEvery{5};
  const auto now = std::chrono::steady_clock::now();
  if (now - probed < kEvery) return;
  probed = now;
  CallContext context;
  context.call_id = "readiness";
  context.deadline = now + std::chrono::seconds(3);
  auto asking = Ask(api, std::move(context));
  boost::asio::co_spawn(boost::asio::make_strand(io.get_executor()), std::move(asking),
                        boost::asio::detached);
}

absl::Status Server::Parts::OpenJournal() {
  SqliteJournal::Options options;
  options.path = JournalPath(config);
  options.retention = std::chrono::ceil<std::chrono::hours>(config.journal_retention);
  auto opened = SqliteJournal::Open(options);
  if (!opened.ok()) return opened.status();
  journal = *std::move(opened);
  return absl::OkStatus();
}

absl::Status Server::Parts::StartUpstream() {
  UpstreamOptions options = ToUpstreamOptions(config);
  std::unique_ptr<TemporaryFile> ca_file;  // read while the stack is made
  if (config.sandbox) {
    sandbox::SandboxOptions sandbox_options;
    sandbox_options.numbers = config.sandbox_numbers;
    sandbox_options.seed = config.sandbox_seed;
    sandbox_options.control_port = config.sandbox_control_port;
    auto started = sandbox::Sandbox::Start(sandbox_options);
    if (!started.ok()) return started.status();
    sandbox = *std::move(started);
    auto made = TemporaryFile::Make(sandbox->ca_certificate());
    if (!made.ok()) return made.status();
    ca_file = *std::move(made);
    options.url = sandbox->url();
    options.ca_file = ca_file->path();
    options.api_key = [key = sandbox->key()] { return key; };
  } else {
    const auto key = std::make_shared<const ApiKey>(config.api_key, config.upstream_token_file,
                                                    config.file_refresh);
    options.api_key = [key] { return key->Get(); };
  }
  upstream_stats = options.stats;
  RecordedLeaseApi::Options recording;
  recording.settle = config.settle_time;
  recording.may_resend = [budget = options.retry_budget] {
    return budget->Take(false, std::chrono::steady_clock::now());
  };
  auto made = MakeLeaseApi(io.get_executor(), std::move(options));
  if (!made.ok()) return made.status();
  api = *std::move(made);
  recorded = std::make_unique<RecordedLeaseApi>(api, RecordedLeaseApi::MemoryOf(api), journal,
                                                std::move(recording), io.get_executor(),
                                                MakeCallEnvironment());
  return absl::OkStatus();
}

void Server::Parts::StartThreads() {
  work.emplace(io.get_executor());
  for (int i = 0; i < config.threads; ++i) {
    threads.emplace_back([this] { io.run(); });
  }
}

// What a process before this one left open.
absl::Status Server::Parts::Recover() {
  auto recovering = recorded->Recover();
  auto recovered = boost::asio::co_spawn(boost::asio::make_strand(io.get_executor()),
                                         std::move(recovering), boost::asio::use_future);
  return recovered.get();
}

absl::Status Server::Parts::StartGrpc() {
  static std::once_flag plugins;
  std::call_once(plugins, [this] {
    grpc::EnableDefaultHealthCheckService(true);
    if (config.reflection) grpc::reflection::InitProtoReflectionServerBuilderPlugin();
    if (config.channelz) grpc::channelz::experimental::InitChannelzService();
  });
  runtime.executor = io.get_executor();
  runtime.default_deadline = config.default_deadline;
  runtime.log_hits = config.access_log_hits;
  const CacheEnvironment environment = MakeCacheEnvironment(io.get_executor(), PinInMemory);
  search = std::make_unique<AvailabilitySearch>(
      environment.now, environment.after, static_cast<std::size_t>(config.cache_history_bytes));
  watches = std::make_unique<WatchHub>(
      runtime, *api,
      WatchOptions{.heartbeat = config.watch_heartbeat, .max_watchers = config.max_watchers});
  service = std::make_unique<LeaseService>(runtime, *api, *recorded, *search, *watches);
  // After all that they use is made, so that they see it whoever hands it to them.
  StartThreads();
  absl::Status recovered = Recover();
  if (!recovered.ok()) return recovered;

  grpc::ServerBuilder builder;
  builder.AddListeningPort(
      config.listen, certificates ? certificates->Credentials() : grpc::InsecureServerCredentials(),
      &port);
  builder.RegisterService(service.get());
  builder.SetMaxReceiveMessageSize(config.max_request_bytes);
  builder.SetMaxSendMessageSize(config.max_response_bytes);
  // Otherwise a second gateway on the same port would start and take a share of the calls.
  builder.AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);
  builder.AddChannelArgument(GRPC_ARG_ENABLE_CHANNELZ, config.channelz ? 1 : 0);
  // Pings that measure the bandwidth would cost hits a tenth of their throughput.
  builder.AddChannelArgument(GRPC_ARG_HTTP2_BDP_PROBE, 0);
  builder.SetResourceQuota(grpc::ResourceQuota("lease-gateway").Resize(kMaxTransportBytes));
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIME_MS, Milliseconds(config.keepalive_time));
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, Milliseconds(config.keepalive_timeout));
  // Clients behind load balancers ping idle connections; 10 s is the least that gRPC recommends.
  builder.AddChannelArgument(GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS, 10'000);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1);
  if (config.max_connection_age.count() > 0) {
    builder.AddChannelArgument(GRPC_ARG_MAX_CONNECTION_AGE_MS,
                               Milliseconds(config.max_connection_age));
    builder.AddChannelArgument(GRPC_ARG_MAX_CONNECTION_AGE_GRACE_MS,
                               Milliseconds(config.max_connection_age_grace));
  }
  server = builder.BuildAndStart();
  if (!server || port == 0) {
    return absl::FailedPreconditionError(
        absl::StrCat("listen: \"", config.listen, "\": can't listen there: is the port taken?"));
  }
  auto* const health = server->GetHealthCheckService();
  health->SetServingStatus(v1::LeaseService::service_full_name(), true);
  health->SetServingStatus(kLiveness, true);
  health->SetServingStatus("", true);
  return absl::OkStatus();
}

absl::StatusOr<std::unique_ptr<Server>> Server::Start(const Config& config) {
  auto parts = std::make_unique<Parts>();
  parts->config = config;
  absl::Status status = parts->OpenTransport();
  if (status.ok()) status = parts->StartAdmin();
  if (status.ok()) status = parts->OpenJournal();
  if (status.ok()) status = parts->StartUpstream();
  if (status.ok()) status = parts->StartGrpc();
  if (status.ok()) {
    parts->AttachAdmin();
    parts->phase = Parts::Phase::kServing;
  }
  std::unique_ptr<Server> server(new Server(std::move(parts)));
  if (!status.ok()) return status;
  return server;
}

Server::Server(std::unique_ptr<Parts> parts) : parts_(std::move(parts)) {}

int Server::port() const { return parts_->port; }

int Server::admin_port() const { return parts_->admin ? parts_->admin->port() : 0; }

std::string Server::sandbox_control_url() const {
  return parts_->sandbox ? parts_->sandbox->control_url() : "";
}

void Server::Drain() {
  Parts& parts = *parts_;
  parts.drained = true;
  parts.phase = Parts::Phase::kDraining;
  if (!parts.server) return;
  auto* const health = parts.server->GetHealthCheckService();
  health->SetServingStatus(v1::LeaseService::service_full_name(), false);
  health->SetServingStatus("", false);
  spdlog::info("draining: NOT_SERVING for {} ms, then {} ms for calls in flight",
               parts.config.drain_wait.count(), parts.config.grace.count());
  std::this_thread::sleep_for(parts.config.drain_wait);
  parts.watches->Stop();
  const auto end_of_grace = std::chrono::system_clock::now() + parts.config.grace;
  DrainConnections(*parts.server, parts.port,
                   std::chrono::steady_clock::now() +
                       std::min<std::chrono::milliseconds>(parts.config.grace, kGoodbye));
  parts.server->Shutdown(end_of_grace);
}

Server::~Server() {
  Parts& parts = *parts_;
  if (!parts.drained) {
    parts.config.drain_wait = parts.config.grace = std::chrono::milliseconds(0);
    Drain();
  }
  // Every call has ended: Shutdown waits for the reactors. What is left is purchases that are on
  // their way, for which `recorded` waits, and good-byes to the provider, which end by themselves
  // within a second.
  if (parts.server) parts.server->Wait();
  parts.DetachAdmin();
  parts.server.reset();
  parts.certificates.reset();
  parts.watches.reset();
  parts.search.reset();
  parts.recorded.reset();
  parts.journal.reset();
  parts.api.reset();
  parts.work.reset();
  for (auto& thread : parts.threads) thread.join();
  // The threads have called it.
  parts.service.reset();
  parts.admin.reset();
}

}  // namespace leasegateway
