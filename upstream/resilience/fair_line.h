#ifndef LEASE_GATEWAY_UPSTREAM_RESILIENCE_FAIR_LINE_H_
#define LEASE_GATEWAY_UPSTREAM_RESILIENCE_FAIR_LINE_H_

#include <algorithm>
#include <cstddef>
#include <list>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"

namespace leasegateway {

// A line of those who wait, in which equal shares go to different ones: the shares take turns, and
// those of one share come in the order in which they joined. So however many of one share wait,
// another's first waits for one of them. Where all are of one share, it is first come, first
// served. A share is remembered only while somebody of it waits. Not thread-safe.
template <typename Waiter>
class FairLine {
  struct Share;
  using Shares = std::list<Share>;
  using Own = std::list<Waiter>;

 public:
  // Of one in the line, as long as it is there.
  struct Place {
    typename Shares::iterator share;
    typename Own::iterator at;
  };

  bool empty() const { return size_ == 0; }
  std::size_t size() const { return size_; }
  const Waiter& front() const { return turns_.front().own.front(); }  // of a line that isn't empty

  // Of the whole line, where all are of one share. Null: there is nobody.
  const Waiter* last() const { return empty() ? nullptr : &turns_.back().own.back(); }

  // Behind all of its share.
  Place Join(const std::string& name, Waiter waiter) {
    auto [found, is_new] = by_name_.try_emplace(name);
    if (is_new) found->second = turns_.insert(turns_.end(), Share{name, {}});
    Share& share = *found->second;
    share.own.push_back(std::move(waiter));
    ++size_;
    if (at_least_.size() < share.own.size()) at_least_.push_back(0);
    ++at_least_[share.own.size() - 1];
    return {found->second, std::prev(share.own.end())};
  }
  // It leaves. `had_turn`: and the next turn is another share's.
  void Leave(const Place& place, bool had_turn) {
    Share& share = *place.share;
    --size_;
    --at_least_[share.own.size() - 1];
    if (at_least_.back() == 0) at_least_.pop_back();
    share.own.erase(place.at);
    if (share.own.empty()) {
      by_name_.erase(share.name);
      turns_.erase(place.share);
    } else if (had_turn) {
      turns_.splice(turns_.end(), turns_, place.share);
    }
  }

  // Turns until one who joins now has had its own, that one included, if nobody joins or leaves
  // later.
  std::size_t Turns(const std::string& name) const {
    if (turns_.size() <= 1 && (turns_.empty() || turns_.front().name == name)) return size_ + 1;
    const std::size_t round = std::min(Waiting(name) + 1, at_least_.size());
    std::size_t turns = 1;
    for (std::size_t i = 0; i < round; ++i) turns += at_least_[i];
    return turns;
  }

  // The last of the share with the most waiting, when it has at least two more than this one: it
  // may leave for it. Null: none.
  const Waiter* LastOfLongest(const std::string& name) const {
    if (at_least_.size() < Waiting(name) + 2) return nullptr;
    const auto longest = std::find_if(turns_.begin(), turns_.end(), [this](const Share& share) {
      return share.own.size() == at_least_.size();
    });
    return &longest->own.back();
  }

 private:
  struct Share {
    std::string name;
    Own own;  // never empty
  };

  std::size_t Waiting(const std::string& name) const {
    const auto found = by_name_.find(name);
    return found == by_name_.end() ? 0 : found->second->own.size();
  }

  Shares turns_;  // the first is next
  absl::flat_hash_map<std::string, typename Shares::iterator> by_name_;
  std::vector<std::size_t> at_least_;  // shares of which more than the index wait; the last isn't 0
  std::size_t size_ = 0;
};

}  // namespace leasegateway

#endif  // LEASE_GATEWAY_UPSTREAM_RESILIENCE_FAIR_LINE_H_
