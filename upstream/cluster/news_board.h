#ifndef LEASE_GATEWAY_UPSTREAM_CLUSTER_NEWS_BOARD_H_
#define LEASE_GATEWAY_UPSTREAM_CLUSTER_NEWS_BOARD_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "upstream/cluster/news.h"

namespace leasegateway {

// Who wants to hear what. Callbacks may subscribe and unsubscribe, themselves included. A
// subscription may outlive the board. Thread-safe.
class NewsBoard {
 public:
  NewsBoard();

  News::Subscription Subscribe(std::string topic, std::function<void(std::int64_t)> heard);
  News::Subscription OnGap(std::function<void()> missed);

  // Call those who want to hear it, one after the other, on this thread.
  void Heard(std::string_view topic, std::int64_t number) const;
  void Gap() const;

 private:
  struct State;
  class Place;

  const std::shared_ptr<State> state_;
};

}  // namespace leasegateway

#endif  // LEASE_GATEWAY_UPSTREAM_CLUSTER_NEWS_BOARD_H_
