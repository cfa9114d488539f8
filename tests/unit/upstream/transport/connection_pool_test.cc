#include "upstream/transport/connection_pool.h"

#include <gtest/gtest.h>

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/strand.hpp>
#include <optional>
#include <thread>
#include <vector>

#include "upstream/upstream_error.h"

namespace leasegateway {
namespace {

namespace asio = boost::asio;
using Clock = std::chrono::steady_clock;

HttpsOptions Small(int connections, int waiters) {
  HttpsOptions options;
  options.host = "localhost";
  options.max_connections = connections;
  options.max_waiters = waiters;
  return options;
}

// What a call got, and what it holds.
struct Call {
  absl::Status status = absl::UnknownError("still waiting");
  std::optional<ConnectionPool::Lease> lease;
  asio::cancellation_signal cancellation;
};

asio::awaitable<void> Take(ConnectionPool& pool, Call& call, Clock::time_point deadline) {
  auto lease = co_await pool.Acquire(deadline);
  call.status = lease.status();
  if (lease.ok()) call.lease.emplace(*std::move(lease));
}

class ConnectionPoolTest : public testing::Test {
 protected:
  void Start(Call& call, Clock::time_point deadline = Clock::now() + std::chrono::minutes(1)) {
    asio::co_spawn(asio::make_strand(io_), Take(*pool_, call, deadline),
                   asio::bind_cancellation_slot(call.cancellation.slot(), asio::detached));
    Run();
  }
  // Everything that is ready, and nothing that must be waited for.
  void Run() {
    io_.restart();
    io_.poll();
  }
  void Make(int connections, int waiters) {
    pool_.emplace(io_.get_executor(), *MakeTlsContext(""), Small(connections, waiters));
    Run();
  }

  asio::io_context io_;
  std::optional<ConnectionPool> pool_;
};

TEST_F(ConnectionPoolTest, WaitersAreServedInOrder) {
  Make(1, 10);
  Call first, second, third;
  Start(first);
  Start(second);
  Start(third);
  EXPECT_TRUE(first.status.ok());
  EXPECT_FALSE(second.lease || third.lease);
  EXPECT_EQ(pool_->counts().waiting, 2);
  first.lease.reset();
  Run();
  EXPECT_TRUE(second.lease);
  EXPECT_FALSE(third.lease);
  second.lease.reset();
  Run();
  EXPECT_TRUE(third.lease);
  third.lease.reset();
  EXPECT_EQ(pool_->counts().open, 0);
}

TEST_F(ConnectionPoolTest, FullQueueIsOverloaded) {
  Make(1, 1);
  Call first, second, third;
  Start(first);
  Start(second);
  Start(third);
  EXPECT_EQ(third.status.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(ReasonOf(third.status), reason::kOverloaded);
  EXPECT_TRUE(RetryDelayOf(third.status));
  first.lease.reset();
  Run();
}

TEST_F(ConnectionPoolTest, DeadlineEndsTheWait) {
  Make(1, 1);
  Call first, second;
  Start(first);
  Start(second, Clock::now() - std::chrono::seconds(1));
  Run();
  EXPECT_EQ(ReasonOf(second.status), reason::kDeadline);
  EXPECT_EQ(pool_->counts().waiting, 0);
}

TEST_F(ConnectionPoolTest, CancellationEndsTheWait) {
  Make(1, 1);
  Call first, second;
  Start(first);
  Start(second);
  second.cancellation.emit(asio::cancellation_type::terminal);
  Run();
  EXPECT_EQ(second.status.code(), absl::StatusCode::kCancelled);
  EXPECT_EQ(ReasonOf(second.status), reason::kCancelled);
  EXPECT_EQ(pool_->counts().waiting, 0);
}

// The place is granted in the moment in which the waiter is cancelled: it must not be lost.
TEST_F(ConnectionPoolTest, PlaceGrantedToACancelledWaiterIsNotLost) {
  Make(1, 2);
  Call first, second, third;
  Start(first);
  Start(second);
  first.lease.reset();  // grants; the waiter has not run yet
  second.cancellation.emit(asio::cancellation_type::terminal);
  Run();
  second.lease.reset();
  Start(third);
  EXPECT_TRUE(third.status.ok());
  third.lease.reset();
  EXPECT_EQ(pool_->counts().open, 0);
}

asio::awaitable<void> Churn(ConnectionPool& pool, int turns, std::atomic<int>& done) {
  for (int i = 0; i < turns; ++i) {
    auto lease = co_await pool.Acquire(Clock::now() + std::chrono::minutes(1));
    if (lease.ok()) ++done;
  }
}

TEST_F(ConnectionPoolTest, ManyCallsOnTwoThreads) {
  constexpr int kCalls = 200;
  constexpr int kTurns = 50;
  pool_.emplace(io_.get_executor(), *MakeTlsContext(""), Small(4, kCalls));
  std::atomic<int> done{0};
  for (int i = 0; i < kCalls; ++i) {
    asio::co_spawn(asio::make_strand(io_), Churn(*pool_, kTurns, done), asio::detached);
  }
  std::thread other;
  {
    other = std::thread([this, &done] {
      while (done < kCalls * kTurns) io_.run_for(std::chrono::milliseconds(5));
    });
    while (done < kCalls * kTurns) io_.run_for(std::chrono::milliseconds(5));
  }
  other.join();
  EXPECT_EQ(done, kCalls * kTurns);
  Run();
  EXPECT_EQ(pool_->counts().open, 0);
  EXPECT_EQ(pool_->counts().waiting, 0);
}

}  // namespace
}  // namespace leasegateway
