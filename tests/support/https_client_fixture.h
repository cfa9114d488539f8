#ifndef LEASE_GATEWAY_TESTS_SUPPORT_HTTPS_CLIENT_FIXTURE_H_
#define LEASE_GATEWAY_TESTS_SUPPORT_HTTPS_CLIENT_FIXTURE_H_

#include <gtest/gtest.h>
#include <unistd.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ssl/context.hpp>
#include <boost/asio/strand.hpp>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <exception>
#include <fstream>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "upstream/transport/dialer.h"
#include "upstream/transport/https_connection.h"

namespace leasegateway {

// The provider's side of the gateway as far as a connection, on the test's own thread.
class HttpsClientTest : public testing::Test {
 protected:
  using Endpoints = std::vector<boost::asio::ip::tcp::endpoint>;

  static Deadline Soon() { return std::chrono::steady_clock::now() + std::chrono::seconds(10); }
  static boost::asio::ip::tcp::endpoint Loopback(std::uint16_t port) {
    return {boost::asio::ip::address_v4::loopback(), port};
  }
  // Trusts `ca`, PEM.
  static std::shared_ptr<boost::asio::ssl::context> Trusting(const std::string& ca) {
    const std::string file =
        testing::TempDir() + "https_client_" + std::to_string(getpid()) + ".pem";
    std::ofstream(file) << ca;
    auto tls = MakeTlsContext(file);
    std::remove(file.c_str());
    EXPECT_TRUE(tls.ok()) << tls.status();
    return tls.ok() ? *tls : nullptr;
  }
  static boost::asio::awaitable<absl::StatusOr<Endpoints>> Found(Endpoints addresses) {
    co_return addresses;
  }
  // Its host has these addresses.
  std::unique_ptr<Dialer> DialerTo(Endpoints addresses) {
    return std::make_unique<Dialer>(
        io_.get_executor(),
        Dialer::Options{.host = options_.host,
                        .lookup = [addresses](Deadline) { return Found(addresses); },
                        .connect_timeout = options_.connect_timeout,
                        .phases = options_.phases});
  }
  std::unique_ptr<HttpsConnection> NewConnection(
      const std::shared_ptr<boost::asio::ssl::context>& tls) {
    return std::make_unique<HttpsConnection>(io_.get_executor(), tls, options_);
  }

  template <typename T>
  T Await(boost::asio::awaitable<T> waited) {
    std::optional<T> result;
    boost::asio::co_spawn(boost::asio::make_strand(io_), std::move(waited),
                          [&result](std::exception_ptr, T value) { result = std::move(value); });
    io_.restart();
    while (!result) io_.run_one();
    return *std::move(result);
  }
  // One request for "/" and its answer.
  HttpsConnection::Result Get(HttpsConnection& connection) {
    HttpRequest request(boost::beast::http::verb::get, "/", 11);
    request.set(boost::beast::http::field::host, "localhost");
    return Await(connection.Exchange(std::move(request), Soon(), false));
  }

  boost::asio::io_context io_;
  HttpsOptions options_{.host = "localhost"};
};

}  // namespace leasegateway

#endif  // LEASE_GATEWAY_TESTS_SUPPORT_HTTPS_CLIENT_FIXTURE_H_
