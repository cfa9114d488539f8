#include "upstream/leasing/flight_table.h"

#include <gtest/gtest.h>

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/strand.hpp>
#include <boost/asio/this_coro.hpp>
#include <chrono>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "tests/support/leasing_fixture.h"
#include "upstream/upstream_error.h"

namespace leasegateway {
namespace {

namespace asio = boost::asio;
using std::chrono::milliseconds;
using std::chrono::seconds;

// Lives that the test ends, instead of those of operations.
class FlightTableTest : public testing::Test {
 protected:
  static asio::awaitable<void> Live(FlightTableTest* test, std::shared_ptr<Flight> flight) {
    co_await asio::this_coro::throw_if_cancelled(false);
    test->lives_.push_back(flight);
    if (test->broken_) throw std::runtime_error("broken");
    while (!test->ended_ && !flight->IsStopped()) {
      auto napping = Flight::NapUntil(flight, test->time_.now() + seconds(60));
      co_await std::move(napping);
    }
    Outcome outcome;
    outcome.operation.set_lease_id("lsd_1");
    flight->Publish(std::move(outcome));
  }

  std::shared_ptr<Call<Outcome>> Execute(const std::string& request_id,
                                         const std::string& fingerprint, milliseconds timeout,
                                         const std::string& share = "") {
    CallContext context;
    context.share = share;
    context.deadline = time_.now() + timeout;
    context.request_id = request_id;
    auto call = std::make_shared<Call<Outcome>>();
    asio::co_spawn(
        asio::make_strand(io_),
        leasegateway::Await(table_->Execute(context, fingerprint, v1::CreateLeaseRequest()), call),
        asio::bind_cancellation_slot(call->cancellation.slot(), asio::detached));
    FakeTime::Run(io_);
    return call;
  }
  // All lives that are there.
  void End() {
    ended_ = true;
    time_.Advance(seconds(60), io_);
  }

