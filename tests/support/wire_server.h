#ifndef LEASE_GATEWAY_TESTS_SUPPORT_WIRE_SERVER_H_
#define LEASE_GATEWAY_TESTS_SUPPORT_WIRE_SERVER_H_

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <functional>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "tests/support/tls_peers.h"

namespace leasegateway {

// What a server does with one connection. Its TLS is its own: no ticket of another one is known.
struct WireConnection {
  enum class End {
    kStaysOpen,    // until the client closes
    kCloseNotify,  // as TLS wants it
    kFin,          // TCP's end alone, which a middleman can forge
    kReset,
  };
  std::vector<std::string> answers;  // to each request, byte for byte
  End end = End::kStaysOpen;         // after the last of them
  std::function<void(SSL_CTX*)> set_up = nullptr;
  std::optional<sandbox::CertificateAndKey> identity = std::nullopt;  // nothing: the server's own
};

// A TLS server of OpenSSL's that knows no HTTP: it sends what it is told to, one connection after
// the other.
class WireServer {
 public:
  WireServer(const Authority& authority, std::vector<WireConnection> connections)
      : script_(std::move(connections)), own_(authority.Good()) {
    signal(SIGPIPE, SIG_IGN);
    listener_ = socket(AF_INET, SOCK_STREAM, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    EXPECT_EQ(bind(listener_, reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
    EXPECT_EQ(listen(listener_, 16), 0);
    socklen_t size = sizeof(address);
    getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &size);
    port_ = ntohs(address.sin_port);
    thread_ = std::thread([this] { Run(); });
  }
  ~WireServer() {
    stopped_ = true;
    thread_.join();
    close(listener_);
  }
  WireServer(const WireServer&) = delete;
  WireServer& operator=(const WireServer&) = delete;

  int port() const { return port_; }
  // Whose handshake succeeded.
  int connections() const { return connections_; }
  // The headers of all requests so far.
  std::vector<std::string> requests() const {
    const std::lock_guard lock(mutex_);
    return requests_;
  }

 private:
  void Run() {
    for (const WireConnection& connection : script_) {
      pollfd waiting{listener_, POLLIN, 0};
      while (poll(&waiting, 1, 20) != 1) {
        if (stopped_) return;
      }
      const int handle = accept(listener_, nullptr, nullptr);
      Serve(connection, handle);
      close(handle);
    }
  }

  void Serve(const WireConnection& connection, int handle) {
    const timeval limit{0, 20'000};  // so that it sees soon that it is to stop
    setsockopt(handle, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
    const TlsContext context(SSL_CTX_new(TLS_server_method()));
    Use(context.get(), connection.identity ? *connection.identity : own_);
    if (connection.set_up) connection.set_up(context.get());
    const TlsSession session(SSL_new(context.get()));
    SSL* const ssl = session.get();
    SSL_set_fd(ssl, handle);
    if (!Repeat(ssl, [ssl] { return SSL_accept(ssl); })) return;
    ++connections_;
    for (const std::string& answer : connection.answers) {
      if (!ReadRequest(ssl)) return;
      const char* at = answer.data();
      for (std::size_t left = answer.size(); left > 0;) {
        const int written = SSL_write(ssl, at, static_cast<int>(left));
        if (written <= 0) return ERR_clear_error();
        at += written;
        left -= static_cast<std::size_t>(written);
      }
    }
    if (connection.end == WireConnection::End::kReset) {
      const linger now{1, 0};
      setsockopt(handle, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
      return;
    }
    if (connection.end == WireConnection::End::kCloseNotify) SSL_shutdown(ssl);
    if (connection.end != WireConnection::End::kStaysOpen) shutdown(handle, SHUT_WR);
    char buffer[1024];
    while (Repeat(ssl, [&] { return SSL_read(ssl, buffer, sizeof(buffer)); })) {
    }
    ERR_clear_error();
  }

  // Until it has happened (true) or can't any more.
  bool Repeat(SSL* ssl, const std::function<int()>& step) {
    for (;;) {
      const int result = step();
      if (result > 0) return true;
      if (stopped_ || SSL_get_error(ssl, result) != SSL_ERROR_WANT_READ) break;
    }
    ERR_clear_error();
    return false;
  }

  bool ReadRequest(SSL* ssl) {
    std::string request;
    while (!request.ends_with("\r\n\r\n")) {
      char byte = 0;
      if (!Repeat(ssl, [&] { return SSL_read(ssl, &byte, 1); })) return false;
      request += byte;
    }
    const std::lock_guard lock(mutex_);
    requests_.push_back(std::move(request));
    return true;
  }

  const std::vector<WireConnection> script_;
  const sandbox::CertificateAndKey own_;
  int listener_ = -1;
  int port_ = 0;
  std::atomic<bool> stopped_{false};
  std::atomic<int> connections_{0};
  mutable std::mutex mutex_;
  std::vector<std::string> requests_;
  std::thread thread_;
};

}  // namespace leasegateway

#endif  // LEASE_GATEWAY_TESTS_SUPPORT_WIRE_SERVER_H_
