#include "upstream/availability/change_log.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

namespace leasegateway {
namespace {

using ::testing::ElementsAre;

std::vector<NumberChange> Changes(int count) {
  std::vector<NumberChange> changes(static_cast<std::size_t>(count));
  for (NumberChange& change : changes) change.after.emplace().set_phone_number("+13050000001");
  return changes;
}

std::vector<std::uint64_t> VersionsSince(const ChangeLog& log, std::uint64_t version) {
  std::vector<std::uint64_t> versions;
  const auto changes = log.Since(version);
  for (const AvailabilityChange& change : changes.value()) {
    versions.push_back(change.version);
  }
  return versions;
}

TEST(ChangeLogTest, TellsWhatCameAfterAVersion) {
  ChangeLog log;
  EXPECT_EQ(log.Restart(), 1);
  EXPECT_EQ(log.Add(Changes(1)), 2);
  EXPECT_EQ(log.Add({}), 2);
  EXPECT_EQ(log.Add(Changes(2)), 3);
  EXPECT_THAT(VersionsSince(log, 1), ElementsAre(2, 3));
  EXPECT_THAT(VersionsSince(log, 2), ElementsAre(3));
  EXPECT_THAT(VersionsSince(log, 3), ElementsAre());
  EXPECT_FALSE(log.Since(0));
  EXPECT_FALSE(log.Since(4));
}

TEST(ChangeLogTest, ForgetsTheOldestOfManyChangesAndOfManyNumbers) {
  ChangeLog log;
  std::uint64_t version = log.Restart();
  for (int i = 0; i < 65; ++i) version = log.Add(Changes(1));
  EXPECT_TRUE(log.Since(version - 64));
  EXPECT_FALSE(log.Since(version - 65));
  version = log.Add(Changes(19'999));
  EXPECT_TRUE(log.Since(version - 2));
  EXPECT_FALSE(log.Since(version - 3));
  version = log.Add(Changes(20'001));
  EXPECT_TRUE(log.Since(version));
  EXPECT_FALSE(log.Since(version - 1));
}

TEST(ChangeLogTest, NothingIsKnownAcrossARestart) {
  ChangeLog log;
  log.Restart();
  log.Add(Changes(1));
  EXPECT_EQ(log.Restart(), 3);
  EXPECT_TRUE(log.Since(3));
  EXPECT_FALSE(log.Since(2));
}

}  // namespace
}  // namespace leasegateway
