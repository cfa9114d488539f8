#include "service/callers/quotas.h"

#include <gtest/gtest.h>

#include <thread>

#include "google/rpc/error_details.pb.h"
#include "service/callers/callers_stats.h"
#include "upstream/upstream_error.h"

namespace leasegateway {
namespace {

using std::chrono::milliseconds;
using std::chrono::minutes;
using std::chrono::seconds;

class QuotasTest : public testing::Test {
 protected:
  QuotasTest() { caller_.name = "orders"; }
  QuotaLimits& quotas() { return caller_.quotas; }
  absl::Status Read() { return use_.TakeCall(caller_, false, now_); }
  absl::Status Write() { return use_.TakeCall(caller_, true, now_); }
  absl::Status Rows(std::int64_t rows) {
    absl::Status status = use_.CheckRows(caller_, now_);
    if (status.ok()) use_.ChargeRows(caller_, rows, now_);
    return status;
  }
  int ReadsAtOnce() {
    int reads = 0;
    while (reads < 10'000 && Read().ok()) ++reads;
    return reads;
  }
  // Of the limit with that key; nothing: there is none.
  std::optional<v1::LimitState> Limit(const std::string& name) {
    for (const auto& limit : use_.Limits(caller_, now_)) {
      if (limit.name() == name) return limit;
    }
    return std::nullopt;
  }
  // A retry that comes a moment earlier than it was told to is refused, and then it fits.
  template <typename Take>
  void ExpectRightRetryDelay(const absl::Status& refused, Take take) {
    const auto delay = RetryDelayOf(refused);
    ASSERT_TRUE(delay);
    ASSERT_GT(*delay, milliseconds(0));
    now_ += *delay - milliseconds(1);
    EXPECT_FALSE(take().ok());
    now_ += milliseconds(1);
    EXPECT_TRUE(take().ok());
  }

  std::shared_ptr<QuotaCounts> counts_ = std::make_shared<QuotaCounts>();
  CallerUse use_{counts_};
  CallerSetting caller_;
  CallerUse::TimePoint now_{std::chrono::hours(1)};
};

TEST_F(QuotasTest, NoLimitRefusesNothing) {
  EXPECT_EQ(ReadsAtOnce(), 10'000);
  for (int i = 0; i < 1'000; ++i) {
    ASSERT_TRUE(Write().ok());
    ASSERT_TRUE(use_.EnterCall(caller_).ok());
    ASSERT_TRUE(use_.EnterWatch(caller_).ok());
    ASSERT_TRUE(Rows(1'000'000).ok());
  }
  EXPECT_TRUE(use_.Limits(caller_, now_).empty());
}

TEST_F(QuotasTest, RefusalNamesCallerLimitAndValue) {
  quotas().reads_per_second = 0.5;
  ASSERT_TRUE(Read().ok());
  const absl::Status refused = Read();
  EXPECT_EQ(refused.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(ReasonOf(refused), reason::kQuotaExceeded);
  EXPECT_EQ(refused.message(), "caller \"orders\" may have 0.5 reads a second (reads_per_second)");
  auto metadata = MetadataOf(refused);
  EXPECT_EQ(metadata["caller"], "orders");
  EXPECT_EQ(metadata["limit"], "reads_per_second");
  EXPECT_EQ(metadata["value"], "0.5");
  EXPECT_EQ(metadata["request_sent"], "false");
  google::rpc::QuotaFailure failure;
  const auto payload = refused.GetPayload("type.googleapis.com/google.rpc.QuotaFailure");
  ASSERT_TRUE(payload && failure.ParseFromString(std::string(*payload)));
  ASSERT_EQ(failure.violations_size(), 1);
  EXPECT_EQ(failure.violations(0).subject(), "caller:orders");
  EXPECT_EQ(failure.violations(0).description(), "reads_per_second: 0.5 reads a second");
  EXPECT_EQ(RetryDelayOf(refused), seconds(2));
}

TEST_F(QuotasTest, BurstComesAtOnceAndThenTheRate) {
  quotas().reads_per_second = 10;
  quotas().reads_burst = 25;
  EXPECT_EQ(ReadsAtOnce(), 25);
  now_ += seconds(1);
  EXPECT_EQ(ReadsAtOnce(), 10);
  now_ += milliseconds(99);
  EXPECT_EQ(ReadsAtOnce(), 0);
  now_ += milliseconds(1);
  EXPECT_EQ(ReadsAtOnce(), 1);
  now_ += std::chrono::hours(1);  // quiet time saves up no more than the burst
  EXPECT_EQ(ReadsAtOnce(), 25);
}

TEST_F(QuotasTest, BurstThatIsNotSetIsASecondsWorthAndOneAtLeast) {
  quotas().reads_per_second = 7.9;
  EXPECT_EQ(ReadsAtOnce(), 7);
  now_ += minutes(1);
  quotas().reads_per_second = 0.2;
  EXPECT_EQ(ReadsAtOnce(), 1);
}

TEST_F(QuotasTest, RefusedCallsCostNothing) {
  quotas().writes_per_second = 2;
  ASSERT_TRUE(Write().ok());
  ASSERT_TRUE(Write().ok());
  for (int i = 0; i < 100; ++i) ASSERT_FALSE(Write().ok());
  now_ += milliseconds(500);
  EXPECT_TRUE(Write().ok());
}

TEST_F(QuotasTest, ReadsAndWritesAreApart) {
  quotas().reads_per_second = 3;
  quotas().writes_per_second = 1;
  EXPECT_EQ(ReadsAtOnce(), 3);
  EXPECT_TRUE(Write().ok());
  EXPECT_EQ(MetadataOf(Write())["limit"], "writes_per_second");
  EXPECT_EQ(MetadataOf(Read())["limit"], "reads_per_second");
}

TEST_F(QuotasTest, RetryDelayOfARateIsWhenTheNextFits) {
  quotas().writes_per_second = 3;
  quotas().writes_burst = 3;
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(Write().ok());
  now_ += milliseconds(20);
  ExpectRightRetryDelay(Write(), [this] { return Write(); });
}

TEST_F(QuotasTest, RateThatChangesCountsAtOnce) {
  quotas().reads_per_second = 0.001;
  ASSERT_TRUE(Read().ok());
  EXPECT_EQ(RetryDelayOf(Read()), seconds(1'000));
  quotas().reads_per_second = 100;
  EXPECT_EQ(RetryDelayOf(Read()), milliseconds(10));
  now_ += milliseconds(10);
  EXPECT_EQ(ReadsAtOnce(), 1);
  now_ += seconds(10);
  quotas().reads_per_second = 2;
  EXPECT_EQ(ReadsAtOnce(), 2);
}

TEST_F(QuotasTest, RateOfNothingRefusesAll) {
  quotas().reads_per_second = 0;
  EXPECT_EQ(MetadataOf(Read())["value"], "0");
  EXPECT_TRUE(RetryDelayOf(Read()));
  quotas().rows_per_minute = 0;
  EXPECT_EQ(MetadataOf(Rows(1))["value"], "0");
  EXPECT_TRUE(RetryDelayOf(Rows(1)));
}

TEST_F(QuotasTest, CallsInFlightLeaveRoomWhenTheyEnd) {
  quotas().calls_in_flight = 2;
  EXPECT_TRUE(use_.EnterCall(caller_).ok());
  EXPECT_TRUE(use_.EnterCall(caller_).ok());
  const absl::Status refused = use_.EnterCall(caller_);
  EXPECT_EQ(ReasonOf(refused), reason::kQuotaExceeded);
  EXPECT_EQ(MetadataOf(refused)["limit"], "calls_in_flight");
  EXPECT_EQ(RetryDelayOf(refused), kDefaultRetryDelay);
  use_.LeaveCall();
  EXPECT_TRUE(use_.EnterCall(caller_).ok());
  EXPECT_EQ(use_.calls(), 2);
}

TEST_F(QuotasTest, LimitThatIsSetAnewCountsWhatIsUnderWay) {
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(use_.EnterCall(caller_).ok());
  quotas().calls_in_flight = 3;
  EXPECT_FALSE(use_.EnterCall(caller_).ok());
  quotas().calls_in_flight = 4;
  EXPECT_TRUE(use_.EnterCall(caller_).ok());
}

TEST_F(QuotasTest, WatchersAreApartFromCalls) {
  quotas().calls_in_flight = 1;
  quotas().watchers = 1;
  EXPECT_TRUE(use_.EnterCall(caller_).ok());
  EXPECT_TRUE(use_.EnterWatch(caller_).ok());
  EXPECT_EQ(MetadataOf(use_.EnterWatch(caller_))["limit"], "watchers");
  use_.LeaveWatch();
  EXPECT_TRUE(use_.EnterWatch(caller_).ok());
}

TEST_F(QuotasTest, RowsMayGoIntoDebtByOneList) {
  quotas().rows_per_minute = 600;
  EXPECT_TRUE(Rows(599).ok());
  EXPECT_TRUE(use_.CheckRows(caller_, now_).ok());
  EXPECT_TRUE(Rows(1'801).ok());  // 1,800 too many: three minutes
  const absl::Status refused = use_.CheckRows(caller_, now_);
  EXPECT_EQ(MetadataOf(refused)["limit"], "rows_per_minute");
  EXPECT_EQ(MetadataOf(Rows(1))["value"], "600");
  now_ += minutes(1);
  EXPECT_FALSE(Rows(1).ok());
  ExpectRightRetryDelay(use_.CheckRows(caller_, now_), [this] { return Rows(1); });
  EXPECT_EQ(now_, CallerUse::TimePoint(std::chrono::hours(1)) + minutes(3) + milliseconds(100));
}

TEST_F(QuotasTest, CheckTakesNoRows) {
  quotas().rows_per_minute = 2;
  for (int i = 0; i < 10; ++i) ASSERT_TRUE(use_.CheckRows(caller_, now_).ok());
  EXPECT_TRUE(Rows(1).ok());
  EXPECT_TRUE(Rows(1).ok());
  EXPECT_FALSE(Rows(0).ok());
}

TEST_F(QuotasTest, RowsComeBackWithTime) {
  quotas().rows_per_minute = 60;
  ASSERT_TRUE(Rows(60).ok());
  now_ += seconds(20);
  EXPECT_EQ(Limit("rows_per_minute")->left().count(), 20);
  now_ += minutes(10);
  EXPECT_EQ(Limit("rows_per_minute")->left().count(), 60);
}

TEST_F(QuotasTest, RowsLimitThatChangesCountsAtOnce) {
  quotas().rows_per_minute = 1'000;
  ASSERT_TRUE(Rows(1'000).ok());
  EXPECT_FALSE(Rows(1).ok());
  quotas().rows_per_minute = 3'000;
  EXPECT_TRUE(Rows(1'000).ok());
  EXPECT_EQ(Limit("rows_per_minute")->left().count(), 1'000);
  quotas().rows_per_minute = 60;  // what was within the limit is not owed
  EXPECT_EQ(RetryDelayOf(Rows(1)), seconds(1));
}

TEST_F(QuotasTest, LimitsTellWhatIsLeft) {
  quotas().reads_per_second = 99.5;
  quotas().reads_burst = 200;
  quotas().calls_in_flight = 50;
  quotas().watchers = 4;
  for (int i = 0; i < 30; ++i) ASSERT_TRUE(Read().ok());
  for (int i = 0; i < 7; ++i) ASSERT_TRUE(use_.EnterCall(caller_).ok());
  EXPECT_EQ(Limit("reads_per_second")->limit().count(), 100);
  EXPECT_FALSE(Limit("reads_per_second")->has_used());
  EXPECT_EQ(Limit("reads_burst")->limit().count(), 200);
  EXPECT_EQ(Limit("reads_burst")->used().count(), 30);
  EXPECT_EQ(Limit("reads_burst")->left().count(), 170);
  EXPECT_EQ(Limit("calls_in_flight")->used().count(), 7);
  EXPECT_EQ(Limit("calls_in_flight")->left().count(), 43);
  EXPECT_EQ(Limit("calls_in_flight")->scope(), v1::LIMIT_SCOPE_CALLER);
  EXPECT_EQ(Limit("watchers")->left().count(), 4);
  EXPECT_FALSE(Limit("writes_per_second"));
  EXPECT_FALSE(Limit("rows_per_minute"));
  EXPECT_EQ(use_.Limits(caller_, now_).size(), 4u);
}

TEST_F(QuotasTest, RefusalsAreCountedByLimit) {
  quotas() = {.reads_per_second = 1,
              .writes_per_second = 1,
              .calls_in_flight = 0,
              .watchers = 0,
              .rows_per_minute = 1};
  ASSERT_TRUE(Read().ok() && Write().ok() && Rows(1).ok());
  EXPECT_FALSE(Read().ok());
  for (int i = 0; i < 2; ++i) EXPECT_FALSE(Write().ok());
  for (int i = 0; i < 3; ++i) EXPECT_FALSE(use_.EnterCall(caller_).ok());
  for (int i = 0; i < 4; ++i) EXPECT_FALSE(use_.EnterWatch(caller_).ok());
  for (int i = 0; i < 5; ++i) EXPECT_FALSE(Rows(1).ok());
  EXPECT_EQ(counts_->totals(), (QuotaCounts::Totals{1, 2, 3, 4, 5}));
}

TEST_F(QuotasTest, ThreadsTogetherTakeNoMoreThanTheLimits) {
  quotas().reads_per_second = 1'000;
  quotas().calls_in_flight = 500;
  quotas().rows_per_minute = 3'000;
  std::atomic<int> reads{0};
  std::atomic<int> entered{0};
  std::atomic<int> lists{0};
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&] {
      for (int call = 0; call < 1'000; ++call) {
        reads += Read().ok();
        entered += use_.EnterCall(caller_).ok();
        lists += Rows(10).ok();
      }
    });
  }
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(reads, 1'000);
  EXPECT_EQ(entered, 500);
  // Those that are under way when the last row is taken are sent all the same.
  EXPECT_GE(lists, 300);
  EXPECT_LT(lists, 304);
}

TEST(CallersStats, UnknownFailureIsAnother) {
  EXPECT_STREQ(kIdentityFailureNames[IdentityFailureOf("expired")], "expired");
  EXPECT_STREQ(kIdentityFailureNames[IdentityFailureOf("other")], "other");
  EXPECT_STREQ(kIdentityFailureNames[IdentityFailureOf("a token's text")], "other");
}

}  // namespace
}  // namespace leasegateway
