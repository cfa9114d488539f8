#ifndef LEASE_GATEWAY_UPSTREAM_CALL_ENVIRONMENT_H_
#define LEASE_GATEWAY_UPSTREAM_CALL_ENVIRONMENT_H_

#include <boost/asio/awaitable.hpp>
#include <chrono>
#include <functional>
#include <memory>
#include <random>

#include "upstream/wakeup.h"

namespace leasegateway {

// Where time and chance come from for a call that waits; tests bring their own.
struct CallEnvironment {
  using TimePoint = std::chrono::steady_clock::time_point;
  std::function<TimePoint()> now;
  std::function<double()> random;  // [0, 1)
  // Wakeup::WaitUntil by the clock of `now`. The caller keeps a pointer until it has awaited this.
  std::function<boost::asio::awaitable<void>(std::shared_ptr<Wakeup>, TimePoint)> wait;
};

// The real ones.
inline CallEnvironment MakeCallEnvironment() {
  CallEnvironment environment;
  environment.now = std::chrono::steady_clock::now;
  environment.random = [] {
    thread_local std::minstd_rand random{std::random_device{}()};
    return std::uniform_real_distribution<double>()(random);
  };
  environment.wait = [](const std::shared_ptr<Wakeup>& wakeup, CallEnvironment::TimePoint until) {
    return wakeup->WaitUntil(until);
  };
  return environment;
}

}  // namespace leasegateway

#endif  // LEASE_GATEWAY_UPSTREAM_CALL_ENVIRONMENT_H_
