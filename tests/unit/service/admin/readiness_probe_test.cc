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
    probe_.Attach([this] { return purchases_; }, api_, stats_);
    script_.calls.clear();
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

  ReadinessProbe probe_{kStaleIfError, asio_.get_executor()};
  absl::Status purchases_;
  std::shared_ptr<UpstreamStats> stats_ = std::make_shared<UpstreamStats>();
  std::shared_ptr<CachingLeaseApi> api_;
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

}  // namespace
}  // namespace leasegateway
