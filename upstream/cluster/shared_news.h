#ifndef LEASE_GATEWAY_UPSTREAM_CLUSTER_SHARED_NEWS_H_
#define LEASE_GATEWAY_UPSTREAM_CLUSTER_SHARED_NEWS_H_

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "upstream/call_environment.h"
#include "upstream/cluster/news.h"
#include "upstream/cluster/news_teller.h"
#include "upstream/postgres/database.h"

namespace leasegateway {

// News by LISTEN and NOTIFY. What this replica tells it hears itself at once, whether the database
// is there or not, and once more when the database passes it on: hearers take a number twice. All
// callbacks are called one after the other.
//
// After each LISTEN it tells something for its own ears. A pooler in transaction mode takes LISTEN
// and passes nothing on; the log says so then.
class SharedNews final : public News {
 public:
  SharedNews(const boost::asio::any_io_executor& executor,
             std::shared_ptr<postgres::Database> database, const NewsTeller::Options& options,
             const CallEnvironment& environment);
  SharedNews(const SharedNews&) = delete;
  SharedNews& operator=(const SharedNews&) = delete;
  // No callback is begun any more once it has returned, but for the one that runs.
  ~SharedNews() override;

  // A topic that is not as News wants it is told to nobody, and the log says so.
  void Tell(std::string topic, std::int64_t number) override;
  Subscription Subscribe(std::string topic, std::function<void(std::int64_t)> heard) override;
  // Called after each LISTEN, the first one too, and when a replica had to drop what it told.
  Subscription OnGap(std::function<void()> missed) override;

  // For the connection that listens, on any thread: LISTEN has been answered; this came.
  void Listening();
  void Received(std::string payload);

  // Sends what waits, by `deadline`. Awaited on any strand, once; what is told later is dropped.
  boost::asio::awaitable<void> Finish(CallEnvironment::TimePoint deadline);

  struct Stats {
    NewsTeller::Stats told;
    std::uint64_t heard = 0;  // topics that came from the database, this replica's own included
    std::uint64_t gaps = 0;
    bool deaf = false;  // what was told since the latest LISTEN did not come back
  };
  Stats stats() const;

 private:
  struct State;

  const std::shared_ptr<State> state_;
};

}  // namespace leasegateway

#endif  // LEASE_GATEWAY_UPSTREAM_CLUSTER_SHARED_NEWS_H_
