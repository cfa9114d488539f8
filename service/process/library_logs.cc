#include "service/process/library_logs.h"

#include <google/protobuf/stubs/logging.h>
#include <grpc/support/log.h>
#include <spdlog/spdlog.h>

#include <string>
#include <string_view>

#include "service/process/log_repeats.h"

namespace leasegateway {

void LogForLibraries() {
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
    if (!amiss) return spdlog::debug("grpc: {}", message->message);
    static auto* const repeats = new LogRepeats;
    const auto left_out = repeats->Says(message->message);
    if (!left_out) return;
    if (*left_out > 0) spdlog::warn("grpc: {} more lines were left out", *left_out);
    spdlog::warn("grpc: {}", message->message);
  });
}

}  // namespace leasegateway
