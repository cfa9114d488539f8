#include "service/rpc/call_limit.h"

#include <string>

#include "absl/strings/str_cat.h"
#include "upstream/upstream_error.h"

namespace leasegateway {

absl::Status CallLimit::Enter(int held) {
  int calls = calls_.load(std::memory_order_relaxed);
  while (held < most_ - calls) {
    if (calls_.compare_exchange_weak(calls, calls + 1, std::memory_order_relaxed)) {
      return absl::OkStatus();
    }
  }
  refused_.fetch_add(1, std::memory_order_relaxed);
  const std::string whose =
      held > 0 ? absl::StrCat(", ", held, " of them this caller's") : std::string();
  auto status =
      MakeError(absl::StatusCode::kResourceExhausted, reason::kOverloaded,
                absl::StrCat(calls, " calls are under way", whose, ": the gateway is overloaded"),
                {{"request_sent", "false"}});
  SetRetryDelay(status, kDefaultRetryDelay);
  return status;
}

}  // namespace leasegateway
