#ifndef LEASE_GATEWAY_UPSTREAM_LEASE_API_FACTORY_H_
#define LEASE_GATEWAY_UPSTREAM_LEASE_API_FACTORY_H_

#include <boost/asio/any_io_executor.hpp>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "upstream/https_connection.h"
#include "upstream/lease_api.h"

namespace leasegateway {

struct UpstreamOptions {
  std::string url;      // https://HOST[:PORT][/PATH]
  std::string ca_file;  // PEM; empty: the system's authorities
  std::string auth_scheme = "Bearer";
  std::string api_key;  // a secret
  std::string user_agent;
  HttpsOptions https;  // `host` and `port` are taken from `url`
};

// The provider behind its decorators; the order is visible here and nowhere else.
// INVALID_ARGUMENT for a URL or CA file that can't be used. The result must not outlive the
// executor's context.
absl::StatusOr<std::unique_ptr<LeaseApi>> MakeLeaseApi(const boost::asio::any_io_executor& executor,
                                                       UpstreamOptions options);

}  // namespace leasegateway

#endif  // LEASE_GATEWAY_UPSTREAM_LEASE_API_FACTORY_H_
