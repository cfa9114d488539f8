#include "upstream/cache_status.h"

#include <gtest/gtest.h>

#include <chrono>
#include <optional>

namespace leasegateway {
namespace {

using std::chrono::milliseconds;
using Forward = CacheOutcome::Forward;

CacheOutcome Outcome(Forward forward, std::optional<milliseconds> ttl = std::nullopt) {
  CacheOutcome outcome;
  outcome.forward = forward;
  outcome.ttl = ttl;
  return outcome;
}

TEST(CacheStatusTest, ByDefaultTheOperationPassesMemoryBy) {
  EXPECT_EQ(FormatCacheStatus({}), "lease-gateway; fwd=bypass");
}

TEST(CacheStatusTest, WhyTheProviderWasAsked) {
  EXPECT_EQ(FormatCacheStatus(Outcome(Forward::kHit)), "lease-gateway; hit");
  EXPECT_EQ(FormatCacheStatus(Outcome(Forward::kMiss)), "lease-gateway; fwd=miss");
  EXPECT_EQ(FormatCacheStatus(Outcome(Forward::kStale)), "lease-gateway; fwd=stale");
  EXPECT_EQ(FormatCacheStatus(Outcome(Forward::kRequest)), "lease-gateway; fwd=request");
}

TEST(CacheStatusTest, SecondsAreRoundedDownAlsoBelowZero) {
  const auto ttl = [](int ms) {
    return FormatCacheStatus(Outcome(Forward::kHit, milliseconds(ms)));
  };
  EXPECT_EQ(ttl(4'999), "lease-gateway; hit; ttl=4");
  EXPECT_EQ(ttl(999), "lease-gateway; hit; ttl=0");
  EXPECT_EQ(ttl(0), "lease-gateway; hit; ttl=0");
  EXPECT_EQ(ttl(-1), "lease-gateway; hit; ttl=-1");
  EXPECT_EQ(ttl(-1'000), "lease-gateway; hit; ttl=-1");
  EXPECT_EQ(ttl(-1'001), "lease-gateway; hit; ttl=-2");
}

TEST(CacheStatusTest, AllPartsInTheirOrder) {
  CacheOutcome outcome = Outcome(Forward::kMiss, milliseconds(5'000));
  outcome.collapsed = true;
  outcome.stored = true;
  outcome.stale_if_error = true;
  EXPECT_EQ(FormatCacheStatus(outcome),
            "lease-gateway; fwd=miss; collapsed; stored; ttl=5; detail=stale-if-error");
}

}  // namespace
}  // namespace leasegateway
