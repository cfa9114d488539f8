#include "service/guard/peer_ledger.h"

#include <algorithm>

namespace leasegateway {

namespace ip = boost::asio::ip;

PeerLedger::PeerLedger(const Options& options)
    : options_(options), room_(std::max<std::size_t>(options.max_connections / 10, 1)) {}

PeerLedger::Peer PeerLedger::PeerOf(const ip::address& address) {
  const ip::address plain = Unmapped(address);
  if (plain.is_v4()) return {.network = plain.to_v4().to_uint(), .v4 = true};
  const ip::address_v6::bytes_type bytes = plain.to_v6().to_bytes();
  Peer peer;
  for (int i = 0; i < 8; ++i) peer.network = peer.network << 8 | bytes[i];
  return peer;
}

PeerLedger::Clock::duration PeerLedger::Unforgiven(const Offender& offender,
                                                   Clock::time_point now) {
  if (now <= offender.until) return offender.wait;
  const auto good = std::min<Clock::rep>((now - offender.until) / kGoodConduct, 62);
  const Clock::duration left = offender.wait / (Clock::rep{1} << good);
  return left < kFirstWait ? Clock::duration::zero() : left;
}

bool PeerLedger::Waits(const Peer& peer, Clock::time_point now) const {
  if (offenders_.empty()) return false;
  const auto offender = offenders_.find(peer);
  return offender != offenders_.end() && now < offender->second.until;
}

// What is left beside the proxies, among those present and one newcomer: never less than one, as
// long as there is a connection to give.
std::size_t PeerLedger::Share() const {
  const std::size_t even = (options_.max_connections - trusted_) / (present_.size() + 1);
  const bool ample = connections_ + room_ < options_.max_connections;
  return std::min(options_.max_connections_per_peer,
                  ample ? options_.max_connections : std::clamp<std::size_t>(even, 1, kRoomShare));
}

std::optional<Refusal> PeerLedger::Admit(const ip::address& address, Clock::time_point now) {
  const bool full = connections_ >= options_.max_connections;
  if (options_.trusted_proxies.Contains(address)) {
    if (full) return Refusal::kMaxConnections;
    ++trusted_;
    ++connections_;
    return std::nullopt;
  }
  const Peer peer = PeerOf(address);
  if (Waits(peer, now)) return Refusal::kWaits;
  if (full) return Refusal::kMaxConnections;
  const auto held = present_.find(peer);
  if (held == present_.end()) {
    present_.emplace(peer, 1);
  } else if (held->second < Share()) {
    ++held->second;
  } else {
    return Refusal::kPeerShare;
  }
  ++connections_;
  return std::nullopt;
}

void PeerLedger::Ended(const ip::address& address, Clock::time_point) {
  if (options_.trusted_proxies.Contains(address)) {
    if (trusted_ == 0) return;
    --trusted_;
    --connections_;
    return;
  }
  const auto held = present_.find(PeerOf(address));
  if (held == present_.end()) return;
  if (--held->second == 0) present_.erase(held);
  --connections_;
}

PeerLedger::Clock::duration PeerLedger::Cut(const ip::address& address, Clock::time_point now) {
  if (options_.trusted_proxies.Contains(address)) return Clock::duration::zero();
  const Peer peer = PeerOf(address);
  MakeRoomFor(peer, now);
  const auto [entry, first] = offenders_.try_emplace(peer);
  Offender& offender = entry->second;
  if (!first) by_end_.erase({offender.until, peer});
  if (first || now - offender.lengthened >= kFirstWait) {
    offender.wait = std::clamp(2 * Unforgiven(offender, now), kFirstWait, kLongestWait);
    offender.lengthened = now;
  }
  offender.until = now + offender.wait;
  by_end_.emplace(offender.until, peer);
  return offender.wait;
}

void PeerLedger::MakeRoomFor(const Peer& peer, Clock::time_point now) {
  const bool full = offenders_.size() >= kMaxRemembered && !offenders_.contains(peer);
  for (bool evict = full; !by_end_.empty(); evict = false) {
    const auto oldest = offenders_.find(by_end_.begin()->second);
    if (!evict && Unforgiven(oldest->second, now) > Clock::duration::zero()) return;
    offenders_.erase(oldest);
    by_end_.erase(by_end_.begin());
  }
}

}  // namespace leasegateway
