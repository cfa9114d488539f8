#include "service/leasectl/tls.h"

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <sys/socket.h>
#include <sys/time.h>

#include <ctime>
#include <memory>
#include <optional>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/strings/strip.h"
#include "service/leasectl/table.h"

namespace leasegateway {
namespace {

template <auto Function>
struct Deleter {
  template <typename T>
  void operator()(T* object) const {
    Function(object);
  }
};
using Connection = std::unique_ptr<BIO, Deleter<BIO_free_all>>;
using Context = std::unique_ptr<SSL_CTX, Deleter<SSL_CTX_free>>;
using Session = std::unique_ptr<SSL, Deleter<SSL_free>>;

// Of the error that OpenSSL met first, as "certificate verify failed".
std::string Reason() {
  const char* const reason = ERR_reason_error_string(ERR_peek_error());
  ERR_clear_error();
  return reason != nullptr ? reason : "the connection was closed";
}

Connection Connect(const std::string& host_and_port, absl::Duration timeout) {
  Connection connection(BIO_new_connect(host_and_port.c_str()));
  if (connection == nullptr) return nullptr;
  BIO_set_nbio(connection.get(), 1);
  const int seconds = static_cast<int>(absl::ToInt64Seconds(timeout)) + 1;
  if (BIO_do_connect_retry(connection.get(), seconds, 10) != 1) return nullptr;
  int handle = -1;
  BIO_get_fd(connection.get(), &handle);
  BIO_socket_nbio(handle, 0);
  const timeval limit = absl::ToTimeval(timeout);
  ::setsockopt(handle, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
  ::setsockopt(handle, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
  return connection;
}

Context MakeContext(const GlobalOptions& options) {
  Context context(SSL_CTX_new(TLS_client_method()));
  SSL_CTX_set_min_proto_version(context.get(), TLS1_2_VERSION);
  SSL_CTX_set_verify(context.get(), SSL_VERIFY_PEER, nullptr);
  if (options.ca_file.empty()) {
    SSL_CTX_set_default_verify_paths(context.get());
  } else {
    SSL_CTX_load_verify_file(context.get(), options.ca_file.c_str());
  }
  if (!options.cert_file.empty()) {
    // OpenSSL would ask the terminal for the passphrase of a key.
    SSL_CTX_set_default_passwd_cb(context.get(), [](char*, int, int, void*) { return -1; });
    SSL_CTX_use_certificate_chain_file(context.get(), options.cert_file.c_str());
    SSL_CTX_use_PrivateKey_file(context.get(), options.key_file.c_str(), SSL_FILETYPE_PEM);
  }
  static constexpr unsigned char kHttp2[] = {2, 'h', '2'};
  SSL_CTX_set_alpn_protos(context.get(), kHttp2, sizeof(kHttp2));
  return context;
}

TlsFailure ExplainVerification(long result, const std::string& name) {  // NOLINT(runtime/int)
  TlsFailure failure;
  failure.what = absl::StrCat("the gateway's certificate was refused: ",
                              X509_verify_cert_error_string(result));
  switch (result) {
    case X509_V_ERR_HOSTNAME_MISMATCH:
    case X509_V_ERR_IP_ADDRESS_MISMATCH:
      absl::StrAppend(&failure.what, ": it is not for ", Harmless(name));
      failure.hint = "is --target right? --server-name takes the name that the certificate has";
      break;
    case X509_V_ERR_CERT_HAS_EXPIRED:
    case X509_V_ERR_CERT_NOT_YET_VALID:
      failure.hint = "whoever runs the gateway must renew it, or this machine's clock is wrong";
      break;
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
    case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
      failure.hint =
          "--ca-file takes the authority that signed it; or the gateway does not send an "
          "intermediate one";
      break;
    default:
      failure.hint = "--ca-file takes the authority to trust";
  }
  return failure;
}

std::string NameOf(const X509_NAME* name) {
  const Connection text(BIO_new(BIO_s_mem()));
  X509_NAME_print_ex(text.get(), name, 0, XN_FLAG_RFC2253);
  char* data = nullptr;
  const long size = BIO_get_mem_data(text.get(), &data);  // NOLINT(runtime/int): OpenSSL's type
  return Harmless(std::string(data, static_cast<std::size_t>(size)));
}

// What is wrong with the client's certificate, for a gateway that just hung up: gRPC's servers do
// not send the alert that would say it. `words` is what OpenSSL made of that.
TlsFailure ExplainClientCertificate(SSL* ssl, const std::string& words) {
  X509* const leaf = SSL_get_certificate(ssl);
  if (leaf == nullptr) {
    return {"the gateway wants a client certificate", "--cert-file and --key-file take it"};
  }
  constexpr char kRefused[] = "the gateway refused the client certificate: ";
  const std::time_t now = std::time(nullptr);
  if (ASN1_TIME_cmp_time_t(X509_get0_notAfter(leaf), now) == -1) {
    return {absl::StrCat(kRefused, "it has expired"), "--cert-file needs a new one"};
  }
  if (ASN1_TIME_cmp_time_t(X509_get0_notBefore(leaf), now) == 1) {
    return {absl::StrCat(kRefused, "it is not yet valid"), "is this machine's clock right?"};
  }
  if (X509_check_purpose(leaf, X509_PURPOSE_SSL_CLIENT, 0) != 1) {
    return {absl::StrCat(kRefused, "its extended key usage is not that of a client"), ""};
  }
  STACK_OF(X509)* chain = nullptr;
  SSL_get0_chain_certs(ssl, &chain);
  const int length = chain != nullptr ? sk_X509_num(chain) : 0;
  const X509* const last = length > 0 ? sk_X509_value(chain, length - 1) : leaf;
  const X509_NAME* const issuer = X509_get_issuer_name(last);
  std::string trusted;
  const STACK_OF(X509_NAME)* const authorities = SSL_get0_peer_CA_list(ssl);
  for (int i = 0; authorities != nullptr && i < sk_X509_NAME_num(authorities); ++i) {
    const X509_NAME* const authority = sk_X509_NAME_value(authorities, i);
    if (X509_NAME_cmp(authority, issuer) == 0) return {absl::StrCat(kRefused, words), ""};
    absl::StrAppend(&trusted, trusted.empty() ? "" : "; ", NameOf(authority));
  }
  const bool is_self_signed =
      last == leaf && X509_NAME_cmp(issuer, X509_get_subject_name(leaf)) == 0;
  return {absl::StrCat(kRefused,
                       is_self_signed ? "it is self-signed"
                                      : absl::StrCat("it was signed by ", NameOf(issuer)),
                       "; the gateway trusts ", trusted.empty() ? "others" : trusted),
          is_self_signed ? "" : "--cert-file takes intermediate ones too, after the client's own"};
}

// `error` is of the handshake, or of the first read after it, where TLS 1.3 tells what the gateway
// thinks of the client's certificate; `asked`: for one.
TlsFailure ExplainError(unsigned long error, SSL* ssl, bool asked) {  // NOLINT(runtime/int)
  const int reason = ERR_GET_LIB(error) == ERR_LIB_SSL ? ERR_GET_REASON(error) : 0;
  const std::string words = Reason();
  switch (reason) {
    case SSL_R_WRONG_VERSION_NUMBER:
    case SSL_R_HTTP_REQUEST:
    case SSL_R_PACKET_LENGTH_TOO_LONG:
      return {"what answers does not speak TLS", "leave out --tls"};
    case SSL_R_UNSUPPORTED_PROTOCOL:
    case SSL_R_TLSV1_ALERT_PROTOCOL_VERSION:
      return {absl::StrCat("the gateway has no TLS version from 1.2 on: ", words), ""};
    default:
      break;
  }
  if (asked) return ExplainClientCertificate(ssl, words);
  return {absl::StrCat("the TLS handshake failed: ", words), ""};
}

}  // namespace

std::optional<TlsFailure> ExplainTls(const GlobalOptions& options, absl::Duration timeout) {
  absl::string_view target = options.target;
  absl::ConsumePrefix(&target, "dns:///");
  if (absl::StrContains(target, "/")) return std::nullopt;
  const std::size_t colon = target.rfind(':');
  if (colon == target.npos) return std::nullopt;
  absl::string_view host = target.substr(0, colon);
  if (absl::ConsumePrefix(&host, "[")) absl::ConsumeSuffix(&host, "]");
  const std::string name = options.server_name.empty() ? std::string(host) : options.server_name;

  Connection connection = Connect(std::string(target), timeout);
  if (connection == nullptr) return std::nullopt;
  ERR_clear_error();
  const Context context = MakeContext(options);
  if (const auto error = ERR_peek_error(); error != 0) {
    return TlsFailure{absl::StrCat("the TLS files can't be used: ", Reason()),
                      "check --ca-file, --cert-file and --key-file"};
  }
  bool asked = false;
  const auto ask = [](SSL*, void* flag) {
    return static_cast<int>(*static_cast<bool*>(flag) = true);
  };
  SSL_CTX_set_cert_cb(context.get(), ask, &asked);
  const Session session(SSL_new(context.get()));
  SSL* const ssl = session.get();
  if (X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), name.c_str()) != 1) {
    SSL_set_tlsext_host_name(ssl, name.c_str());
    X509_VERIFY_PARAM_set1_host(SSL_get0_param(ssl), name.c_str(), 0);
  }
  ERR_clear_error();  // a name is no address
  BIO* const wire = connection.release();
  SSL_set_bio(ssl, wire, wire);
  if (SSL_connect(ssl) != 1) {
    const auto error = ERR_peek_error();
    const auto verified = SSL_get_verify_result(ssl);
    if (verified != X509_V_OK) return ExplainVerification(verified, name);
    return ExplainError(error, ssl, asked);
  }
  char byte = 0;
  if (SSL_read(ssl, &byte, 1) > 0) return std::nullopt;  // the gateway's SETTINGS: all is well
  const auto error = ERR_peek_error();
  if (error == 0 && !asked) return std::nullopt;
  return ExplainError(error, ssl, asked);
}

}  // namespace leasegateway
