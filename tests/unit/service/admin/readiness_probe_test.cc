#include "service/admin/readiness_probe.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "tests/support/cache_fixture.h"

namespace leasegateway {
namespace {

using ::testing::StartsWith;

class ReadinessProbeTest : public CachingLeaseApiTest {
 protected:
  ~ReadinessProbeTest() override { probe_.Detach(); }

  // From now on it looks at what memory has.
  void Serve() {
    api_ = std::move(cache_);
    probe_.SetPhase(ReadinessProbe::Phase::kServing);
    probe_.Attach([this] { return purchases_; }, {{"default", api_, stats_}});
    script_.calls.clear();
  }
  // It looks at two accounts. The second has nothing in memory.
  void ServeTwo() {
    api_ = std::move(cache_);
    Make({});
    second_api_ = std::move(cache_);
    probe_.SetPhase(ReadinessProbe::Phase::kServing);
    probe_.Attach([this] { return purchases_; },
                  {{"sales", api_, stats_}, {"support", second_api_, second_stats_}});
  }
  void Forbid(std::vector<UpstreamOperation> lists) {
    std::uint32_t bits = 0;
    for (const UpstreamOperation list : lists) {
      bits |= std::uint32_t{1} << static_cast<std::uint32_t>(list);
    }
    stats_->attempts.lists_forbidden = bits;
  }
  // What a look asks the provider for.
  std::vector<std::string> AskedByALook() {
    script_.calls.clear();
    probe_.Look();
    Settle();
    return script_.calls;
  }

