#ifndef LEASE_GATEWAY_UPSTREAM_LEASE_API_FACTORY_H_
#define LEASE_GATEWAY_UPSTREAM_LEASE_API_FACTORY_H_

#include <boost/asio/any_io_executor.hpp>
#include <functional>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "upstream/availability/caching_lease_api.h"
#include "upstream/availability/shared_lists.h"
#include "upstream/handshake_counts.h"
#include "upstream/lease_api.h"
#include "upstream/phase_times.h"
#include "upstream/rate_share.h"
#include "upstream/resilience/circuit_breaker.h"
#include "upstream/resilience/guarded_lease_api.h"
#include "upstream/resilience/retry_budget.h"
#include "upstream/resilience/retry_policy.h"
#include "upstream/transport/connection_pool.h"
#include "upstream/transport/egress.h"
#include "upstream/transport/https_connection.h"
#include "upstream/upstream_stats.h"

namespace leasegateway {

// What the stack's layers tell of themselves. Readers may be called from any thread, also after the
// stack's end.
struct UpstreamStats {
  AttemptStats attempts;
  PhaseTimes phases;
  HandshakeCounts handshakes;
  ToleratedLog tolerated;
  std::function<GuardedLeaseApi::Stats()> guard;
  std::function<ConnectionPool::Counts()> pool;
  std::function<RetryBudget::Stats()> budget;
};

struct UpstreamOptions {
  std::string url;            // https://HOST[:PORT][/PATH]
  std::string ca_file;        // PEM; empty: the system's authorities
  Egress egress;              // the road there
  std::string proxy_ca_file;  // of an https:// proxy; PEM; empty: the system's
  // "user:password", a secret, asked for each connection through the proxy: Proxy::credentials.
  // Null: those of `egress`.
  std::function<absl::StatusOr<std::string>()> proxy_credentials;
  std::string auth_scheme = "Bearer";
  std::function<std::string()> api_key;  // a secret; asked for each request, from any thread
  std::string user_agent;
  // `host` and `port` are taken from `url`, the proxy from `egress`; admission follows from its
  // pool
  HttpsOptions https;
  std::chrono::milliseconds max_wait{0};  // for a connection; 0: about as long as a call takes
  double rate = 0;                        // calls a second that the provider allows; 0: no limit
  RateShare rate_share;                   // with other processes of the same account
  CircuitBreaker::Options breaker;
  RetryPolicy retry;
  // Never null. Shared with those who send again what this has given up.
  std::shared_ptr<RetryBudget> retry_budget = std::make_shared<RetryBudget>(RetryBudget::Options());
  CachePolicy cache;
  std::shared_ptr<SharedLists> shared_lists;  // with other processes of the account; null: none
  // Never null. The factory sets the readers; a stack has one of its own.
  std::shared_ptr<UpstreamStats> stats = std::make_shared<UpstreamStats>();
  PinBytes pin = PinInMemory;  // how serialised replies are kept
};

// The provider behind its decorators; the order is visible here and nowhere else.
// INVALID_ARGUMENT for a URL or a CA file that can't be used. The result must not outlive the
// executor's context.
absl::StatusOr<std::unique_ptr<CachingLeaseApi>> MakeLeaseApi(
    const boost::asio::any_io_executor& executor, UpstreamOptions options);

}  // namespace leasegateway

#endif  // LEASE_GATEWAY_UPSTREAM_LEASE_API_FACTORY_H_
