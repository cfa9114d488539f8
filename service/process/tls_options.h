#ifndef LEASE_GATEWAY_SERVICE_PROCESS_TLS_OPTIONS_H_
#define LEASE_GATEWAY_SERVICE_PROCESS_TLS_OPTIONS_H_

#include <chrono>
#include <string>

namespace leasegateway {

// The transport of the gRPC port. The names are those of the configuration's keys.
struct TlsOptions {
  std::string listen;                              // HOST:PORT
  std::string tls_cert_file;                       // PEM, the leaf first; empty: no TLS
  std::string tls_key_file;                        // PEM
  std::string tls_client_ca_file;                  // PEM; empty: callers need no certificate
  bool tls_client_optional = false;                // they may do without one all the same
  std::chrono::milliseconds file_refresh{10'000};  // how often the files are read anew
  bool allow_plaintext = false;                    // beyond loopback
};

}  // namespace leasegateway

#endif  // LEASE_GATEWAY_SERVICE_PROCESS_TLS_OPTIONS_H_
