#include "upstream/transport/connection_pool.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/strand.hpp>
#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "tests/support/fake_calls.h"
#include "tests/support/https_client_fixture.h"
#include "tests/support/many_connections.h"
#include "upstream/upstream_error.h"

namespace leasegateway {
namespace {

namespace asio = boost::asio;
using std::chrono::milliseconds;
using std::chrono::seconds;
using ::testing::HasSubstr;
using Clock = std::chrono::steady_clock;
using Connection = ConnectionPool::Connection;

// What a call got, and what it holds.
struct Call {
  absl::Status status = absl::UnknownError("still waiting");
  std::optional<ConnectionPool::Lease> lease;
  asio::cancellation_signal cancellation;

  const HttpsConnection* connection() { return lease ? lease->operator->() : nullptr; }
};

asio::awaitable<void> Take(std::shared_ptr<ConnectionPool> pool, Call& call, Deadline deadline) {
  auto lease = co_await pool->Acquire(deadline);
  call.status = lease.status();
  if (lease.ok()) call.lease.emplace(*std::move(lease));
}

// The test decides when a connection that is being opened is ready, and whether it is.
class Opener {
 public:
  explicit Opener(std::function<Connection()> make) : make_(std::move(make)) {}

  asio::awaitable<absl::StatusOr<Connection>> Open() {
    ++begun;
    if (breaks) throw std::runtime_error("broken");
    if (at_once) co_return make_();
    const auto opening = std::make_shared<Opening>(co_await asio::this_coro::executor);
    openings_.push_back(opening);
    co_await opening->wakeup->WaitUntil(Clock::now() + std::chrono::hours(24));
    if (!opening->outcome) {
      ++called_off;
      co_return CancelledError("connecting");
    }
    if (!opening->outcome->ok()) co_return *opening->outcome;
    co_return make_();
  }
  // One of those under way, the one that was begun first unless told otherwise.
  void Finish(const absl::Status& outcome = absl::OkStatus(), std::ptrdiff_t which = 0) {
    const auto opening = openings_[static_cast<std::size_t>(which)];
    openings_.erase(openings_.begin() + which);
    opening->outcome = outcome;
    Wakeup::Wake(opening->wakeup);
  }

  int begun = 0;
  int called_off = 0;
  bool at_once = true;
  bool breaks = false;

 private:
  struct Opening {
    explicit Opening(const asio::any_io_executor& executor)
        : wakeup(std::make_shared<Wakeup>(executor)) {}
    const std::shared_ptr<Wakeup> wakeup;
    std::optional<absl::Status> outcome;
  };
  const std::function<Connection()> make_;
  std::vector<std::shared_ptr<Opening>> openings_;
};

class ConnectionPoolTest : public HttpsClientTest {
 protected:
  void TearDown() override {
    if (pool_) pool_->Stop();
    Run();
  }
  void Start(Call& call, Deadline deadline = Clock::now() + std::chrono::minutes(1)) {
    asio::co_spawn(asio::make_strand(io_), Take(pool_, call, deadline),
                   asio::bind_cancellation_slot(call.cancellation.slot(), asio::detached));
    Run();
  }
  // Everything that is ready, and nothing that must be waited for.
  void Run() { FakeTime::Run(io_); }
  void Advance(Clock::duration time) { time_.Advance(time, io_); }
  void Make(int connections, int waiters = 100) {
    options_.max_connections = connections;
    options_.max_waiters = waiters;
    pool_ = ConnectionPool::Make(
        io_.get_executor(), [this] { return opener_.Open(); }, options_, time_.environment());
    Run();
  }

