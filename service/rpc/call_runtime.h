#ifndef LEASE_GATEWAY_SERVICE_RPC_CALL_RUNTIME_H_
#define LEASE_GATEWAY_SERVICE_RPC_CALL_RUNTIME_H_

#include <boost/asio/any_io_executor.hpp>
#include <chrono>
#include <cstddef>
#include <memory>
#include <string>

#include "service/process/log_repeats.h"
#include "service/rpc/call_limit.h"
#include "service/rpc/call_metrics.h"

namespace leasegateway {

// What a call needs of the process. Outlives every call.
struct CallRuntime {
  boost::asio::any_io_executor executor;
  std::chrono::milliseconds default_deadline;  // of a call that came without one
  int log_hits = 0;  // one in so many reads that memory answered, in the access log; 0: none
  std::size_t max_request_bytes = 1 << 20;  // of one that comes compressed, inflated
  std::shared_ptr<CallLimit> limit = std::make_shared<CallLimit>(10'000);  // never null
  std::shared_ptr<CallMetrics> metrics = std::make_shared<CallMetrics>();  // never null
  std::shared_ptr<LogRepeats> refusals = std::make_shared<LogRepeats>();   // audited; never null
};

}  // namespace leasegateway

#endif  // LEASE_GATEWAY_SERVICE_RPC_CALL_RUNTIME_H_
