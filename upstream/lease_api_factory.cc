#include "upstream/lease_api_factory.h"

#include <boost/url/parse.hpp>
#include <boost/url/url_view.hpp>
#include <utility>

#include "absl/strings/str_cat.h"
#include "upstream/explaining_lease_api.h"
#include "upstream/https_lease_api.h"

namespace leasegateway {

absl::StatusOr<std::unique_ptr<LeaseApi>> MakeLeaseApi(const boost::asio::any_io_executor& executor,
                                                       UpstreamOptions options) {
  const auto url = boost::urls::parse_uri(options.url);
  if (!url || url->scheme() != "https" || url->host().empty()) {
    return absl::InvalidArgumentError(
        absl::StrCat("upstream_url: \"", options.url, "\": must be https://HOST[:PORT][/PATH]"));
  }
  auto tls = MakeTlsContext(options.ca_file);
  if (!tls.ok()) return tls.status();

  options.https.host = url->host_address();
  if (url->has_port()) options.https.port = std::string(url->port());
  HttpsLeaseApi::Options api;
  api.base_path = std::string(url->encoded_path());
  while (!api.base_path.empty() && api.base_path.back() == '/') api.base_path.pop_back();
  api.host_header = std::string(url->encoded_host_and_port());
  api.authorization = absl::StrCat(options.auth_scheme, " ", options.api_key);
  api.user_agent = options.user_agent;

  std::unique_ptr<LeaseApi> stack =
      std::make_unique<HttpsLeaseApi>(executor, *std::move(tls), options.https, std::move(api));
  stack = std::make_unique<ExplainingLeaseApi>(std::move(stack));
  return stack;
}

}  // namespace leasegateway