  asio::io_context io_;
  FakeTime time_;
  std::vector<std::shared_ptr<Flight>> lives_;
  bool ended_ = false;
  bool broken_ = false;
  std::shared_ptr<FlightTable> table_ = std::make_shared<FlightTable>(
      io_.get_executor(), time_.environment(), FlightTable::Limits{2, milliseconds(30)},
      [this](std::shared_ptr<Flight> flight) { return Live(this, std::move(flight)); });
};

TEST_F(FlightTableTest, CallersOfOneIdShareAFlight) {
  const auto first = Execute("a", "x", seconds(300));
  const auto second = Execute("a", "x", seconds(300));
  EXPECT_EQ(lives_.size(), 1u);
  EXPECT_EQ(table_->size(), 1u);
  End();
  ASSERT_TRUE(first->ended() && second->ended());
  EXPECT_EQ((*first->result)->operation.lease_id(), "lsd_1");
  EXPECT_EQ((*second->result)->operation.lease_id(), "lsd_1");
  EXPECT_EQ(table_->size(), 0u);
}

TEST_F(FlightTableTest, CallerIsToldBeforeItsDeadlineWhatIsKnown) {
  const auto early = Execute("a", "x", seconds(1));
  const auto late = Execute("a", "x", seconds(2));
  time_.Advance(milliseconds(970), io_);
  EXPECT_EQ(early->reason(), "DEADLINE");
  EXPECT_TRUE(lives_[0]->MaySend());
  time_.Advance(milliseconds(1'000), io_);
  EXPECT_EQ(late->reason(), "OUTCOME_UNKNOWN");
  EXPECT_FALSE(lives_[0]->MaySend()) << "nobody waits";
  EXPECT_EQ(ReasonOf(lives_[0]->WhyNotSent()), "CANCELLED") << "before the deadline";
  EXPECT_EQ(table_->size(), 1u);
  End();
}

// A table of six, whose lives end when the test says so.
TEST_F(FlightTableTest, NobodyFillsTheTable) {
  table_ = std::make_shared<FlightTable>(
      io_.get_executor(), time_.environment(), FlightTable::Limits{6, milliseconds(30)},
      [this](std::shared_ptr<Flight> flight) { return Live(this, std::move(flight)); });
  const auto begin = [this](const std::string& id, const std::string& share) {
    return Execute(id, "x", seconds(300), share);
  };
  for (const char* id : {"a1", "a2", "a3"}) EXPECT_FALSE(begin(id, "a")->ended());
  EXPECT_EQ(begin("a4", "a")->reason(), "OVERLOADED");
  EXPECT_FALSE(begin("a3", "a")->ended()) << "it joins";
  EXPECT_FALSE(begin("b1", "b")->ended());
  EXPECT_FALSE(begin("b2", "b")->ended());
  EXPECT_EQ(begin("b3", "b")->reason(), "OVERLOADED");
  EXPECT_FALSE(begin("c1", "c")->ended());
  EXPECT_EQ(begin("d1", "d")->reason(), "OVERLOADED");
  EXPECT_EQ(table_->size(), 6u);
  End();
  EXPECT_EQ(table_->size(), 0u);
  ended_ = false;
  for (const char* id : {"a1", "a2", "a3"}) EXPECT_FALSE(begin(id, "a")->ended());
  EXPECT_EQ(begin("a4", "a")->reason(), "OVERLOADED");
  for (const char* id : {"1", "2", "3"}) EXPECT_FALSE(begin(id, "")->ended());
  End();
}

TEST_F(FlightTableTest, RivalWaitsUntilTheIdIsOwned) {
  const auto first = Execute("a", "x", seconds(300));
  const auto rival = Execute("a", "y", seconds(300));
  EXPECT_FALSE(rival->ended());
  lives_[0]->OwnId("");
  FakeTime::Run(io_);
  EXPECT_EQ(rival->reason(), "REQUEST_ID_REUSED");
  EXPECT_FALSE(first->ended());
  End();
}

TEST_F(FlightTableTest, RivalGetsTheIdThatWasNotOwned) {
  const auto first = Execute("a", "x", seconds(300));
  const auto rival = Execute("a", "y", seconds(300));
  End();
  EXPECT_TRUE(first->ended() && rival->ended());
  EXPECT_EQ(lives_.size(), 2u);
}

TEST_F(FlightTableTest, LifeThatFailsLeavesTheOutcomeUnknown) {
  broken_ = true;
  const auto call = Execute("a", "x", seconds(300));
  ASSERT_TRUE(call->ended() && call->result->ok());
  EXPECT_EQ(ReasonOf((*call->result)->status), "OUTCOME_UNKNOWN");
  EXPECT_EQ(table_->size(), 0u);
}

TEST_F(FlightTableTest, OneTooManyIsRefused) {
  Execute("a", "x", seconds(300));
  Execute("b", "x", seconds(300));
  EXPECT_EQ(Execute("c", "x", seconds(300))->reason(), "OVERLOADED");
  EXPECT_FALSE(Execute("b", "x", seconds(300))->ended()) << "it joins";
  End();
}

// Or one of them could buy a number that another one has given up because of the stop.
TEST_F(FlightTableTest, AllFlightsHearOfAStopAtOnce) {
  const auto flight = table_->MakeFlight({});  // as one that Stop has not come to yet
  flight->Join(v1::CreateLeaseRequest(), time_.now() + seconds(1), nullptr);
  EXPECT_TRUE(flight->IsWanted());
  table_->Stop();
  EXPECT_TRUE(flight->IsStopped());
  EXPECT_FALSE(flight->MaySend());
}

TEST_F(FlightTableTest, StopEndsNapsAndRefusesNewCalls) {
  const auto call = Execute("a", "x", seconds(300));
  io_.restart();
  auto work = asio::make_work_guard(io_);
  std::thread thread([this] { io_.run(); });
  table_->Stop();
  work.reset();
  thread.join();
  EXPECT_EQ(table_->size(), 0u);
  EXPECT_TRUE(call->ended() && call->result->ok());
  EXPECT_EQ(Execute("b", "x", seconds(300))->reason(), "STOPPING");
}

// --- in leasing ---------------------------------------------------------------------------------

TEST_F(RecordedLeaseApiTest, SameIdWithOtherArgumentsIsRefused) {
  provider_->Add(kOther);
  provider_->steps.push_back({true, {}, milliseconds(0), seconds(1)});
  const auto first = Lease();
  EXPECT_EQ(Lease(kId, kOther)->reason(), "REQUEST_ID_REUSED");
  EXPECT_EQ(Terminate(kId)->reason(), "REQUEST_ID_REUSED");
  Advance(seconds(1));
  ASSERT_TRUE(first->ended() && first->result->ok());
  EXPECT_EQ(Lease(kId, kOther)->reason(), "REQUEST_ID_REUSED");
  EXPECT_EQ(Terminate(kId)->reason(), "REQUEST_ID_REUSED");
  EXPECT_EQ(LeaseAny(kId)->reason(), "REQUEST_ID_REUSED");
  EXPECT_EQ(provider_->TotalCharges(), 1);
  EXPECT_TRUE(provider_->deletes.empty());
}

// The journal has kId for kNumber. Its retry comes while a mistaken request of the same id waits
// for the journal's word.
class RivalTest : public RecordedLeaseApiTest {
 protected:
  RivalTest() {
    provider_->Add(kOther);
    journal_->before_begin = [this] { return SleepBy(&time_, journal_time_); };
  }
  milliseconds journal_time_{0};
};

TEST_F(RivalTest, OneThatBeganTheOperationKeepsItsAnswer) {
  ASSERT_TRUE(Lease()->result->ok());
  journal_time_ = seconds(1);
  const auto mistaken = Lease(kId, kOther);
  const auto retry = Lease(kId);
  const auto another = LeaseAny(kId);
  EXPECT_FALSE(mistaken->ended() || retry->ended() || another->ended());
  Advance(seconds(5));
  EXPECT_EQ(mistaken->reason(), "REQUEST_ID_REUSED");
  EXPECT_EQ(another->reason(), "REQUEST_ID_REUSED");
  ASSERT_TRUE(retry->ended() && retry->result->ok()) << retry->reason();
  EXPECT_EQ((*retry->result)->lease().lease_id(), "lsd_1");
  EXPECT_EQ(provider_->posts.size(), 1u);
  EXPECT_EQ(api_->stats().open, 0u);
}

TEST_F(RivalTest, FirstOfTwoNewOnesHasTheId) {
  journal_time_ = seconds(1);
  provider_->steps.push_back({true, {}, milliseconds(0), seconds(5)});
  const auto first = Lease(kId);
  const auto second = Lease(kId, kOther);
  EXPECT_FALSE(second->ended());
  Advance(seconds(1));
  EXPECT_EQ(second->reason(), "REQUEST_ID_REUSED");
  EXPECT_FALSE(first->ended());
  Advance(seconds(5));
  EXPECT_TRUE(first->ended() && first->result->ok());
}

TEST_F(RivalTest, IdIsFreeWhenTheFirstCouldNotBeWrittenDown) {
  journal_time_ = seconds(1);
  journal_->failure =
      MakeError(absl::StatusCode::kFailedPrecondition, reason::kJournalUnavailable, "disk full");
  const auto first = Lease(kId);
  const auto second = Lease(kId, kOther);
  Advance(seconds(1));
  EXPECT_EQ(first->reason(), "JOURNAL_UNAVAILABLE");
  journal_->failure = absl::OkStatus();
  Advance(seconds(1));
  ASSERT_TRUE(second->ended() && second->result->ok()) << second->reason();
  EXPECT_EQ((*second->result)->lease().phone_number(), kOther);
}

TEST_F(RivalTest, WaitEndsAtTheDeadlineAndWhenTheCallerLeaves) {
  journal_time_ = seconds(10);
  const auto first = Lease(kId);
  const auto hurried = Lease(kId, kOther, seconds(1));
  const auto left = Lease(kId, kOther);
  left->cancellation.emit(asio::cancellation_type::terminal);
  FakeTime::Run(io_);
  EXPECT_EQ(left->reason(), "CANCELLED");
  Advance(seconds(1));
  EXPECT_EQ(hurried->reason(), "DEADLINE");
  EXPECT_EQ(MetadataOf(hurried->result->status())["request_sent"], "false");
  Advance(seconds(10));
  EXPECT_TRUE(first->ended() && first->result->ok());
}

TEST_F(RecordedLeaseApiTest, SameRequestJoinsTheOneUnderWay) {
  provider_->steps.push_back({true, {}, milliseconds(0), seconds(1)});
  const auto first = Lease();
  const auto second = Lease();
  EXPECT_FALSE(first->ended() || second->ended());
  Advance(seconds(1));
  ASSERT_TRUE(first->ended() && second->ended());
  EXPECT_EQ((*first->result)->lease().lease_id(), (*second->result)->lease().lease_id());
  EXPECT_EQ(provider_->posts.size(), 1u);
  EXPECT_EQ(api_->stats().open, 0u);
}

TEST_F(RecordedLeaseApiTest, CallerWhoLeavesDoesNotStopWhatWasSent) {
  provider_->steps.push_back({true, {}, milliseconds(100), seconds(1)});
  const auto call = Lease();
  Advance(milliseconds(10));
  call->cancellation.emit(asio::cancellation_type::terminal);
  FakeTime::Run(io_);
  EXPECT_EQ(call->reason(), "OUTCOME_UNKNOWN");
  Advance(seconds(1));
  EXPECT_EQ(Recorded().state(), v1::OPERATION_STATE_SUCCEEDED);
  EXPECT_EQ((*Lease()->result)->lease().lease_id(), "lsd_1");
}

TEST_F(RecordedLeaseApiTest, NothingIsSentForCallersWhoHaveLeft) {
  provider_->look_time = milliseconds(100);
  const auto call = Lease();
  call->cancellation.emit(asio::cancellation_type::terminal);
  FakeTime::Run(io_);
  EXPECT_EQ(call->reason(), "CANCELLED");
  Advance(seconds(1));
  EXPECT_TRUE(provider_->posts.empty());
  EXPECT_EQ(Recorded().state(), v1::OPERATION_STATE_FAILED);
  EXPECT_EQ(Recorded().settlement(), v1::OPERATION_SETTLEMENT_NOT_SENT);
  ASSERT_EQ(api_->stats().open, 0u);
  const auto again = Lease();
  Advance(seconds(1));
  EXPECT_TRUE(again->ended() && again->result->ok());
}

TEST_F(RecordedLeaseApiTest, NothingIsSentAfterTheDeadlineAndItIsSaidBeforeIt) {
  provider_->look_time = milliseconds(1'000);
  const auto call = Lease(kId, kNumber, milliseconds(400));
  Advance(milliseconds(375));
  EXPECT_EQ(call->reason(), "DEADLINE");
  EXPECT_EQ(MetadataOf(call->result->status())["request_sent"], "false");
  Advance(seconds(2));
  EXPECT_TRUE(provider_->posts.empty());
}

TEST_F(RecordedLeaseApiTest, TooManyOpenOperationsAreRefused) {
  options_.max_open = 1;
  Stop();
  Start();
  provider_->Add(kOther);
  provider_->steps.push_back({true, {}, milliseconds(0), seconds(1)});
  const auto first = Lease();
  EXPECT_EQ(Lease(kId2, kOther)->reason(), "OVERLOADED");
  Advance(seconds(1));
  EXPECT_TRUE(Lease(kId2, kOther)->result->ok());
}

}  // namespace
}  // namespace leasegateway
