#ifndef LEASE_GATEWAY_UPSTREAM_POSTGRES_HASTE_H_
#define LEASE_GATEWAY_UPSTREAM_POSTGRES_HASTE_H_

#include <chrono>
#include <memory>
#include <mutex>
#include <set>

#include "upstream/wakeup.h"

namespace leasegateway::postgres {

// When the process stops, a server that does not answer is not waited for as long as before. Shared
// by all that wait for one. Thread-safe.
class Haste {
 public:
  using TimePoint = std::chrono::steady_clock::time_point;

  // What a server that answers needs, for each step.
  static constexpr std::chrono::milliseconds kPatience{500};

  // From now on. Wakes all who wait.
  void Begin();
  bool has_begun() const;
  // Until when to wait for what began at `begun` and may take until `deadline`.
  TimePoint Limit(TimePoint begun, TimePoint deadline) const;

  // Somebody who waits, and looks at the limit when woken. As long as it lives.
  class Waiter {
   public:
    Waiter(std::shared_ptr<Haste> haste, std::shared_ptr<Wakeup> wakeup);
    ~Waiter();
    Waiter(const Waiter&) = delete;
    Waiter& operator=(const Waiter&) = delete;

   private:
    const std::shared_ptr<Haste> haste_;
    const std::shared_ptr<Wakeup> wakeup_;
  };

 private:
  mutable std::mutex mutex_;            // guards all below
  TimePoint since_ = TimePoint::max();  // max: not begun
  std::multiset<std::shared_ptr<Wakeup>> waiters_;
};

}  // namespace leasegateway::postgres

#endif  // LEASE_GATEWAY_UPSTREAM_POSTGRES_HASTE_H_
