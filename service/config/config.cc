#include "service/config/config.h"

namespace leasegateway {

std::string JournalPath(const Config& config) {
  if (!config.journal.empty()) return config.journal;
  return config.sandbox ? ":memory:" : "lease-gateway.db";
}

TlsOptions TlsOptionsOf(const Config& config) {
  TlsOptions options;
  options.listen = config.listen;
  options.tls_cert_file = config.tls_cert_file;
  options.tls_key_file = config.tls_key_file;
  options.tls_client_ca_file = config.tls_client_ca_file;
  options.file_refresh = config.file_refresh;
  options.allow_plaintext = config.allow_plaintext;
  return options;
}

}  // namespace leasegateway
