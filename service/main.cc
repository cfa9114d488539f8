// lease-gateway: wiring only.

#include <spdlog/spdlog.h>
#include <stdlib.h>

#include <iostream>
#include <string>

#include "absl/synchronization/mutex.h"
#include "service/admin/metrics.h"
#include "service/config/config.h"
#include "service/config/load_config.h"
#include "service/process/library_logs.h"
#include "service/process/logging.h"
#include "service/process/signals.h"
#include "service/purchase_journal.h"
#include "service/server.h"

namespace {

using leasegateway::Invocation;

constexpr int kExitFailed = 1;
constexpr int kExitUsage = 2;

// What is served where, and with what.
void LogStart(const leasegateway::Server& server, const leasegateway::Config& config) {
  spdlog::info("lease-gateway {} serves gRPC on port {} of {}", LEASE_GATEWAY_VERSION,
               server.port(), config.listen);
  if (config.sandbox) {
    spdlog::info("the provider is the embedded sandbox; its control routes: {}",
                 server.sandbox_control_url());
  } else {
    spdlog::info("the provider is {}", config.upstream_url);
  }
  for (const std::string& warning : leasegateway::Warnings(config)) spdlog::warn("{}", warning);
  if (server.admin_port() > 0) {
    spdlog::info("the admin port is {} of {}", server.admin_port(), config.admin_listen);
  }
  const std::string journal = leasegateway::JournalPath(config);
  if (!config.database_url.empty()) {
    spdlog::info("the journal of purchases is the database, which replicas share");
  } else if (journal != ":memory:") {
    spdlog::info("the journal of purchases is {}", journal);
  } else if (config.sandbox) {
    spdlog::info("the journal of purchases is in memory, as the sandbox is");
  } else {
    spdlog::warn("the journal of purchases is in memory: what is under way at a stop is lost");
  }
}

int Migrate(const leasegateway::Config& config) {
  leasegateway::InitLogging(config.log_level, config.log_format);
  const absl::Status migrated = leasegateway::MigrateDatabase(config);
  leasegateway::ShutdownLogging();
  if (migrated.ok()) return 0;
  std::cerr << "lease-gateway: " << migrated.message() << "\n";
  return kExitFailed;
}

int Serve(const leasegateway::Config& config) {
  const leasegateway::Signals signals;

  // Debian's Abseil looks for deadlocks at each lock of a mutex, of which gRPC takes dozens a call.
  absl::SetMutexDeadlockDetectionMode(absl::OnDeadlockCycle::kIgnore);

  leasegateway::InitLogging(config.log_level, config.log_format);
  leasegateway::LogForLibraries();
  if (const auto road = leasegateway::RoadOf(config); road.ok()) {
    spdlog::info("road to the provider: {}", road->Describe());
  }
  auto server = leasegateway::Server::Start(config);
  if (!server.ok()) {
    leasegateway::ShutdownLogging();
    std::cerr << "lease-gateway: " << server.status().message() << "\n";
    return kExitFailed;
  }
  LogStart(**server, config);
  signals.WaitForStop();
  (*server)->Drain();
  server->reset();
  spdlog::info("stopped");
  leasegateway::ShutdownLogging();
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  const auto invocation =
      leasegateway::LoadConfig(argc, argv, ::getenv, leasegateway::EnvironmentNames());
  if (!invocation.ok()) {
    std::cerr << invocation.status().message() << "\n";
    return kExitUsage;
  }
  switch (invocation->action) {
    case Invocation::Action::kExit:
    case Invocation::Action::kPrintConfig:
      std::cout << invocation->output;
      return 0;
    case Invocation::Action::kPrintMetrics:
      std::cout << leasegateway::PrintMetrics();
      return 0;
    case Invocation::Action::kCheckConfig:
      std::cout << "the configuration is valid\n";
      return 0;
    case Invocation::Action::kMigrate:
      return Migrate(invocation->config);
    case Invocation::Action::kServe:
      return Serve(invocation->config);
  }
  return kExitFailed;
}
