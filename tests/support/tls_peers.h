#ifndef LEASE_GATEWAY_TESTS_SUPPORT_TLS_PEERS_H_
#define LEASE_GATEWAY_TESTS_SUPPORT_TLS_PEERS_H_

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "upstream/sandbox/certificates.h"

// Peers of a gateway that are OpenSSL itself, with certificates that are good or bad in one way.
namespace leasegateway {

struct FreeContext {
  void operator()(SSL_CTX* context) const { SSL_CTX_free(context); }
};
using TlsContext = std::unique_ptr<SSL_CTX, FreeContext>;
struct FreeSession {
  void operator()(SSL* session) const { SSL_free(session); }
};
using TlsSession = std::unique_ptr<SSL, FreeSession>;

inline sandbox::CertificateAndKey Make(const sandbox::CertificateRequest& request,
                                       const sandbox::CertificateAndKey* issuer = nullptr) {
  auto made = sandbox::MakeCertificate(request, issuer);
  EXPECT_TRUE(made.ok()) << made.status();
  return made.ok() ? *std::move(made) : sandbox::CertificateAndKey();
}

inline constexpr std::chrono::hours kDay(24);

// The files' certificates, for servers or for callers: one that is good, and what can be wrong.
class Authority {
 public:
  explicit Authority(std::string usage, std::vector<std::string> names)
      : usage_(std::move(usage)), names_(std::move(names)) {}

  sandbox::CertificateAndKey Good() const { return Make(Request(), &root); }
  sandbox::CertificateAndKey Expired() const {
    auto request = Request();
    request.not_before = -2 * kDay;
    request.not_after = -kDay;
    return Make(request, &root);
  }
  sandbox::CertificateAndKey NotYetValid() const {
    auto request = Request();
    request.not_before = kDay;
    request.not_after = 2 * kDay;
    return Make(request, &root);
  }
  sandbox::CertificateAndKey ForAnotherHost() const {
    auto request = Request();
    request.names = {"elsewhere.example"};
    return Make(request, &root);
  }
  sandbox::CertificateAndKey SelfSigned() const { return Make(Request()); }
  sandbox::CertificateAndKey OfUnknownRoot() const {
    const auto unknown = Make({.common_name = "unknown root", .is_authority = true});
    auto leaf = Make(Request(), &unknown);
    leaf.certificate += unknown.certificate;
    return leaf;
  }
  sandbox::CertificateAndKey WithIntermediate(bool send_it) const {
    const auto between = Make({.common_name = "intermediate", .is_authority = true}, &root);
    auto leaf = Make(Request(), &between);
    if (send_it) leaf.certificate += between.certificate;
    return leaf;
  }
  sandbox::CertificateAndKey Named(const std::string& common_name,
                                   std::vector<std::string> names) const {
    auto request = Request();
    request.common_name = common_name;
    request.names = std::move(names);
    return Make(request, &root);
  }

  const sandbox::CertificateAndKey root = Make({.common_name = "root",
                                                .not_before = -10 * kDay,
                                                .not_after = 10 * kDay,
                                                .is_authority = true});

 private:
  sandbox::CertificateRequest Request() const {
    return {.common_name = "leaf", .names = names_, .usage = usage_};
  }
  const std::string usage_;
  const std::vector<std::string> names_;
};

inline void Use(SSL_CTX* context, const sandbox::CertificateAndKey& identity) {
  BIO* reader = BIO_new_mem_buf(identity.certificate.data(), -1);
  bool first = true;
  while (X509* certificate = PEM_read_bio_X509(reader, nullptr, nullptr, nullptr)) {
    if (first) {
      ASSERT_EQ(SSL_CTX_use_certificate(context, certificate), 1);
      X509_free(certificate);
    } else {
      ASSERT_EQ(SSL_CTX_add_extra_chain_cert(context, certificate), 1);
    }
    first = false;
  }
  BIO_free(reader);
  reader = BIO_new_mem_buf(identity.key.data(), -1);
  EVP_PKEY* key = PEM_read_bio_PrivateKey(reader, nullptr, nullptr, nullptr);
  ASSERT_EQ(SSL_CTX_use_PrivateKey(context, key), 1);
  EVP_PKEY_free(key);
  BIO_free(reader);
  ERR_clear_error();
}

inline void Trust(SSL_CTX* context, const std::string& pem) {
  BIO* reader = BIO_new_mem_buf(pem.data(), -1);
  X509* certificate = PEM_read_bio_X509(reader, nullptr, nullptr, nullptr);
  ASSERT_EQ(X509_STORE_add_cert(SSL_CTX_get_cert_store(context), certificate), 1);
  X509_free(certificate);
  BIO_free(reader);
}

inline void OnlyTls11(SSL_CTX* context) {
  SSL_CTX_set_min_proto_version(context, TLS1_1_VERSION);
  SSL_CTX_set_max_proto_version(context, TLS1_1_VERSION);
  SSL_CTX_set_cipher_list(context, "DEFAULT:@SECLEVEL=0");
}

// A TLS server with any certificate, which nothing that checks would serve. Ends each connection
// after the handshake and what the client sends then.
class TlsServer {
 public:
  struct Options {
    sandbox::CertificateAndKey identity;
    std::string client_ca = "";  // not empty: wants certificates
    bool only_tls11 = false;
  };
  explicit TlsServer(const Options& options) : context_(SSL_CTX_new(TLS_server_method())) {
    Use(context_.get(), options.identity);
    if (!options.client_ca.empty()) {
      Trust(context_.get(), options.client_ca);
      SSL_CTX_set_verify(context_.get(), SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT,
                         nullptr);
    }
    if (options.only_tls11) OnlyTls11(context_.get());
    SSL_CTX_set_alpn_select_cb(
        context_.get(),
        [](SSL*, const unsigned char** out, unsigned char* size, const unsigned char* in, unsigned,
           void*) {
          *out = in + 1;
          *size = in[0];
          return SSL_TLSEXT_ERR_OK;
        },
        nullptr);
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
  ~TlsServer() {
    stopped_ = true;
    thread_.join();
    close(listener_);
  }
  int port() const { return port_; }
  int handshakes() const { return handshakes_; }

 private:
  void Run() {
    while (!stopped_) {
      pollfd waiting{listener_, POLLIN, 0};
      if (poll(&waiting, 1, 20) != 1) continue;
      const int handle = accept(listener_, nullptr, nullptr);
      const timeval limit{0, 500'000};
      setsockopt(handle, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
      const TlsSession session(SSL_new(context_.get()));
      SSL_set_fd(session.get(), handle);
      if (SSL_accept(session.get()) == 1) ++handshakes_;
      ERR_clear_error();
      // Otherwise the alert could be lost in the reset of a connection with unread bytes.
      shutdown(handle, SHUT_WR);
      char buffer[1024];
      while (read(handle, buffer, sizeof(buffer)) > 0) {
      }
      close(handle);
    }
  }

  const TlsContext context_;
  int listener_ = -1;
  int port_ = 0;
  std::atomic<bool> stopped_{false};
  std::atomic<int> handshakes_{0};
  std::thread thread_;
};

}  // namespace leasegateway

#endif  // LEASE_GATEWAY_TESTS_SUPPORT_TLS_PEERS_H_
