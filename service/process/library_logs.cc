#include "service/process/library_logs.h"

#include <grpcpp/version_info.h>
#include <spdlog/spdlog.h>

#include <string>
#include <string_view>

#include "service/process/log_repeats.h"

// gRPC 1.51 and Protobuf 3.21, which comes with it, have a log each; their successors have
// Abseil's.
#if GRPC_CPP_VERSION_MINOR <= 51
#include <google/protobuf/stubs/logging.h>
#include <grpc/support/log.h>
#else
#include <mutex>

#include "absl/base/log_severity.h"
#include "absl/log/globals.h"
#include "absl/log/initialize.h"
#include "absl/log/log_entry.h"
#include "absl/log/log_sink.h"
#include "absl/log/log_sink_registry.h"
#include "absl/strings/match.h"
#endif

namespace leasegateway {
namespace {

// What callers send must not write to standard error past the log.
void LogForProtobuf(std::string_view message) { spdlog::debug("protobuf: {}", message); }

// Such as why a TLS handshake failed.
void LogForGrpc(bool is_error, std::string_view message) {
  if (!is_error) return spdlog::debug("grpc: {}", message);
  static auto* const repeats = new LogRepeats;
  const auto left_out = repeats->Says(message);
  if (!left_out) return;
  if (*left_out > 0) spdlog::warn("grpc: {} more lines were left out", *left_out);
  spdlog::warn("grpc: {}", message);
}

}  // namespace

#if GRPC_CPP_VERSION_MINOR <= 51

void LogForLibraries() {
  google::protobuf::SetLogHandler([](google::protobuf::LogLevel, const char*, int,
                                     const std::string& message) { LogForProtobuf(message); });
  gpr_set_log_function([](gpr_log_func_args* message) {
    LogForGrpc(message->severity == GPR_LOG_SEVERITY_ERROR, message->message);
  });
}

#else

namespace {

class Sink final : public absl::LogSink {
 public:
  void Send(const absl::LogEntry& entry) override {
    const std::string_view message = entry.text_message();
    if (absl::StrContains(entry.source_filename(), "google/protobuf/")) {
      LogForProtobuf(message);
    } else {
      LogForGrpc(entry.log_severity() >= absl::LogSeverity::kError, message);
    }
  }
};

}  // namespace

void LogForLibraries() {
  static std::once_flag once;
  std::call_once(once, [] {
    absl::AddLogSink(new Sink);  // stays to the end
    absl::SetStderrThreshold(absl::LogSeverityAtLeast::kFatal);
    absl::InitializeLog();  // until then all goes to standard error
  });
}

#endif

}  // namespace leasegateway
