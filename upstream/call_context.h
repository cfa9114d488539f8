#ifndef LEASE_GATEWAY_UPSTREAM_CALL_CONTEXT_H_
#define LEASE_GATEWAY_UPSTREAM_CALL_CONTEXT_H_

#include <atomic>
#include <chrono>
#include <memory>
#include <string>

namespace leasegateway {

// What one call cost upstream. Written by the layers below while the call runs, read by the access
// log when it has ended. Thread-safe.
struct CallStats {
  std::atomic<int> attempts{0};  // HTTPS exchanges begun, replays included
};

// What every layer needs to know of the call that it works for. Passed explicitly and by value, so
// that a coroutine owns its copy. Cancellation is not in here: it comes through the Asio
// cancellation slot of the awaiting coroutine, type `terminal`.
struct CallContext {
  // Nothing that is done for the call goes on past this moment, but for a write that is on the
  // wire.
  std::chrono::steady_clock::time_point deadline;
  // The gateway's own id of the call, as it stands in the access log.
  std::string call_id;
  // The caller's name for the purchase or termination (AIP-155). Empty on other calls.
  std::string request_id;
  // Never null.
  std::shared_ptr<CallStats> stats = std::make_shared<CallStats>();
};

}  // namespace leasegateway

#endif  // LEASE_GATEWAY_UPSTREAM_CALL_CONTEXT_H_
