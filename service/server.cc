#include "service/server.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <chrono>
#include <map>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "service/account.h"
#include "service/admin/admin_server.h"
#include "service/admin/metrics.h"
#include "service/admin/readiness_probe.h"
#include "service/callers/callers.h"
#include "service/config/print.h"
#include "service/grpc_port.h"
#include "service/guard/networks.h"
#include "service/process/io_threads.h"
#include "service/process/secret.h"
#include "service/process/temporary_file.h"
#include "service/process/tls.h"
#include "service/purchase_journal.h"
#include "service/rpc/admission.h"
#include "service/rpc/lease_service.h"
#include "service/upstream_options.h"
#include "upstream/lease_api_factory.h"
#include "upstream/sandbox/sandbox.h"

namespace leasegateway {
namespace {

// Without a callers file, as the journal has it.
constexpr char kOnlyAccount[] = "default";

std::string SandboxKeyOf(const std::string& account) {
  return absl::StrCat("contiguity_sk_", account);
}

}  // namespace

absl::StatusOr<std::unique_ptr<Server>> Server::Start(const Config& config) {
  std::unique_ptr<Server> server(new Server(config));
  absl::Status status = server->OpenTransport();
  if (status.ok()) status = server->OpenCallers();
  if (status.ok()) status = server->StartAdmin();
  if (status.ok()) status = server->OpenJournal();
  if (status.ok()) status = server->StartSandbox();
  if (status.ok()) status = server->StartAccounts();
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

absl::Status Server::OpenCallers() {
  if (config_.callers_file.empty()) return absl::OkStatus();
  auto trusted = Networks::Parse(config_.trusted_proxies);
  if (!trusted.ok()) return trusted.status();
  auto opened = Callers::Open({.path = config_.callers_file,
                               .refresh = config_.file_refresh,
                               .trusted_proxies = *std::move(trusted),
                               .sandbox = config_.sandbox});
  if (!opened.ok()) return opened.status();
  callers_ = *std::move(opened);
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

absl::Status Server::StartSandbox() {
  if (!config_.sandbox) return absl::OkStatus();
  sandbox::SandboxOptions options;
  options.numbers = config_.sandbox_numbers;
  options.seed = config_.sandbox_seed;
  options.control_port = config_.sandbox_control_port;
  if (callers_) {
    for (const AccountSetting& account : callers_->policy()->accounts()) {
      options.keys.push_back(SandboxKeyOf(account.name));
    }
  }
  auto started = sandbox::Sandbox::Start(options);
  if (!started.ok()) return started.status();
  sandbox_ = *std::move(started);
  return absl::OkStatus();
}

absl::Status Server::StartAccounts() {
  runtime_->executor = io_->executor();
  runtime_->default_deadline = config_.default_deadline;
  runtime_->log_hits = config_.access_log_hits;
  runtime_->max_request_bytes = static_cast<std::size_t>(config_.max_request_bytes);
  runtime_->limit = std::make_shared<CallLimit>(config_.max_calls);
  std::unique_ptr<TemporaryFile> ca_file;  // read while the stacks are made
  if (sandbox_) {
    auto made = TemporaryFile::Make(sandbox_->ca_certificate());
    if (!made.ok()) return made.status();
    ca_file = *std::move(made);
  }
  std::vector<AccountSetting> settings;
  if (callers_) {
    settings = callers_->policy()->accounts();
  } else {
    settings.push_back({.name = kOnlyAccount, .key_file = config_.upstream_token_file});
  }
  const Account::Shared shared{config_, *runtime_, *journal_, io_->executor()};
  for (const AccountSetting& setting : settings) {
    auto options = OptionsFor(setting);
    if (!options.ok()) return options.status();
    if (ca_file) options->ca_file = ca_file->path();
    auto made = Account::Make(shared, setting.name, *std::move(options));
    if (!made.ok()) return made.status();
    accounts_.push_back(*std::move(made));
  }
  return absl::OkStatus();
}

absl::StatusOr<UpstreamOptions> Server::OptionsFor(const AccountSetting& account) const {
  auto options = UpstreamOptionsOf(config_);
  if (!options.ok()) return options;
  if (!account.url.empty()) options->url = account.url;
  if (!account.auth_scheme.empty()) options->auth_scheme = account.auth_scheme;
  if (sandbox_) {
    options->url = sandbox_->url();
    options->api_key = [key = callers_ ? SandboxKeyOf(account.name) : sandbox_->key()] {
      return key;
    };
    return options;
  }
  std::string first = config_.api_key;
  if (callers_) {
    auto read = ReadSecret(kApiKey, account.key_file);
    if (!read.ok()) {
      return absl::FailedPreconditionError(absl::StrCat("callers_file: account \"", account.name,
                                                        "\": key_file: \"", account.key_file,
                                                        "\": ", read.status().message()));
    }
    first = *std::move(read);
  }
  const auto key = std::make_shared<const Secret>(kApiKey, std::move(first), account.key_file,
                                                  config_.file_refresh);
  options->api_key = [key] { return key->Get(); };
  return options;
}

void Server::MakeService() {
  std::map<std::string, AccountStack, std::less<>> stacks;
  for (const auto& account : accounts_) stacks.emplace(account->name(), account->stack());
  admission_ = std::make_unique<Admission>(std::move(stacks), callers_.get());
  service_ = std::make_unique<LeaseService>(*runtime_, *admission_);
}

// What other replicas know already, so that this one answers before the provider has.
void Server::LoadLists() {
  for (const auto& account : accounts_) account->LoadLists();
}

// What a process before this one left open.
absl::Status Server::Recover() {
  for (const auto& account : accounts_) {
    absl::Status status = account->Recover();
    if (!status.ok()) return status;
  }
  return absl::OkStatus();
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
  std::vector<ReadinessProbe::Account> ready;
  for (const auto& account : accounts_) {
    sources.accounts.push_back(account->sources());
    ready.push_back(account->readiness());
  }
  sources.connections = [this] { return port_->connections(); };
  sources.calls = [limit = runtime_->limit] { return limit->stats(); };
  if (callers_) sources.callers = [this] { return StatsOfCallers(); };
  if (admin_) sources.admin = admin_->stats();
  journal_->Describe(sources);
  metrics_->Attach(std::move(sources));
  readiness_->Attach([this] { return journal_->writable(); }, std::move(ready));
}

CallersStats Server::StatsOfCallers() const {
  CallersStats stats = callers_->stats();
  stats.not_allowed = admission_->not_allowed();
  for (const auto& account : accounts_) {
    const RecordedLeaseApi::Stats leasing = account->leasing();
    stats.spend_refusals += leasing.refused_by_spending;
    stats.spend_overruns += leasing.overruns;
  }
  return stats;
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
  for (const auto& account : accounts_) account->StopWatches();
  port_->Close(grace);
}

Server::~Server() {
  if (!drained_) Drain(std::chrono::milliseconds(0), std::chrono::milliseconds(0));
  // Every call has ended: Close waits for the reactors. What is left is purchases that are on their
  // way, for which the accounts wait, and good-byes to the provider, which end by themselves within
  // a second.
  if (port_) port_->Wait();
  if (journal_) journal_->Hurry();
  DetachAdmin();
  port_.reset();
  certificates_.reset();
  for (const auto& account : accounts_) account->End();
  io_->RunDuring([this] { journal_.reset(); });
  accounts_.clear();
  io_->Join();
  // The threads have called it.
  service_.reset();
  admin_.reset();
}

}  // namespace leasegateway
