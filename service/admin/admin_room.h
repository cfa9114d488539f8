#ifndef LEASE_GATEWAY_SERVICE_ADMIN_ADMIN_ROOM_H_
#define LEASE_GATEWAY_SERVICE_ADMIN_ADMIN_ROOM_H_

#include <boost/asio/ip/address.hpp>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <vector>

#include "service/admin/admin_stats.h"

namespace leasegateway {

// `address` as the admin port counts connections by it: an IPv6 address stands for its /64 network,
// an IPv4-mapped one for the IPv4 address.
boost::asio::ip::address AdminPeerOf(const boost::asio::ip::address& address);

// Who has a place at the admin port, so that a newcomer gets one whatever others do with theirs: a
// probe sends its whole request at once, so those that didn't are the first to go. On one thread.
class AdminRoom {
 public:
  using TimePoint = AdminStats::TimePoint;
  struct Options {
    std::size_t max_connections = 256;
    std::size_t max_connections_per_peer = 16;
    // For so long a request, or an answer, may be on its way and not read yet: it goes last.
    std::chrono::milliseconds fresh{100};
    std::function<TimePoint()> now = TimePoint::clock::now;
  };
  // In the order in which they make room, after them a request or an answer that is fresh,
  // whichever of the two. Within each it is one of the peer that has most places, so that a crowd
  // of newcomers displaces itself, and of these the one that is in it longest.
  enum class Stage {
    kIdle,     // between two requests, or answered
    kRequest,  // its request is not there as a whole
    kUnread,   // its answer is on its way, and it has not read it
    kAnswer,   // its answer is being made: it makes no room
  };
  // A connection, which outlives its Place.
  class Guest {
   public:
    // Whether the peer has all of what was sent to it. Asked of an idle one that is to make room.
    virtual bool AnswerTaken() = 0;
    // It has no place any more, and closes.
    virtual void MakeRoom() = 0;

   protected:
    ~Guest() = default;
  };
  // Held by the guest; the end of it leaves the room.
  class Place {
   public:
    ~Place();
    Place(const Place&) = delete;
    Place& operator=(const Place&) = delete;
    void Enter(Stage stage);

   private:
    friend class AdminRoom;
    Place(AdminRoom& room, const boost::asio::ip::address& peer, Guest& guest);

    AdminRoom* room_;  // null once it made room
    const boost::asio::ip::address peer_;
    std::size_t* held_ = nullptr;  // by the peer
    Guest& guest_;
    Stage stage_ = Stage::kRequest;
    std::uint64_t since_;  // of the stage, by the room's count
    TimePoint entered_;    // the stage
  };

  // `stats` outlives it.
  AdminRoom(Options options, AdminStats& stats);

  // A place for a connection whose request is yet to come. If there is none, one of the same peer's
  // connections makes room, or one of all; null where none can: the connection is refused.
  std::unique_ptr<Place> Enter(const boost::asio::ip::address& address, Guest& guest);
  // One of all makes room. False: none can.
  bool MakeRoom();

 private:
  // Of all where `peer` is null.
  bool MakeRoom(const boost::asio::ip::address* peer);
  Place* Victim(const boost::asio::ip::address* peer) const;
  // The lower makes room before the higher.
  int Rank(const Place& place, TimePoint now) const;
  void Leave(Place& place);

  const Options options_;
  AdminStats& stats_;
  std::vector<Place*> places_;
  std::map<boost::asio::ip::address, std::size_t> held_;  // by each peer that has any
  std::uint64_t stages_ = 0;                              // that were ever entered
};

}  // namespace leasegateway

#endif  // LEASE_GATEWAY_SERVICE_ADMIN_ADMIN_ROOM_H_
