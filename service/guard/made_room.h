#ifndef LEASE_GATEWAY_SERVICE_GUARD_MADE_ROOM_H_
#define LEASE_GATEWAY_SERVICE_GUARD_MADE_ROOM_H_

#include <boost/asio/ip/address.hpp>
#include <chrono>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

namespace leasegateway {

// Whose connections are one's, where places are few: an IPv4 address, or what a site is given of
// IPv6, a /48 network, which has 65,536 of those that count as addresses else.
struct Site {
  std::uint64_t network = 0;
  bool v4 = false;
  auto operator<=>(const Site&) const = default;
  template <typename H>
  friend H AbslHashValue(H hash, const Site& site) {
    return H::combine(std::move(hash), site.network, site.v4);
  }
};
Site SiteOf(const boost::asio::ip::address& address);

// A connection that has a place.
struct Occupant {
  Site site;
  std::chrono::steady_clock::time_point called;  // its last call, or its beginning
};

// A site with no more connections keeps them all.
inline constexpr std::size_t kNeverEvicted = 8;

// Which of `occupants` go for so many newcomers, at most: each time of the site that has most then
// the one that is longest without a call.
std::vector<std::size_t> MakeRoom(std::span<const Occupant> occupants, std::size_t newcomers);

}  // namespace leasegateway

#endif  // LEASE_GATEWAY_SERVICE_GUARD_MADE_ROOM_H_
