#include "upstream/resilience/rate_queue.h"

#include <gtest/gtest.h>

#include <list>
#include <optional>
#include <string>
#include <thread>

#include "tests/support/fake_calls.h"

namespace leasegateway {
namespace {

namespace asio = boost::asio;
using std::chrono::milliseconds;
using std::chrono::seconds;

class RateQueueTest : public testing::Test {
 protected:
  struct Turn {
    absl::Status status = absl::UnknownError("still waiting");
    FakeTime::TimePoint at;
    asio::cancellation_signal cancellation;
    bool waits() const { return status.code() == absl::StatusCode::kUnknown; }
  };

  static asio::awaitable<void> Take(RateQueueTest* test, Turn& turn, FakeTime::TimePoint deadline,
                                    bool background, std::string share) {
    auto taking = test->queue_->Take(deadline, background, std::move(share));
    turn.status = co_await std::move(taking);
    turn.at = test->time_.now();
  }
  // As a call does it.
  Turn& Start(const std::string& share, milliseconds timeout = seconds(60),
              bool background = false) {
    Turn& turn = turns_.emplace_back();
    if (queue_->TakeNow(time_.now())) {
      turn.status = absl::OkStatus();
      turn.at = time_.now();
      return turn;
    }
    asio::co_spawn(asio::make_strand(io_),
                   Take(this, turn, time_.now() + timeout, background, share),
                   asio::bind_cancellation_slot(turn.cancellation.slot(), asio::detached));
    FakeTime::Run(io_);
    return turn;
  }
  void Make(double rate) {
    queue_.emplace(rate, time_.environment());
    ASSERT_TRUE(queue_->TakeNow(time_.now()));  // the one that is there at first
  }
  // Of the turns that were had, since the start of the test.
  milliseconds After(const Turn& turn) const {
    return std::chrono::round<milliseconds>(turn.at - begun_);
  }

