#ifndef LEASE_GATEWAY_UPSTREAM_TRANSPORT_TLS_CLIENT_H_
#define LEASE_GATEWAY_UPSTREAM_TRANSPORT_TLS_CLIENT_H_

#include <openssl/ssl.h>

#include <boost/asio/ssl/context.hpp>
#include <boost/system/error_code.hpp>
#include <memory>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace leasegateway {

// TLS 1.2 or later, chain verification always on, trusting `ca_file` (PEM) or, when that is
// empty, the system's authorities. Its connections go on with each other's sessions (TlsSessions).
// INVALID_ARGUMENT names `key` and an unreadable file.
absl::StatusOr<std::shared_ptr<boost::asio::ssl::context>> MakeTlsContext(
    const std::string& ca_file, std::string_view key = "upstream_ca_file");

// Before the handshake: the certificate must be for `host`, a name, which the server is told (SNI),
// or an IP literal.
void ExpectHost(SSL* ssl, const std::string& host);

// What the check of the certificate of `whose`, as "the provider", found, in words; the error code
// of a handshake alone says just that it failed.
std::string HandshakeCause(SSL* ssl, const boost::system::error_code& error,
                           std::string_view whose);

// Before its end. Otherwise OpenSSL would spoil the session of a connection that ends without a
// good-bye, which was a rule until TLS 1.0 (RFC 5246, 7.2.1). After an alert it still does.
void KeepSessionAtEnd(SSL* ssl);

// Whether TLS has bytes of the peer that nobody has read: what looks at the socket misses those.
bool HasUnread(SSL* ssl);

}  // namespace leasegateway

#endif  // LEASE_GATEWAY_UPSTREAM_TRANSPORT_TLS_CLIENT_H_
