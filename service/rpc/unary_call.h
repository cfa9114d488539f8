#ifndef LEASE_GATEWAY_SERVICE_RPC_UNARY_CALL_H_
#define LEASE_GATEWAY_SERVICE_RPC_UNARY_CALL_H_

#include <grpcpp/server_context.h>
#include <grpcpp/support/byte_buffer.h>
#include <grpcpp/support/server_callback.h>

#include <boost/asio/awaitable.hpp>
#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "service/rpc/call_caller.h"
#include "service/rpc/call_metrics.h"
#include "service/rpc/call_runtime.h"
#include "upstream/call_context.h"

namespace leasegateway {

// The one bridge between a gRPC reactor and a coroutine. gRPC deletes it after OnDone. The
// coroutine runs on a strand of its own; a cancellation by the caller, or the passing of its
// deadline, is posted to that strand as a terminal cancellation. The call ends in exactly one
// Finish, whose status carries the details, and leaves one line in the access log. From its start
// to its end it counts as under way; one that begins when there are too many ends at once.
class UnaryCall final : public grpc::ServerUnaryReactor {
 public:
  // What the call does. `request` and `response` of the RPC live until it ends.
  using Body = std::function<boost::asio::awaitable<absl::Status>(CallContext)>;
  struct Description {
    Method method = {};
    CallCaller caller = {};
    // A UUID (AIP-155), in the access log and in the metadata of errors; empty on calls without.
    std::string request_id = {};
    absl::Status valid = {};  // when not OK, the call ends with it at once
    std::optional<std::chrono::milliseconds> max_staleness = {};  // of a read
    bool may_be_repeated = true;  // false: a retry policy of the client's is told not to
    const grpc::ByteBuffer* response = nullptr;  // of a list: its rows are counted when it is there
  };

  static grpc::ServerUnaryReactor* Start(const CallRuntime& runtime,
                                         grpc::CallbackServerContext* server_context,
                                         Description description, Body body);

  // Ends a call that memory has answered with `response`, on the calling thread: sends the metadata
  // `cache-status` and, when hits are logged, leaves a line in the access log.
  static grpc::ServerUnaryReactor* FinishHit(const CallRuntime& runtime,
                                             grpc::CallbackServerContext* server_context,
                                             Method method, const CallCaller& caller,
                                             const grpc::ByteBuffer& response,
                                             const CacheOutcome& outcome,
                                             std::chrono::steady_clock::time_point started);

 private:
  struct Coroutine;
  UnaryCall(const CallRuntime& runtime, grpc::CallbackServerContext* server_context,
            Description description);

  absl::Status Enter();
  void OnCancel() override;
  void OnDone() override { delete this; }
  void End(absl::Status status, const CallContext& context);

  CallMetrics& metrics_;
  CallLimit& limit_;
  LogRepeats& refusals_;
  grpc::CallbackServerContext* const server_context_;
  const Description description_;
  const std::chrono::steady_clock::time_point started_;
  bool entered_ = false;  // it counts as under way
  bool counted_ = false;  // among its caller's
  // Shared with what is posted to the strand, which may run after the reactor is gone.
  std::shared_ptr<Coroutine> coroutine_;
};

}  // namespace leasegateway

#endif  // LEASE_GATEWAY_SERVICE_RPC_UNARY_CALL_H_
