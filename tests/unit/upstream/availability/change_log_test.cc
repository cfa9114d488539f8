#include "upstream/availability/change_log.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>
#include <string>

namespace leasegateway {
namespace {

using ::testing::ElementsAre;

constexpr std::size_t kAll = std::numeric_limits<std::size_t>::max();

std::vector<NumberChange> Changes(int count) {
  std::vector<NumberChange> changes(static_cast<std::size_t>(count));
  for (NumberChange& change : changes) change.after.emplace().set_phone_number("+13050000001");
  return changes;
}
std::size_t BytesOf(int count) { return ChangeLog::BytesOf(Changes(count)); }

std::uint64_t Add(ChangeLog& log, int count) { return log.Add(Changes(count), BytesOf(count)); }

std::vector<std::uint64_t> VersionsSince(const ChangeLog& log, std::uint64_t version,
                                         std::size_t limit = kAll) {
  std::vector<std::uint64_t> versions;
  const auto changes = log.Since(version, limit);
  for (const AvailabilityChange& change : changes.value()) {
    versions.push_back(change.version);
  }
  return versions;
}

TEST(ChangeLogTest, TellsWhatCameAfterAVersion) {
  ChangeLog log(1 << 20);
  EXPECT_EQ(log.Restart(), 1);
  EXPECT_EQ(Add(log, 1), 2);
  EXPECT_EQ(Add(log, 0), 2);
  EXPECT_EQ(Add(log, 2), 3);
  EXPECT_THAT(VersionsSince(log, 1), ElementsAre(2, 3));
  EXPECT_THAT(VersionsSince(log, 1, 1), ElementsAre(2));
  EXPECT_THAT(VersionsSince(log, 2), ElementsAre(3));
  EXPECT_THAT(VersionsSince(log, 3), ElementsAre());
  EXPECT_FALSE(log.Since(0, kAll));
  EXPECT_FALSE(log.Since(4, kAll));
}

TEST(ChangeLogTest, BytesAreWhatTheNumbersTake) {
  auto changes = Changes(1);
  const std::size_t one = ChangeLog::BytesOf(changes);
  EXPECT_GE(one, sizeof(NumberChange));
  changes[0].before.emplace().set_carrier(std::string(10'000, 'x'));
  EXPECT_GE(ChangeLog::BytesOf(changes), one + 10'000);
  EXPECT_LE(ChangeLog::BytesOf(changes), one + 11'000);
}

TEST(ChangeLogTest, ForgetsTheOldestBeyondItsBytes) {
  ChangeLog log(100 * BytesOf(1));
  std::uint64_t version = log.Restart();
  for (int i = 0; i < 150; ++i) version = Add(log, 1);
  EXPECT_EQ(log.bytes(), 100 * BytesOf(1));
  EXPECT_TRUE(log.Since(version - 100, kAll));
  EXPECT_FALSE(log.Since(version - 101, kAll));
  version = Add(log, 60);
  EXPECT_TRUE(log.Since(version - 2, kAll));
  EXPECT_FALSE(log.Since(version - 100, kAll));
  EXPECT_LE(log.bytes(), 100 * BytesOf(1));
}

TEST(ChangeLogTest, ChangeThatIsTooLargeIsNotKept) {
  ChangeLog log(100 * BytesOf(1));
  log.Restart();
  Add(log, 1);
  const std::uint64_t version = Add(log, 1'000);
  EXPECT_TRUE(log.Since(version, kAll));
  EXPECT_FALSE(log.Since(version - 1, kAll));
  EXPECT_EQ(log.bytes(), 0U);
  EXPECT_EQ(Add(log, 1), version + 1);
  EXPECT_THAT(VersionsSince(log, version), ElementsAre(version + 1));
}

TEST(ChangeLogTest, EntriesAreKnownAsFarBackAsChanges) {
  ChangeLog log(100 * BytesOf(1));
  std::uint64_t version = log.Restart();
  for (std::uint64_t entry = 1; entry <= 200; ++entry) {
    log.SetLogged(entry, entry);
    version = Add(log, 1);
  }
  for (std::uint64_t entry = 1; entry <= 200; ++entry) {
    const auto at = log.VersionAt(entry);
    EXPECT_EQ(at.has_value(), log.Since(entry, 0).has_value()) << entry;
    if (at) {
      EXPECT_EQ(log.EntryOf(*at), entry);
    }
  }
  EXPECT_LE(log.bytes(), 100 * BytesOf(1));
  // Where the list is the same again and again, these alone add up.
  for (std::uint64_t entry = 1'000; entry < 100'000; entry += 2) log.SetLogged(entry, entry);
  EXPECT_LE(log.bytes(), 100 * BytesOf(1));
  EXPECT_EQ(log.EntryOf(version), 99'998U);
}

TEST(ChangeLogTest, NothingIsKnownAcrossARestart) {
  ChangeLog log(1 << 20);
  log.Restart();
  Add(log, 1);
  EXPECT_EQ(log.Restart(), 3);
  EXPECT_TRUE(log.Since(3, kAll));
  EXPECT_FALSE(log.Since(2, kAll));
}

}  // namespace
}  // namespace leasegateway