  ReadinessProbe probe_{kStaleIfError, asio_.get_executor(), [this] { return now_; }};
  absl::Status purchases_;
  std::shared_ptr<UpstreamStats> stats_ = std::make_shared<UpstreamStats>();
  std::shared_ptr<UpstreamStats> second_stats_ = std::make_shared<UpstreamStats>();
  std::shared_ptr<CachingLeaseApi> api_;
  std::shared_ptr<CachingLeaseApi> second_api_;
};

TEST_F(ReadinessProbeTest, IsReadyWhileItServes) {
  EXPECT_FALSE(probe_.Look().ready);
  EXPECT_EQ(probe_.Look().words, "it starts\n");
  Serve();
  EXPECT_TRUE(probe_.Look().ready) << "memory has nothing, but nothing is amiss";
  EXPECT_EQ(probe_.Look().words, "");
  probe_.SetPhase(ReadinessProbe::Phase::kDraining);
  EXPECT_FALSE(probe_.Look().ready);
  EXPECT_THAT(probe_.Look().words, StartsWith("it drains"));
  probe_.SetPhase(ReadinessProbe::Phase::kServing);
  probe_.Detach();
  EXPECT_FALSE(probe_.Look().ready);
  EXPECT_EQ(probe_.Look().words, "it stops\n");
}

TEST_F(ReadinessProbeTest, JournalThatCanNotBeWrittenIsSaid) {
  Serve();
  purchases_ = absl::UnavailableError("the disk is full");
  EXPECT_TRUE(probe_.Look().ready);
  EXPECT_EQ(probe_.Look().words, "purchases can't be written down: the disk is full\n");
}

TEST_F(ReadinessProbeTest, RefusedKeyLeavesItReadyForAsLongAsMemoryAnswers) {
  ASSERT_TRUE(StartAvailable()->status().ok());
  Serve();
  stats_->attempts.credentials_rejected = true;
  Pass(kStaleIfError);
  EXPECT_TRUE(probe_.Look().ready);
  EXPECT_EQ(probe_.Look().words,
            "the provider does not take the gateway's API key; memory still answers\n");
  Pass(milliseconds(1));
  EXPECT_FALSE(probe_.Look().ready);
  EXPECT_EQ(probe_.Look().words, "the provider does not take the gateway's API key\n");
  stats_->attempts.credentials_rejected = false;
  EXPECT_TRUE(probe_.Look().ready);
  Forbid({UpstreamOperation::kListLeases});
  EXPECT_FALSE(probe_.Look().ready);
  EXPECT_EQ(probe_.Look().words, "the provider forbids lists to the gateway's API key\n");
}

// Nobody else may: memory answers, or nobody reads that list.
TEST_F(ReadinessProbeTest, LookAsksForTheListThatWasRefused) {
  Warm();
  Serve();
  EXPECT_THAT(AskedByALook(), IsEmpty());
  Forbid({UpstreamOperation::kListLeases});
  EXPECT_THAT(AskedByALook(), ElementsAre("ListLeases"));
  EXPECT_THAT(AskedByALook(), IsEmpty()) << "once a minute";
}

TEST_F(ReadinessProbeTest, LookAsksForNumbersWhenTheKeyIsRefused) {
  Serve();
  stats_->attempts.credentials_rejected = true;
  EXPECT_THAT(AskedByALook(), ElementsAre("ListAvailableNumbers"));
  EXPECT_THAT(AskedByALook(), IsEmpty());
}

TEST_F(ReadinessProbeTest, LookAsksForBothListsWhenBothWereRefused) {
  Warm();
  Serve();
  Forbid({UpstreamOperation::kListLeases, UpstreamOperation::kListAvailableNumbers});
  EXPECT_THAT(AskedByALook(), UnorderedElementsAre("ListAvailableNumbers", "ListLeases"));
}

TEST_F(ReadinessProbeTest, LookAsksOnceAMinuteWhileMemoryAnswersAndEveryFiveSecondsOnceItDoesNot) {
  ASSERT_TRUE(StartAvailable()->status().ok());
  Serve();
  script_.available = Outage();
  stats_->attempts.credentials_rejected = true;
  EXPECT_THAT(AskedByALook(), ElementsAre("ListAvailableNumbers"));
  Pass(milliseconds(59'999));
  EXPECT_THAT(AskedByALook(), IsEmpty());
  Pass(milliseconds(1));
  EXPECT_THAT(AskedByALook(), ElementsAre("ListAvailableNumbers"));
  Pass(kStaleIfError);
  EXPECT_THAT(AskedByALook(), ElementsAre("ListAvailableNumbers"));
  Pass(milliseconds(4'999));
  EXPECT_THAT(AskedByALook(), IsEmpty());
  Pass(milliseconds(1));
  EXPECT_THAT(AskedByALook(), ElementsAre("ListAvailableNumbers"));
}

TEST_F(ReadinessProbeTest, RefusedKeyOfOneAccountLeavesItReadyForTheOthers) {
  ServeTwo();
  EXPECT_TRUE(probe_.Look().ready);
  EXPECT_EQ(probe_.Look().words, "");
  stats_->attempts.credentials_rejected = true;
  EXPECT_TRUE(probe_.Look().ready);
  EXPECT_EQ(probe_.Look().words,
            "account sales: the provider does not take the gateway's API key\n");
  stats_->attempts.credentials_rejected = false;
  second_stats_->attempts.credentials_rejected = true;
  EXPECT_TRUE(probe_.Look().ready);
  EXPECT_EQ(probe_.Look().words,
            "account support: the provider does not take the gateway's API key\n");
}

TEST_F(ReadinessProbeTest, RefusedKeysOfAllAccountsLeaveItReadyForAsLongAsTheMemoryOfOneAnswers) {
  ASSERT_TRUE(StartAvailable()->status().ok());
  ServeTwo();
  second_stats_->attempts.credentials_rejected = true;
  Forbid({UpstreamOperation::kListLeases});
  EXPECT_TRUE(probe_.Look().ready);
  EXPECT_EQ(probe_.Look().words,
            "account sales: the provider forbids lists to the gateway's API key; memory still "
            "answers\n"
            "account support: the provider does not take the gateway's API key\n");
  Pass(kStaleIfError + milliseconds(1));
  EXPECT_FALSE(probe_.Look().ready);
  EXPECT_EQ(probe_.Look().words,
            "account sales: the provider forbids lists to the gateway's API key\n"
            "account support: the provider does not take the gateway's API key\n");
}

TEST_F(ReadinessProbeTest, LookAsksForTheListsOfEachAccountByItself) {
  ASSERT_TRUE(StartAvailable()->status().ok());
  ServeTwo();
  script_.available = Outage();
  Forbid({UpstreamOperation::kListLeases});
  EXPECT_THAT(AskedByALook(), ElementsAre("ListLeases"));
  Pass(milliseconds(30'000));
  second_stats_->attempts.credentials_rejected = true;
  EXPECT_THAT(AskedByALook(), ElementsAre("ListAvailableNumbers"));
  EXPECT_THAT(AskedByALook(), IsEmpty()) << "the first was asked 30 s ago";
  Pass(milliseconds(30'000));
  EXPECT_THAT(AskedByALook(), ElementsAre("ListLeases"));
  Pass(milliseconds(30'000));
  EXPECT_THAT(AskedByALook(), ElementsAre("ListAvailableNumbers"));
}

TEST_F(ReadinessProbeTest, LookAsksWithTheKeyThatWasRefused) {
  ServeTwo();
  second_stats_->attempts.credentials_rejected = true;
  EXPECT_THAT(AskedByALook(), ElementsAre("ListAvailableNumbers"));
  EXPECT_FALSE(api_->PeekAvailability({}));
  EXPECT_TRUE(second_api_->PeekAvailability({}));
}

// Its callers come all the same, and see for themselves.
TEST_F(ReadinessProbeTest, ColdAccountIsAskedForOnceAMinuteWhileAnotherOneWorks) {
  ServeTwo();
  script_.available = Outage();
  second_stats_->attempts.credentials_rejected = true;
  EXPECT_THAT(AskedByALook(), ElementsAre("ListAvailableNumbers"));
  Pass(milliseconds(59'999));
  EXPECT_THAT(AskedByALook(), IsEmpty());
  stats_->attempts.credentials_rejected = true;
  EXPECT_THAT(AskedByALook(), ElementsAre("ListAvailableNumbers", "ListAvailableNumbers"));
}

}  // namespace
}  // namespace leasegateway
