// Replicas that share a log: one refresh for all, and each other's writes.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "tests/support/shared_cache_fixture.h"
#include "tests/support/shared_log.h"

namespace leasegateway {
namespace {

class CachedAccountLogTest : public SharedCacheTest {
 protected:
  CachedAccountLogTest() {
    log_.now = [this] { return now_; };
    for (std::uint64_t i = 1; i <= 3; ++i) Join();
  }
  ~CachedAccountLogTest() override { StopAll(); }
  Replica& Join() { return Add(std::make_shared<FakeSharedLists>(&log_, replicas_.size() + 1)); }
  Replica& At(std::size_t i) { return *replicas_[i]; }

  SharedLog log_;
};

TEST_F(CachedAccountLogTest, OneReplicaAsksForAll) {
  EXPECT_THAT(Available(At(0)), ElementsAre(kA, kB));
  EXPECT_EQ(AvailableRequests(), 1);
  for (std::size_t i = 1; i < 3; ++i) EXPECT_THAT(AvailableInMemory(At(i)), ElementsAre(kA, kB));
  EXPECT_EQ(AvailableRequests(), 1);
}

TEST_F(CachedAccountLogTest, WhoeverAsksMeanwhileWaitsForTheOneThatAsks) {
  script_.hold = true;
  const auto first = StartAvailable(At(0));
  const auto second = StartAvailable(At(1));
  EXPECT_EQ(AvailableRequests(), 1);
  EXPECT_FALSE(second->result);
  script_.Release("ListAvailableNumbers");
  Settle();
  ASSERT_TRUE(first->status().ok());
  ASSERT_TRUE(second->status().ok());
  EXPECT_THAT(PhoneNumbers(**second->result), ElementsAre(kA, kB));
  EXPECT_EQ(AvailableRequests(), 1);
}

TEST_F(CachedAccountLogTest, RefreshesDoNotGrowWithReplicas) {
  for (std::size_t i = 0; i < 3; ++i) Available(At(i));
  for (int second = 0; second < 100; ++second) {
    Pass(milliseconds(1'000));
    for (std::size_t i = 0; i < 3; ++i) {
      EXPECT_THAT(AvailableInMemory(At(i)), ElementsAre(kA, kB));
    }
  }
  // One process asks each 3.75 to 4.75 s.
  EXPECT_GE(AvailableRequests(), 100 / 5);
  EXPECT_LE(AvailableRequests(), 1 + 100 / 4);
}

TEST_F(CachedAccountLogTest, AWriteIsSeenByAll) {
  for (std::size_t i = 0; i < 3; ++i) {
    Available(At(i));
    LeasesOf(At(i));
  }
  script_.hold = false;
  ASSERT_TRUE(Lease(At(1), kA, "lease_a").ok());
  for (std::size_t i = 0; i < 3; ++i) {
    EXPECT_THAT(AvailableInMemory(At(i)), ElementsAre(kB)) << i;
  }
}

TEST_F(CachedAccountLogTest, EqualContentAtEqualSequence) {
  for (std::size_t i = 0; i < 3; ++i) Available(At(i));
  const auto before = StateOf(At(0));
  ASSERT_TRUE(before);
  EXPECT_EQ(StateOf(At(1))->sequence, before->sequence);
  ASSERT_TRUE(Lease(At(1), kA, "lease_a").ok());
  const auto after = StateOf(At(2));
  ASSERT_TRUE(after);
  EXPECT_GT(after->sequence, before->sequence);
  EXPECT_EQ(StateOf(At(0))->sequence, after->sequence);
  EXPECT_EQ(StateOf(At(1))->sequence, after->sequence);
}

}  // namespace
}  // namespace leasegateway
