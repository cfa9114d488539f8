#ifndef LEASE_GATEWAY_UPSTREAM_LEASING_JOURNAL_POSTGRES_LOST_ANSWERS_H_
#define LEASE_GATEWAY_UPSTREAM_LEASING_JOURNAL_POSTGRES_LOST_ANSWERS_H_

#include <boost/asio/awaitable.hpp>
#include <cstdint>

#include "absl/status/status.h"

namespace leasegateway {

// At random, above 0: tells the writes of all replicas apart.
std::int64_t DrawAttempt();

// The statement may have been done, or still be: only reading tells.
inline bool IsLostAnswer(const absl::Status& status) {
  return status.code() == absl::StatusCode::kUnknown;
}

// Pauses before the next try, the longer the more there were: 2 to 50 ms. A cancellation doesn't
// end it; the caller has set throw_if_cancelled(false).
boost::asio::awaitable<void> RestAfter(int tries);

}  // namespace leasegateway

#endif  // LEASE_GATEWAY_UPSTREAM_LEASING_JOURNAL_POSTGRES_LOST_ANSWERS_H_
