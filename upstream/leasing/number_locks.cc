#include "upstream/leasing/number_locks.h"

#include <boost/asio/this_coro.hpp>
#include <utility>

namespace leasegateway {

namespace asio = boost::asio;

NumberLocks::Waiter::Waiter(const asio::any_io_executor& executor)
    : wakeup(std::make_shared<Wakeup>(executor)) {}

NumberLocks::NumberLocks(CallEnvironment environment) : environment_(std::move(environment)) {}

bool NumberLocks::TryLock(const std::string& phone_number) {
  const std::lock_guard lock(mutex_);
  return held_.try_emplace(phone_number).second;
}

asio::awaitable<NumberLocks::Grant> NumberLocks::Lock(std::string phone_number, Patience patience) {
  if (TryLock(phone_number)) co_return Grant::kLocked;
  const asio::any_io_executor executor = co_await asio::this_coro::executor;
  std::shared_ptr<Waiter> waiter;
  for (;;) {
    const std::optional<TimePoint> until = patience();
    {
      const std::lock_guard lock(mutex_);
      if (!waiter) {
        const auto [at, free] = held_.try_emplace(phone_number);
        if (free) co_return Grant::kLocked;
        waiter = std::make_shared<Waiter>(executor);
        at->second.push_back(waiter);
      } else if (waiter->granted) {
        co_return waiter->overtaken ? Grant::kOvertaken : Grant::kLocked;
      }
      if (!until) {
        std::erase(held_[phone_number], waiter);
        co_return Grant::kNone;
      }
    }
    auto waiting = environment_.wait(waiter->wakeup, *until);
    co_await std::move(waiting);
  }
}

void NumberLocks::Unlock(const std::string& phone_number, bool leased) {
  const std::lock_guard lock(mutex_);
  const auto at = held_.find(phone_number);
  for (const auto& waiter : at->second) waiter->overtaken = waiter->overtaken || leased;
  if (at->second.empty()) {
    held_.erase(at);
    return;
  }
  const auto next = at->second.front();
  at->second.pop_front();
  next->granted = true;
  Wakeup::Wake(next->wakeup);
}

}  // namespace leasegateway
