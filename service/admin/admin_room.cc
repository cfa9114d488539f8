#include "service/admin/admin_room.h"

#include <algorithm>
#include <chrono>
#include <tuple>
#include <utility>

#include "service/guard/networks.h"

namespace leasegateway {

namespace ip = boost::asio::ip;

ip::address AdminPeerOf(const ip::address& address) {
  ip::address plain = Unmapped(address);
  if (plain.is_v4()) return plain;
  ip::address_v6::bytes_type bytes = plain.to_v6().to_bytes();
  std::fill(bytes.begin() + 8, bytes.end(), 0);
  return ip::address_v6(bytes);
}

AdminRoom::Place::Place(AdminRoom& room, const ip::address& peer, Guest& guest)
    : room_(&room),
      peer_(peer),
      guest_(guest),
      since_(room.stages_++),
      entered_(room.options_.now()) {}

AdminRoom::Place::~Place() {
  if (room_ != nullptr) room_->Leave(*this);
}

void AdminRoom::Place::Enter(Stage stage) {
  if (room_ == nullptr) return;
  stage_ = stage;
  since_ = room_->stages_++;
  entered_ = room_->options_.now();
}

AdminRoom::AdminRoom(Options options, AdminStats& stats)
    : options_(std::move(options)), stats_(stats) {
  places_.reserve(options_.max_connections);
}

std::unique_ptr<AdminRoom::Place> AdminRoom::Enter(const ip::address& address, Guest& guest) {
  const ip::address peer = AdminPeerOf(address);
  const auto held = held_.find(peer);
  if (held != held_.end() && held->second >= options_.max_connections_per_peer &&
      !MakeRoom(&peer)) {
    stats_.Note(AdminLoss::kPeerShare, peer, options_.now());
    return nullptr;
  }
  if (places_.size() >= options_.max_connections && !MakeRoom(nullptr)) {
    stats_.Note(AdminLoss::kMaxConnections, peer, options_.now());
    return nullptr;
  }
  std::unique_ptr<Place> place(new Place(*this, peer, guest));
  places_.push_back(place.get());
  place->held_ = &held_[peer];
  ++*place->held_;
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
  stats_.Note(AdminLoss::kMadeRoom, victim->peer_, options_.now());
  Leave(*victim);
  victim->guest_.MakeRoom();
  return true;
}

AdminRoom::Place* AdminRoom::Victim(const ip::address* peer) const {
  const TimePoint now = options_.now();
  Place* victim = nullptr;
  int lowest = 0;
  for (Place* const place : places_) {
    if (place->stage_ == Stage::kAnswer || (peer != nullptr && place->peer_ != *peer)) continue;
    const int rank = Rank(*place, now);
    if (victim == nullptr || std::tie(rank, *victim->held_, place->since_) <
                                 std::tie(lowest, *place->held_, victim->since_)) {
      victim = place;
      lowest = rank;
    }
  }
  return victim;
}

int AdminRoom::Rank(const Place& place, TimePoint now) const {
  const bool fresh = place.stage_ != Stage::kIdle && now - place.entered_ < options_.fresh;
  return static_cast<int>(fresh ? Stage::kAnswer : place.stage_);
}

void AdminRoom::Leave(Place& place) {
  place.room_ = nullptr;
  if (--*place.held_ == 0) held_.erase(place.peer_);
  *std::find(places_.begin(), places_.end(), &place) = places_.back();
  places_.pop_back();
  stats_.connections = static_cast<int>(places_.size());
}

}  // namespace leasegateway
