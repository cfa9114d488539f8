#ifndef LEASE_GATEWAY_TESTS_SUPPORT_MANY_CONNECTIONS_H_
#define LEASE_GATEWAY_TESTS_SUPPORT_MANY_CONNECTIONS_H_

#include <gtest/gtest.h>
#include <sys/socket.h>

#include <atomic>
#include <boost/asio/buffer.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/read_until.hpp>
#include <boost/asio/ssl.hpp>
#include <boost/asio/write.hpp>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "tests/support/tls_peers.h"
#include "upstream/sandbox/certificates.h"

namespace leasegateway {

// A TLS server of OpenSSL's that gives each connection a thread, answers all requests alike and
// counts what it sees. Good for `localhost`.
class ManyConnectionsServer {
 public:
  static constexpr char kBody[] = "ok";

  struct Options {
    int newest_tls = TLS1_3_VERSION;
    bool tickets = true;
    boost::asio::ip::address address = boost::asio::ip::address_v4::loopback();
    std::uint16_t port = 0;  // 0: any free
  };
  ManyConnectionsServer() : ManyConnectionsServer(Options()) {}
  explicit ManyConnectionsServer(const Options& options)
      : options_(options), acceptor_(io_, {options.address, options.port}) {
    MakeContext();
    thread_ = std::thread([this] { Accept(); });
  }
  ~ManyConnectionsServer() {
    stopping_ = true;
    boost::asio::io_context io;
    boost::system::error_code ignored;
    boost::asio::ip::tcp::socket(io).connect(acceptor_.local_endpoint(), ignored);
    thread_.join();
    CutAll();
    for (auto& connection : connections_) connection->thread.join();
  }
  ManyConnectionsServer(const ManyConnectionsServer&) = delete;
  ManyConnectionsServer& operator=(const ManyConnectionsServer&) = delete;

  const Authority& authority() const { return authority_; }
  const std::string& ca() const { return authority_.root.certificate; }
  std::uint16_t port() const { return acceptor_.local_endpoint().port(); }
  int full() const { return full_; }        // handshakes
  int resumed() const { return resumed_; }  // handshakes

  // From the next connection on it knows none of the tickets that it gave out; Show has it show
  // another certificate as well.
  void ForgetTickets() {
    const std::lock_guard lock(mutex_);
    MakeContext();
  }
  void Show(sandbox::CertificateAndKey identity) {
    const std::lock_guard lock(mutex_);
    certificate_ = std::move(identity);
    MakeContext();
  }
  // Ends the connections there are, as a server that goes away.
  void CutAll() {
    const std::lock_guard lock(mutex_);
    for (const auto& connection : connections_) {
      ::shutdown(connection->stream.lowest_layer().native_handle(), SHUT_RDWR);
    }
  }

 private:
  using Stream = boost::asio::ssl::stream<boost::asio::ip::tcp::socket>;
  struct Connection {
    Connection(boost::asio::ip::tcp::socket socket,
               std::shared_ptr<boost::asio::ssl::context> context)
        : tls(std::move(context)), stream(std::move(socket), *tls) {}
    std::shared_ptr<boost::asio::ssl::context> tls;
    Stream stream;
    std::thread thread;
  };

  void MakeContext() {
    tls_ = std::make_shared<boost::asio::ssl::context>(boost::asio::ssl::context::tls_server);
    tls_->use_certificate_chain(boost::asio::buffer(certificate_.certificate));
    tls_->use_private_key(boost::asio::buffer(certificate_.key), boost::asio::ssl::context::pem);
    SSL_CTX_set_max_proto_version(tls_->native_handle(), options_.newest_tls);
    SSL_CTX_set_session_cache_mode(tls_->native_handle(), SSL_SESS_CACHE_OFF);
    if (!options_.tickets) {
      SSL_CTX_set_num_tickets(tls_->native_handle(), 0);
      SSL_CTX_set_options(tls_->native_handle(), SSL_OP_NO_TICKET);
    }
  }

  void Accept() {
    for (;;) {
      boost::asio::ip::tcp::socket socket = acceptor_.accept();
      if (stopping_) return;
      socket.set_option(boost::asio::ip::tcp::no_delay(true));
      const std::lock_guard lock(mutex_);
      connections_.push_back(std::make_unique<Connection>(std::move(socket), tls_));
      auto& connection = *connections_.back();
      connection.thread = std::thread([this, &connection] { Serve(connection); });
    }
  }

  void Serve(Connection& connection) {
    auto& stream = connection.stream;
    boost::system::error_code error;
    stream.handshake(boost::asio::ssl::stream_base::server, error);
    if (error) return Close(connection);
    ++(SSL_session_reused(stream.native_handle()) ? resumed_ : full_);
    std::string request;
    while (!error) {
      const std::size_t size =
          boost::asio::read_until(stream, boost::asio::dynamic_buffer(request), "\r\n\r\n", error);
      if (error) break;
      request.erase(0, size);
      boost::asio::write(
          stream,
          boost::asio::buffer(std::string("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n") + kBody),
          error);
    }
    Close(connection);
  }
  // The socket stays open, for CutAll; its number is not given to another one.
  static void Close(Connection& connection) {
    ::shutdown(connection.stream.lowest_layer().native_handle(), SHUT_RDWR);
  }

  const Authority authority_{"serverAuth", {"localhost"}};
  sandbox::CertificateAndKey certificate_ = authority_.Good();
  const Options options_;
  boost::asio::io_context io_;
  boost::asio::ip::tcp::acceptor acceptor_;
  std::atomic<bool> stopping_{false};
  std::atomic<int> full_{0};
  std::atomic<int> resumed_{0};
  std::mutex mutex_;
  std::shared_ptr<boost::asio::ssl::context> tls_;
  std::vector<std::unique_ptr<Connection>> connections_;
  std::thread thread_;
};

}  // namespace leasegateway

#endif  // LEASE_GATEWAY_TESTS_SUPPORT_MANY_CONNECTIONS_H_
