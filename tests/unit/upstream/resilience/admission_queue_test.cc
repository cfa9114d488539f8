#include "upstream/resilience/admission_queue.h"

#include <gtest/gtest.h>

#include <atomic>
#include <list>
#include <string>
#include <thread>
#include <vector>

#include "tests/support/fake_calls.h"

namespace leasegateway {
namespace {

namespace asio = boost::asio;
using std::chrono::milliseconds;
using std::chrono::seconds;

// What a call got, and what it holds.
struct Call {
  absl::Status status = absl::UnknownError("still waiting");
  std::optional<AdmissionQueue::Place> place;
  asio::cancellation_signal cancellation;
};

asio::awaitable<void> Take(AdmissionQueue& queue, Call& call, CallEnvironment::TimePoint deadline,
                           bool background, std::string share) {
  auto place = co_await queue.Enter(deadline, background, std::move(share));
  call.status = place.status();
  if (place.ok()) call.place.emplace(*std::move(place));
}

class AdmissionQueueTest : public testing::Test {
 protected:
  void Make(int in_flight, int waiting) {
    AdmissionQueue::Options options;
    options.max_in_flight = in_flight;
    options.max_waiting = waiting;
    queue_.emplace(options, time_.environment());
  }
  Call& Start(milliseconds timeout = seconds(60), bool background = false,
              const std::string& share = "") {
    Call& call = calls_.emplace_back();
    asio::co_spawn(asio::make_strand(io_),
                   Take(*queue_, call, time_.now() + timeout, background, share),
                   asio::bind_cancellation_slot(call.cancellation.slot(), asio::detached));
    FakeTime::Run(io_);
    return call;
  }
  Call& StartOf(const std::string& share, milliseconds timeout = seconds(60)) {
    return Start(timeout, false, share);
  }
  Call& StartBackground() { return Start(seconds(60), true); }
  void End(Call& call) {
    call.place.reset();
    FakeTime::Run(io_);
  }
  // Makes it the mean.
  void Serve(milliseconds time) {
    Call& call = Start();
    ASSERT_TRUE(call.place);
    call.place->Served(time);
    End(call);
  }
  static bool Waits(const Call& call) { return call.status.code() == absl::StatusCode::kUnknown; }

