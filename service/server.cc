#include "service/server.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/strand.hpp>
#include <boost/asio/use_future.hpp>
#include <chrono>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "service/admin/admin_server.h"
#include "service/admin/metrics.h"
#include "service/admin/readiness_probe.h"
#include "service/config/print.h"
#include "service/grpc_port.h"
#include "service/process/io_threads.h"
#include "service/process/secret.h"
#include "service/process/temporary_file.h"
#include "service/process/tls.h"
#include "service/purchase_journal.h"
#include "service/rpc/lease_service.h"
#include "service/rpc/search.h"
#include "service/rpc/watch_hub.h"
#include "service/upstream_options.h"
#include "upstream/lease_api_factory.h"
#include "upstream/leasing/journal/operation_journal.h"
#include "upstream/leasing/recorded_lease_api.h"
#include "upstream/sandbox/sandbox.h"

namespace leasegateway {
namespace {

// For the lists of the other replicas, before this one serves.
constexpr std::chrono::seconds kLoadTimeout{2};

}  // namespace

absl::StatusOr<std::unique_ptr<Server>> Server::Start(const Config& config) {
  std::unique_ptr<Server> server(new Server(config));
  absl::Status status = server->OpenTransport();
  if (status.ok()) status = server->StartAdmin();
  if (status.ok()) status = server->OpenJournal();
  if (status.ok()) status = server->StartUpstream();
  if (!status.ok()) return status;
  server->MakeService();
  // After all that they use is made, so that they see it whoever hands it to them.
  server->io_->Start(config.threads);
  server->LoadLists();
  status = server->Recover();
  if (status.ok()) status = server->Listen();
  if (!status.ok()) return status;
  server->AttachAdmin();
  server->readiness_->SetPhase(ReadinessProbe::Phase::kServing);
  return server;
}

Server::Server(const Config& config)
    : config_(config),
      io_(std::make_unique<IoThreads>()),
      runtime_(std::make_unique<CallRuntime>()) {}

absl::Status Server::OpenTransport() {
  if (const auto problem = CheckTls(TlsOptionsOf(config_), absl::Now())) {
    return absl::FailedPreconditionError(
        absl::StrCat(problem->key, ": \"", problem->value, "\": ", problem->rule));
  }
  if (config_.tls_cert_file.empty()) {
    if (config_.allow_plaintext) {
      spdlog::warn("{} is served without TLS, as allow_plaintext says", config_.listen);
    }
    return absl::OkStatus();
  }
  auto opened = ServingCertificates::Open(TlsOptionsOf(config_));
  if (!opened.ok()) return opened.status();
  certificates_ = *std::move(opened);
  return absl::OkStatus();
}

absl::Status Server::StartAdmin() {
  metrics_ = std::make_unique<Metrics>(runtime_->metrics);
  readiness_ = std::make_unique<ReadinessProbe>(
      std::max(config_.cache_fresh + config_.cache_stale_while_revalidate,
               config_.cache_stale_if_error),
      io_->executor());
  if (config_.admin_listen.empty()) return absl::OkStatus();
  AdminPages pages;
  // A look asks a provider that refuses the key anew. The alert for that is made of scrapes, and
  // where nothing asks /readyz nobody else looks.
  pages.metrics = [this] {
    readiness_->Look();
    return metrics_->Text();
  };
  pages.config = [this] { return PrintConfig(config_); };
  pages.readiness = [this] { return readiness_->Look(); };
  pages.calls = io_->executor();
  auto started = AdminServer::Start(config_.admin_listen, std::move(pages), AdminServer::Options());
  if (!started.ok()) return started.status();
  admin_ = *std::move(started);
  return absl::OkStatus();
}

absl::Status Server::OpenJournal() {
  absl::Status status;
  io_->RunDuring([&] {
    auto opened = PurchaseJournal::Open(config_, io_->executor());
    status = opened.status();
    if (opened.ok()) journal_ = *std::move(opened);
  });
  return status;
}

absl::Status Server::StartUpstream() {
  auto configured = UpstreamOptionsOf(config_);
  if (!configured.ok()) return configured.status();
  UpstreamOptions options = *std::move(configured);
  std::unique_ptr<TemporaryFile> ca_file;  // read while the stack is made
  if (config_.sandbox) {
    sandbox::SandboxOptions sandbox_options;
    sandbox_options.numbers = config_.sandbox_numbers;
    sandbox_options.seed = config_.sandbox_seed;
    sandbox_options.control_port = config_.sandbox_control_port;
    auto started = sandbox::Sandbox::Start(sandbox_options);
    if (!started.ok()) return started.status();
    sandbox_ = *std::move(started);
    auto made = TemporaryFile::Make(sandbox_->ca_certificate());
    if (!made.ok()) return made.status();
    ca_file = *std::move(made);
    options.url = sandbox_->url();
    options.ca_file = ca_file->path();
    options.api_key = [key = sandbox_->key()] { return key; };
  } else {
    const auto key = std::make_shared<const Secret>(
        kApiKey, config_.api_key, config_.upstream_token_file, config_.file_refresh);
    options.api_key = [key] { return key->Get(); };
  }
  options.rate_share = journal_->rate_share();
  options.shared_lists = journal_->shared_lists();
  upstream_stats_ = options.stats;
  RecordedLeaseApi::Options recording;
  recording.settle = config_.settle_time;
  recording.adopt_interval = journal_->adopt_interval();
  recording.may_resend = [budget = options.retry_budget] {
    return budget->Take(false, std::chrono::steady_clock::now());
  };
  auto made = MakeLeaseApi(io_->executor(), std::move(options));
  if (!made.ok()) return made.status();
  api_ = *std::move(made);
  recorded_ = std::make_unique<RecordedLeaseApi>(api_, RecordedLeaseApi::MemoryOf(api_),
                                                 journal_->journal(), std::move(recording),
                                                 io_->executor(), MakeCallEnvironment());
  return absl::OkStatus();
}

void Server::MakeService() {
  runtime_->executor = io_->executor();
  runtime_->default_deadline = config_.default_deadline;
  runtime_->log_hits = config_.access_log_hits;
  runtime_->max_request_bytes = static_cast<std::size_t>(config_.max_request_bytes);
  runtime_->limit = std::make_shared<CallLimit>(config_.max_calls);
  const CacheEnvironment environment = MakeCacheEnvironment(io_->executor(), PinInMemory);
  search_ = std::make_unique<AvailabilitySearch>(
      environment.now, environment.after,
      static_cast<std::size_t>(config_.cache_history_bytes) / 4 * 3,  // the rest is for watches
      runtime_->account,
      journal_->cluster() ? [this] { return api_->account().SharedKey(); }
                          : std::function<std::string()>());
  watches_ = std::make_unique<WatchHub>(
      *runtime_, *api_,
      WatchOptions{.heartbeat = config_.watch_heartbeat, .max_watchers = config_.max_watchers});
  service_ = std::make_unique<LeaseService>(*runtime_, *api_, *recorded_, *search_, *watches_);
}

// What other replicas know already, so that this one answers before the provider has.
void Server::LoadLists() {
  if (journal_->cluster() == nullptr) return;
  auto loading = api_->account().Load(std::chrono::steady_clock::now() + kLoadTimeout);
  auto loaded = boost::asio::co_spawn(boost::asio::make_strand(io_->executor()), std::move(loading),
                                      boost::asio::use_future);
  if (!loaded.get()) spdlog::warn("the shared lists are away: memory begins empty");
}

// What a process before this one left open.
absl::Status Server::Recover() {
  auto recovering = recorded_->Recover();
  auto recovered = boost::asio::co_spawn(boost::asio::make_strand(io_->executor()),
                                         std::move(recovering), boost::asio::use_future);
  return recovered.get();
}

absl::Status Server::Listen() {
  auto listening = GrpcPort::Listen(
      config_, certificates_ ? certificates_->Credentials() : grpc::InsecureServerCredentials(),
      *service_, [this] { return runtime_->metrics->any(); });
  if (!listening.ok()) return listening.status();
  port_ = *std::move(listening);
  return absl::OkStatus();
}

void Server::AttachAdmin() {
  MetricSources sources;
  sources.upstream = upstream_stats_;
  sources.cache = [this] { return api_->stats(); };
  sources.search = [this] { return search_->stats(); };
  sources.connections = [this] { return port_->connections(); };
  sources.calls = [limit = runtime_->limit] { return limit->stats(); };
  sources.watchers = [this] { return watches_->watchers(); };
  sources.leasing = [this] { return recorded_->stats(); };
  if (admin_) sources.admin = admin_->stats();
  journal_->Describe(sources);
  metrics_->Attach(std::move(sources));
  readiness_->Attach([this] { return journal_->writable(); }, api_, upstream_stats_);
}

void Server::DetachAdmin() {
  if (metrics_) metrics_->Detach();
  if (readiness_) readiness_->Detach();
}

int Server::port() const { return port_ ? port_->number() : 0; }

int Server::admin_port() const { return admin_ ? admin_->port() : 0; }

std::string Server::sandbox_control_url() const { return sandbox_ ? sandbox_->control_url() : ""; }

void Server::Drain() { Drain(config_.drain_wait, config_.grace); }

void Server::Drain(std::chrono::milliseconds wait, std::chrono::milliseconds grace) {
  drained_ = true;
  if (readiness_) readiness_->SetPhase(ReadinessProbe::Phase::kDraining);
  if (!port_) return;
  port_->SayNotServing();
  spdlog::info("draining: NOT_SERVING for {} ms, then {} ms for calls in flight", wait.count(),
               grace.count());
  std::this_thread::sleep_for(wait);
  watches_->Stop();
  port_->Close(grace);
}

Server::~Server() {
  if (!drained_) Drain(std::chrono::milliseconds(0), std::chrono::milliseconds(0));
  // Every call has ended: Close waits for the reactors. What is left is purchases that are on their
  // way, for which `recorded_` waits, and good-byes to the provider, which end by themselves within
  // a second.
  if (port_) port_->Wait();
  if (journal_) journal_->Hurry();
  DetachAdmin();
  port_.reset();
  certificates_.reset();
  watches_.reset();
  search_.reset();
  recorded_.reset();
  io_->RunDuring([this] { journal_.reset(); });
  api_.reset();
  io_->Join();
  // The threads have called it.
  service_.reset();
  admin_.reset();
}

}  // namespace leasegateway
