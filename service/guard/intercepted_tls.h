#ifndef LEASE_GATEWAY_SERVICE_GUARD_INTERCEPTED_TLS_H_
#define LEASE_GATEWAY_SERVICE_GUARD_INTERCEPTED_TLS_H_

#include <memory>

#include "service/guard/guarded_connection.h"

namespace leasegateway {

// The part of intercepted_reads.h that is OpenSSL's: SSL_read(3) and SSL_write(3), of which the
// program has its own, know a connection by the random of its ClientHello, which recvmsg has seen
// come and OpenSSL's handshake (SSL_do_handshake) has read. Thread-safe.

// From now on a server's SSL that no connection is known of is not read, unless it is none of
// gRPC's.
void GuardTls();
// Of a connection whose ClientHello has come. Another one with the same random is cut: none has it
// by chance, and only one of them would be found.
void AddHello(const GuardedConnection::Random& random,
              const std::shared_ptr<GuardedConnection>& connection);
// Of one that ends, whether or not it was found.
void ForgetHello(const GuardedConnection::Random& random,
                 const std::shared_ptr<GuardedConnection>& connection);

}  // namespace leasegateway

#endif  // LEASE_GATEWAY_SERVICE_GUARD_INTERCEPTED_TLS_H_
