#include "service/guard/peer_ledger.h"

#include <algorithm>
#include <utility>

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

PeerLedger::Offender* PeerLedger::Waiting(const Peer& peer, Clock::time_point now) {
  if (offenders_.empty()) return nullptr;
  const auto offender = offenders_.find(peer);
  return offender != offenders_.end() && now < offender->second.until ? &offender->second : nullptr;
}

const PeerLedger::Visitor* PeerLedger::FindVisitor(const Peer& peer) const {
  for (const auto* visitors : {&visitors_, &visitors_before_}) {
    const auto found = visitors->find(peer);
    if (found != visitors->end()) return &found->second;
  }
  return nullptr;
}

// Who isn't seen for the time of a turn is in `visitors_before_`, and is dropped with the next.
PeerLedger::Visitor& PeerLedger::VisitorOf(const Peer& peer, Clock::time_point now) {
  if (now - turned_ >= kRefilled || visitors_.size() >= kMaxRemembered) {
    visitors_before_ = std::exchange(visitors_, {});
    turned_ = now;
  }
  const Visitor* const known = FindVisitor(peer);
  const Visitor visitor = known != nullptr ? *known : Visitor();
  return visitors_.try_emplace(peer, visitor).first->second;
}

bool PeerLedger::Connects(const Peer& peer, Clock::time_point now) {
  const Clock::duration each =
      Clock::duration(std::chrono::seconds(1)) / options_.connects_a_second;
  Visitor& visitor = VisitorOf(peer, now);
  const Clock::time_point idle_at = std::max(visitor.idle_at, now) + each;
  if (idle_at - now > options_.connects_at_once * each) return false;
  visitor.idle_at = idle_at;
  return true;
}

Conduct::Spent PeerLedger::SpentBy(const ip::address& address, Clock::time_point now) const {
  const Visitor* const visitor = FindVisitor(PeerOf(address));
  if (visitor == nullptr || options_.trusted_proxies.Contains(address)) return {};
  return visitor->spent.After(now - visitor->spent_at);
}

// Of several at once the most counts: what one has used isn't there because another hasn't.
void PeerLedger::HasSpent(const ip::address& address, const Conduct::Spent& spent,
                          Clock::time_point now) {
  if (options_.trusted_proxies.Contains(address) || spent == Conduct::Spent()) return;
  Visitor& visitor = VisitorOf(PeerOf(address), now);
  const Conduct::Spent before = visitor.spent.After(now - visitor.spent_at);
  visitor.spent = {.idle = std::max(before.idle, spent.idle),
                   .resets = std::max(before.resets, spent.resets)};
  visitor.spent_at = now;
}

std::size_t PeerLedger::Kept() const {
  if (options_.trusted_proxies.empty()) return 0;
  const std::size_t kept = options_.max_connections / kKeptForProxies;
  return kept - std::min(kept, trusted_);
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
  Offender* const offender = Waiting(peer, now);
  if (offender != nullptr && now - offender->let_in < kLetIn) return Refusal::kWaits;
  if (connections_ + Kept() >= options_.max_connections) return Refusal::kMaxConnections;
  const auto held = present_.find(peer);
  if (held != present_.end() && held->second >= Share()) return Refusal::kPeerShare;
  if (!Connects(peer, now)) return Refusal::kConnecting;
  if (offender != nullptr) offender->let_in = now;
  ++present_[peer];
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
  if (first) offender.let_in = now;
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
