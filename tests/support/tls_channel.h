#ifndef LEASE_GATEWAY_TESTS_SUPPORT_TLS_CHANNEL_H_
#define LEASE_GATEWAY_TESTS_SUPPORT_TLS_CHANNEL_H_

#include <grpcpp/grpcpp.h>

#include <memory>
#include <string>

#include "upstream/sandbox/certificates.h"

namespace leasegateway {

// A channel with a connection of its own to a gateway on this machine, whose certificate has to be
// of `gateways`. `identity`: the caller's certificate; null: it has none.
inline std::shared_ptr<grpc::Channel> TlsChannel(int port, const std::string& gateways,
                                                 const sandbox::CertificateAndKey* identity) {
  grpc::SslCredentialsOptions options;
  options.pem_root_certs = gateways;
  if (identity != nullptr) {
    options.pem_cert_chain = identity->certificate;
    options.pem_private_key = identity->key;
  }
  grpc::ChannelArguments arguments;
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  arguments.SetInt(GRPC_ARG_ENABLE_RETRIES, 0);
  return grpc::CreateCustomChannel("localhost:" + std::to_string(port),
                                   grpc::SslCredentials(options), arguments);
}

}  // namespace leasegateway

#endif  // LEASE_GATEWAY_TESTS_SUPPORT_TLS_CHANNEL_H_
