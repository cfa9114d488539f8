#ifndef LEASE_GATEWAY_SERVICE_RPC_WATCHER_H_
#define LEASE_GATEWAY_SERVICE_RPC_WATCHER_H_

#include <grpcpp/server_context.h>
#include <grpcpp/support/byte_buffer.h>
#include <grpcpp/support/server_callback.h>

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/strand.hpp>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "leasegateway/v1/lease_service.pb.h"
#include "service/rpc/call_caller.h"
#include "service/rpc/call_runtime.h"
#include "service/rpc/consistency.h"
#include "upstream/availability/caching_lease_api.h"
#include "upstream/availability/number_filter.h"
#include "upstream/call_context.h"
#include "upstream/wakeup.h"

namespace leasegateway {

struct WatchOptions {
  std::chrono::milliseconds heartbeat{15'000};  // silence until a message without changes is sent
  int max_watchers = 10'000;
  // How long one message may take to be sent until the watcher's snapshot or change is given up: it
  // is told to begin anew once it reads again.
  std::chrono::milliseconds patience{30'000};
};

// What all watchers of a process have in common. `runtime` and `cache` outlive every call.
struct WatchSetting {
  const CallRuntime& runtime;
  CachingLeaseApi& cache;
  const std::string account;  // whose numbers these are
  const WatchOptions options;
  const std::uint64_t instance;  // so that another process's tokens are told apart
};

// Whether a watch may go on, or why not: the callers file may have changed. Called on one thread at
// a time.
using StillAllowed = std::function<absl::Status()>;

// One call of WatchAvailability: reads the cache's changes at its own pace, in a coroutine on a
// strand of its own, and writes serialised WatchAvailabilityResponses. It holds a place in the
// changes, one message on its way and the change, or while the whole state is sent the snapshot,
// that the message is a part of. Owned by its hub and by whatever is on its way to its strand, and
// by itself until gRPC is done with it.
class Watcher final : public grpc::ServerWriteReactor<grpc::ByteBuffer>,
                      public std::enable_shared_from_this<Watcher> {
 public:
  Watcher(const WatchSetting& setting, grpc::CallbackServerContext* server_context,
          v1::WatchAvailabilityRequest request, std::optional<Consistency> missing,
          CallCaller caller, StillAllowed allowed);

  // Called once. Unless `entered` is OK the call ends with it at once; otherwise `left` is called,
  // on the strand, before it ends.
  void Start(const absl::Status& entered, std::function<void()> left);

  // There may be changes. Any thread.
  void Wake();

  // Ends the call with UNAVAILABLE, STOPPING, or cancels it when its caller does not read within a
  // second. Any thread, also before Start.
  void Stop();

 private:
  void OnWriteDone(bool ok) override;
  void OnCancel() override;
  void OnDone() override { self_.reset(); }

  void End(const absl::Status& status);
  bool IsStopping();
  std::string Token(std::uint64_t version) const;

  static boost::asio::awaitable<absl::Status> Run(std::shared_ptr<Watcher> self);
  // What has changed since an entry of a log that replicas share. Leaves `version_` empty when that
  // is not known any more.
  static boost::asio::awaitable<absl::Status> Resume(std::shared_ptr<Watcher> self,
                                                     LoggedState entry);
  // Waits for what the call asks to see, and has `max_staleness_` set where memory does not show
  // it.
  static boost::asio::awaitable<void> AwaitMissing(std::shared_ptr<Watcher> self);
  // Sets `version_` to what the caller has, by its `resume_token`.
  static boost::asio::awaitable<absl::Status> Begin(std::shared_ptr<Watcher> self);
  // All that matches now. Leaves `version_` empty when `held_` was given up.
  static boost::asio::awaitable<absl::Status> SendState(std::shared_ptr<Watcher> self);
  // What matches of a change. Leaves `version_` empty when `held_` was given up.
  static boost::asio::awaitable<absl::Status> SendChange(std::shared_ptr<Watcher> self,
                                                         AvailabilityChange change);
  // Sends a message, if the caller still may have it, and waits until it is on its way. When that
  // takes long, lets go of `held_`; when the hub stops meanwhile, cancels the call.
  static boost::asio::awaitable<absl::Status> Write(std::shared_ptr<Watcher> self,
                                                    std::string bytes);

  const WatchSetting setting_;
  grpc::CallbackServerContext* const server_context_;
  const v1::WatchAvailabilityRequest request_;
  const std::optional<Consistency> missing_;  // that the first state has to include
  const CallCaller caller_;
  const StillAllowed allowed_;
  const NumberFilter filter_;
  const std::uint64_t fingerprint_;
  const std::chrono::steady_clock::time_point started_;
  CallContext context_;
  std::shared_ptr<Watcher> self_;  // until gRPC is done with it

  // On the strand.
  boost::asio::strand<boost::asio::any_io_executor> strand_;
  boost::asio::cancellation_signal cancellation_;
  std::optional<std::uint64_t> version_;  // that the caller has; nothing: none
  MaxStaleness max_staleness_;            // of the first state
  std::chrono::steady_clock::time_point last_sent_ = started_;
  std::shared_ptr<const void> held_;  // the snapshot or change that is being sent, until given up
  grpc::ByteBuffer buffer_;           // being written

  std::mutex mutex_;  // guards all below
  std::shared_ptr<Wakeup> idle_;
  std::shared_ptr<Wakeup> writing_;
  bool written_ = false;
  bool write_ok_ = false;
  bool stopping_ = false;
};

}  // namespace leasegateway

#endif  // LEASE_GATEWAY_SERVICE_RPC_WATCHER_H_
