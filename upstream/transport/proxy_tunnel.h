#ifndef LEASE_GATEWAY_UPSTREAM_TRANSPORT_PROXY_TUNNEL_H_
#define LEASE_GATEWAY_UPSTREAM_TRANSPORT_PROXY_TUNNEL_H_

#include <boost/asio/awaitable.hpp>
#include <boost/asio/ssl/context.hpp>
#include <chrono>
#include <cstddef>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "upstream/transport/dialed_stream.h"
#include "upstream/transport/egress.h"

namespace leasegateway {

// An HTTP proxy, and what is needed to go through it.
struct Proxy {
  ProxyAddress address;  // its credentials are not looked at: `credentials` is
  // "user:password", a secret; empty: none. Asked for each connection, from any thread. An error's
  // message is the file and the rule that it breaks.
  std::function<absl::StatusOr<std::string>()> credentials = [] { return std::string(); };
  std::shared_ptr<boost::asio::ssl::context> tls;  // whom to trust, when `address.tls`
};

// Where a tunnel shall lead to, and how long its parts may take.
struct TunnelOptions {
  std::string host;  // a name, which the proxy looks up, or an IP literal
  std::string port;
  std::chrono::milliseconds handshake_timeout;  // of TLS with the proxy
  std::chrono::milliseconds answer_timeout;     // the proxy looks up and connects in it
};

struct Tunnel {
  absl::Status status;
  // Of a failure: the proxy at this address answered as one, so that another address of the same
  // proxy would say the same. False: it hung, died, or can't reach the provider.
  bool is_proxy_sound = true;
};

// Longest header of a proxy's answer taken.
inline constexpr std::size_t kMaxProxyHeaderBytes = 16 << 10;

// Asks the proxy that `stream` is connected to for a tunnel by CONNECT (RFC 9110, section 9.3.6);
// to an https:// proxy over TLS, with verified name and chain. After it the stream's bytes are
// those of the target's port. UNAVAILABLE with UPSTREAM_PROXY, whose metadata has `proxy` and,
// where the proxy refused, `proxy_status`; DEADLINE_EXCEEDED or CANCELLED. No error has a secret,
// or a page of the proxy's. Must be awaited on a strand.
boost::asio::awaitable<Tunnel> OpenTunnel(DialedStream& stream, const Proxy& proxy,
                                          const TunnelOptions& options,
                                          std::chrono::steady_clock::time_point deadline);

// The schemes that a value of Proxy-Authenticate asks for (RFC 9110, section 11.6.1), as
// "Negotiate, NTLM"; empty: none is readable.
std::string AuthSchemes(std::string_view challenges);

}  // namespace leasegateway

#endif  // LEASE_GATEWAY_UPSTREAM_TRANSPORT_PROXY_TUNNEL_H_
