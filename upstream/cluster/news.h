#ifndef LEASE_GATEWAY_UPSTREAM_CLUSTER_NEWS_H_
#define LEASE_GATEWAY_UPSTREAM_CLUSTER_NEWS_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

namespace leasegateway {

// What replicas tell each other: that something named `topic` has changed, with a number, such as a
// version; never the thing itself. It may get lost: whoever counts on it reads now and then, and
// after OnGap. Thread-safe.
class News {
 public:
  virtual ~News() = default;

  // A topic has no white space and no '=', and 200 bytes at most. What is told within a few
  // milliseconds goes out together, in a transaction of its own, soon. Never waits.
  virtual void Tell(std::string topic, std::int64_t number) = 0;

  // `heard` is called on any thread, while no lock is held, for what any replica tells, this one
  // included, until the result is gone; it may be called once more while that goes. It must not
  // wait.
  using Subscription = std::shared_ptr<void>;
  virtual Subscription Subscribe(std::string topic, std::function<void(std::int64_t)> heard) = 0;
  // Called when something may have been missed: after the connection was made anew.
  virtual Subscription OnGap(std::function<void()> missed) = 0;
};

}  // namespace leasegateway

#endif  // LEASE_GATEWAY_UPSTREAM_CLUSTER_NEWS_H_
