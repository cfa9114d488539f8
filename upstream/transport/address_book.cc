#include "upstream/transport/address_book.h"

#include <algorithm>
#include <cstddef>
#include <utility>

namespace leasegateway {
namespace {

// By turns, as long as there are some of both.
std::vector<AddressBook::Endpoint> InterleaveFamilies(
    const std::vector<AddressBook::Endpoint>& addresses) {
  std::vector<AddressBook::Endpoint> first, second;
  for (const auto& address : addresses) {
    (address.protocol() == addresses.front().protocol() ? first : second).push_back(address);
  }
  std::vector<AddressBook::Endpoint> mixed;
  mixed.reserve(addresses.size());
  for (std::size_t i = 0; i < std::max(first.size(), second.size()); ++i) {
    if (i < first.size()) mixed.push_back(first[i]);
    if (i < second.size()) mixed.push_back(second[i]);
  }
  return mixed;
}

}  // namespace

std::vector<AddressBook::Endpoint> AddressBook::InOrder(const std::vector<Endpoint>& found) {
  std::vector<Endpoint> good;
  std::vector<std::pair<TimePoint, Endpoint>> last;
  {
    const std::lock_guard lock(mutex_);
    const TimePoint forgotten = now_() - kSetAsideTime;
    std::erase_if(set_aside_, [&](const auto& each) { return each.second <= forgotten; });
    for (const auto& address : found) {
      const auto set_aside = set_aside_.find(address);
      if (set_aside == set_aside_.end()) {
        good.push_back(address);
      } else {
        last.emplace_back(set_aside->second, address);
      }
    }
  }
  std::vector<Endpoint> order = InterleaveFamilies(good);
  std::stable_sort(last.begin(), last.end(),
                   [](const auto& a, const auto& b) { return a.first < b.first; });
  for (const auto& [since, address] : last) order.push_back(address);
  return order;
}

void AddressBook::SetAside(const Endpoint& address) {
  const std::lock_guard lock(mutex_);
  set_aside_[address] = now_();
}

void AddressBook::Worked(const Endpoint& address) {
  const std::lock_guard lock(mutex_);
  set_aside_.erase(address);
}

}  // namespace leasegateway
