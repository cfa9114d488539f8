#include "upstream/lease_api_factory.h"

#include <boost/url/parse.hpp>
#include <boost/url/url_view.hpp>
#include <utility>

#include "absl/strings/str_cat.h"
#include "upstream/provider/https_lease_api.h"
#include "upstream/resilience/explaining_lease_api.h"
#include "upstream/resilience/guarded_lease_api.h"
#include "upstream/resilience/observed_lease_api.h"
#include "upstream/resilience/retrying_lease_api.h"

namespace leasegateway {

namespace {

// Null: straight.
absl::StatusOr<std::shared_ptr<const Proxy>> MakeProxy(const UpstreamOptions& options) {
  if (!options.egress.proxy) return nullptr;
  auto proxy = std::make_shared<Proxy>();
  proxy->address = *options.egress.proxy;
  proxy->credentials = options.proxy_credentials;
  if (!proxy->credentials) {
    proxy->credentials = [credentials = proxy->address.credentials] { return credentials; };
  }
  if (proxy->address.tls) {
    auto tls = MakeTlsContext(options.proxy_ca_file, "upstream_proxy_ca_file");
    if (!tls.ok()) return tls.status();
    proxy->tls = *std::move(tls);
  }
  return proxy;
}

}  // namespace

absl::StatusOr<std::unique_ptr<CachingLeaseApi>> MakeLeaseApi(
    const boost::asio::any_io_executor& executor, UpstreamOptions options) {
  const auto url = boost::urls::parse_uri(options.url);
  if (!url || url->scheme() != "https" || url->host().empty()) {
    return absl::InvalidArgumentError(
        absl::StrCat("upstream_url: \"", options.url, "\": must be https://HOST[:PORT][/PATH]"));
  }
  auto tls = MakeTlsContext(options.ca_file);
  if (!tls.ok()) return tls.status();

  auto proxy = MakeProxy(options);
  if (!proxy.ok()) return proxy.status();

  options.https.proxy = *std::move(proxy);
  options.https.host = url->host_address();
  if (url->has_port()) options.https.port = std::string(url->port());
  HttpsLeaseApi::Options api;
  api.base_path = std::string(url->encoded_path());
  while (!api.base_path.empty() && api.base_path.back() == '/') api.base_path.pop_back();
  api.host_header = std::string(url->encoded_host_and_port());
  api.authorization = [scheme = options.auth_scheme, key = options.api_key] {
    return absl::StrCat(scheme, " ", key());
  };
  api.user_agent = options.user_agent;

  const auto stats = options.stats;
  options.https.phases = std::shared_ptr<PhaseTimes>(stats, &stats->phases);
  options.https.handshakes = std::shared_ptr<HandshakeCounts>(stats, &stats->handshakes);
  api.tolerated = std::shared_ptr<ToleratedLog>(stats, &stats->tolerated);
  auto https =
      std::make_unique<HttpsLeaseApi>(executor, *std::move(tls), options.https, std::move(api));
  stats->pool = https->PoolCountsReader();
  stats->budget = [budget = options.retry_budget] {
    return budget->stats(std::chrono::steady_clock::now());
  };
  std::unique_ptr<LeaseApi> stack = std::make_unique<ObservedLeaseApi>(
      std::move(https), std::shared_ptr<AttemptStats>(stats, &stats->attempts),
      MakeCallEnvironment());
  GuardOptions guard;
  guard.breaker = options.breaker;
  guard.admission.max_in_flight = options.https.max_connections;
  guard.admission.max_waiting = options.https.max_waiters;
  if (options.max_wait.count() > 0) {
    guard.admission.min_wait = guard.admission.max_wait = options.max_wait;
  }
  guard.rate = options.rate;
  guard.share = options.rate_share;
  auto guarded = std::make_unique<GuardedLeaseApi>(std::move(stack), guard, MakeCallEnvironment());
  stats->guard = guarded->StatsReader();
  stack = std::move(guarded);
  stack = std::make_unique<RetryingLeaseApi>(std::move(stack), options.retry, options.retry_budget,
                                             MakeCallEnvironment());
  stack = std::make_unique<ExplainingLeaseApi>(std::move(stack));
  return std::make_unique<CachingLeaseApi>(std::move(stack), options.cache,
                                           MakeCacheEnvironment(executor, options.pin),
                                           std::move(options.shared_lists));
}

}  // namespace leasegateway
