#include "upstream/leasing/number_locks.h"

#include <gtest/gtest.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/strand.hpp>
#include <boost/asio/this_coro.hpp>
#include <chrono>
#include <memory>
#include <optional>
#include <utility>

#include "tests/support/leasing_fixture.h"
#include "upstream/leasing/operation_rules.h"

namespace leasegateway {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

class NumberLocksTest : public testing::Test {
 protected:
  using Grant = NumberLocks::Grant;
  using Waiting = std::shared_ptr<std::optional<Grant>>;

  // Waits for kNumber at most that long.
  Waiting Lock(milliseconds patience) {
    const auto until = time_.now() + patience;
    return Lock([this, until]() -> std::optional<NumberLocks::TimePoint> {
      if (time_.now() >= until) return std::nullopt;
      return until;
    });
  }
  Waiting Lock(NumberLocks::Patience patience) {
    auto grant = std::make_shared<std::optional<Grant>>();
    boost::asio::co_spawn(boost::asio::make_strand(io_), Await(&locks_, patience, grant),
                          boost::asio::detached);
    FakeTime::Run(io_);
    return grant;
  }
  void Unlock(bool leased = false) {
    locks_.Unlock(kNumber, leased);
    FakeTime::Run(io_);
  }
  static boost::asio::awaitable<void> Await(NumberLocks* locks, NumberLocks::Patience patience,
                                            Waiting grant) {
    co_await boost::asio::this_coro::throw_if_cancelled(false);
    auto locking = locks->Lock(kNumber, std::move(patience));
    *grant = co_await std::move(locking);
  }

