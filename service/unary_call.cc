#include "service/unary_call.h"

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/strand.hpp>
#include <boost/asio/this_coro.hpp>
#include <exception>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "service/logging.h"
#include "service/status.h"
#include "upstream/upstream_error.h"

namespace leasegateway {

namespace asio = boost::asio;
using Clock = std::chrono::steady_clock;

namespace {

std::string NextCallId() {
  static std::atomic<std::uint64_t> next{1};
  static const auto process =
      static_cast<std::uint64_t>(std::chrono::system_clock::now().time_since_epoch().count());
  return absl::StrFormat("%08x-%x", static_cast<std::uint32_t>(process >> 16), next++);
}

Clock::time_point DeadlineOf(const grpc::CallbackServerContext& context,
                             std::chrono::milliseconds fallback) {
  const auto deadline = context.deadline();
  if (deadline == std::chrono::system_clock::time_point::max()) return Clock::now() + fallback;
  return Clock::now() + (deadline - std::chrono::system_clock::now());
}

// Keeps the body, and with it what the body captured, until its coroutine has ended.
asio::awaitable<absl::Status> Run(UnaryCall::Body body, CallContext context) {
  co_await asio::this_coro::throw_if_cancelled(false);
  auto running = body(std::move(context));
  co_return co_await std::move(running);
}

std::string ValueOr(const ErrorMetadata& metadata, const std::string& key) {
  const auto found = metadata.find(key);
  return found == metadata.end() ? "" : found->second;
}

}  // namespace

struct UnaryCall::Coroutine {
  explicit Coroutine(const asio::any_io_executor& executor) : strand(asio::make_strand(executor)) {}
  asio::strand<asio::any_io_executor> strand;
  asio::cancellation_signal cancellation;  // only on the strand
};

UnaryCall::UnaryCall(grpc::CallbackServerContext* server_context, Description description)
    : server_context_(server_context),
      description_(std::move(description)),
      started_(Clock::now()) {}

grpc::ServerUnaryReactor* UnaryCall::Start(const CallRuntime& runtime,
                                           grpc::CallbackServerContext* server_context,
                                           Description description, Body body) {
  auto* const call = new UnaryCall(server_context, std::move(description));
  CallContext context;
  context.deadline = DeadlineOf(*server_context, runtime.default_deadline);
  context.call_id = NextCallId();
  context.request_id = call->description_.request_id;
  call->coroutine_ = std::make_shared<Coroutine>(runtime.executor);
  if (!call->description_.valid.ok()) {
    call->End(call->description_.valid, context);
    return call;
  }
  const auto coroutine = call->coroutine_;
  auto done = [call, coroutine, context](std::exception_ptr exception, absl::Status status) {
    if (exception) {
      try {
        std::rethrow_exception(exception);
      } catch (const std::exception& e) {
        status = MakeError(absl::StatusCode::kInternal, reason::kInternal,
                           absl::StrCat("the gateway failed: ", e.what()));
      } catch (...) {
        status = MakeError(absl::StatusCode::kInternal, reason::kInternal, "the gateway failed");
      }
    }
    // gRPC cancels a call whose deadline passes, and the coroutine can't tell that from a caller
    // that went away.
    if (ReasonOf(status) == reason::kCancelled && Clock::now() >= context.deadline) {
      status = MakeError(absl::StatusCode::kDeadlineExceeded, reason::kDeadline,
                         std::string(status.message()));
    }
    call->End(status, context);
  };
  // Spawned from the strand, so that a cancellation posted later finds the slot connected.
  asio::post(coroutine->strand, [coroutine, body = std::move(body), context,
                                 done = std::move(done)]() mutable {
    asio::co_spawn(coroutine->strand, Run(std::move(body), std::move(context)),
                   asio::bind_cancellation_slot(coroutine->cancellation.slot(), std::move(done)));
  });
  return call;
}

void UnaryCall::OnCancel() {
  asio::post(coroutine_->strand, [coroutine = coroutine_] {
    coroutine->cancellation.emit(asio::cancellation_type::terminal);
  });
}

void UnaryCall::End(const absl::Status& status, const CallContext& context) {
  AccessRecord record;
  record.method = "/leasegateway.v1.LeaseService/" + description_.method;
  record.code = status.ok() ? "OK" : absl::StatusCodeToString(status.code());
  record.reason = ReasonOf(status);
  record.duration = std::chrono::duration_cast<std::chrono::microseconds>(Clock::now() - started_);
  record.upstream_attempts = context.stats->attempts;
  record.call_id = context.call_id;
  record.request_id = description_.request_id;
  record.peer = server_context_->peer();
  record.upstream_request_id = status.ok() ? description_.upstream_request_id()
                                           : ValueOr(MetadataOf(status), "upstream_error_id");
  LogAccess(record);
  // gRFC A6: what may have been done must not be sent again by a client's retry policy.
  if (status.code() == absl::StatusCode::kAborted) {
    server_context_->AddTrailingMetadata("grpc-retry-pushback-ms", "-1");
  }
  server_context_->AddTrailingMetadata("lease-gateway-call-id", context.call_id);
  Finish(ToGrpcStatus(status));
}

}  // namespace leasegateway
