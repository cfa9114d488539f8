#ifndef LEASE_GATEWAY_TESTS_SUPPORT_SCRIPTED_PROVIDER_H_
#define LEASE_GATEWAY_TESTS_SUPPORT_SCRIPTED_PROVIDER_H_

#include <gtest/gtest.h>

#include <atomic>
#include <boost/asio/buffer.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/read_until.hpp>
#include <boost/asio/ssl.hpp>
#include <boost/asio/write.hpp>
#include <cstdint>
#include <functional>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "upstream/sandbox/certificates.h"

namespace leasegateway {

// A provider that answers each request with the next of some texts, as they stand.
class ScriptedProvider {
 public:
  // `before_handshake` is called on the provider's thread for each connection.
  explicit ScriptedProvider(std::vector<std::string> answers,
                            std::function<void()> before_handshake = {})
      : answers_(std::move(answers)), before_handshake_(std::move(before_handshake)) {
    const auto certificates = sandbox::MakeCertificates({"localhost"}, 1);
    EXPECT_TRUE(certificates.ok()) << certificates.status();
    ca_ = certificates->ca;
    tls_.use_certificate_chain(boost::asio::buffer(certificates->leaf));
    tls_.use_private_key(boost::asio::buffer(certificates->leaf_key),
                         boost::asio::ssl::context::pem);
    thread_ = std::thread([this] { Serve(); });
  }
  ~ScriptedProvider() {
    // The thread waits for a connection or for the peer's next request.
    stopping_ = true;
    boost::system::error_code ignored;
    boost::asio::io_context io;
    boost::asio::ip::tcp::socket(io).connect(acceptor_.local_endpoint(), ignored);
    thread_.join();
  }
  ScriptedProvider(const ScriptedProvider&) = delete;
  ScriptedProvider& operator=(const ScriptedProvider&) = delete;

  std::uint16_t port() const { return acceptor_.local_endpoint().port(); }
  std::string url() const { return "https://localhost:" + std::to_string(port()) + "/numbers"; }
  // PEM of the authority that signed its certificate.
  const std::string& ca() const { return ca_; }
  // Whose handshake succeeded.
  int connections() const { return connections_; }
  // The headers of the requests so far.
  std::vector<std::string> requests() const {
    const std::lock_guard lock(mutex_);
    return requests_;
  }

 private:
  void Serve() {
    std::size_t next = 0;
    while (next < answers_.size() && !stopping_) {
      boost::asio::ssl::stream<boost::asio::ip::tcp::socket> stream(acceptor_.accept(), tls_);
      if (stopping_) return;
      if (before_handshake_) before_handshake_();
      boost::system::error_code error;
      stream.handshake(boost::asio::ssl::stream_base::server, error);
      if (error) continue;
      ++connections_;
      std::string request;
      while (next < answers_.size()) {
        const std::size_t size = boost::asio::read_until(
            stream, boost::asio::dynamic_buffer(request), "\r\n\r\n", error);
        if (error) break;
        {
          const std::lock_guard lock(mutex_);
          requests_.push_back(request.substr(0, size));
        }
        request.erase(0, size);
        boost::asio::write(stream, boost::asio::buffer(answers_[next++]), error);
        if (error) break;
      }
    }
  }

  const std::vector<std::string> answers_;
  const std::function<void()> before_handshake_;
  std::string ca_;
  boost::asio::io_context io_;
  boost::asio::ssl::context tls_{boost::asio::ssl::context::tls_server};
  boost::asio::ip::tcp::acceptor acceptor_{io_, {boost::asio::ip::address_v4::loopback(), 0}};
  std::atomic<bool> stopping_{false};
  std::atomic<int> connections_{0};
  mutable std::mutex mutex_;
  std::vector<std::string> requests_;
  std::thread thread_;
};

}  // namespace leasegateway

#endif  // LEASE_GATEWAY_TESTS_SUPPORT_SCRIPTED_PROVIDER_H_
