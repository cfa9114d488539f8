#ifndef LEASE_GATEWAY_SERVICE_GUARD_PEER_LEDGER_H_
#define LEASE_GATEWAY_SERVICE_GUARD_PEER_LEDGER_H_

#include <boost/asio/ip/address.hpp>
#include <chrono>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <set>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "service/guard/conduct.h"
#include "service/guard/networks.h"

namespace leasegateway {

// Why a connection is not taken, and its word in metrics and logs.
enum class Refusal {
  kMaxConnections,  // all there may be are there
  kPeerShare,       // its address has all that one may have
  kWaits,           // its address was cut, and has to wait
  kConnecting,      // its address connects too often
};
inline constexpr std::size_t kRefusals = 4;
inline constexpr const char* kRefusalNames[kRefusals] = {
    "max_connections", "max_connections_per_peer", "waits", "connecting"};

// Which addresses have how many connections, and which of them wait outside. An IPv6 address stands
// for its /64 network, an IPv4-mapped one for the IPv4 address. One thread at a time; a call takes
// less than a microsecond, and memory is bounded by the connections and by kMaxRemembered.
//
// Room for newcomers: of the last tenth of all connections an address is given only as many as make
// kRoomShare, or its even share of all should that be less. So whoever is first, alone or in
// number, and whatever `max_connections_per_peer` is, others still find room: to fill that of
// 10,000 connections takes 125 addresses that hold eight each; who makes that room anew is told by
// crowded(). Some places are for trusted proxies alone.
//
// Callers that share an address (NAT) share its connections and its waiting. For the offence of one
// the others lose none that they have; while it waits, they get one new one each kLetIn, so that an
// address that probes come from as well answers them.
//
// To connect anew brings nothing: what an address's connections have spent of their allowances is
// spent of its next one's, and an address may connect only so often.
class PeerLedger {
 public:
  using Clock = std::chrono::steady_clock;
  struct Options {
    std::size_t max_connections = 10'000;
    std::size_t max_connections_per_peer = 1'000;
    Networks trusted_proxies{};  // of any number of callers each: no share, no waiting
    // Of one address: so many at once, and then so many a second.
    int connects_at_once = 200;
    int connects_a_second = 20;
  };
  static constexpr std::size_t kRoomShare = 8;
  // Of max_connections one in so many is for trusted proxies alone, if there are such.
  static constexpr std::size_t kKeptForProxies = 50;
  // The wait after a first cut. A further one doubles it, but those within this time of the last
  // that did: what one client's connections do at once is one offence, and lengthens the same wait.
  static constexpr Clock::duration kFirstWait = std::chrono::seconds(1);
  static constexpr Clock::duration kLongestWait = std::chrono::seconds(60);
  static constexpr Clock::duration kLetIn = std::chrono::seconds(1);
  // Each such time after a wait, without a cut, halves the next; below kFirstWait all is forgotten.
  static constexpr Clock::duration kGoodConduct = std::chrono::minutes(1);
  // Addresses that wait or did of late. Above, the one is forgotten whose wait ends first.
  static constexpr std::size_t kMaxRemembered = 16'384;
  // From so much time without a connection on, an address that connected has all it may have again:
  // allowances, and connections at once.
  static constexpr Clock::duration kRefilled = std::chrono::seconds(10);

  explicit PeerLedger(const Options& options);

  // Counts the connection unless it says why not.
  std::optional<Refusal> Admit(const boost::asio::ip::address& peer, Clock::time_point now);
  // A connection that was admitted has ended.
  void Ended(const boost::asio::ip::address& peer, Clock::time_point now);
  // One was cut: its address waits, longer each time. (Ended is called for it as well.) How long
  // from now; zero: not at all, as for a trusted proxy.
  Clock::duration Cut(const boost::asio::ip::address& peer, Clock::time_point now);

  // What is spent of the allowances of a connection that was admitted, as it begins.
  Conduct::Spent SpentBy(const boost::asio::ip::address& peer, Clock::time_point now) const;
  // What a connection that has ended has spent of its own. To be told again when it turns out to be
  // more.
  void HasSpent(const boost::asio::ip::address& peer, const Conduct::Spent& spent,
                Clock::time_point now);

  // Whether some of the last tenth are taken.
  bool crowded() const { return connections_ + room_ > options_.max_connections; }
  std::size_t connections() const { return connections_; }
  std::size_t addresses() const {
    return present_.size();
  }  // that have any, but for trusted proxies
  std::size_t remembered() const { return offenders_.size(); }
  std::size_t visitors() const { return visitors_.size() + visitors_before_.size(); }

 private:
  struct Peer {
    std::uint64_t network = 0;
    bool v4 = false;
    auto operator<=>(const Peer&) const = default;
    template <typename H>
    friend H AbslHashValue(H hash, const Peer& peer) {
      return H::combine(std::move(hash), peer.network, peer.v4);
    }
  };
  struct Offender {
    Clock::duration wait{};        // of its last cut
    Clock::time_point until;       // when it ends
    Clock::time_point lengthened;  // when `wait` was set
    Clock::time_point let_in;      // one, though it waits
  };
  // What an address has used of what it may. Kept until it has it all again.
  struct Visitor {
    Clock::time_point idle_at;  // when it may connect as often as ever
    Conduct::Spent spent;
    Clock::time_point spent_at;
  };
  static Peer PeerOf(const boost::asio::ip::address& address);
  // How long the last wait counts for still, after what good conduct has forgiven; zero: not at
  // all.
  static Clock::duration Unforgiven(const Offender& offender, Clock::time_point now);

  // None: it doesn't wait.
  Offender* Waiting(const Peer& peer, Clock::time_point now);
  // Whether `peer` may connect now; then it has.
  bool Connects(const Peer& peer, Clock::time_point now);
  const Visitor* FindVisitor(const Peer& peer) const;
  Visitor& VisitorOf(const Peer& peer, Clock::time_point now);
  std::size_t Kept() const;   // for proxies, beside those that they have
  std::size_t Share() const;  // of one address, as things are
  // Forgets who is forgiven, and another if there are too many for `peer` to be remembered.
  void MakeRoomFor(const Peer& peer, Clock::time_point now);

  const Options options_;
  const std::size_t room_;  // connections that are kept for newcomers
  std::size_t connections_ = 0;
  std::size_t trusted_ = 0;  // of these
  absl::flat_hash_map<Peer, std::size_t> present_;
  absl::flat_hash_map<Peer, Offender> offenders_;
  std::set<std::pair<Clock::time_point, Peer>> by_end_;  // of their waits
  // Those since `turned_`, and those of kRefilled before that.
  absl::flat_hash_map<Peer, Visitor> visitors_;
  absl::flat_hash_map<Peer, Visitor> visitors_before_;
  Clock::time_point turned_;
};

}  // namespace leasegateway

#endif  // LEASE_GATEWAY_SERVICE_GUARD_PEER_LEDGER_H_