  asio::io_context io_;
  FakeTime time_;
  const FakeTime::TimePoint begun_ = time_.now();
  std::optional<RateQueue> queue_;
  std::list<Turn> turns_;
};

TEST_F(RateQueueTest, NoLimitNoWait) {
  queue_.emplace(0, time_.environment());
  for (int i = 0; i < 1'000; ++i) EXPECT_TRUE(queue_->TakeNow(time_.now()));
}

TEST_F(RateQueueTest, CallersOfNobodyAreServedInOrder) {
  Make(10);
  const Turn& first = Start("");
  const Turn& second = Start("");
  time_.Advance(seconds(1), io_);
  EXPECT_TRUE(first.status.ok() && second.status.ok());
  EXPECT_EQ(After(first), milliseconds(100));
  EXPECT_EQ(After(second), milliseconds(200));
}

TEST_F(RateQueueTest, SharesTakeTurns) {
  Make(10);
  std::vector<const Turn*> greedy;
  for (int i = 0; i < 6; ++i) greedy.push_back(&Start("a"));
  const Turn& modest = Start("b");
  const Turn& other = Start("c");
  time_.Advance(seconds(2), io_);
  EXPECT_EQ(After(*greedy[0]), milliseconds(100));
  EXPECT_EQ(After(modest), milliseconds(200));
  EXPECT_EQ(After(other), milliseconds(300));
  EXPECT_EQ(After(*greedy[1]), milliseconds(400));
  EXPECT_EQ(After(*greedy[5]), milliseconds(800));
  for (const Turn& turn : turns_) EXPECT_TRUE(turn.status.ok());
}

TEST_F(RateQueueTest, OneThatHasAThousandWaitingDelaysAnotherByOneToken) {
  Make(100);
  for (int i = 0; i < 1'000; ++i) Start("a");
  const Turn& modest = Start("b", milliseconds(50));
  time_.Advance(milliseconds(21), io_);
  EXPECT_TRUE(modest.status.ok());
  EXPECT_EQ(After(modest), milliseconds(20));
  time_.Advance(seconds(3), io_);
}

TEST_F(RateQueueTest, WhoWouldWaitForLongerThanASecondIsRefused) {
  Make(10);
  int waiting = 0;
  for (int i = 0; i < 20; ++i) waiting += Start("a").waits();
  EXPECT_EQ(waiting, 10);
  const Turn& refused = Start("a");
  EXPECT_EQ(refused.status.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(ReasonOf(refused.status), reason::kUpstreamRateLimited);
  EXPECT_EQ(MetadataOf(refused.status)["request_sent"], "false");
  EXPECT_EQ(RetryDelayOf(refused.status), milliseconds(1'100));
  EXPECT_TRUE(Start("b").waits());
  EXPECT_EQ(ReasonOf(Start("c", milliseconds(250)).status), reason::kUpstreamRateLimited);
  time_.Advance(seconds(3), io_);
}

TEST_F(RateQueueTest, BackgroundTakesWhatNobodyWaitsFor) {
  Make(10);
  const Turn& caller = Start("a");
  queue_->limiter().GiveBack();  // one is there, and the caller has not heard of it
  EXPECT_EQ(ReasonOf(Start("", seconds(60), true).status), reason::kUpstreamRateLimited);
  time_.Advance(milliseconds(100), io_);
  EXPECT_TRUE(caller.status.ok());
  EXPECT_FALSE(Start("", seconds(60), true).status.ok());
  time_.Advance(milliseconds(100), io_);
  EXPECT_TRUE(Start("", seconds(60), true).status.ok());
}

// The token is due, and the first of the line has not run yet.
TEST_F(RateQueueTest, TokenThatSomebodyWaitsForIsNotTakenByOthers) {
  Make(10);
  const Turn& caller = Start("a");
  EXPECT_FALSE(queue_->TakeNow(time_.now() + milliseconds(150)));
  time_.Advance(milliseconds(150), io_);
  EXPECT_TRUE(caller.status.ok());
}

TEST_F(RateQueueTest, CancelledFirstLeavesTheTurnToTheNext) {
  Make(10);
  Turn& first = Start("a");
  const Turn& second = Start("a");
  const Turn& third = Start("b");
  first.cancellation.emit(asio::cancellation_type::terminal);
  FakeTime::Run(io_);
  EXPECT_EQ(ReasonOf(first.status), reason::kCancelled);
  EXPECT_EQ(MetadataOf(first.status)["request_sent"], "false");
  time_.Advance(seconds(1), io_);
  EXPECT_EQ(After(second), milliseconds(100));
  EXPECT_EQ(After(third), milliseconds(200));
}

TEST_F(RateQueueTest, CancelledCallOfNobodyGivesItsTokenBack) {
  Make(10);
  Turn& first = Start("");
  first.cancellation.emit(asio::cancellation_type::terminal);
  FakeTime::Run(io_);
  EXPECT_EQ(ReasonOf(first.status), reason::kCancelled);
  time_.Advance(milliseconds(100), io_);
  EXPECT_TRUE(queue_->TakeNow(time_.now()));
}

TEST_F(RateQueueTest, PauseThatComesLaterEndsTheWaitAtLast) {
  Make(10);
  const Turn& early = Start("a", milliseconds(500));
  const Turn& late = Start("a");
  queue_->limiter().Refused(time_.now(), seconds(5));
  time_.Advance(milliseconds(499), io_);
  EXPECT_TRUE(early.waits());
  time_.Advance(milliseconds(1), io_);
  EXPECT_EQ(ReasonOf(early.status), reason::kDeadline);
  EXPECT_EQ(MetadataOf(early.status)["request_sent"], "false");
  time_.Advance(milliseconds(1'500), io_);
  EXPECT_EQ(ReasonOf(late.status), reason::kUpstreamRateLimited);
  EXPECT_TRUE(RetryDelayOf(late.status));
}

asio::awaitable<void> TakeMany(RateQueue& queue, std::string share, int turns,
                               std::atomic<int>& ended) {
  for (int i = 0; i < turns; ++i) {
    const auto now = std::chrono::steady_clock::now();
    if (!queue.TakeNow(now)) {
      auto taking = queue.Take(now + seconds(60), i % 5 == 0, share);
      const absl::Status taken = co_await std::move(taking);
      EXPECT_EQ(ReasonOf(taken), taken.ok() ? "" : reason::kUpstreamRateLimited);
    }
    ++ended;
  }
}

TEST(RateQueue, ManyCallsOnTwoThreads) {
  constexpr int kCalls = 50;
  constexpr int kTurns = 20;
  asio::io_context io;
  RateQueue queue(20'000, MakeCallEnvironment());
  std::atomic<int> ended{0};
  for (int i = 0; i < kCalls; ++i) {
    asio::co_spawn(asio::make_strand(io), TakeMany(queue, std::to_string(i % 7), kTurns, ended),
                   asio::detached);
  }
  std::thread other([&] { io.run(); });
  io.run();
  other.join();
  EXPECT_EQ(ended, kCalls * kTurns);
}

}  // namespace
}  // namespace leasegateway
