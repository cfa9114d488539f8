#ifndef LEASE_GATEWAY_UPSTREAM_POSTGRES_BACKOFF_H_
#define LEASE_GATEWAY_UPSTREAM_POSTGRES_BACKOFF_H_

#include <algorithm>
#include <chrono>
#include <random>

namespace leasegateway::postgres {

// Pauses that double, with full jitter: replicas that lost a server at once don't come back at
// once.
class Backoff {
 public:
  Backoff(std::chrono::milliseconds first, std::chrono::milliseconds last)
      : first_(first), last_(last), next_(first) {}

  std::chrono::milliseconds Next() {
    std::uniform_int_distribution<std::chrono::milliseconds::rep> any(0, next_.count());
    next_ = std::min(next_ * 2, last_);
    return std::chrono::milliseconds(any(random_));
  }
  void Reset() { next_ = first_; }

 private:
  std::chrono::milliseconds first_;
  std::chrono::milliseconds last_;
  std::chrono::milliseconds next_;
  std::minstd_rand random_{std::random_device{}()};
};

}  // namespace leasegateway::postgres

#endif  // LEASE_GATEWAY_UPSTREAM_POSTGRES_BACKOFF_H_
