#ifndef LEASE_GATEWAY_SERVICE_GUARD_INTERCEPTED_READS_H_
#define LEASE_GATEWAY_SERVICE_GUARD_INTERCEPTED_READS_H_

#include <memory>

#include "service/guard/guarded_connection.h"

namespace leasegateway {

// Where what peers send is seen before gRPC sees it, and what they are sent. gRPC reads sockets by
// recvmsg(2), and with TLS the text of it by SSL_read(3). The program defines both: the dynamic
// linker takes a program's own before a library's, as it does for allocators, so libgrpc calls
// these, which call the C library's and OpenSSL's and then ask the connection, if there is one of
// that descriptor. Where a connection says no, the read tells of its end. All else that the process
// reads is handed through. So with sendmsg(2) and SSL_write(3), which are always let through. When
// gRPC has closed a descriptor, and another socket has its number, that one's bytes are told to a
// connection whose end is near, where they mean nothing.
//
// Which SSL is of which connection is known by the ClientHello: that of the wire, and the first
// message that OpenSSL reads in SSL_do_handshake(3). A caller's SSL that none is found of is not
// read: SSL_read(3) fails.
//
// Thread-safe. What is registered costs a call some 30 ns; what is not, a load.
void Intercept(int descriptor, std::shared_ptr<GuardedConnection> connection);
// No read of `descriptor` reaches `connection` any more once this has returned. Nothing when
// another connection has been registered with the descriptor, as it was closed and opened anew.
void StopIntercepting(int descriptor, const std::shared_ptr<GuardedConnection>& connection);

// Descriptors from this one on can't be registered.
inline constexpr int kMaxDescriptors = 1 << 20;

}  // namespace leasegateway

#endif  // LEASE_GATEWAY_SERVICE_GUARD_INTERCEPTED_READS_H_
