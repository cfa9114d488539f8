#ifndef LEASE_GATEWAY_SERVICE_RPC_CALL_RECORD_H_
#define LEASE_GATEWAY_SERVICE_RPC_CALL_RECORD_H_

#include <grpcpp/server_context.h>

#include <chrono>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "service/process/log_repeats.h"
#include "service/rpc/call_caller.h"
#include "service/rpc/call_metrics.h"
#include "upstream/call_context.h"

namespace leasegateway {

// What every call leaves besides its answer: a line in the access log, and metadata.

// An id for the access log, unique to the call.
std::string NextCallId();

// The call's own span: below the caller's, as `traceparent` or `grpc-trace-bin` tells it, or of a
// new trace where neither does so by the rules.
std::shared_ptr<const TraceContext> TraceOf(const grpc::ServerContextBase& server_context);

// How often the client has tried this call before, by its own count (gRFC A6); attempts that it
// knows to have reached no gateway are not in it.
int PreviousAttempts(const grpc::ServerContextBase& server_context);

// Says in the context whose call it is.
void Introduce(const CallCaller& caller, const grpc::ServerContextBase& server_context,
               CallContext& context);

// Leaves a call's line in the access log, which stands for `sampled` calls, and of a refusal one
// for the audit, unless `refusals` has said the same a moment ago.
void LogCall(LogRepeats& refusals, const grpc::ServerContextBase& server_context, Method method,
             const CallCaller& caller, const absl::Status& status, const CallContext& context,
             std::chrono::steady_clock::time_point started, int sampled = 1);

// Tells a client with a retry policy when to try again (gRFC A6, `grpc-retry-pushback-ms`): after
// RetryInfo's delay; never, where the call may have been done, the gateway could not tell that it
// is the same one, or the request will be too large again.
void AddPushback(grpc::ServerContextBase& server_context, const absl::Status& status,
                 bool may_be_repeated = true);

// The trailing metadata of every call but a hit that is not logged: its id in the access log.
inline constexpr char kCallIdMetadata[] = "lease-gateway-call-id";

}  // namespace leasegateway

#endif  // LEASE_GATEWAY_SERVICE_RPC_CALL_RECORD_H_
