#include "service/rpc/call_limit.h"

#include "absl/strings/str_cat.h"
#include "upstream/upstream_error.h"

namespace leasegateway {

absl::Status CallLimit::Enter() {
  int calls = calls_.load(std::memory_order_relaxed);
  while (calls < most_) {
    if (calls_.compare_exchange_weak(calls, calls + 1, std::memory_order_relaxed)) {
      return absl::OkStatus();
    }
  }
  refused_.fetch_add(1, std::memory_order_relaxed);
  auto status = MakeError(absl::StatusCode::kResourceExhausted, reason::kOverloaded,
                          absl::StrCat(calls, " calls are under way: the gateway is overloaded"),
                          {{"request_sent", "false"}});
  SetRetryDelay(status, kDefaultRetryDelay);
  return status;
}

}  // namespace leasegateway
