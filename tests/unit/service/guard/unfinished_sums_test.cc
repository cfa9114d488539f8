#include "service/guard/unfinished_sums.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <vector>

namespace leasegateway {

// In GoogleTest's way: named so that it is found.
static void PrintTo(const UnfinishedSums::Cut& cut, std::ostream* out) {
  *out << cut.index << " for " << kCutReasonNames[static_cast<std::size_t>(cut.reason)];
}

namespace {

using namespace std::chrono_literals;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using Cut = UnfinishedSums::Cut;
using Holder = UnfinishedSums::Connection;

Cut ForCalls(std::size_t index) { return {index, CutReason::kUnfinishedCalls}; }
Cut ForBytes(std::size_t index) { return {index, CutReason::kUnfinishedBytes}; }

const UnfinishedSums kSums(1'000, 100'000);

TEST(UnfinishedSumsTest, NobodyIsCutWithinTheLimits) {
  EXPECT_THAT(kSums.Choose({}), IsEmpty());
  const std::vector<Holder> connections{{.calls = 900, .bytes = 90'000, .silent = 1h},
                                        {.calls = 100, .bytes = 10'000}};
  EXPECT_THAT(kSums.Choose(connections), IsEmpty());
}

// The one with many is on its way; the others hold few each, and have for long.
TEST(UnfinishedSumsTest, ThoseThatHoldItGoAndNotWhoComes) {
  std::vector<Holder> connections(8, {.calls = 125, .silent = 4s});
  connections.push_back({.calls = 130, .silent = 0s});
  const auto cuts = kSums.Choose(connections);
  EXPECT_EQ(cuts.size(), 2u) << "1,130 - 250 is below 900";
  for (const Cut& cut : cuts) EXPECT_LT(cut.index, 8u);
}

TEST(UnfinishedSumsTest, FewCallsEachAreNoShelter) {
  std::vector<Holder> connections(1'000, {.calls = 1, .silent = 2s});
  connections.push_back({.calls = 600, .silent = 500ms});
  const auto cuts = kSums.Choose(connections);
  EXPECT_EQ(cuts.size(), 700u);
  for (const Cut& cut : cuts) EXPECT_LT(cut.index, 1'000u);
}

TEST(UnfinishedSumsTest, OfThoseThatStandStillWhoHoldsMuchGoesBeforeWhoHoldsLittleLong) {
  const std::vector<Holder> connections{{.calls = 1, .silent = 60s},
                                        {.calls = 600, .silent = 2s},
                                        {.calls = 600, .silent = 3s},
                                        {.calls = 1, .silent = 60s}};
  EXPECT_THAT(kSums.Choose(connections), ElementsAre(ForCalls(2)));
}

TEST(UnfinishedSumsTest, OfThoseOnTheirWayWhoHoldsMostGoes) {
  const std::vector<Holder> connections{
      {.calls = 400}, {.calls = 500, .silent = 50ms}, {.calls = 300, .silent = 100ms}};
  EXPECT_THAT(kSums.Choose(connections), ElementsAre(ForCalls(1)));
}

TEST(UnfinishedSumsTest, ProxiesComeLast) {
  std::vector<Holder> connections{{.calls = 900, .silent = 60s, .trusted = true},
                                  {.calls = 200, .silent = 0s}};
  EXPECT_THAT(kSums.Choose(connections), ElementsAre(ForCalls(1)));
  connections[0].calls = 2'000;
  EXPECT_THAT(kSums.Choose(connections), ElementsAre(ForCalls(1), ForCalls(0)));
}

TEST(UnfinishedSumsTest, BytesHaveALimitOfTheirOwn) {
  const std::vector<Holder> connections{{.calls = 700, .silent = 4s},
                                        {.calls = 1, .bytes = 60'000, .silent = 2s},
                                        {.calls = 1, .bytes = 60'000, .silent = 0s}};
  EXPECT_THAT(kSums.Choose(connections), ElementsAre(ForBytes(1)));
}

TEST(UnfinishedSumsTest, WhoIsCutForCallsTakesItsBytesAlong) {
  const std::vector<Holder> connections{{.calls = 1'100, .bytes = 60'000, .silent = 4s},
                                        {.calls = 1, .bytes = 60'000, .silent = 9s}};
  EXPECT_THAT(kSums.Choose(connections), ElementsAre(ForCalls(0)));
}

}  // namespace
}  // namespace leasegateway