  FakeTime time_;
  const std::shared_ptr<asio::ssl::context> tls_ = *MakeTlsContext("");
  Opener opener_{[this] { return NewConnection(tls_); }};
  std::shared_ptr<ConnectionPool> pool_;
};

TEST_F(ConnectionPoolTest, WaitersAreServedInOrder) {
  Make(1);
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
  EXPECT_THAT(std::string(third.status.message()),
              HasSubstr("all 1 connections to the provider are in use and 1 calls wait"));
  EXPECT_TRUE(RetryDelayOf(third.status));
  first.lease.reset();
  Run();
}

// Those for which a connection is being opened are not in the queue, however short it is.
TEST_F(ConnectionPoolTest, OpeningIsNotQueueing) {
  opener_.at_once = false;
  Make(2, 0);
  Call first, second, third;
  Start(first);
  Start(second);
  EXPECT_EQ(pool_->counts().waiting, 0);
  EXPECT_EQ(pool_->counts().open, 2);
  Start(third);
  EXPECT_EQ(ReasonOf(third.status), reason::kOverloaded);
  opener_.Finish();
  opener_.Finish();
  Run();
  EXPECT_TRUE(first.lease && second.lease);
  EXPECT_TRUE(first.lease->fresh());
}

TEST_F(ConnectionPoolTest, DeadlineEndsTheWait) {
  Make(1, 1);
  Call first, second;
  Start(first);
  Start(second, Clock::now() - seconds(1));
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

// The connection is granted in the moment in which the waiter is cancelled: it must not be lost.
TEST_F(ConnectionPoolTest, PlaceGrantedToACancelledWaiterIsNotLost) {
  Make(1, 2);
  Call first, second, third;
  Start(first);
  Start(second);
  first.lease->Recycle();  // grants; the waiter has not run yet
  second.cancellation.emit(asio::cancellation_type::terminal);
  Run();
  second.lease.reset();
  Start(third);
  EXPECT_TRUE(third.status.ok());
  third.lease.reset();
  EXPECT_EQ(pool_->counts().open, 0);
}

TEST_F(ConnectionPoolTest, WaiterTakesWhatComesFreeFirst) {
  Make(2);
  Call first, second;
  Start(first);
  const auto* const connection = first.connection();
  opener_.at_once = false;
  Start(second);
  EXPECT_FALSE(second.lease);
  EXPECT_EQ(opener_.begun, 2);
  first.lease->Recycle();
  Run();
  EXPECT_EQ(second.connection(), connection) << "and not the one that is being opened";
  EXPECT_FALSE(second.lease->fresh());
  // What was opened for it is kept, and nothing else is opened for who comes meanwhile.
  Call third;
  Start(third);
  EXPECT_EQ(opener_.begun, 2);
  opener_.Finish();
  Run();
  EXPECT_TRUE(third.lease);
}

TEST_F(ConnectionPoolTest, NoMoreAreOpenedThanCallsWait) {
  opener_.at_once = false;
  Make(64);
  std::vector<Call> calls(5);
  for (auto& call : calls) Start(call);
  EXPECT_EQ(opener_.begun, 5);
  for (auto& call : calls) call.cancellation.emit(asio::cancellation_type::terminal);
  Run();
  std::vector<Call> later(6);
  for (auto& call : later) Start(call);
  EXPECT_EQ(opener_.begun, 6) << "five were on their way";
  for (int i = 0; i < 6; ++i) opener_.Finish();
  Run();
  for (auto& call : later) EXPECT_TRUE(call.lease);
  EXPECT_EQ(pool_->counts().idle, 0);
}

TEST_F(ConnectionPoolTest, FailedOpeningFailsOneCall) {
  opener_.at_once = false;
  Make(64);
  Call first, second;
  Start(first);
  Start(second);
  opener_.Finish(absl::UnavailableError("refused"));
  Run();
  EXPECT_EQ(first.status.message(), "refused");
  EXPECT_EQ(second.status.message(), "still waiting");
  opener_.Finish();
  Run();
  EXPECT_TRUE(second.lease);
  second.lease.reset();
  EXPECT_EQ(pool_->counts().open, 0);
}

// It is no fault of a call that came late that what was begun before it fails.
TEST_F(ConnectionPoolTest, WhoComesDuringAnOpeningGetsOneOfItsOwn) {
  opener_.at_once = false;
  Make(64);
  Call first, second;
  Start(first);
  first.cancellation.emit(asio::cancellation_type::terminal);
  Run();
  Start(second);
  EXPECT_EQ(opener_.begun, 1);
  opener_.Finish(absl::UnavailableError("timed out"));
  Run();
  EXPECT_EQ(second.status.message(), "still waiting");
  EXPECT_EQ(opener_.begun, 2);
  opener_.Finish();
  Run();
  EXPECT_TRUE(second.lease);
}

TEST_F(ConnectionPoolTest, FailedOpeningFailsNobodyAsLongAsThereAreEnough) {
  opener_.at_once = false;
  Make(64);
  Call first, second;
  Start(first);
  Start(second);
  first.cancellation.emit(asio::cancellation_type::terminal);
  Run();
  opener_.Finish(absl::UnavailableError("refused"), 1);
  Run();
  EXPECT_EQ(second.status.message(), "still waiting");
  opener_.Finish();
  Run();
  EXPECT_TRUE(second.lease);
  EXPECT_EQ(opener_.begun, 2);
}

TEST_F(ConnectionPoolTest, FailedOpeningMakesRoomForTheNext) {
  opener_.at_once = false;
  Make(1);
  Call first, second;
  Start(first);
  Start(second);
  EXPECT_EQ(opener_.begun, 1);
  opener_.Finish(absl::UnavailableError("refused"));
  Run();
  EXPECT_FALSE(first.status.ok());
  EXPECT_EQ(opener_.begun, 2);
  opener_.Finish();
  Run();
  EXPECT_TRUE(second.lease);
}

// As when memory is short: its place would be lost, and who waits would wait in vain.
TEST_F(ConnectionPoolTest, OpeningThatBreaksFailsLikeAnyOther) {
  Make(1);
  opener_.breaks = true;
  Call first, second;
  Start(first);
  EXPECT_EQ(ReasonOf(first.status), reason::kInternal) << first.status;
  EXPECT_EQ(pool_->counts().open, 0);
  opener_.breaks = false;
  Start(second);
  EXPECT_TRUE(second.lease);
}

TEST_F(ConnectionPoolTest, StopCallsOffWhatIsBeingOpened) {
  opener_.at_once = false;
  options_.warm_connections = 1;
  Make(64);
  Call call;
  Start(call);
  call.cancellation.emit(asio::cancellation_type::terminal);
  Run();
  EXPECT_EQ(opener_.begun, 1);
  pool_->Stop();
  io_.restart();
  io_.run();  // comes back as nothing is left, sweeps included
  EXPECT_EQ(opener_.called_off, 1);
  EXPECT_EQ(pool_->counts().open, 0);
}

TEST_F(ConnectionPoolTest, WarmOnesAreOpenedAtOnceAndAgainAfterAPause) {
  opener_.at_once = false;
  options_.warm_connections = 3;
  Make(2);
  EXPECT_EQ(opener_.begun, 2) << "never more than max_connections";
  opener_.Finish();
  opener_.Finish(absl::UnavailableError("refused"));
  Run();
  EXPECT_EQ(pool_->counts().idle, 1);
  Advance(milliseconds(900));
  EXPECT_EQ(opener_.begun, 2) << "not at once, as it failed";
  Advance(seconds(2));
  EXPECT_EQ(opener_.begun, 3);
  opener_.Finish(absl::UnavailableError("refused"));
  Advance(milliseconds(1'900));
  EXPECT_EQ(opener_.begun, 3) << "the pause grows";
  Advance(seconds(2));
  EXPECT_EQ(opener_.begun, 4);
}

// A call takes one of them without waiting, though none has called for long.
TEST_F(ConnectionPoolTest, WarmOneIsReplacedBeforeItIsIdleTooLong) {
  options_.warm_connections = 1;
  Make(4);
  EXPECT_EQ(opener_.begun, 1);
  for (int i = 0; i < 400; ++i) {
    Advance(milliseconds(250));
    ASSERT_GE(pool_->counts().idle, 1) << i;
    ASSERT_LE(pool_->counts().idle, 2) << i;
  }
  EXPECT_GE(opener_.begun, 3);
  EXPECT_LE(opener_.begun, 5);
  // The one before is there until the next one is, though that takes its time.
  const int begun = opener_.begun;
  opener_.at_once = false;
  for (int i = 0; i < 200 && opener_.begun == begun; ++i) Advance(milliseconds(250));
  EXPECT_EQ(opener_.begun, begun + 1);
  EXPECT_EQ(pool_->counts().idle, 1);
}

TEST_F(ConnectionPoolTest, NothingIsOpenedThatNobodyAskedFor) {
  Make(4);
  Advance(seconds(100));
  EXPECT_EQ(opener_.begun, 0);
}

// With connections that something is at the other end of.
class LivePoolTest : public ConnectionPoolTest {
 protected:
  static constexpr seconds kIdle{30};

  void SetUp() override {
    options_.idle_timeout = kIdle;
    options_.max_age = milliseconds(0);
  }
  void Make(int connections) {
    options_.max_connections = connections;
    pool_ = ConnectionPool::Make(
        io_.get_executor(), [this] { return OpenOne(this); }, options_, environment());
  }
  // Time goes by when the test says so, and no sweep comes of itself.
  CallEnvironment environment() {
    auto environment = time_.environment();
    environment.wait = [](const std::shared_ptr<Wakeup>& wakeup, Deadline) {
      return wakeup->WaitUntil(Clock::now() + std::chrono::hours(24));
    };
    return environment;
  }
  static asio::awaitable<absl::StatusOr<Connection>> OpenOne(LivePoolTest* self) {
    auto connection = self->NewConnection(self->trusting_);
    auto connecting = connection->Connect(*self->dialer_, Soon());
    auto status = co_await std::move(connecting);
    if (!status.ok()) co_return status;
    co_return connection;
  }
  // A connection with which a call was answered.
  void Use(Call& call) {
    Start(call);
    UseOnceServed(call);
  }
  void UseOnceServed(Call& call) {
    while (!call.lease && !call.status.ok() && call.status.message() == "still waiting") {
      io_.run_one_for(seconds(5));
    }
    ASSERT_TRUE(call.lease) << call.status;
    EXPECT_EQ(Get(**call.lease).failure, HttpsConnection::Result::Failure::kNone);
  }
  static void Return(Call& call) {
    call.lease->Recycle();
    call.lease.reset();
    call.status = absl::UnknownError("still waiting");
  }
  int opened() const { return server_.full() + server_.resumed(); }

  ManyConnectionsServer server_;
  const std::shared_ptr<asio::ssl::context> trusting_ = Trusting(server_.ca());
  const std::unique_ptr<Dialer> dialer_ = DialerTo({Loopback(server_.port())});
};

TEST_F(LivePoolTest, ConnectionUsedLastIsTakenFirst) {
  Make(4);
  Call first, second, third;
  Use(first);
  Use(second);
  Use(third);
  const auto* const one = first.connection();
  const auto* const other = third.connection();
  Return(first);
  Return(second);
  Return(third);
  Call again;
  Use(again);
  EXPECT_EQ(again.connection(), other);
  Return(again);
  // In another order, so that it isn't the order in which they were opened.
  Call a, b, c;
  Use(a);
  Use(b);
  Use(c);
  EXPECT_EQ(c.connection(), one);
  Return(a);
  Return(b);
  Return(c);
  Use(again);
  EXPECT_EQ(again.connection(), one);
  EXPECT_EQ(opened(), 3);
}

TEST_F(LivePoolTest, ConnectionThatIdledTooLongIsNotTaken) {
  Make(4);
  Call first;
  Use(first);
  Return(first);
  Advance(kIdle - milliseconds(1));
  Call second;
  Use(second);
  EXPECT_EQ(opened(), 1);
  EXPECT_FALSE(second.lease->fresh());
  Return(second);
  Advance(kIdle);
  Call third;
  Use(third);
  EXPECT_EQ(opened(), 2);
  EXPECT_TRUE(third.lease->fresh());
  EXPECT_EQ(pool_->counts().open, 1);
}

TEST_F(LivePoolTest, ConnectionThatIsTooOldIsReplaced) {
  options_.max_age = std::chrono::minutes(5);
  Make(1);
  Call call;
  // Busy all the time, so that it is never idle for long.
  for (Clock::duration age{}; age < std::chrono::minutes(4); age += seconds(20)) {
    Use(call);
    Return(call);
    Advance(seconds(20));
  }
  EXPECT_EQ(opened(), 1);
  Use(call);
  Advance(std::chrono::minutes(1));
  EXPECT_EQ(Get(**call.lease).failure, HttpsConnection::Result::Failure::kNone)
      << "who has it keeps it";
  Call waiting;
  Start(waiting);
  Return(call);
  UseOnceServed(waiting);
  EXPECT_EQ(opened(), 2) << "not even who waits gets it";
  EXPECT_TRUE(waiting.lease->fresh());
  EXPECT_EQ(pool_->counts().open, 1);
}

TEST_F(LivePoolTest, IdleConnectionGetsTooOld) {
  options_.max_age = seconds(20);
  Make(4);
  Call first, second;
  Use(first);
  Return(first);
  Advance(seconds(20));
  Use(second);
  EXPECT_EQ(opened(), 2);
}

TEST_F(LivePoolTest, ConnectionThatWasClosedIsNotTaken) {
  Make(4);
  Call first, second;
  Use(first);
  Return(first);
  server_.CutAll();
  Use(second);
  EXPECT_EQ(opened(), 2);
  EXPECT_EQ(pool_->counts().open, 1);
}

// The tickets of TLS 1.3 come after the handshake; here nobody waits for an answer after them.
TEST_F(LivePoolTest, TicketsDoNotSpoilAConnectionThatServedNobody) {
  options_.warm_connections = 1;
  Make(4);
  while (pool_->counts().idle == 0) io_.run_one_for(seconds(5));
  std::this_thread::sleep_for(milliseconds(50));  // until they are there, which is no promise
  for (int i = 0; i < 3; ++i) {
    Call call;
    Use(call);
    Return(call);
  }
  EXPECT_EQ(opened(), 1);
}

TEST_F(LivePoolTest, ThoseIdleForAsLongAreNotTrusted) {
  Make(4);
  std::vector<Call> calls(3);
  for (auto& call : calls) Use(call);
  for (auto& call : calls) {
    Return(call);
    Advance(seconds(1));
  }
  Call dead, next;
  Use(calls[0]);  // the newest
  Return(calls[0]);
  Start(dead);
  Start(next);
  EXPECT_EQ(pool_->counts().idle, 1);
  next.lease->Distrust();
  EXPECT_EQ(pool_->counts().idle, 0);
  EXPECT_EQ(pool_->counts().open, 2);
}

asio::awaitable<void> Churn(std::shared_ptr<ConnectionPool> pool, int turns,
                            std::atomic<int>& done) {
  for (int i = 0; i < turns; ++i) {
    auto lease = co_await pool->Acquire(Clock::now() + std::chrono::minutes(1));
    if (!lease.ok()) continue;
    ++done;
    if (i % 2 == 0) lease->Recycle();
  }
}

asio::awaitable<absl::StatusOr<Connection>> Unconnected(asio::any_io_executor executor,
                                                        std::shared_ptr<asio::ssl::context> tls,
                                                        const HttpsOptions& options) {
  co_return std::make_unique<HttpsConnection>(executor, tls, options);
}

TEST_F(ConnectionPoolTest, ManyCallsOnTwoThreads) {
  constexpr int kCalls = 200;
  constexpr int kTurns = 50;
  options_.max_connections = 4;
  pool_ = ConnectionPool::Make(
      io_.get_executor(), [this] { return Unconnected(io_.get_executor(), tls_, options_); },
      options_);
  std::atomic<int> done{0};
  for (int i = 0; i < kCalls; ++i) {
    asio::co_spawn(asio::make_strand(io_), Churn(pool_, kTurns, done), asio::detached);
  }
  std::thread other;
  {
    other = std::thread([this, &done] {
      while (done < kCalls * kTurns) io_.run_for(milliseconds(5));
    });
    while (done < kCalls * kTurns) io_.run_for(milliseconds(5));
  }
  other.join();
  EXPECT_EQ(done, kCalls * kTurns);
  pool_->Stop();
  Run();
  EXPECT_EQ(pool_->counts().open, 0);
  EXPECT_EQ(pool_->counts().waiting, 0);
}

}  // namespace
}  // namespace leasegateway
