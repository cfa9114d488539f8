#include "service/process/tls.h"

#include <arpa/inet.h>
#include <grpc/grpc.h>
#include <grpc/grpc_security.h>
#include <grpcpp/version_info.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <chrono>
#include <utility>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "service/process/read_file.h"

namespace leasegateway {
namespace {

constexpr std::size_t kMaxPemBytes = 1 << 20;
constexpr std::int64_t kWarningDays = 14;

template <auto Function>
struct Deleter {
  template <typename T>
  void operator()(T* object) const {
    Function(object);
  }
};
using Memory = std::unique_ptr<BIO, Deleter<BIO_free_all>>;
using Certificate = std::unique_ptr<X509, Deleter<X509_free>>;
using Key = std::unique_ptr<EVP_PKEY, Deleter<EVP_PKEY_free>>;
using Context = std::unique_ptr<SSL_CTX, Deleter<SSL_CTX_free>>;

Memory Reader(const std::string& pem) {
  return Memory(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
}

// Without it OpenSSL would ask the terminal for the passphrase of an encrypted block.
int NoPassphrase(char*, int, int, void* asked) {
  if (asked != nullptr) *static_cast<bool*>(asked) = true;
  return -1;
}

absl::StatusOr<std::vector<Certificate>> ParseCertificates(const std::string& pem) {
  const Memory reader = Reader(pem);
  std::vector<Certificate> certificates;
  ERR_clear_error();
  while (X509* certificate = PEM_read_bio_X509(reader.get(), nullptr, NoPassphrase, nullptr)) {
    certificates.emplace_back(certificate);
  }
  const unsigned long error = ERR_peek_last_error();  // NOLINT(runtime/int): OpenSSL's type
  ERR_clear_error();
  const bool at_end =
      ERR_GET_LIB(error) == ERR_LIB_PEM && ERR_GET_REASON(error) == PEM_R_NO_START_LINE;
  if (!at_end) {
    return absl::InvalidArgumentError(
        absl::StrCat("must be PEM: certificate ", certificates.size() + 1, " cannot be decoded"));
  }
  if (certificates.empty()) {
    return absl::InvalidArgumentError("must be PEM with at least one certificate");
  }
  return certificates;
}

absl::Time ToTime(const ASN1_TIME* time) {
  std::tm fields{};
  if (ASN1_TIME_to_tm(time, &fields) != 1) return absl::InfinitePast();
  return absl::FromTM(fields, absl::UTCTimeZone());
}

std::string Format(absl::Time time) { return absl::FormatTime(time, absl::UTCTimeZone()); }

std::string NameOf(X509* certificate) {
  const Memory text(BIO_new(BIO_s_mem()));
  X509_NAME_print_ex(text.get(), X509_get_subject_name(certificate), 0,
                     XN_FLAG_RFC2253 & ~ASN1_STRFLGS_ESC_MSB);
  BIO_puts(text.get(), ", serial ");
  i2a_ASN1_INTEGER(text.get(), X509_get_serialNumber(certificate));
  char* data = nullptr;
  const long size = BIO_get_mem_data(text.get(), &data);  // NOLINT(runtime/int): OpenSSL's type
  return size > 0 ? std::string(data, static_cast<std::size_t>(size)) : std::string();
}

// The rule that its validity breaks at `now`; empty: none.
std::string CheckValidity(X509* certificate, absl::Time now) {
  const absl::Time from = ToTime(X509_get0_notBefore(certificate));
  const absl::Time until = ToTime(X509_get0_notAfter(certificate));
  if (now < from) return absl::StrCat("is not valid before ", Format(from));
  if (now > until) return absl::StrCat("expired on ", Format(until));
  return "";
}

// The rule that a chain breaks at `now`; empty: none.
std::string CheckChain(const std::vector<Certificate>& chain, absl::Time now) {
  for (std::size_t i = 0; i < chain.size(); ++i) {
    const std::string rule = CheckValidity(chain[i].get(), now);
    if (rule.empty()) continue;
    return absl::StrCat("certificate ", i + 1, " (", NameOf(chain[i].get()), ") ", rule);
  }
  // What a server would refuse to serve, as keys that are too short.
  const Context context(SSL_CTX_new(TLS_server_method()));
  if (SSL_CTX_use_certificate(context.get(), chain[0].get()) == 1) return "";
  const char* const reason = ERR_reason_error_string(ERR_peek_last_error());
  ERR_clear_error();
  return absl::StrCat("cannot be served: ", reason != nullptr ? reason : "OpenSSL refuses it");
}

// The rule that the key breaks; empty: none.
std::string CheckKey(const std::string& pem, X509* certificate, const std::string& cert_file) {
  bool encrypted = false;
  ERR_clear_error();
  const Key key(PEM_read_bio_PrivateKey(Reader(pem).get(), nullptr, NoPassphrase, &encrypted));
  const bool matches = key != nullptr && X509_check_private_key(certificate, key.get()) == 1;
  ERR_clear_error();
  if (encrypted) return "is encrypted; it must have no passphrase";
  if (key == nullptr) return "must be PEM with a private key";
  return matches ? ""
                 : absl::StrCat("is not the key of the certificate in tls_cert_file, ", cert_file);
}

// Reads and checks the files, all of which are set as they must be.
std::optional<TlsProblem> Load(const TlsOptions& options, absl::Time now, TlsIdentity& identity) {
  const auto problem = [](const char* key, const std::string& path, absl::string_view rule) {
    return TlsProblem{key, path, std::string(rule)};
  };
  const struct {
    const char* key;
    const std::string& path;
    std::size_t max_bytes;
    std::string& content;
  } files[] = {
      {"tls_cert_file", options.tls_cert_file, kMaxPemBytes, identity.certificates},
      {"tls_key_file", options.tls_key_file, kMaxPemBytes, identity.key},
      {"tls_client_ca_file", options.tls_client_ca_file, kMaxCaFileBytes, identity.client_ca}};
  for (const auto& [key, path, max_bytes, content] : files) {
    if (path.empty()) continue;
    auto read = ReadFile(path, max_bytes);
    if (!read.ok()) return problem(key, path, read.status().message());
    content = *std::move(read);
  }
  const auto chain = ParseCertificates(identity.certificates);
  if (!chain.ok()) return problem("tls_cert_file", options.tls_cert_file, chain.status().message());
  std::string rule = CheckChain(*chain, now);
  if (!rule.empty()) return problem("tls_cert_file", options.tls_cert_file, rule);
  rule = CheckKey(identity.key, chain->front().get(), options.tls_cert_file);
  if (!rule.empty()) return problem("tls_key_file", options.tls_key_file, rule);
  identity.name = NameOf(chain->front().get());
  identity.not_after = absl::InfiniteFuture();
  for (const auto& certificate : *chain) {
    identity.not_after =
        std::min(identity.not_after, ToTime(X509_get0_notAfter(certificate.get())));
  }
  if (options.tls_client_ca_file.empty()) return std::nullopt;
  const auto authorities = ParseCertificates(identity.client_ca);
  if (!authorities.ok()) {
    return problem("tls_client_ca_file", options.tls_client_ca_file,
                   authorities.status().message());
  }
  // Bundles carry expired ones; but with no other nobody could call.
  const bool any_valid = std::any_of(
      authorities->begin(), authorities->end(),
      [&](const Certificate& authority) { return CheckValidity(authority.get(), now).empty(); });
  if (any_valid) return std::nullopt;
  return problem(
      "tls_client_ca_file", options.tls_client_ca_file,
      absl::StrCat("has no valid authority: certificate 1 (", NameOf(authorities->front().get()),
                   ") ", CheckValidity(authorities->front().get(), now)));
}

// Credentials of gRPC's C interface, which it owns. After 1.51 gRPC has this itself.
#if GRPC_CPP_VERSION_MINOR <= 51
class CoreCredentials : public grpc::ServerCredentials {
 public:
  explicit CoreCredentials(grpc_server_credentials* credentials) : credentials_(credentials) {}
  ~CoreCredentials() override { grpc_server_credentials_release(credentials_); }

  void SetAuthMetadataProcessor(const std::shared_ptr<grpc::AuthMetadataProcessor>&) override {}

 private:
  int AddPortToServer(const std::string& address, grpc_server* server) override {
    return grpc_server_add_http2_port(server, address.c_str(), credentials_);
  }

  grpc_server_credentials* const credentials_;
};
#else
using CoreCredentials = grpc::ServerCredentials;
#endif

}  // namespace

bool IsLoopbackListener(absl::string_view listen) {
  absl::string_view host = listen.substr(0, listen.rfind(':'));
  if (host == "localhost") return true;
  if (absl::StartsWith(host, "[") && absl::EndsWith(host, "]")) {
    in6_addr address;
    const std::string text(host.substr(1, host.size() - 2));
    if (inet_pton(AF_INET6, text.c_str(), &address) != 1) return false;
    return IN6_IS_ADDR_LOOPBACK(&address) ||
           (IN6_IS_ADDR_V4MAPPED(&address) && address.s6_addr[12] == 127);
  }
  in_addr address;
  return inet_pton(AF_INET, std::string(host).c_str(), &address) == 1 &&
         ntohl(address.s_addr) >> 24 == 127;
}

absl::StatusOr<int> ReadCertificates(const std::string& pem) {
  const auto certificates = ParseCertificates(pem);
  if (!certificates.ok()) return certificates.status();
  return static_cast<int>(certificates->size());
}

std::optional<TlsProblem> CheckTls(const TlsOptions& options, absl::Time now) {
  const bool has_certificate = !options.tls_cert_file.empty();
  if (has_certificate != !options.tls_key_file.empty()) {
    return TlsProblem{has_certificate ? "tls_key_file" : "tls_cert_file", "",
                      absl::StrCat("must be set, as ",
                                   has_certificate ? "tls_cert_file" : "tls_key_file", " is")};
  }
  if (has_certificate) {
    TlsIdentity ignored;
    return Load(options, now, ignored);
  }
  if (!options.tls_client_ca_file.empty()) {
    return TlsProblem{"tls_client_ca_file", options.tls_client_ca_file,
                      "needs tls_cert_file and tls_key_file"};
  }
  if (options.allow_plaintext || IsLoopbackListener(options.listen)) return std::nullopt;
  return TlsProblem{"listen", options.listen,
                    "is beyond loopback, so it needs TLS: set tls_cert_file and tls_key_file, or "
                    "allow_plaintext where a side-car does TLS"};
}

absl::StatusOr<TlsIdentity> ReadTls(const TlsOptions& options, absl::Time now) {
  TlsIdentity identity;
  const auto problem = Load(options, now, identity);
  if (!problem) return identity;
  return absl::FailedPreconditionError(
      absl::StrCat(problem->key, ": \"", problem->value, "\": ", problem->rule));
}

// gRPC's C++ interface has no certificates that are fetched for each handshake, its C interface
// has.
class ServingCertificates::GrpcCredentials final : public CoreCredentials {
 public:
  explicit GrpcCredentials(ServingCertificates* owner) : CoreCredentials(Create(owner)) {}

