// lease-gateway: wiring only.

#include <google/protobuf/stubs/logging.h>
#include <grpc/support/log.h>
#include <pthread.h>
#include <signal.h>
#include <spdlog/spdlog.h>
#include <stdlib.h>

#include <iostream>
#include <string>
#include <string_view>

#include "absl/synchronization/mutex.h"
#include "service/admin/metrics.h"
#include "service/config/config.h"
#include "service/config/load_config.h"
#include "service/process/logging.h"
#include "service/server.h"

namespace {

using leasegateway::Invocation;

constexpr int kExitFailed = 1;
constexpr int kExitUsage = 2;

// Handles signals until one asks to stop.
void WaitForStop(const sigset_t& signals) {
  for (;;) {
    int signal = 0;
    if (sigwait(&signals, &signal) != 0) continue;
    switch (signal) {
      case SIGUSR1:
        leasegateway::MoreVerbose();
        break;
      case SIGUSR2:
        leasegateway::LessVerbose();
        break;
      default:
        spdlog::info("stopping on signal {}", signal);
        return;
    }
  }
}

int Serve(const leasegateway::Config& config) {
  // Blocked before the first thread starts, so that every thread inherits it.
  sigset_t signals;
  sigemptyset(&signals);
  for (const int signal : {SIGTERM, SIGINT, SIGUSR1, SIGUSR2}) sigaddset(&signals, signal);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  ::signal(SIGPIPE, SIG_IGN);

  // Debian's Abseil looks for deadlocks at each lock of a mutex, of which gRPC takes dozens a call.
  absl::SetMutexDeadlockDetectionMode(absl::OnDeadlockCycle::kIgnore);

  leasegateway::InitLogging(config.log_level, config.log_format);
  // What callers send must not write to standard error past the log.
  google::protobuf::SetLogHandler(
      [](google::protobuf::LogLevel, const char*, int, const std::string& message) {
        spdlog::debug("protobuf: {}", message);
      });
  // Such as why a TLS handshake failed.
  gpr_set_log_function([](gpr_log_func_args* message) {
    // EINVAL is how gRPC learns that a drain has closed its port.
    const bool amiss = message->severity == GPR_LOG_SEVERITY_ERROR &&
                       std::string_view(message->message) != "Failed accept4: Invalid argument";
    spdlog::log(amiss ? spdlog::level::warn : spdlog::level::debug, "grpc: {}", message->message);
  });
  auto server = leasegateway::Server::Start(config);
  if (!server.ok()) {
    leasegateway::ShutdownLogging();
    std::cerr << "lease-gateway: " << server.status().message() << "\n";
    return kExitFailed;
  }
  spdlog::info("lease-gateway {} serves gRPC on port {} of {}", LEASE_GATEWAY_VERSION,
               (*server)->port(), config.listen);
  if (config.sandbox) {
    spdlog::info("the provider is the embedded sandbox; its control routes: {}",
                 (*server)->sandbox_control_url());
  } else {
    spdlog::info("the provider is {}", config.upstream_url);
  }
  if ((*server)->admin_port() > 0) {
    spdlog::info("the admin port is {} of {}", (*server)->admin_port(), config.admin_listen);
  }
  const std::string journal = leasegateway::JournalPath(config);
  if (journal != ":memory:") {
    spdlog::info("the journal of purchases is {}", journal);
  } else if (config.sandbox) {
    spdlog::info("the journal of purchases is in memory, as the sandbox is");
  } else {
    spdlog::warn("the journal of purchases is in memory: what is under way at a stop is lost");
  }
  WaitForStop(signals);
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
    case Invocation::Action::kServe:
      return Serve(invocation->config);
  }
  return kExitFailed;
}
