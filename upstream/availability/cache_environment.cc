#include "upstream/availability/cache_environment.h"

#include <boost/asio/steady_timer.hpp>
#include <memory>
#include <mutex>
#include <set>
#include <utility>

#include "upstream/call_environment.h"

namespace leasegateway {
namespace {

namespace asio = boost::asio;
using std::chrono::milliseconds;

// Timers that are cancelled when nobody can start another one.
class Timers : public std::enable_shared_from_this<Timers> {
 public:
  explicit Timers(const asio::any_io_executor& executor) : executor_(executor) {}
  ~Timers() {
    for (const auto& timer : timers_) timer->cancel();
  }

  void After(milliseconds delay, std::function<void()> call) {
    auto timer = std::make_shared<asio::steady_timer>(executor_, delay);
    const std::lock_guard lock(mutex_);
    timers_.insert(timer);
    timer->async_wait([weak = weak_from_this(), timer,
                       call = std::move(call)](const boost::system::error_code& error) {
      const auto self = weak.lock();
      if (error || !self) return;
      {
        const std::lock_guard own_lock(self->mutex_);
        self->timers_.erase(timer);
      }
      call();
    });
  }

 private:
  const asio::any_io_executor executor_;
  std::mutex mutex_;
  std::set<std::shared_ptr<asio::steady_timer>> timers_;
};

}  // namespace

CacheEnvironment MakeCacheEnvironment(const asio::any_io_executor& executor, PinBytes pin) {
  const CallEnvironment call = MakeCallEnvironment();
  CacheEnvironment environment;
  environment.executor = executor;
  environment.now = call.now;
  environment.random = call.random;
  environment.after = [timers = std::make_shared<Timers>(executor)](milliseconds delay,
                                                                    std::function<void()> then) {
    timers->After(delay, std::move(then));
  };
  environment.pin = std::move(pin);
  return environment;
}

}  // namespace leasegateway
