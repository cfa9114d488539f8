#ifndef LEASE_GATEWAY_UPSTREAM_RATE_SHARE_H_
#define LEASE_GATEWAY_UPSTREAM_RATE_SHARE_H_

#include <chrono>
#include <functional>
#include <memory>
#include <optional>

namespace leasegateway {

// The provider's rate where several processes share it. None of the functions waits; they are
// called on any thread, also by what outlives those who gave them. Null ones: this process has the
// rate for itself.
struct RateShare {
  // The provider's Retry-After, if it sent one.
  using RetryAfter = std::optional<std::chrono::milliseconds>;

  // How many processes share the rate, this one included; at least 1.
  std::function<int()> processes;
  // Tells the others of a 429 that this process got.
  std::function<void(RetryAfter)> tell;
  // `heard` is called, on any thread and while no lock is held, for each 429 that another process
  // tells of, until the result is gone; it may be called once more while that goes.
  std::function<std::shared_ptr<void>(std::function<void(RetryAfter)> heard)> listen;
};

}  // namespace leasegateway

#endif  // LEASE_GATEWAY_UPSTREAM_RATE_SHARE_H_
