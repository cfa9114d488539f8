#include "service/guard/peer_ledger.h"

namespace leasegateway {

PeerLedger::PeerLedger(const Options& options) : options_(options) {}

std::optional<Refusal> PeerLedger::Admit(const boost::asio::ip::address&, Clock::time_point) {
  if (connections_ >= options_.max_connections) return Refusal::kMaxConnections;
  ++connections_;
  return std::nullopt;
}

void PeerLedger::Ended(const boost::asio::ip::address&, Clock::time_point) { --connections_; }

PeerLedger::Clock::duration PeerLedger::Cut(const boost::asio::ip::address&, Clock::time_point) {
  return {};
}

}  // namespace leasegateway
