#ifndef LEASE_GATEWAY_SERVICE_RPC_WATCH_HUB_H_
#define LEASE_GATEWAY_SERVICE_RPC_WATCH_HUB_H_

#include <grpcpp/server_context.h>
#include <grpcpp/support/byte_buffer.h>
#include <grpcpp/support/server_callback.h>

#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <vector>

#include "absl/status/status.h"
#include "leasegateway/v1/lease_service.pb.h"
#include "service/rpc/call_runtime.h"
#include "service/rpc/consistency.h"
#include "service/rpc/watcher.h"
#include "upstream/availability/caching_lease_api.h"

namespace leasegateway {

// All calls of WatchAvailability on an account. One that falls behind further than the cache's
// changes reach begins anew. Thread-safe.
class WatchHub {
 public:
  // Sets the cache's listener. `runtime` and `cache` must outlive it, and it its calls.
  WatchHub(const CallRuntime& runtime, CachingLeaseApi& cache, std::string account,
           const WatchOptions& options);
  WatchHub(const WatchHub&) = delete;
  WatchHub& operator=(const WatchHub&) = delete;

  // The call's reactor, which writes serialised WatchAvailabilityResponses. gRPC deletes it.
  // `missing`: what its first state has to include and memory does not show yet. `allowed`: asked
  // before each message. `valid`: when not OK, the call ends with it at once.
  grpc::ServerWriteReactor<grpc::ByteBuffer>* Watch(grpc::CallbackServerContext* context,
                                                    v1::WatchAvailabilityRequest request,
                                                    std::optional<Consistency> missing,
                                                    CallCaller caller, StillAllowed allowed,
                                                    absl::Status valid);

  // Ends all watches with UNAVAILABLE, STOPPING, and lets no new one begin. Those whose callers do
  // not read are cancelled a second later.
  void Stop() { watchers_->Stop(); }

  int watchers() const { return watchers_->size(); }

 private:
  // Those who watch. The cache's listener knows it weakly, as it may be called after the hub's end.
  class Watchers {
   public:
    explicit Watchers(int most) : most_(most) {}

    // RESOURCE_EXHAUSTED, TOO_MANY_WATCHERS, when there are `most` already.
    absl::Status Enter(const std::shared_ptr<Watcher>& watcher);
    void Leave(const std::shared_ptr<Watcher>& watcher);
    void Wake();
    void Stop();
    int size() const;

   private:
    std::vector<std::shared_ptr<Watcher>> All() const;

    const int most_;
    mutable std::mutex mutex_;  // guards all below
    bool stopped_ = false;
    std::set<std::shared_ptr<Watcher>> watchers_;
  };

  const WatchSetting setting_;
  const std::shared_ptr<Watchers> watchers_;
};

}  // namespace leasegateway

#endif  // LEASE_GATEWAY_SERVICE_RPC_WATCH_HUB_H_
