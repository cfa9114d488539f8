#ifndef LEASE_GATEWAY_SERVICE_PROCESS_TLS_H_
#define LEASE_GATEWAY_SERVICE_PROCESS_TLS_H_

#include <grpcpp/security/server_credentials.h>
#include <grpcpp/server_context.h>

#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "service/process/periodic.h"
#include "service/process/tls_options.h"

namespace leasegateway {

inline constexpr std::size_t kMaxCaFileBytes = 16 << 20;

// Whether an address to listen on, HOST:PORT, is reached from this machine alone.
bool IsLoopbackListener(absl::string_view listen);

// How many certificates a PEM text has. The error's message is the rule that it breaks.
absl::StatusOr<int> ReadCertificates(const std::string& pem);

// What is wrong with the configuration of the gRPC port's transport.
struct TlsProblem {
  std::string key;    // of the configuration
  std::string value;  // a path; empty where it's missing
  std::string rule;   // that the value breaks
};

// Whether the port may be served as configured at `now`: TLS with files that can be used, or
// plaintext on loopback, or plaintext elsewhere that is allowed. Reads the files.
std::optional<TlsProblem> CheckTls(const TlsOptions& options, absl::Time now);

// What a TLS port shows and trusts.
struct TlsIdentity {
  std::string certificates;  // PEM, the leaf first
  std::string key;           // PEM
  std::string client_ca;     // PEM; empty: callers need no certificate
  std::string name;          // of the leaf, for the log
  absl::Time not_after;      // the earliest of all certificates

  bool operator==(const TlsIdentity&) const = default;
};

// FAILED_PRECONDITION as `key: "path": rule`.
absl::StatusOr<TlsIdentity> ReadTls(const TlsOptions& options, absl::Time now);

// The port's certificates, read anew every `file_refresh` by a thread of its own. What has changed
// on disk is in force from the next handshake on, if it passes the checks; otherwise the one from
// before stays, which gRPC's FileWatcherCertificateProvider would give up. Logs changes, errors,
// and from 14 days before its end that a certificate expires. Ends after the server.
class ServingCertificates {
 public:
  // `options` has tls_cert_file.
  static absl::StatusOr<std::unique_ptr<ServingCertificates>> Open(const TlsOptions& options);

  // TLS 1.2 at least; requires the caller's certificate if tls_client_ca_file is set, unless
  // tls_client_optional is, and verifies one that there is.
  std::shared_ptr<grpc::ServerCredentials> Credentials();

 private:
  class GrpcCredentials;
  ServingCertificates(const TlsOptions& options, TlsIdentity identity);
  void Refresh();
  void WarnOfExpiry();

  const TlsOptions options_;
  std::mutex mutex_;
  TlsIdentity identity_;           // under mutex_; written by the thread
  bool fetched_ = false;           // by gRPC; under mutex_
  std::string last_error_;         // of the thread
  std::int64_t last_warning_ = 0;  // of the thread: the days that were left
  std::optional<Periodic> refreshing_;
};

// Who calls, by the certificate that was verified: its SPIFFE ID, else its first DNS name, else its
// subject's common name; empty without a certificate. Escaped to ASCII.
std::string PeerIdentity(const grpc::ServerContextBase& context);

}  // namespace leasegateway

#endif  // LEASE_GATEWAY_SERVICE_PROCESS_TLS_H_
