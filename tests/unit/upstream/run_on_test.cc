#include "upstream/run_on.h"

#include <gtest/gtest.h>

#include <boost/asio/io_context.hpp>
#include <boost/asio/strand.hpp>
#include <boost/asio/use_future.hpp>
#include <stdexcept>
#include <thread>
#include <vector>

namespace leasegateway {
namespace {

namespace asio = boost::asio;
using std::chrono::microseconds;

// Whether it was cancelled before `delay` had passed.
asio::awaitable<bool> Work(microseconds delay) {
  co_await asio::this_coro::throw_if_cancelled(false);
  asio::steady_timer timer(co_await asio::this_coro::executor, delay);
  boost::system::error_code ignored;
  co_await timer.async_wait(asio::redirect_error(asio::use_awaitable, ignored));
  const asio::cancellation_state state = co_await asio::this_coro::cancellation_state;
  co_return state.cancelled() != asio::cancellation_type::none;
}

asio::awaitable<bool> Throw() {
  throw std::runtime_error("as it should");
  co_return true;
}

// Runs a call on one strand whose work is on another, and cancels it after `cancel_after`.
struct Call {
  Call(asio::io_context& io, asio::awaitable<bool> work, microseconds cancel_after)
      : strand(asio::make_strand(io)), timer(strand, cancel_after) {
    auto running = RunOn(asio::any_io_executor(asio::make_strand(io)), std::move(work));
    cancelled = asio::co_spawn(strand, std::move(running),
                               asio::bind_cancellation_slot(signal.slot(), asio::use_future));
    timer.async_wait(
        [this](boost::system::error_code) { signal.emit(asio::cancellation_type::terminal); });
  }
  asio::strand<asio::io_context::executor_type> strand;
  asio::cancellation_signal signal;
  asio::steady_timer timer;
  std::future<bool> cancelled;
};

class RunOnTest : public testing::Test {
 protected:
  void Run() {
    std::thread other([this] { io_.run(); });
    io_.run();
    other.join();
  }
  asio::io_context io_{2};
};

TEST_F(RunOnTest, PassesTheResultOn) {
  Call call(io_, Work(microseconds(0)), std::chrono::seconds(1));
  Run();
  EXPECT_FALSE(call.cancelled.get());
}

TEST_F(RunOnTest, PassesACancellationOn) {
  Call call(io_, Work(std::chrono::hours(1)), microseconds(1000));
  Run();
  EXPECT_TRUE(call.cancelled.get());
}

TEST_F(RunOnTest, PassesAnExceptionOn) {
  Call call(io_, Throw(), microseconds(0));
  Run();
  EXPECT_THROW(call.cancelled.get(), std::runtime_error);
}

TEST_F(RunOnTest, CancellationMayComeJustWhenTheWorkEnds) {
  std::vector<std::unique_ptr<Call>> calls;
  for (int i = 0; i < 5000; ++i) {
    calls.push_back(std::make_unique<Call>(io_, Work(microseconds(2000 + i % 50)),
                                           microseconds(2000 + i % 37)));
  }
  Run();
  for (auto& call : calls) call->cancelled.get();  // each has ended, with what it found
}

}  // namespace
}  // namespace leasegateway
