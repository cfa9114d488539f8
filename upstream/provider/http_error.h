#ifndef LEASE_GATEWAY_UPSTREAM_PROVIDER_HTTP_ERROR_H_
#define LEASE_GATEWAY_UPSTREAM_PROVIDER_HTTP_ERROR_H_

#include <chrono>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "upstream/transport/padded_text.h"

namespace leasegateway {

// An HTTP answer that is not what was asked for. Headers as they came; empty: not there.
struct HttpFailure {
  int status = 0;
  PaddedText body;
  bool has_unread_body = false;  // in an encoding that was not asked for; `body` is empty
  std::string retry_after;
  bool is_write = false;      // the operation changes something at the provider
  std::string operation;      // for the message: "GET /leases"
  bool has_arguments = true;  // of the caller: a number in the path, a body
  std::string content_type;
  std::string server;
  std::string via;
};
// Of one that is not 2xx, by the table in proto/README.md. `now` is for a Retry-After that is an
// HTTP date. The metadata has `retry_after_ms` if a Retry-After came; without, the delay in
// RetryInfo is the gateway's own guess. What WhoseAnswer takes for a middleman's is FromMiddleman.
absl::Status FromHttp(const HttpFailure& failure, std::chrono::system_clock::time_point now);

// Of an answer of any status that isn't the provider's: UNAVAILABLE, UPSTREAM_INTERMEDIARY with
// RetryInfo; of a write, which may have gone on to the provider: ABORTED, OUTCOME_UNKNOWN. The
// metadata has kFromProviderKey, `http_status`, and of the header `server`, `via` and
// `content_type`, at most 64 characters of printable ASCII each; nothing has any of the body.
absl::Status FromMiddleman(const HttpFailure& failure, std::chrono::system_clock::time_point now);

// Seconds or an HTTP date (RFC 9110, 10.2.3), clamped to [0, 1 h]. Nothing for anything else.
std::optional<std::chrono::milliseconds> ParseRetryAfter(std::string_view value,
                                                         std::chrono::system_clock::time_point now);

}  // namespace leasegateway

#endif  // LEASE_GATEWAY_UPSTREAM_PROVIDER_HTTP_ERROR_H_
