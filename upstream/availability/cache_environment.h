#ifndef LEASE_GATEWAY_UPSTREAM_AVAILABILITY_CACHE_ENVIRONMENT_H_
#define LEASE_GATEWAY_UPSTREAM_AVAILABILITY_CACHE_ENVIRONMENT_H_

#include <boost/asio/any_io_executor.hpp>
#include <chrono>
#include <functional>

#include "upstream/availability/shared_bytes.h"

namespace leasegateway {

// Where time, chance and threads come from for memory; tests bring their own.
struct CacheEnvironment {
  boost::asio::any_io_executor executor;
  std::function<std::chrono::steady_clock::time_point()> now;
  // Calls the function once, later, on any thread of the executor; not any more when the last copy
  // of this is gone.
  std::function<void(std::chrono::milliseconds, std::function<void()>)> after;
  std::function<double()> random;  // [0, 1)
  PinBytes pin;
};
// The real ones.
CacheEnvironment MakeCacheEnvironment(const boost::asio::any_io_executor& executor, PinBytes pin);

}  // namespace leasegateway

#endif  // LEASE_GATEWAY_UPSTREAM_AVAILABILITY_CACHE_ENVIRONMENT_H_
