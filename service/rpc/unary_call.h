#ifndef LEASE_GATEWAY_SERVICE_RPC_UNARY_CALL_H_
#define LEASE_GATEWAY_SERVICE_RPC_UNARY_CALL_H_

#include <grpcpp/server_context.h>
#include <grpcpp/support/server_callback.h>

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "service/rpc/call_metrics.h"
#include "upstream/call_context.h"

namespace leasegateway {

// What a call needs of the process. Outlives every call.
struct CallRuntime {
  boost::asio::any_io_executor executor;
  std::chrono::milliseconds default_deadline;  // of a call that came without one
  int log_hits = 0;  // one in so many reads that memory answered, in the access log; 0: none
  std::shared_ptr<CallMetrics> metrics = std::make_shared<CallMetrics>();  // never null
};

// An id for the access log, unique to the call.
std::string NextCallId();

// The call's own span: below the caller's, as `traceparent` or `grpc-trace-bin` tells it, or of a
// new trace where neither does so by the rules.
std::shared_ptr<const TraceContext> TraceOf(const grpc::ServerContextBase& server_context);

// Leaves a call's line in the access log, which stands for `sampled` calls.
void LogCall(const grpc::ServerContextBase& server_context, Method method,
             const absl::Status& status, const CallContext& context,
             std::chrono::steady_clock::time_point started, int sampled = 1);

// Tells a client with a retry policy when to try again (gRFC A6, `grpc-retry-pushback-ms`): after
// RetryInfo's delay; never, where the call may have been done.
void AddPushback(grpc::ServerContextBase& server_context, const absl::Status& status);

// The trailing metadata of every call but a hit that is not logged: its id in the access log.
inline constexpr char kCallIdMetadata[] = "lease-gateway-call-id";

// The one bridge between a gRPC reactor and a coroutine. gRPC deletes it after OnDone. The
// coroutine runs on a strand of its own; a cancellation by the caller, or the passing of its
// deadline, is posted to that strand as a terminal cancellation. The call ends in exactly one
// Finish, whose status carries the details, and leaves one line in the access log.
class UnaryCall final : public grpc::ServerUnaryReactor {
 public:
  // What the call does. `request` and `response` of the RPC live until it ends.
  using Body = std::function<boost::asio::awaitable<absl::Status>(CallContext)>;
  struct Description {
    Method method = {};
    // A UUID (AIP-155), in the access log and in the metadata of errors; empty on calls without.
    std::string request_id = {};
    absl::Status valid = {};  // when not OK, the call ends with it at once
    std::optional<std::chrono::milliseconds> max_staleness = {};  // of a read
  };

  static grpc::ServerUnaryReactor* Start(const CallRuntime& runtime,
                                         grpc::CallbackServerContext* server_context,
                                         Description description, Body body);

  // Ends a call that memory has answered, on the calling thread: sends the metadata `cache-status`
  // and, when hits are logged, leaves a line in the access log.
  static grpc::ServerUnaryReactor* FinishHit(const CallRuntime& runtime,
                                             grpc::CallbackServerContext* server_context,
                                             Method method, const CacheOutcome& outcome,
                                             std::chrono::steady_clock::time_point started);

 private:
  struct Coroutine;
  UnaryCall(const CallRuntime& runtime, grpc::CallbackServerContext* server_context,
            Description description);

  void OnCancel() override;
  void OnDone() override { delete this; }
  void End(absl::Status status, const CallContext& context);

  CallMetrics& metrics_;
  grpc::CallbackServerContext* const server_context_;
  const Description description_;
  const std::chrono::steady_clock::time_point started_;
  // Shared with what is posted to the strand, which may run after the reactor is gone.
  std::shared_ptr<Coroutine> coroutine_;
};

}  // namespace leasegateway

#endif  // LEASE_GATEWAY_SERVICE_RPC_UNARY_CALL_H_
