#ifndef LEASE_GATEWAY_SERVICE_GUARD_PEER_LEDGER_H_
#define LEASE_GATEWAY_SERVICE_GUARD_PEER_LEDGER_H_

#include <boost/asio/ip/address.hpp>
#include <chrono>
#include <cstddef>
#include <optional>

#include "service/guard/networks.h"

namespace leasegateway {

// Why a connection is not taken, and its word in metrics and logs.
enum class Refusal {
  kMaxConnections,  // all there may be are there
  kPeerShare,       // its address has all that one may have
  kWaits,           // its address was cut, and has to wait
};
inline constexpr std::size_t kRefusals = 3;
inline constexpr const char* kRefusalNames[kRefusals] = {"max_connections",
                                                         "max_connections_per_peer", "waits"};

// Which addresses have how many connections, and which of them wait outside. An IPv6 address stands
// for its /64 network, an IPv4-mapped one for the IPv4 address. One thread at a time.
class PeerLedger {
 public:
  using Clock = std::chrono::steady_clock;
  struct Options {
    std::size_t max_connections = 10'000;
    std::size_t max_connections_per_peer = 1'000;
    Networks trusted_proxies;  // of any number of callers each: no share, no waiting
  };
  explicit PeerLedger(const Options& options);

  // Counts the connection unless it says why not.
  std::optional<Refusal> Admit(const boost::asio::ip::address& peer, Clock::time_point now);
  // A connection that was admitted has ended.
  void Ended(const boost::asio::ip::address& peer, Clock::time_point now);
  // One was cut: its address waits, longer each time. (Ended is called for it as well.) How long;
  // zero: not at all, as for a trusted proxy.
  Clock::duration Cut(const boost::asio::ip::address& peer, Clock::time_point now);

  std::size_t connections() const { return connections_; }

 private:
  const Options options_;
  std::size_t connections_ = 0;
};

}  // namespace leasegateway

#endif  // LEASE_GATEWAY_SERVICE_GUARD_PEER_LEDGER_H_
