#include "service/admin/admin_room.h"

#include <algorithm>
#include <chrono>
#include <tuple>

#include "service/guard/networks.h"

namespace leasegateway {

namespace ip = boost::asio::ip;

ip::address AdminPeerOf(const ip::address& address) {
  const ip::address plain = Unmapped(address);
  if (plain.is_v4()) return plain;
  ip::address_v6::bytes_type bytes = plain.to_v6().to_bytes();
  std::fill(bytes.begin() + 8, bytes.end(), 0);
  return ip::address_v6(bytes);
}

AdminRoom::Place::Place(AdminRoom& room, const ip::address& peer, Guest& guest)
    : room_(&room), peer_(peer), guest_(guest), since_(room.stages_++) {}

AdminRoom::Place::~Place() {
  if (room_ != nullptr) room_->Leave(*this);
}

void AdminRoom::Place::Enter(Stage stage) {
  if (room_ == nullptr) return;
  stage_ = stage;
  since_ = room_->stages_++;
}

AdminRoom::AdminRoom(std::size_t max_connections, std::size_t max_connections_per_peer,
                     AdminStats& stats)
    : max_connections_(max_connections),
      max_connections_per_peer_(max_connections_per_peer),
      stats_(stats) {
  places_.reserve(max_connections);
}

std::unique_ptr<AdminRoom::Place> AdminRoom::Enter(const ip::address& address, Guest& guest) {
  const ip::address peer = AdminPeerOf(address);
  const auto held = static_cast<std::size_t>(std::count_if(
      places_.begin(), places_.end(), [&](const Place* place) { return place->peer_ == peer; }));
  if (held >= max_connections_per_peer_ && !MakeRoom(&peer)) {
    stats_.Note(AdminLoss::kPeerShare, peer, AdminStats::TimePoint::clock::now());
    return nullptr;
  }
  if (places_.size() >= max_connections_ && !MakeRoom(nullptr)) {
    stats_.Note(AdminLoss::kMaxConnections, peer, AdminStats::TimePoint::clock::now());
    return nullptr;
  }
  std::unique_ptr<Place> place(new Place(*this, peer, guest));
  places_.push_back(place.get());
  stats_.connections = static_cast<int>(places_.size());
  return place;
}

bool AdminRoom::MakeRoom() { return MakeRoom(nullptr); }

bool AdminRoom::MakeRoom(const ip::address* peer) {
  Place* victim = Victim(peer);
  // What is closed before its answer is read takes the answer back. It stays the older for it.
  while (victim != nullptr && victim->stage_ == Stage::kIdle && !victim->guest_.AnswerTaken()) {
    victim->stage_ = Stage::kUnread;
    victim = Victim(peer);
  }
  if (victim == nullptr) return false;
  stats_.Note(AdminLoss::kMadeRoom, victim->peer_, AdminStats::TimePoint::clock::now());
  Leave(*victim);
  victim->guest_.MakeRoom();
  return true;
}

AdminRoom::Place* AdminRoom::Victim(const ip::address* peer) const {
  Place* victim = nullptr;
  for (Place* const place : places_) {
    if (place->stage_ == Stage::kAnswer || (peer != nullptr && place->peer_ != *peer)) continue;
    if (victim == nullptr ||
        std::tie(place->stage_, place->since_) < std::tie(victim->stage_, victim->since_)) {
      victim = place;
    }
  }
  return victim;
}

void AdminRoom::Leave(Place& place) {
  place.room_ = nullptr;
  *std::find(places_.begin(), places_.end(), &place) = places_.back();
  places_.pop_back();
  stats_.connections = static_cast<int>(places_.size());
}

}  // namespace leasegateway
