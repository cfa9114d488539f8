#ifndef LEASE_GATEWAY_TESTS_SUPPORT_SANDBOX_CLIENT_H_
#define LEASE_GATEWAY_TESTS_SUPPORT_SANDBOX_CLIENT_H_

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ssl/context.hpp>
#include <boost/asio/ssl/stream.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/json/value.hpp>
#include <boost/system/error_code.hpp>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "upstream/sandbox/sandbox.h"

namespace leasegateway::sandbox {

std::uint16_t PortOf(const std::string& url);

struct Result {
  boost::system::error_code error;  // of the exchange
  int status = 0;
  std::string body;
  std::string retry_after;
  std::string server;
  std::string via;
  std::string content_type;
  std::string content_encoding;
  std::string etag;
  std::string last_modified;

  boost::json::value Json() const;
  boost::json::value Data() const { return Json().at("data"); }
};

// A plain synchronous client with one connection.
class Client {
 public:
  Client(const Sandbox& sandbox, std::string key)
      : Client(sandbox, std::move(key), sandbox.url()) {}
  // By one of its ports.
  Client(const Sandbox& sandbox, std::string key, const std::string& url);

  const boost::system::error_code& error() const { return error_; }
  long verify_result();
  void Close() { stream_.next_layer().close(error_); }

  // That go out with each request from now on.
  std::vector<std::pair<std::string, std::string>> fields;

  void Send(const std::string& method, const std::string& target, const std::string& body = "",
            const std::string& scheme = "Bearer");
  Result Receive();
  Result Call(const std::string& method, const std::string& target, const std::string& body = "",
              const std::string& scheme = "Bearer") {
    Send(method, target, body, scheme);
    return Receive();
  }

 private:
  std::string key_;
  boost::system::error_code error_;
  boost::asio::io_context context_;
  boost::asio::ssl::context tls_{boost::asio::ssl::context::tls_client};
  boost::asio::ssl::stream<boost::asio::ip::tcp::socket> stream_{context_, tls_};
  boost::beast::flat_buffer buffer_;
};

}  // namespace leasegateway::sandbox

#endif  // LEASE_GATEWAY_TESTS_SUPPORT_SANDBOX_CLIENT_H_
