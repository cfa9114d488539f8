#ifndef LEASE_GATEWAY_UPSTREAM_PROVIDER_HTTP_ERROR_H_
#define LEASE_GATEWAY_UPSTREAM_PROVIDER_HTTP_ERROR_H_

#include <chrono>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/status.h"

namespace leasegateway {

// An HTTP answer that is not 2xx.
struct HttpFailure {
  int status = 0;
  std::string body;
  std::string retry_after;  // the header as it came; empty: none
  bool is_write = false;    // the operation changes something at the provider
  std::string operation;    // for the message: "GET /leases"
};
// Maps it by the table in proto/README.md. `now` is for a Retry-After that is an HTTP date. Where
// there is RetryInfo, the metadata has `retry_after_ms` if the provider sent a Retry-After;
// without, the delay is the gateway's own guess. A body that isn't the provider's leads to
// kFromProviderKey.
absl::Status FromHttp(const HttpFailure& failure, std::chrono::system_clock::time_point now);

// Seconds or an HTTP date (RFC 9110, 10.2.3), clamped to [0, 1 h]. Nothing for anything else.
std::optional<std::chrono::milliseconds> ParseRetryAfter(std::string_view value,
                                                         std::chrono::system_clock::time_point now);

}  // namespace leasegateway

#endif  // LEASE_GATEWAY_UPSTREAM_PROVIDER_HTTP_ERROR_H_
