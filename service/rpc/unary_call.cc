#include "service/rpc/unary_call.h"

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/strand.hpp>
#include <boost/asio/this_coro.hpp>
#include <exception>
#include <utility>

#include "absl/strings/str_cat.h"
#include "service/process/tls.h"
#include "service/rpc/call_record.h"
#include "service/rpc/charged_rows.h"
#include "service/rpc/status.h"
#include "upstream/upstream_error.h"

namespace leasegateway {

namespace asio = boost::asio;
using Clock = std::chrono::steady_clock;

namespace {

constexpr char kCacheStatus[] = "cache-status";  // RFC 9211

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

}  // namespace

struct UnaryCall::Coroutine {
  explicit Coroutine(const asio::any_io_executor& executor) : strand(asio::make_strand(executor)) {}
  asio::strand<asio::any_io_executor> strand;
  asio::cancellation_signal cancellation;  // only on the strand
};

UnaryCall::UnaryCall(const CallRuntime& runtime, grpc::CallbackServerContext* server_context,
                     Description description)
    : metrics_(*runtime.metrics),
      limit_(*runtime.limit),
      refusals_(*runtime.refusals),
      server_context_(server_context),
      description_(std::move(description)),
      started_(Clock::now()) {
  metrics_.Started(description_.method);
}

grpc::ServerUnaryReactor* UnaryCall::Start(const CallRuntime& runtime,
                                           grpc::CallbackServerContext* server_context,
                                           Description description, Body body) {
  auto* const call = new UnaryCall(runtime, server_context, std::move(description));
  CallContext context;
  context.deadline = DeadlineOf(*server_context, runtime.default_deadline);
  context.call_id = NextCallId();
  context.request_id = call->description_.request_id;
  Introduce(call->description_.caller, *server_context, context);
  context.trace = TraceOf(*server_context);
  context.max_staleness = call->description_.max_staleness;
  call->coroutine_ = std::make_shared<Coroutine>(runtime.executor);
  absl::Status begun = call->description_.valid;
  if (begun.ok()) begun = call->Enter();
  if (!begun.ok()) {
    call->End(std::move(begun), context);
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

namespace {

bool SameText(const CacheOutcome& a, const CacheOutcome& b) {
  using std::chrono::floor;
  using std::chrono::seconds;
  return a.forward == b.forward && a.collapsed == b.collapsed && a.stored == b.stored &&
         a.stale_if_error == b.stale_if_error && a.ttl.has_value() == b.ttl.has_value() &&
         (!a.ttl || floor<seconds>(*a.ttl) == floor<seconds>(*b.ttl));
}

// Each thread takes its turns, so that none waits for another.
bool IsSample(int one_in) {
  thread_local int seen = 0;
  if (++seen < one_in) return false;
  seen = 0;
  return true;
}

}  // namespace

grpc::ServerUnaryReactor* UnaryCall::FinishHit(const CallRuntime& runtime,
                                               grpc::CallbackServerContext* server_context,
                                               Method method, const CallCaller& caller,
                                               const grpc::ByteBuffer& response,
                                               const CacheOutcome& outcome,
                                               Clock::time_point started) {
  // Most hits of a second have the same text.
  thread_local std::pair<CacheOutcome, std::string> last;
  if (!SameText(outcome, last.first) || last.second.empty()) {
    last = {outcome, FormatCacheStatus(outcome)};
  }
  server_context->AddInitialMetadata(kCacheStatus, last.second);
  if (runtime.log_hits > 0 && IsSample(runtime.log_hits)) {
    CallContext context;
    context.call_id = NextCallId();
    context.trace = TraceOf(*server_context);
    LogCall(*runtime.refusals, *server_context, method, caller, absl::OkStatus(), context, started,
            runtime.log_hits);
    server_context->AddTrailingMetadata(kCallIdMetadata, context.call_id);
  }
  ChargeRows(caller, method, response);
  auto* const reactor = server_context->DefaultReactor();
  reactor->Finish(grpc::Status::OK);
  runtime.metrics->Hit(method, outcome, Clock::now() - started);
  return reactor;
}

absl::Status UnaryCall::Enter() {
  const CallCaller& caller = description_.caller;
  if (caller.use) {
    absl::Status counted = caller.use->EnterCall(*caller.setting);
    if (!counted.ok()) return counted;
    counted_ = true;
  }
  // This one is counted already.
  absl::Status entered = limit_.Enter(caller.use ? caller.use->calls() - 1 : 0);
  entered_ = entered.ok();
  return entered;
}

void UnaryCall::OnCancel() {
  asio::post(coroutine_->strand, [coroutine = coroutine_] {
    coroutine->cancellation.emit(asio::cancellation_type::terminal);
  });
}

void UnaryCall::End(absl::Status status, const CallContext& context) {
  if (entered_) limit_.Leave();
  if (counted_) description_.caller.use->LeaveCall();
  if (status.ok() && description_.response) {
    ChargeRows(description_.caller, description_.method, *description_.response);
  }
  if (!status.ok() && !context.request_id.empty()) {
    AddMetadata(status, "request_id", context.request_id);
  }
  LogCall(refusals_, *server_context_, description_.method, description_.caller, status, context,
          started_);
  metrics_.Handled(description_.method, status.code(), Clock::now() - started_);
  if (context.stats->cache) metrics_.Answered(*context.stats->cache);
  AddPushback(*server_context_, status, description_.may_be_repeated);
  if (context.stats->cache) {
    const std::string cache_status = FormatCacheStatus(*context.stats->cache);
    if (status.ok()) {
      server_context_->AddInitialMetadata(kCacheStatus, cache_status);
    } else {
      // With initial metadata, the client would take the call for begun and not try it again
      // (gRFC A6).
      server_context_->AddTrailingMetadata(kCacheStatus, cache_status);
    }
  }
  server_context_->AddTrailingMetadata(kCallIdMetadata, context.call_id);
  Finish(ToGrpcStatus(status));
}

}  // namespace leasegateway
