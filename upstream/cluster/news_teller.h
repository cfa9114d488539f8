#ifndef LEASE_GATEWAY_UPSTREAM_CLUSTER_NEWS_TELLER_H_
#define LEASE_GATEWAY_UPSTREAM_CLUSTER_NEWS_TELLER_H_

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "upstream/call_environment.h"
#include "upstream/postgres/database.h"

namespace leasegateway {

// Sends news as NOTIFY: what comes within `gather` goes out as one transaction, one at a time. Of a
// topic that comes again before it went out only the latest number is sent. What can't be sent is
// tried again until it is too old or too much, and then dropped; the others are told that something
// was, as a gap. After a transaction of which nobody knows whether it was committed, the same is
// sent once more.
class NewsTeller {
 public:
  struct Options {
    std::chrono::milliseconds gather{5};
    std::chrono::milliseconds timeout{2'000};  // of a transaction
    std::chrono::milliseconds keep{5'000};     // what can't be sent
    std::size_t max_waiting = 65'536;          // topics
  };
  // The topic that says that something was dropped.
  static constexpr char kGapTopic[] = "!gap";

  // `strand` runs one function at a time. All but stats() is called on it.
  NewsTeller(boost::asio::any_io_executor strand, std::shared_ptr<postgres::Database> database,
             const Options& options, CallEnvironment environment);
  NewsTeller(const NewsTeller&) = delete;
  NewsTeller& operator=(const NewsTeller&) = delete;
  // Nothing is sent any more, but what is on its way.
  ~NewsTeller();

  // Takes topics as News has them. Never waits.
  void Tell(std::string topic, std::int64_t number);
  // Sends what waits, once, by `deadline`; what comes later is dropped. Called once.
  boost::asio::awaitable<void> Finish(CallEnvironment::TimePoint deadline);

  struct Stats {
    std::uint64_t told = 0;     // topics that went out
    std::uint64_t dropped = 0;  // topics that never did
  };
  Stats stats() const;  // on any thread

 private:
  struct State;

  static boost::asio::awaitable<void> Run(std::shared_ptr<State> state);

  const std::shared_ptr<State> state_;
};

}  // namespace leasegateway

#endif  // LEASE_GATEWAY_UPSTREAM_CLUSTER_NEWS_TELLER_H_
