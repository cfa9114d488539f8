#include "upstream/transport/tls_client.h"

#include <openssl/bio.h>
#include <openssl/x509v3.h>

#include <boost/asio/ip/address.hpp>

#include "absl/strings/str_cat.h"
#include "upstream/transport/tls_sessions.h"

namespace leasegateway {
namespace {

bool IsIpLiteral(const std::string& host) {
  boost::system::error_code error;
  boost::asio::ip::make_address(host, error);
  return !error;
}

// The system's authorities, read once for all contexts: they take most of a context's memory.
X509_STORE* SystemStore() {
  static X509_STORE* const store = [] {
    X509_STORE* made = X509_STORE_new();
    X509_STORE_set_default_paths(made);
    return made;
  }();
  return store;
}

}  // namespace

absl::StatusOr<std::shared_ptr<boost::asio::ssl::context>> MakeTlsContext(
    const std::string& ca_file, std::string_view key) {
  auto context = std::make_shared<boost::asio::ssl::context>(boost::asio::ssl::context::tls_client);
  SSL_CTX_set_min_proto_version(context->native_handle(), TLS1_2_VERSION);
  context->set_verify_mode(boost::asio::ssl::verify_peer);
  boost::system::error_code error;
  if (ca_file.empty()) {
    SSL_CTX_set1_cert_store(context->native_handle(), SystemStore());
  } else {
    context->load_verify_file(ca_file, error);
  }
  if (error) {
    return absl::InvalidArgumentError(
        absl::StrCat(std::string(key), ": \"", ca_file, "\": ", error.message()));
  }
  TlsSessions::Enable(context->native_handle());
  return context;
}

void ExpectHost(SSL* ssl, const std::string& host) {
  // OpenSSL's own name check, because it leaves behind which rule a certificate broke.
  if (IsIpLiteral(host)) {
    X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), host.c_str());
  } else {
    SSL_set_tlsext_host_name(ssl, host.c_str());
    SSL_set_hostflags(ssl, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
    X509_VERIFY_PARAM_set1_host(SSL_get0_param(ssl), host.c_str(), 0);
  }
}

std::string HandshakeCause(SSL* ssl, const boost::system::error_code& error,
                           std::string_view whose) {
  const long result = SSL_get_verify_result(ssl);
  if (result == X509_V_OK) return error.message();
  return absl::StrCat(std::string(whose),
                      "'s certificate was refused: ", X509_verify_cert_error_string(result));
}

void KeepSessionAtEnd(SSL* ssl) {
  SSL_set_shutdown(ssl, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
}

bool HasUnread(SSL* ssl) {
  return SSL_has_pending(ssl) == 1 || BIO_ctrl_pending(SSL_get_rbio(ssl)) > 0;
}

}  // namespace leasegateway
