#ifndef LEASE_GATEWAY_UPSTREAM_TRANSPORT_CONNECT_RACE_H_
#define LEASE_GATEWAY_UPSTREAM_TRANSPORT_CONNECT_RACE_H_

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <chrono>
#include <optional>
#include <string>
#include <vector>

namespace leasegateway {

// From the beginning of an attempt to connect until the next address is tried beside it, unless it
// fails before (RFC 8305, section 5: the recommended Connection Attempt Delay).
inline constexpr std::chrono::milliseconds kConnectAttemptDelay{250};

struct ConnectRaceResult {
  // Of the first address that connected; nothing: none did, or the race was called off.
  std::optional<boost::asio::ip::tcp::socket> socket;
  boost::asio::ip::tcp::endpoint address;
  // What a next race had better try last: what failed, and what a later attempt has overtaken.
  std::vector<boost::asio::ip::tcp::endpoint> unfit;
  std::string causes;  // why those that failed did: "192.0.2.1 port 443: Connection refused; …"
};

// Happy Eyeballs (RFC 8305, section 5): tries the addresses in their order, each
// kConnectAttemptDelay after the one before or as soon as that has failed. The first that connects
// wins, the others are closed. Each has `connect_timeout`. Called off at `deadline` and by a
// cancellation. The socket is the `executor`'s. Must be awaited on a strand.
boost::asio::awaitable<ConnectRaceResult> RaceToConnect(
    boost::asio::any_io_executor executor, std::vector<boost::asio::ip::tcp::endpoint> addresses,
    std::chrono::milliseconds connect_timeout, std::chrono::steady_clock::time_point deadline);

}  // namespace leasegateway

#endif  // LEASE_GATEWAY_UPSTREAM_TRANSPORT_CONNECT_RACE_H_
