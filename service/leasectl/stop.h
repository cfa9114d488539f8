#ifndef LEASE_GATEWAY_SERVICE_LEASECTL_STOP_H_
#define LEASE_GATEWAY_SERVICE_LEASECTL_STOP_H_

#include <grpcpp/client_context.h>

#include <condition_variable>
#include <mutex>
#include <thread>

#include "absl/time/time.h"

namespace leasegateway {

// Ends what goes on without an end of its own: at SIGINT, SIGTERM or a given time, and when nobody
// reads standard output any more. Make it before other threads, which have to leave these signals
// to it; one at a time.
class Stop {
 public:
  explicit Stop(absl::Time end);
  ~Stop();
  Stop(const Stop&) = delete;
  Stop& operator=(const Stop&) = delete;

  // Cancels a call when it is time to end, or now if it was already, or at `deadline`. The context
  // must stay until Detach().
  void Attach(grpc::ClientContext& context, absl::Time deadline);
  // The call may go on after its deadline.
  void LiftDeadline();
  void Detach();

  // Returns early when it is time to end.
  void Sleep(absl::Duration duration);

  bool IsTime();
  // The attached call, or the latest one, was cancelled at its deadline.
  bool IsPastDeadline();

 private:
  void Watch();
  void Wake();

  const absl::Time end_;
  int signals_ = -1;
  int wake_ = -1;
  std::mutex mutex_;
  std::condition_variable changed_;
  grpc::ClientContext* context_ = nullptr;
  absl::Time deadline_ = absl::InfiniteFuture();
  bool stopped_ = false;
  bool past_deadline_ = false;
  bool leave_ = false;
  std::thread thread_;
};

}  // namespace leasegateway

#endif  // LEASE_GATEWAY_SERVICE_LEASECTL_STOP_H_
