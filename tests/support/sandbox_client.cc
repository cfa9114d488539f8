#include "tests/support/sandbox_client.h"

#include <openssl/ssl.h>
#include <sys/socket.h>
#include <sys/time.h>

#include <boost/asio/buffer.hpp>
#include <boost/asio/ssl/host_name_verification.hpp>
#include <boost/beast/http.hpp>
#include <boost/json/parse.hpp>
#include <cstddef>
#include <cstdlib>
#include <utility>

namespace leasegateway::sandbox {

namespace http = boost::beast::http;
namespace json = boost::json;
namespace net = boost::asio;

std::uint16_t PortOf(const std::string& url) {
  const std::size_t host = url.find("://") + 3;
  return static_cast<std::uint16_t>(std::atoi(url.c_str() + url.find(':', host) + 1));
}

json::value Result::Json() const {
  boost::system::error_code ignored;
  return json::parse(body, ignored);
}

Client::Client(const Sandbox& sandbox, std::string key, const std::string& url)
    : key_(std::move(key)) {
  tls_.add_certificate_authority(net::buffer(sandbox.ca_certificate()), error_);
  stream_.set_verify_mode(net::ssl::verify_peer);
  stream_.set_verify_callback(net::ssl::host_name_verification("localhost"));
  stream_.next_layer().connect({net::ip::address_v4::loopback(), PortOf(url)}, error_);
  // A broken sandbox fails a test instead of hanging it.
  timeval timeout{10, 0};
  setsockopt(stream_.next_layer().native_handle(), SOL_SOCKET, SO_RCVTIMEO, &timeout,
             sizeof timeout);
  if (!error_) stream_.handshake(net::ssl::stream_base::client, error_);
}

long Client::verify_result() { return SSL_get_verify_result(stream_.native_handle()); }

void Client::Send(const std::string& method, const std::string& target, const std::string& body,
                  const std::string& scheme) {
  http::request<http::string_body> request;
  request.version(11);
  request.method_string(method);
  request.target("/numbers" + target);
  request.set(http::field::host, "localhost");
  if (!key_.empty()) request.set(http::field::authorization, scheme + " " + key_);
  for (const auto& [name, value] : fields) request.set(name, value);
  request.body() = body;
  request.prepare_payload();
  http::write(stream_, request, error_);
}

Result Client::Receive() {
  Result result;
  http::response_parser<http::string_body> parser;
  parser.body_limit(1 << 26);
  http::read(stream_, buffer_, parser, result.error);
  const auto& response = parser.get();
  if (parser.is_header_done()) result.status = static_cast<int>(response.result_int());
  result.body = response.body();
  result.retry_after = std::string(response[http::field::retry_after]);
  result.server = std::string(response[http::field::server]);
  result.via = std::string(response[http::field::via]);
  result.content_type = std::string(response[http::field::content_type]);
  result.content_encoding = std::string(response[http::field::content_encoding]);
  result.etag = std::string(response[http::field::etag]);
  result.last_modified = std::string(response[http::field::last_modified]);
  return result;
}

}  // namespace leasegateway::sandbox
