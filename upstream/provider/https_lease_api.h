#ifndef LEASE_GATEWAY_UPSTREAM_PROVIDER_HTTPS_LEASE_API_H_
#define LEASE_GATEWAY_UPSTREAM_PROVIDER_HTTPS_LEASE_API_H_

#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "upstream/lease_api.h"
#include "upstream/provider/http_error.h"
#include "upstream/provider/routes.h"
#include "upstream/tolerated.h"
#include "upstream/transport/connection_pool.h"
#include "upstream/transport/https_connector.h"
#include "upstream/upstream_stats.h"

namespace leasegateway {

// The provider over HTTPS: headers and key; one exchange an operation. The one repetition
// is of a read whose pooled connection turned out to be dead before a byte of the answer came. A
// write whose `send_before` has come is UNAVAILABLE, NOT_APPLIED, with `request_sent` "false".
class HttpsLeaseApi final : public LeaseApi {
 public:
  struct Options {
    std::string base_path;    // of the URL, without a slash at its end: "/numbers"
    std::string host_header;  // "api.example.com" or "localhost:8443"
    // The header's value, a secret: "Bearer …". Called for each request, from any thread.
    std::function<std::string()> authorization;
    std::string user_agent;
    // Never null: what replies were taken in spite of, and how large they were.
    std::shared_ptr<ToleratedLog> tolerated = std::make_shared<ToleratedLog>();
    std::shared_ptr<ReceivedBytes> received = std::make_shared<ReceivedBytes>();
  };
  HttpsLeaseApi(const boost::asio::any_io_executor& executor,
                std::shared_ptr<boost::asio::ssl::context> tls, const HttpsOptions& https,
                Options options);
  ~HttpsLeaseApi() override;

  boost::asio::awaitable<absl::StatusOr<AnyReply>> Call(CallContext context,
                                                        Operation operation) override;

  ConnectionPool::Counts pool_counts() const { return pool_->counts(); }
  std::function<ConnectionPool::Counts()> PoolCountsReader() const { return pool_->CountsReader(); }

 private:
  // What a success, or a 304 to a request that allowed it, brought. Leaves in `header` what the
  // answer's says, which lives until then.
  boost::asio::awaitable<absl::StatusOr<Answer>> Exchange(CallContext context,
                                                          UpstreamOperation operation, Route route,
                                                          HttpFailure* header);
  // `authorization` is the header's value; `span` is the exchange's own.
  HttpRequest MakeRequest(const Route& route, const std::string& authorization,
                          const TraceContext& span) const;

  const Options options_;
  const std::shared_ptr<HttpsConnector> connector_;
  const std::shared_ptr<ConnectionPool> pool_;
};

}  // namespace leasegateway

#endif  // LEASE_GATEWAY_UPSTREAM_PROVIDER_HTTPS_LEASE_API_H_
