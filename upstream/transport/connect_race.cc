#include "upstream/transport/connect_race.h"

#include <algorithm>
#include <boost/asio/bind_executor.hpp>
#include <boost/asio/error.hpp>
#include <boost/asio/this_coro.hpp>
#include <cstddef>
#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"
#include "upstream/cancellation.h"
#include "upstream/wakeup.h"

namespace leasegateway {
namespace {

namespace asio = boost::asio;
using asio::ip::tcp;
using RaceClock = std::chrono::steady_clock;

// Its handler holds it, so it may end after the race.
struct ConnectAttempt {
  ConnectAttempt(const asio::any_io_executor& executor, tcp::endpoint address)
      : socket(executor), address(std::move(address)) {}
  void Close() {
    boost::system::error_code ignored;
    socket.close(ignored);
  }

  tcp::socket socket;
  const tcp::endpoint address;
  const RaceClock::time_point began = RaceClock::now();
  bool done = false;
  boost::system::error_code error;
};
using ConnectAttemptPtr = std::shared_ptr<ConnectAttempt>;

// All of it on the strand of the coroutine that awaits the race.
class ConnectRace {
 public:
  ConnectRace(asio::any_io_executor executor, asio::any_io_executor strand,
              std::vector<tcp::endpoint> addresses, std::chrono::milliseconds connect_timeout)
      : executor_(std::move(executor)),
        strand_(std::move(strand)),
        addresses_(std::move(addresses)),
        connect_timeout_(connect_timeout) {}
  ConnectRace(const ConnectRace&) = delete;
  ConnectRace& operator=(const ConnectRace&) = delete;
  ~ConnectRace() {
    for (const auto& attempt : running_) attempt->Close();
  }

  // Takes note of what has ended and begins what is due. False: the race is over.
  bool Step(RaceClock::time_point now) {
    for (const auto& attempt : std::exchange(running_, {})) {
      if (!attempt->done && now < attempt->began + connect_timeout_) {
        running_.push_back(attempt);
      } else if (attempt->done && !attempt->error) {
        if (!result_.socket) Win(*attempt);
      } else {
        Fail(*attempt);
      }
    }
    if (result_.socket) {
      for (const auto& attempt : running_) {
        if (attempt->began + kConnectAttemptDelay <= now) result_.unfit.push_back(attempt->address);
      }
      return false;
    }
    if (next_ < addresses_.size() && (running_.empty() || now >= next_begins_)) Begin(now);
    return !running_.empty();
  }

  // When Step has something to do at the latest.
  RaceClock::time_point next_step() const {
    auto next = next_ < addresses_.size() ? next_begins_ : RaceClock::time_point::max();
    for (const auto& attempt : running_) next = std::min(next, attempt->began + connect_timeout_);
    return next;
  }

  std::shared_ptr<Wakeup> wakeup() const { return wakeup_; }
  ConnectRaceResult TakeResult() { return std::move(result_); }

 private:
  void Begin(RaceClock::time_point now) {
    const auto attempt = std::make_shared<ConnectAttempt>(executor_, addresses_[next_++]);
    running_.push_back(attempt);
    next_begins_ = now + kConnectAttemptDelay;
    attempt->socket.async_connect(
        attempt->address, asio::bind_executor(strand_, [attempt, wakeup = wakeup_](
                                                           const boost::system::error_code& error) {
          attempt->done = true;
          attempt->error = error;
          wakeup->WakeHere();
        }));
  }

  void Win(ConnectAttempt& attempt) {
    result_.socket = std::move(attempt.socket);
    result_.address = attempt.address;
  }

  void Fail(ConnectAttempt& attempt) {
    if (!attempt.done) attempt.error = asio::error::timed_out;
    attempt.Close();
    result_.unfit.push_back(attempt.address);
    absl::StrAppend(&result_.causes, result_.causes.empty() ? "" : "; ",
                    attempt.address.address().to_string(), " port ", attempt.address.port(), ": ",
                    attempt.error.message());
  }

  const asio::any_io_executor executor_;
  const asio::any_io_executor strand_;
  const std::vector<tcp::endpoint> addresses_;
  const std::chrono::milliseconds connect_timeout_;
  const std::shared_ptr<Wakeup> wakeup_ = std::make_shared<Wakeup>(strand_);
  std::size_t next_ = 0;  // in `addresses_`
  RaceClock::time_point next_begins_;
  std::vector<ConnectAttemptPtr> running_;
  ConnectRaceResult result_;
};

}  // namespace

asio::awaitable<ConnectRaceResult> RaceToConnect(asio::any_io_executor executor,
                                                 std::vector<tcp::endpoint> addresses,
                                                 std::chrono::milliseconds connect_timeout,
                                                 RaceClock::time_point deadline) {
  co_await asio::this_coro::throw_if_cancelled(false);
  ConnectRace race(std::move(executor), co_await asio::this_coro::executor, std::move(addresses),
                   connect_timeout);
  const auto wakeup = race.wakeup();
  while (race.Step(RaceClock::now())) {
    if (co_await Cancelled() || RaceClock::now() >= deadline) break;
    // No wake is lost before this: handlers wait for the strand.
    co_await wakeup->WaitUntil(std::min(deadline, race.next_step()));
  }
  co_return race.TakeResult();
}

}  // namespace leasegateway
