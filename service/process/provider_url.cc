#include "service/process/provider_url.h"

#include <boost/url/parse.hpp>
#include <boost/url/url_view.hpp>

#include "absl/strings/str_cat.h"

namespace leasegateway {

std::string CheckProviderUrl(absl::string_view value, absl::string_view secrets_rule) {
  const std::string text(value);
  const auto parsed = boost::urls::parse_uri(text);
  if (!parsed) return "must be a URL as https://HOST/PATH";
  const boost::urls::url_view& url = *parsed;
  if (url.scheme_id() == boost::urls::scheme::http) {
    return "must be https://: http:// would send the API key unencrypted";
  }
  if (url.scheme_id() != boost::urls::scheme::https) return "must start with https://";
  if (!url.has_authority() || url.encoded_host().empty()) return "must have a host";
  if (url.has_userinfo()) {
    return absl::StrCat("must have no user name or password: ", secrets_rule);
  }
  if (url.has_query()) return "must have no query";
  if (url.has_fragment()) return "must have no fragment";
  if (url.has_port() && url.port_number() == 0) return "must have a port from 1 to 65535";
  return "";
}

}  // namespace leasegateway
