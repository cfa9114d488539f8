#include "upstream/names/host_addresses.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/ip/udp.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/strand.hpp>
#include <boost/asio/this_coro.hpp>
#include <exception>
#include <utility>

#include "upstream/upstream_error.h"

namespace leasegateway {
namespace {

namespace asio = boost::asio;
using asio::ip::tcp;
using std::chrono::milliseconds;

constexpr std::chrono::minutes kLogInterval{1};

// Whether this machine has an address and a route to go there; sends nothing.
bool HasRoute(const asio::any_io_executor& executor, const asio::ip::address& address,
              std::uint16_t port) {
  asio::ip::udp::socket socket(executor);
  boost::system::error_code error;
  const asio::ip::udp::endpoint there(address, port);
  socket.open(there.protocol(), error);
  if (!error) socket.connect(there, error);
  return !error;
}

// Where Stop finds a look-up, as long as there is one.
class Stoppable {
 public:
  Stoppable(NameLookup*& place, NameLookup& lookup) : place_(place) { place_ = &lookup; }
  ~Stoppable() { place_ = nullptr; }
  Stoppable(const Stoppable&) = delete;
  Stoppable& operator=(const Stoppable&) = delete;

 private:
  NameLookup*& place_;
};

}  // namespace

HostAddresses::HostAddresses(const asio::any_io_executor& executor, Options options)
    : executor_(executor), strand_(asio::make_strand(executor)), options_(std::move(options)) {
  boost::system::error_code error;
  const auto address = asio::ip::make_address(options_.host, error);
  if (error) return;
  is_literal_ = true;
  endpoints_.emplace_back(address, options_.port);
}

asio::awaitable<absl::StatusOr<std::vector<tcp::endpoint>>> HostAddresses::Lookup(
    Clock::time_point give_up) {
  const auto self = shared_from_this();
  const auto executor = co_await asio::this_coro::executor;
  std::shared_ptr<Wakeup> waiter;
  {
    const std::lock_guard lock(mutex_);
    const auto now = options_.now();
    const bool known = !endpoints_.empty();
    if (is_literal_ || (known && now < fresh_until_)) co_return endpoints_;
    if (!flying_ && now >= retry_at_) StartLocked();
    // Known and failed the last time: nobody waits to see it fail again.
    if (!flying_ || (known && !failure_.empty())) co_return ResultLocked();
    if (known) give_up = std::min(give_up, flight_began_ + kRefreshWait);
    waiter = std::make_shared<Wakeup>(executor);
    waiters_.push_back(waiter);
  }
  co_await waiter->WaitUntil(give_up);
  const std::lock_guard lock(mutex_);
  const bool gave_up = std::erase(waiters_, waiter) > 0;
  if (gave_up && endpoints_.empty()) {
    co_return FromTransport(Doing(), "no answer in time", options_.why, RequestState::kNotSent,
                            false);
  }
  co_return ResultLocked();
}

asio::awaitable<HostAddresses::Endpoints> HostAddresses::Others(Endpoints known,
                                                                Clock::time_point give_up) {
  const auto self = shared_from_this();
  const auto executor = co_await asio::this_coro::executor;
  for (bool gave_up = false;;) {
    std::shared_ptr<Wakeup> waiter;
    {
      const std::lock_guard lock(mutex_);
      Endpoints others;
      for (const auto& endpoint : endpoints_) {
        if (std::find(known.begin(), known.end(), endpoint) == known.end()) {
          others.push_back(endpoint);
        }
      }
      if (!others.empty() || !flying_ || gave_up) co_return others;
      waiter = std::make_shared<Wakeup>(executor);
      waiters_.push_back(waiter);
    }
    co_await waiter->WaitUntil(give_up);
    const std::lock_guard lock(mutex_);
    gave_up = std::erase(waiters_, waiter) > 0;
  }
}

absl::StatusOr<HostAddresses::Endpoints> HostAddresses::ResultLocked() const {
  if (!endpoints_.empty()) return endpoints_;
  return FromTransport(Doing(), stopped_ ? "the gateway stops" : failure_, options_.why,
                       RequestState::kNotSent, false);
}

void HostAddresses::StartLocked() {
  if (stopped_) return;
  flying_ = true;
  flight_began_ = Clock::now();
  asio::post(strand_, [self = shared_from_this()] {
    asio::co_spawn(self->strand_, Fly(self), [self](const std::exception_ptr&) { self->Land(); });
  });
}

asio::awaitable<void> HostAddresses::Fly(std::shared_ptr<HostAddresses> self) {
  const auto deadline = Clock::now() + self->options_.timeout;
  NameLookup lookup(self->strand_, self->options_.host, self->options_.dns, self->options_.timeout);
  const Stoppable stoppable(self->lookup_, lookup);
  if (self->IsStopped()) co_return;  // Stop, if it came earlier, found nothing to stop
  const auto first = co_await lookup.First(deadline);
  auto& counts = *self->options_.counts;
  if (!self->IsStopped()) ++(first.ok() ? counts.found : counts.failed);
  self->Publish(first);
  if (!first.ok() || first.complete()) co_return;
  const auto rest = co_await lookup.Rest(deadline);
  if (rest.complete()) self->Publish(rest);
}

// On the strand; also after an exception, which is as good as no answer.
void HostAddresses::Land() {
  std::vector<std::shared_ptr<Wakeup>> waiters;
  const std::lock_guard lock(mutex_);
  flying_ = false;
  waiters.swap(waiters_);
  if (endpoints_.empty() && failure_.empty()) failure_ = "the look-up broke off";
  for (auto& waiter : waiters) Wakeup::Wake(std::move(waiter));
}

void HostAddresses::Publish(const NameLookup::Found& found) {
  const std::lock_guard lock(mutex_);
  if (stopped_) return;
  const auto now = options_.now();
  if (found.ok()) {
    TakeLocked(found);
  } else {
    retry_at_ = now + (endpoints_.empty() ? kFailurePause : kRefreshPause);
    LogFailureLocked(found.cause);
    failure_ = found.cause;
  }
  for (auto& waiter : waiters_) Wakeup::Wake(std::move(waiter));
  waiters_.clear();
}

void HostAddresses::TakeLocked(const NameLookup::Found& found) {
  if (found.ipv4) ipv4_ = *found.ipv4;
  if (found.ipv6) ipv6_ = *found.ipv6;
  const bool ipv6_first = !ipv6_.empty() && HasRoute(executor_, ipv6_.front(), options_.port);
  endpoints_.clear();
  for (const auto* family : {ipv6_first ? &ipv6_ : &ipv4_, ipv6_first ? &ipv4_ : &ipv6_}) {
    for (const auto& address : *family) endpoints_.emplace_back(address, options_.port);
  }
  const auto max_ttl = options_.max_ttl;
  const auto ttl = found.ttl > max_ttl ? max_ttl
                                       : std::max<milliseconds>(
                                             found.ttl, std::min<milliseconds>(kMinTtl, max_ttl));
  taken_at_ = options_.now();
  fresh_until_ = taken_at_ + ttl;
  spdlog::debug("{} has {} addresses, good for {} ms", options_.host, endpoints_.size(),
                ttl.count());
  if (!failure_.empty()) spdlog::info("{} works again", Doing());
  failure_.clear();
  retry_at_ = {};
  logged_at_ = {};
}

// The first of a row, and then one a minute.
void HostAddresses::LogFailureLocked(const std::string& cause) {
  const auto now = options_.now();
  if (!failure_.empty() && now - logged_at_ < kLogInterval) return;
  logged_at_ = now;
  if (endpoints_.empty()) {
    spdlog::warn("{} failed: {}", Doing(), cause);
    return;
  }
  spdlog::warn("{} failed: {}; it is still dialled at its last addresses, {} s old", Doing(), cause,
               std::chrono::duration_cast<std::chrono::seconds>(now - taken_at_).count());
}

bool HostAddresses::IsStopped() {
  const std::lock_guard lock(mutex_);
  return stopped_;
}

void HostAddresses::Stop() {
  {
    const std::lock_guard lock(mutex_);
    stopped_ = true;
    if (!flying_) return;
  }
  asio::post(strand_, [self = shared_from_this()] {
    if (self->lookup_ != nullptr) self->lookup_->Stop();
  });
}

}  // namespace leasegateway