 private:
  static grpc_server_credentials* Create(ServingCertificates* owner) {
    return grpc_ssl_server_credentials_create_with_options(
        grpc_ssl_server_credentials_create_options_using_config_fetcher(RequestOf(owner->options_),
                                                                        Fetch, owner));
  }

  static grpc_ssl_client_certificate_request_type RequestOf(const TlsOptions& options) {
    if (options.tls_client_ca_file.empty()) return GRPC_SSL_DONT_REQUEST_CLIENT_CERTIFICATE;
    if (options.tls_client_optional) return GRPC_SSL_REQUEST_CLIENT_CERTIFICATE_AND_VERIFY;
    return GRPC_SSL_REQUEST_AND_REQUIRE_CLIENT_CERTIFICATE_AND_VERIFY;
  }

  // Called by gRPC before each handshake, one call at a time.
  static grpc_ssl_certificate_config_reload_status Fetch(
      void* data, grpc_ssl_server_certificate_config** config) {
    auto& owner = *static_cast<ServingCertificates*>(data);
    const std::lock_guard lock(owner.mutex_);
    if (owner.fetched_) return GRPC_SSL_CERTIFICATE_CONFIG_RELOAD_UNCHANGED;
    const TlsIdentity& identity = owner.identity_;
    const grpc_ssl_pem_key_cert_pair pair = {identity.key.c_str(), identity.certificates.c_str()};
    // gRPC wants authorities also where no caller is asked for a certificate, and ignores them.
    const std::string& trusted =
        identity.client_ca.empty() ? identity.certificates : identity.client_ca;
    *config = grpc_ssl_server_certificate_config_create(trusted.c_str(), &pair, 1);
    owner.fetched_ = true;
    return GRPC_SSL_CERTIFICATE_CONFIG_RELOAD_NEW;
  }
};

absl::StatusOr<std::unique_ptr<ServingCertificates>> ServingCertificates::Open(
    const TlsOptions& options) {
  auto identity = ReadTls(options, absl::Now());
  if (!identity.ok()) return identity.status();
  return std::unique_ptr<ServingCertificates>(
      new ServingCertificates(options, *std::move(identity)));
}

ServingCertificates::ServingCertificates(const TlsOptions& options, TlsIdentity identity)
    : options_(options), identity_(std::move(identity)) {
  spdlog::info("TLS with the certificate {}, which expires on {}; callers {}", identity_.name,
               Format(identity_.not_after),
               identity_.client_ca.empty() ? "need none" : "need one as well");
  WarnOfExpiry();
  refreshing_.emplace(options_.file_refresh, [this] { Refresh(); });
}

std::shared_ptr<grpc::ServerCredentials> ServingCertificates::Credentials() {
  return std::make_shared<GrpcCredentials>(this);
}

void ServingCertificates::Refresh() {
  auto read = ReadTls(options_, absl::Now());
  if (!read.ok()) {
    const std::string error(read.status().message());
    if (error != std::exchange(last_error_, error)) {
      spdlog::error("{}; in force stays the certificate {}, which expires on {}", error,
                    identity_.name, Format(identity_.not_after));
    }
    return;
  }
  last_error_.clear();
  if (*read != identity_) {
    const std::lock_guard lock(mutex_);
    identity_ = *std::move(read);
    fetched_ = false;
    last_warning_ = 0;
    spdlog::info("the TLS files have changed: in force is the certificate {}, which expires on {}",
                 identity_.name, Format(identity_.not_after));
  }
  WarnOfExpiry();
}

// Once a day.
void ServingCertificates::WarnOfExpiry() {
  const std::int64_t days =
      absl::ToInt64Hours(identity_.not_after - absl::Now()) / 24 + 1;  // begun ones
  if (days > kWarningDays || days == std::exchange(last_warning_, days)) return;
  spdlog::warn("the certificate {} expires on {}, within {} {}", identity_.name,
               Format(identity_.not_after), days, days == 1 ? "day" : "days");
}

std::string PeerIdentity(const grpc::ServerContextBase& context) {
  const auto authentication = context.auth_context();
  if (!authentication->IsPeerAuthenticated()) return "";
  for (const char* property : {GRPC_PEER_SPIFFE_ID_PROPERTY_NAME, GRPC_PEER_DNS_PROPERTY_NAME,
                               GRPC_X509_CN_PROPERTY_NAME}) {
    const auto values = authentication->FindPropertyValues(property);
    if (!values.empty() && values[0].size() > 0) {
      return absl::CHexEscape(std::string(values[0].data(), values[0].size()));
    }
  }
  return "";
}

}  // namespace leasegateway
