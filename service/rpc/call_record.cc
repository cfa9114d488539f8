#include "service/rpc/call_record.h"

#include <atomic>
#include <cstdint>
#include <optional>
#include <string_view>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/strings/string_view.h"
#include "service/process/logging.h"
#include "service/process/tls.h"
#include "upstream/upstream_error.h"

namespace leasegateway {
namespace {

using Clock = std::chrono::steady_clock;

// gRFC A6
constexpr char kPushback[] = "grpc-retry-pushback-ms";
constexpr char kPreviousAttempts[] = "grpc-previous-rpc-attempts";
constexpr char kTraceparent[] = "traceparent";
constexpr char kTracestate[] = "tracestate";
constexpr char kTraceBin[] = "grpc-trace-bin";

std::string MethodPath(Method method) {
  return std::string("/leasegateway.v1.LeaseService/") + NameOf(method);
}

std::string ValueOr(const ErrorMetadata& metadata, const std::string& key) {
  const auto found = metadata.find(key);
  return found == metadata.end() ? "" : found->second;
}

std::string_view View(const grpc::string_ref& text) { return {text.data(), text.size()}; }

// Those who look after callers ask for these: the log of audits has them, each once a minute, and
// how often there were more. What is alike is nothing that a caller can say in many ways, so that
// none hides the refusals of others.
void AuditRefusal(LogRepeats& refusals, const grpc::ServerContextBase& server_context,
                  Method method, const CallCaller& caller, const absl::Status& status) {
  const std::string reason = ReasonOf(status);
  if (reason != reason::kIdentityInvalid && reason != reason::kNotAllowed &&
      reason != reason::kQuotaExceeded && reason != reason::kSpendLimitExceeded) {
    return;
  }
  ErrorMetadata metadata = MetadataOf(status);
  const std::string name = caller.setting ? caller.setting->name : "";
  const auto left_out =
      refusals.Says(absl::StrJoin({reason, metadata["why"], metadata["right"], metadata["scope"],
                                   metadata["limit"], name, caller.account},
                                  " "));
  if (!left_out) return;
  const std::string& account = caller.account.empty() ? metadata["account"] : caller.account;
  LogAudit("refused", {{"method", NameOf(method)},
                       {"reason", reason},
                       {"why", metadata["why"]},
                       {"right", metadata["right"]},
                       {"scope", metadata["scope"]},
                       {"limit", metadata["limit"]},
                       {"caller", name},
                       {"identity", caller.identity ? caller.identity->name : ""},
                       {"account", account},
                       {"request_id", metadata["request_id"]},
                       {"peer", server_context.peer()},
                       {"left_out_before", *left_out > 0 ? absl::StrCat(*left_out) : ""}});
}

}  // namespace

std::string NextCallId() {
  static std::atomic<std::uint64_t> next{1};
  static const auto process =
      static_cast<std::uint64_t>(std::chrono::system_clock::now().time_since_epoch().count());
  return absl::StrFormat("%08x-%x", static_cast<std::uint32_t>(process >> 16), next++);
}

std::shared_ptr<const TraceContext> TraceOf(const grpc::ServerContextBase& server_context) {
  const auto& metadata = server_context.client_metadata();
  std::optional<TraceContext> parent;
  if (metadata.count(kTraceparent) == 1) {
    parent = ParseTraceparent(View(metadata.find(kTraceparent)->second));
  }
  if (parent) {
    std::string tracestate;
    const auto [first, last] = metadata.equal_range(kTracestate);
    for (auto each = first; each != last; ++each) {
      tracestate.append(tracestate.empty() ? "" : ",").append(View(each->second));
    }
    parent->tracestate = CheckTracestate(tracestate);
  } else if (metadata.count(kTraceBin) == 1) {
    // Not with gRPC 1.51, which keeps this one to itself (PublishToAppEncoder in its call.cc).
    parent = ParseTraceBin(View(metadata.find(kTraceBin)->second));
  }
  return std::make_shared<const TraceContext>(parent ? NewSpan(*parent) : NewTrace());
}

int PreviousAttempts(const grpc::ServerContextBase& server_context) {
  const auto& metadata = server_context.client_metadata();
  const auto found = metadata.find(kPreviousAttempts);
  int attempts = 0;
  if (found == metadata.end() ||
      !absl::SimpleAtoi(absl::string_view(found->second.data(), found->second.size()), &attempts)) {
    return 0;
  }
  return attempts;
}

void Introduce(const CallCaller& caller, const grpc::ServerContextBase& server_context,
               CallContext& context) {
  if (caller.setting) {
    context.caller = caller.setting->name;
    context.identity_kind = caller.identity->kind;
    context.sees_all_operations = caller.sees_all_operations;
    context.share = caller.setting->name;
    context.spending = caller.spending;
    return;
  }
  context.caller = PeerIdentity(server_context);
  if (context.caller.empty()) context.caller = server_context.peer();
}

void LogCall(LogRepeats& refusals, const grpc::ServerContextBase& server_context, Method method,
             const CallCaller& caller, const absl::Status& status, const CallContext& context,
             Clock::time_point started, int sampled) {
  AccessRecord record;
  record.sampled = sampled;
  record.method = MethodPath(method);
  record.code = status.ok() ? "OK" : absl::StatusCodeToString(status.code());
  record.reason = ReasonOf(status);
  record.duration = std::chrono::duration_cast<std::chrono::microseconds>(Clock::now() - started);
  record.upstream_attempts = context.stats->attempts;
  record.previous_attempts = PreviousAttempts(server_context);
  record.call_id = context.call_id;
  record.request_id = context.request_id;
  record.peer = server_context.peer();
  record.caller = caller.setting ? caller.setting->name : PeerIdentity(server_context);
  record.account = caller.account;
  if (context.trace) {
    record.trace_id = context.trace->TraceIdHex();
    record.span_id = context.trace->SpanIdHex();
  }
  record.upstream_request_id = status.ok() ? context.stats->upstream_request_id
                                           : ValueOr(MetadataOf(status), "upstream_error_id");
  LogAccess(record);
  if (!status.ok()) AuditRefusal(refusals, server_context, method, caller, status);
}

void AddPushback(grpc::ServerContextBase& server_context, const absl::Status& status,
                 bool may_be_repeated) {
  if (status.ok()) return;
  if (status.code() == absl::StatusCode::kAborted || !may_be_repeated ||
      ReasonOf(status) == reason::kRequestTooLarge) {
    server_context.AddTrailingMetadata(kPushback, "-1");
  } else if (const auto delay = RetryDelayOf(status)) {
    server_context.AddTrailingMetadata(kPushback, absl::StrCat(delay->count()));
  }
}

}  // namespace leasegateway
