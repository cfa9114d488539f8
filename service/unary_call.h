#ifndef LEASE_GATEWAY_SERVICE_UNARY_CALL_H_
#define LEASE_GATEWAY_SERVICE_UNARY_CALL_H_

#include <grpcpp/server_context.h>
#include <grpcpp/support/server_callback.h>

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <chrono>
#include <functional>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "upstream/call_context.h"

namespace leasegateway {

// What a call needs of the process. Outlives every call.
struct CallRuntime {
  boost::asio::any_io_executor executor;
  std::chrono::milliseconds default_deadline;  // of a call that came without one
};

// The one bridge between a gRPC reactor and a coroutine. gRPC deletes it after OnDone. The
// coroutine runs on a strand of its own; a cancellation by the caller, or the passing of its
// deadline, is posted to that strand as a terminal cancellation. The call ends in exactly one
// Finish, whose status carries the details, and leaves one line in the access log.
class UnaryCall final : public grpc::ServerUnaryReactor {
 public:
  // What the call does. `request` and `response` of the RPC live until it ends.
  using Body = std::function<boost::asio::awaitable<absl::Status>(CallContext)>;
  struct Description {
    std::string method;      // "GetNumber"
    std::string request_id;  // AIP-155; empty on calls that have none
    absl::Status valid;      // when not OK, the call ends with it at once
    // The provider's id of the exchange, asked for once the body has succeeded.
    std::function<std::string()> upstream_request_id;
  };

  static grpc::ServerUnaryReactor* Start(const CallRuntime& runtime,
                                         grpc::CallbackServerContext* server_context,
                                         Description description, Body body);

 private:
  struct Coroutine;
  UnaryCall(grpc::CallbackServerContext* server_context, Description description);

  void OnCancel() override;
  void OnDone() override { delete this; }
  void End(const absl::Status& status, const CallContext& context);

  grpc::CallbackServerContext* const server_context_;
  const Description description_;
  const std::chrono::steady_clock::time_point started_;
  // Shared with what is posted to the strand, which may run after the reactor is gone.
  std::shared_ptr<Coroutine> coroutine_;
};

}  // namespace leasegateway

#endif  // LEASE_GATEWAY_SERVICE_UNARY_CALL_H_
