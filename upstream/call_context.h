#ifndef LEASE_GATEWAY_UPSTREAM_CALL_CONTEXT_H_
#define LEASE_GATEWAY_UPSTREAM_CALL_CONTEXT_H_

#include <atomic>
#include <chrono>
#include <memory>
#include <optional>
#include <string>

#include "leasegateway/v1/resources.pb.h"
#include "upstream/cache_status.h"
#include "upstream/trace_context.h"

namespace leasegateway {

struct SpendingRules;  // upstream/leasing/journal/spending.h

// What one call cost upstream. Written by the layers below while the call runs, read when it has
// ended.
struct CallStats {
  std::atomic<int> attempts{0};  // HTTPS exchanges begun, replays included
  // These are written on the strand that the call runs on.
  std::string upstream_request_id;  // the provider's, of the latest exchange that succeeded
  std::optional<CacheOutcome> cache;
  // Of a write that is told again: done by then, perhaps by a process whose writes aren't known
  // here.
  std::optional<std::chrono::system_clock::time_point> settled_at;
};

// What every layer needs to know of the call that it works for. Passed explicitly and by value, so
// that a coroutine owns its copy. Cancellation is not in here: it comes through the Asio
// cancellation slot of the awaiting coroutine, type `terminal`.
struct CallContext {
  // Nothing that is done for the call goes on past this moment, but for a write that is on the
  // wire.
  std::chrono::steady_clock::time_point deadline;
  // The first byte of a write goes out before this, or not at all: from then on another process may
  // send it. Asked right before that byte.
  std::chrono::steady_clock::time_point send_before = std::chrono::steady_clock::time_point::max();
  // The gateway's own id of the call, as it stands in the access log.
  std::string call_id;
  // The caller's name for the purchase or termination (AIP-155). Empty on other calls.
  std::string request_id;
  // Who asked: its name in the callers file; without one its identity, or its address where it has
  // none.
  std::string caller;
  // How it proved that.
  v1::IdentityKind identity_kind = v1::IDENTITY_KIND_UNSPECIFIED;
  // Whether it may see, and join, the operations of other callers of the account.
  bool sees_all_operations = true;
  // Whose turn is taken where calls wait for each other: equal shares go to different ones. Empty:
  // `caller` is not known to be anybody.
  std::string share;
  // What a purchase has to keep within. Null: it is not limited.
  std::shared_ptr<const SpendingRules> spending;
  // The call's own span. Null: none, and each exchange with the provider begins a trace.
  std::shared_ptr<const TraceContext> trace;
  // Nobody waits for it: it yields to the calls of callers.
  bool background = false;
  // How old an answer to a read may be; 0: ask the provider. Nothing: as the cache's policy says.
  std::optional<std::chrono::milliseconds> max_staleness;
  // Never null.
  std::shared_ptr<CallStats> stats = std::make_shared<CallStats>();
};

}  // namespace leasegateway

#endif  // LEASE_GATEWAY_UPSTREAM_CALL_CONTEXT_H_
