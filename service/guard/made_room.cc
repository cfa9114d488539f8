#include "service/guard/made_room.h"

#include <algorithm>
#include <queue>

#include "absl/container/flat_hash_map.h"
#include "service/guard/networks.h"

namespace leasegateway {

Site SiteOf(const boost::asio::ip::address& address) {
  constexpr int kBytes = 6;  // of the network
  const boost::asio::ip::address plain = Unmapped(address);
  if (plain.is_v4()) return {.network = plain.to_v4().to_uint(), .v4 = true};
  const auto bytes = plain.to_v6().to_bytes();
  Site site;
  for (int i = 0; i < kBytes; ++i) site.network = site.network << 8 | bytes[i];
  return site;
}

std::vector<std::size_t> MakeRoom(std::span<const Occupant> occupants, std::size_t newcomers) {
  std::vector<std::size_t> gone;
  if (newcomers == 0) return gone;
  absl::flat_hash_map<Site, std::vector<std::size_t>> sites;
  for (std::size_t i = 0; i < occupants.size(); ++i) sites[occupants[i].site].push_back(i);
  using Held = std::vector<std::size_t>*;
  const auto has_fewer = [](Held a, Held b) { return a->size() < b->size(); };
  std::priority_queue<Held, std::vector<Held>, decltype(has_fewer)> most(has_fewer);
  for (auto& [site, held] : sites) {
    if (held.size() <= kNeverEvicted) continue;
    // The next to go is the last.
    std::sort(held.begin(), held.end(), [&](std::size_t a, std::size_t b) {
      return occupants[a].called > occupants[b].called;
    });
    most.push(&held);
  }
  while (!most.empty() && gone.size() < newcomers) {
    const Held held = most.top();
    most.pop();
    gone.push_back(held->back());
    held->pop_back();
    if (held->size() > kNeverEvicted) most.push(held);
  }
  return gone;
}

}  // namespace leasegateway
