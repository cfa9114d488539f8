#include "upstream/leasing/journal/postgres/lost_answers.h"

#include <openssl/rand.h>

#include <algorithm>
#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <chrono>
#include <limits>

namespace leasegateway {

namespace asio = boost::asio;

namespace {

constexpr std::chrono::milliseconds kShortestRest{2};
constexpr std::chrono::milliseconds kLongestRest{50};

}  // namespace

std::int64_t DrawAttempt() {
  std::int64_t drawn = 0;
  while (drawn == 0) {
    RAND_bytes(reinterpret_cast<unsigned char*>(&drawn), sizeof(drawn));
    drawn &= std::numeric_limits<std::int64_t>::max();
  }
  return drawn;
}

asio::awaitable<void> RestAfter(int tries) {
  const auto rest = std::min(kShortestRest * (1 << std::min(tries, 10)), kLongestRest);
  asio::steady_timer timer(co_await asio::this_coro::executor, rest);
  boost::system::error_code ignored;
  co_await timer.async_wait(asio::bind_cancellation_slot(
      asio::cancellation_slot(), asio::redirect_error(asio::use_awaitable, ignored)));
}

}  // namespace leasegateway
