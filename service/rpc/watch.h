#ifndef LEASE_GATEWAY_SERVICE_RPC_WATCH_H_
#define LEASE_GATEWAY_SERVICE_RPC_WATCH_H_

#include <grpcpp/server_context.h>
#include <grpcpp/support/byte_buffer.h>
#include <grpcpp/support/server_callback.h>

#include <chrono>
#include <memory>

#include "leasegateway/v1/lease_service.pb.h"
#include "service/rpc/unary_call.h"
#include "upstream/availability/caching_lease_api.h"

namespace leasegateway {

struct WatchOptions {
  std::chrono::milliseconds heartbeat{15'000};  // silence until a message without changes is sent
  int max_watchers = 10'000;
  // How long one message may take to be sent until the watcher's snapshot or change is given up: it
  // is told to begin anew once it reads again.
  std::chrono::milliseconds patience{30'000};
};

// All calls of WatchAvailability. Each watcher reads the cache's changes at its own pace: it holds
// a place in them, one message on its way and the change, or while it is sent the whole state the
// snapshot, that the message is a part of. One that falls behind further than the changes reach
// begins anew. Thread-safe.
class WatchHub {
 public:
  // Sets the cache's listener. `runtime` and `cache` must outlive it, and it its calls.
  WatchHub(const CallRuntime& runtime, CachingLeaseApi& cache, const WatchOptions& options);
  ~WatchHub();
  WatchHub(const WatchHub&) = delete;
  WatchHub& operator=(const WatchHub&) = delete;

  // The call's reactor, which writes serialised WatchAvailabilityResponses. gRPC deletes it.
  // `valid`: when not OK, the call ends with it at once.
  grpc::ServerWriteReactor<grpc::ByteBuffer>* Watch(grpc::CallbackServerContext* context,
                                                    v1::WatchAvailabilityRequest request,
                                                    absl::Status valid);

  // Ends all watches with UNAVAILABLE, STOPPING, and lets no new one begin. Those whose callers do
  // not read are cancelled a second later.
  void Stop();

  int watchers() const;

 private:
  struct State;
  class Watcher;
  std::shared_ptr<State> state_;
};

}  // namespace leasegateway

#endif  // LEASE_GATEWAY_SERVICE_RPC_WATCH_H_
