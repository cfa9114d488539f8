#ifndef LEASE_GATEWAY_UPSTREAM_LEASING_NUMBER_LOCKS_H_
#define LEASE_GATEWAY_UPSTREAM_LEASING_NUMBER_LOCKS_H_

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include "upstream/call_environment.h"

namespace leasegateway {

// One operation at a time works on a number, from its first look at it until it is settled. The
// holder keeps a number on when a request that got lost could still arrive: its settle time is over
// when it calls Unlock. Thread-safe.
class NumberLocks {
 public:
  using TimePoint = CallEnvironment::TimePoint;
  enum class Grant {
    kNone,       // not got: whoever waited had enough of it
    kLocked,     // got
    kOvertaken,  // got, and another one leased the number meanwhile
  };
  // Until when to go on waiting, asked at first and whenever that time has come; nothing: no more.
  using Patience = std::function<std::optional<TimePoint>()>;

  explicit NumberLocks(CallEnvironment environment);

  // Whether the number was free, and is the caller's now.
  bool TryLock(const std::string& phone_number);

  // First come, first served. A number that was granted is never refused for want of patience.
  // Awaited on a strand, by a coroutine that has set throw_if_cancelled(false), while this lives; a
  // cancellation makes it ask `patience` early.
  boost::asio::awaitable<Grant> Lock(std::string phone_number, Patience patience);

  // Gives a number that is held to the next one. `leased`: those who wait hear that it was.
  void Unlock(const std::string& phone_number, bool leased);

 private:
  struct Waiter {
    explicit Waiter(const boost::asio::any_io_executor& executor);
    const std::shared_ptr<Wakeup> wakeup;
    bool granted = false;
    bool overtaken = false;
  };

  const CallEnvironment environment_;

  std::mutex mutex_;  // guards all below
  // Numbers that are held, with those who wait for them.
  std::map<std::string, std::deque<std::shared_ptr<Waiter>>> held_;
};

}  // namespace leasegateway

#endif  // LEASE_GATEWAY_UPSTREAM_LEASING_NUMBER_LOCKS_H_