  boost::asio::io_context io_;
  FakeTime time_;
  NumberLocks locks_{time_.environment()};
};

TEST_F(NumberLocksTest, FreeNumberIsGotAtOnceAndNobodyElseGetsIt) {
  EXPECT_EQ(*Lock(seconds(1)), Grant::kLocked);
  EXPECT_FALSE(locks_.TryLock(kNumber));
  EXPECT_TRUE(locks_.TryLock(kOther));
  Unlock();
  EXPECT_TRUE(locks_.TryLock(kNumber));
}

TEST_F(NumberLocksTest, FirstWhoCameIsServedFirst) {
  ASSERT_TRUE(locks_.TryLock(kNumber));
  const auto first = Lock(seconds(10));
  const auto second = Lock(seconds(10));
  time_.Advance(seconds(5), io_);
  EXPECT_FALSE(first->has_value() || second->has_value());
  Unlock();
  EXPECT_EQ(*first, Grant::kLocked);
  EXPECT_FALSE(second->has_value());
  Unlock();
  EXPECT_EQ(*second, Grant::kLocked);
}

TEST_F(NumberLocksTest, WhoGaveUpIsPassedOver) {
  ASSERT_TRUE(locks_.TryLock(kNumber));
  const auto hurried = Lock(seconds(1));
  const auto patient = Lock(seconds(10));
  EXPECT_EQ(*Lock(seconds(0)), Grant::kNone);
  time_.Advance(seconds(1), io_);
  EXPECT_EQ(*hurried, Grant::kNone);
  Unlock();
  EXPECT_EQ(*patient, Grant::kLocked);
  Unlock();
  EXPECT_TRUE(locks_.TryLock(kNumber));
}

TEST_F(NumberLocksTest, PatienceIsAskedAgainWhenItsTimeHasCome) {
  ASSERT_TRUE(locks_.TryLock(kNumber));
  auto until = time_.now() + seconds(1);
  const auto waiting = Lock([this, &until]() -> std::optional<NumberLocks::TimePoint> {
    if (time_.now() >= until) return std::nullopt;
    return until;
  });
  until += seconds(2);  // a caller with more time has come
  time_.Advance(seconds(2), io_);
  EXPECT_FALSE(waiting->has_value());
  time_.Advance(seconds(1), io_);
  EXPECT_EQ(*waiting, Grant::kNone);
}

TEST_F(NumberLocksTest, WhoWaitedWhileItWasLeasedIsTold) {
  ASSERT_TRUE(locks_.TryLock(kNumber));
  const auto first = Lock(seconds(10));
  const auto second = Lock(seconds(10));
  Unlock(/*leased=*/true);
  EXPECT_EQ(*first, Grant::kOvertaken);
  const auto late = Lock(seconds(10));
  Unlock();
  EXPECT_EQ(*second, Grant::kOvertaken);
  Unlock();
  EXPECT_EQ(*late, Grant::kLocked) << "it came afterwards";
}

// --- in leasing ---------------------------------------------------------------------------------

// The first request arrives when a caller has long been told of the second one's success.
TEST_F(RecordedLeaseApiTest, NumberIsKeptUntilALostRequestCanNotArriveAnyMore) {
  provider_->steps.push_back({true, LostAnswer(true), seconds(5), milliseconds(100)});
  const auto lease = Lease();
  Advance(milliseconds(200));
  ASSERT_TRUE(lease->ended() && lease->result->ok()) << lease->reason();
  EXPECT_EQ(Recorded().state(), v1::OPERATION_STATE_SUCCEEDED);
  EXPECT_TRUE(Recorded().has_settle_time());
  auto end = Terminate(kId2, "", seconds(5));
  Advance(seconds(5));
  EXPECT_EQ(end->reason(), "DEADLINE");
  // Also after a restart.
  Stop();
  Start();
  EXPECT_EQ((*Lease()->result)->lease().lease_id(), "lsd_1") << "the same answer meanwhile";
  end = Terminate(kId2);
  Advance(seconds(4));
  EXPECT_FALSE(end->ended());
  Advance(seconds(10));
  ASSERT_TRUE(end->ended() && end->result->ok()) << end->reason();
  EXPECT_EQ(provider_->TotalCharges(), 1);
  EXPECT_FALSE(provider_->records[kNumber].number.has_lease());
  EXPECT_EQ(api_->stats().open, 0u);
}

TEST_F(RecordedLeaseApiTest, NumberIsKeptAfterALostEndToo) {
  provider_->Give(kNumber, "lsd_77");
  provider_->steps.push_back(Lost(true));
  const auto end = Terminate(kId);
  ASSERT_TRUE(end->ended() && end->result->ok());
  const auto lease = Lease(kId2);
  Advance(options_.settle - milliseconds(1));
  EXPECT_FALSE(lease->ended());
  Advance(milliseconds(2));
  EXPECT_TRUE(lease->ended() && lease->result->ok()) << lease->reason();
}

TEST_F(RecordedLeaseApiTest, OfTwoForTheSameNumberOneGetsIt) {
  provider_->steps.push_back({true, {}, milliseconds(0), seconds(1)});
  const auto first = Lease(kId);
  const auto second = Lease(kId2);
  const auto third = Lease("11111111-5c1d-4f7a-8e90-1a2b3c4d5e6f");
  Advance(seconds(1));
  EXPECT_TRUE(first->ended() && first->result->ok());
  EXPECT_EQ(second->reason(), "NUMBER_NOT_AVAILABLE");
  EXPECT_EQ(third->reason(), "NUMBER_NOT_AVAILABLE");
  EXPECT_EQ(Lease("22222222-5c1d-4f7a-8e90-1a2b3c4d5e6f")->reason(), "ALREADY_LEASED");
  EXPECT_EQ(provider_->posts.size(), 1u);
}

TEST_F(RecordedLeaseApiTest, WhoWaitsForANumberTooLongHasSentNothing) {
  provider_->steps.push_back({true, {}, milliseconds(0), seconds(5)});
  const auto first = Lease(kId);
  const auto second = Lease(kId2, kNumber, seconds(1));
  Advance(seconds(2));
  EXPECT_EQ(second->reason(), "DEADLINE");
  EXPECT_EQ(Recorded(kId2).state(), v1::OPERATION_STATE_FAILED);
  Advance(seconds(5));
  EXPECT_TRUE(first->ended() && first->result->ok());
  EXPECT_EQ(api_->stats().open, 0u);
}

TEST_F(RecordedLeaseApiTest, OpenPurchaseKeepsOthersFromTheNumberUntilItIsSettled) {
  provider_->steps.push_back({true, LostAnswer(true), milliseconds(0), milliseconds(10)});
  provider_->on_write = [this] { provider_->all_looks_fail = Unreachable(); };
  const auto lease = Lease(kId, kNumber, milliseconds(500));
  Advance(milliseconds(500));
  EXPECT_EQ(lease->reason(), "OUTCOME_UNKNOWN");
  provider_->on_write = nullptr;
  const auto end = Terminate(kId2);
  Advance(milliseconds(10));
  EXPECT_FALSE(end->ended());
  provider_->all_looks_fail = absl::OkStatus();
  Advance(seconds(20));
  EXPECT_EQ(Recorded(kId).state(), v1::OPERATION_STATE_SUCCEEDED);
  ASSERT_TRUE(end->ended() && end->result->ok()) << end->reason();
  EXPECT_EQ((*end->result)->termination().lease_id(), "lsd_1");
}

TEST_F(RecordedLeaseApiTest, OpenOperationIsBeforeNewOnesAfterARestart) {
  StopWith(v1::OPERATION_KIND_LEASE, v1::OPERATION_STATE_SENT, kNumber,
           Fingerprint(LeaseRequest(kNumber)));
  provider_->look_time = milliseconds(100);
  provider_->Give(kNumber, "lsd_5");  // by what was sent before
  Start();
  const auto other = Lease(kId2);
  Advance(seconds(1));
  EXPECT_EQ(Recorded().state(), v1::OPERATION_STATE_SUCCEEDED);
  EXPECT_EQ(Recorded().lease_id(), "lsd_5");
  Advance(options_.settle);
  EXPECT_EQ(other->reason(), "NUMBER_NOT_AVAILABLE");
  EXPECT_TRUE(provider_->posts.empty());
}

}  // namespace
}  // namespace leasegateway