  asio::io_context io_;
  FakeTime time_;
  std::optional<AdmissionQueue> queue_;
  std::list<Call> calls_;
};

TEST_F(AdmissionQueueTest, CallersAreServedInOrder) {
  Make(1, 10);
  Call& first = Start();
  Call& second = Start();
  Call& third = Start();
  EXPECT_TRUE(first.place);
  EXPECT_EQ(queue_->counts().waiting, 2);
  End(first);
  EXPECT_TRUE(second.place);
  EXPECT_TRUE(Waits(third));
  End(second);
  EXPECT_TRUE(third.place);
  End(third);
  EXPECT_EQ(queue_->counts().in_flight, 0);
}

TEST_F(AdmissionQueueTest, BackgroundWaitsBehindAllCallers) {
  Make(1, 10);
  Call& first = Start();
  Call& refresh = StartBackground();
  Call& second = Start();
  End(first);
  EXPECT_TRUE(second.place);
  EXPECT_TRUE(Waits(refresh));
  End(second);
  EXPECT_TRUE(refresh.place);
  End(refresh);
}

TEST_F(AdmissionQueueTest, FullQueueIsOverloaded) {
  Make(1, 1);
  Call& first = Start();
  Call& second = Start();
  Call& third = Start();
  EXPECT_EQ(third.status.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(ReasonOf(third.status), reason::kOverloaded);
  EXPECT_EQ(MetadataOf(third.status)["request_sent"], "false");
  EXPECT_TRUE(RetryDelayOf(third.status));
  End(first);
  End(second);
}

TEST_F(AdmissionQueueTest, FullQueueSendsABackgroundCallAway) {
  Make(1, 2);
  Call& first = Start();
  Call& refresh = StartBackground();
  Call& later_refresh = StartBackground();
  Call& second = Start();
  EXPECT_TRUE(Waits(second));
  EXPECT_TRUE(Waits(refresh));
  EXPECT_EQ(ReasonOf(later_refresh.status), reason::kOverloaded);
  EXPECT_EQ(ReasonOf(StartBackground().status), reason::kOverloaded);
  End(first);
  End(second);
  End(refresh);
}

TEST_F(AdmissionQueueTest, CallThatWouldMissItsDeadlineIsRefusedAtOnce) {
  Make(2, 100);
  Serve(milliseconds(500));
  Call& first = Start();
  Call& second = Start();
  EXPECT_EQ(ReasonOf(Start(milliseconds(250)).status), reason::kOverloaded);
  Call& third = Start(milliseconds(251));
  EXPECT_TRUE(Waits(third));
  End(first);
  End(second);
  EXPECT_TRUE(third.place);
  End(third);
}

TEST_F(AdmissionQueueTest, QueueIsAsLongAsACallTakes) {
  Make(4, 1000);
  Serve(milliseconds(400));
  for (int i = 0; i < 20; ++i) Start();
  EXPECT_EQ(queue_->counts().in_flight, 4);
  EXPECT_EQ(queue_->counts().waiting, 4);
  time_.Advance(seconds(10), io_);
}

TEST_F(AdmissionQueueTest, QuickCallsMayWaitTwentyMilliseconds) {
  Make(1, 1000);
  Serve(milliseconds(2));
  for (int i = 0; i < 20; ++i) Start();
  EXPECT_EQ(queue_->counts().waiting, 10);
  time_.Advance(seconds(10), io_);
}

TEST_F(AdmissionQueueTest, WaitThatTakesLongerThanExpectedEnds) {
  Make(1, 10);
  Serve(milliseconds(100));
  Call& first = Start();
  Call& second = Start();
  time_.Advance(milliseconds(199), io_);
  EXPECT_TRUE(Waits(second));
  time_.Advance(milliseconds(1), io_);
  EXPECT_EQ(ReasonOf(second.status), reason::kOverloaded);
  EXPECT_EQ(queue_->counts().waiting, 0);
  End(first);
}

TEST_F(AdmissionQueueTest, DeadlineEndsTheWait) {
  Make(1, 10);
  Call& first = Start();
  Call& second = Start(milliseconds(300));
  time_.Advance(milliseconds(300), io_);
  EXPECT_EQ(second.status.code(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_EQ(ReasonOf(second.status), reason::kDeadline);
  EXPECT_EQ(MetadataOf(second.status)["request_sent"], "false");
  End(first);
  EXPECT_EQ(queue_->counts().in_flight, 0);
}

TEST_F(AdmissionQueueTest, CancellationEndsTheWait) {
  Make(1, 10);
  Call& first = Start();
  Call& second = Start();
  second.cancellation.emit(asio::cancellation_type::terminal);
  FakeTime::Run(io_);
  EXPECT_EQ(second.status.code(), absl::StatusCode::kCancelled);
  EXPECT_EQ(ReasonOf(second.status), reason::kCancelled);
  EXPECT_EQ(queue_->counts().waiting, 0);
  End(first);
}

// The place is granted in the moment in which the waiter is cancelled: it must not be lost.
TEST_F(AdmissionQueueTest, PlaceGrantedToACancelledWaiterIsNotLost) {
  Make(1, 10);
  Call& first = Start();
  Call& second = Start();
  first.place.reset();  // grants; the waiter has not run yet
  second.cancellation.emit(asio::cancellation_type::terminal);
  FakeTime::Run(io_);
  End(second);
  EXPECT_EQ(queue_->counts().in_flight, 0);
}

TEST_F(AdmissionQueueTest, SharesTakeTurns) {
  Make(1, 1'000);
  Call* place = &StartOf("a");
  std::vector<Call*> greedy;
  for (int i = 0; i < 100; ++i) greedy.push_back(&StartOf("a"));
  Call& modest = StartOf("b");
  Call& other = StartOf("c");
  for (Call* next : {greedy[0], &modest, &other, greedy[1], greedy[2]}) {
    End(*place);
    EXPECT_TRUE(next->place);
    place = next;
  }
  End(*place);
  time_.Advance(seconds(10), io_);
}

// What a call of a share has to wait is what decides, not how many wait.
TEST_F(AdmissionQueueTest, LineOfOneShareDoesNotTurnAnotherAway) {
  Make(4, 1'000);
  Serve(milliseconds(400));
  for (int i = 0; i < 20; ++i) StartOf("a");
  EXPECT_EQ(queue_->counts().waiting, 4);
  EXPECT_EQ(ReasonOf(StartOf("a").status), reason::kOverloaded);
  EXPECT_TRUE(Waits(StartOf("b")));
  EXPECT_EQ(ReasonOf(StartOf("c", milliseconds(300)).status), reason::kOverloaded);
  EXPECT_TRUE(Waits(StartOf("c", milliseconds(301))));
  time_.Advance(seconds(10), io_);
}

TEST_F(AdmissionQueueTest, FullQueueSendsTheLastOfTheLongestShareAway) {
  Make(1, 4);
  Call& first = StartOf("a");
  std::vector<Call*> greedy;
  for (int i = 0; i < 4; ++i) greedy.push_back(&StartOf("a"));
  EXPECT_EQ(ReasonOf(StartOf("a").status), reason::kOverloaded);
  Call& modest = StartOf("b");
  EXPECT_TRUE(Waits(modest));
  EXPECT_EQ(ReasonOf(greedy[3]->status), reason::kOverloaded);
  EXPECT_TRUE(RetryDelayOf(greedy[3]->status));
  EXPECT_TRUE(Waits(*greedy[2]));
  EXPECT_TRUE(Waits(StartOf("b")));
  EXPECT_EQ(ReasonOf(greedy[2]->status), reason::kOverloaded);
  EXPECT_EQ(ReasonOf(StartOf("b").status), reason::kOverloaded) << "each has two";
  EXPECT_EQ(queue_->counts().waiting, 4);
  End(first);
  time_.Advance(seconds(10), io_);
}

TEST_F(AdmissionQueueTest, BackgroundYieldsToEveryShare) {
  Make(1, 2);
  Call& first = StartOf("a");
  Call& refresh = Start(seconds(60), true, "b");
  Call& second = StartOf("a");
  EXPECT_TRUE(Waits(refresh) && Waits(second));
  EXPECT_TRUE(Waits(StartOf("a")));
  EXPECT_EQ(ReasonOf(refresh.status), reason::kOverloaded);
  End(first);
  EXPECT_TRUE(second.place);
  time_.Advance(seconds(10), io_);
}

asio::awaitable<void> Churn(AdmissionQueue& queue, int turns, std::atomic<int>& ended,
                            std::string share) {
  for (int i = 0; i < turns; ++i) {
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::minutes(1);
    auto place = co_await queue.Enter(deadline, i % 3 == 0, share);
    if (place.ok()) place->Served(milliseconds(1));
    ++ended;
  }
}

TEST(AdmissionQueue, ManyCallsOnTwoThreads) {
  constexpr int kCalls = 200;
  constexpr int kTurns = 50;
  asio::io_context io;
  AdmissionQueue::Options options;
  options.max_in_flight = 4;
  options.max_waiting = 50;
  AdmissionQueue queue(options, MakeCallEnvironment());
  std::atomic<int> ended{0};
  for (int i = 0; i < kCalls; ++i) {
    asio::co_spawn(asio::make_strand(io), Churn(queue, kTurns, ended, std::to_string(i % 5)),
                   asio::detached);
  }
  std::thread other([&] { io.run(); });
  io.run();
  other.join();
  EXPECT_EQ(ended, kCalls * kTurns);
  EXPECT_EQ(queue.counts().in_flight, 0);
  EXPECT_EQ(queue.counts().waiting, 0);
}

}  // namespace
}  // namespace leasegateway
