#include "service/guard/unfinished_calls.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <map>
#include <random>
#include <utility>

namespace leasegateway {
namespace {

using Clock = UnfinishedCalls::Clock;
using std::chrono::seconds;

const Clock::time_point kStart{std::chrono::hours(1)};

TEST(UnfinishedCalls, CountsBytesOfWhatThereIs) {
  UnfinishedCalls calls;
  EXPECT_EQ(calls.oldest_progress(), Clock::time_point::max());
  calls.Begin(1, kStart);
  calls.Begin(3, kStart);
  EXPECT_TRUE(calls.Grow(1, 10));
  EXPECT_TRUE(calls.Progressed(3, 20, kStart));
  EXPECT_FALSE(calls.Grow(5, 10));
  EXPECT_FALSE(calls.Progressed(5, 10, kStart));
  EXPECT_EQ(calls.bytes(), 30);
  EXPECT_EQ(calls.size(), 2);
  EXPECT_TRUE(calls.End(1));
  EXPECT_FALSE(calls.End(1));
  EXPECT_FALSE(calls.Has(1));
  EXPECT_TRUE(calls.Has(3));
  EXPECT_EQ(calls.bytes(), 20);
  calls.Begin(7, kStart);  // in the place of the one that ended
  EXPECT_EQ(calls.bytes(), 20);
}

// Against a plain list of all of them, in times that are all different.
TEST(UnfinishedCalls, IsOrderedByProgress) {
  UnfinishedCalls calls;
  std::map<std::uint32_t, Clock::time_point> plain;
  std::mt19937 random(1);
  Clock::time_point now = kStart;
  for (int i = 0; i < 20'000; ++i) {
    now += seconds(1);
    const std::uint32_t stream = random() % 300;
    // Phases in which they grow to some hundred, and end all.
    const bool is_growing = i / 1'000 % 2 == 0;
    if (!calls.Has(stream)) {
      if (is_growing) {
        calls.Begin(stream, now);
        plain[stream] = now;
      }
    } else if (random() % 2 == 0) {
      calls.Progressed(stream, 1, now);
      plain[stream] = now;
    } else if (!is_growing || random() % 4 == 0) {
      calls.End(stream);
      plain.erase(stream);
    }
    ASSERT_EQ(calls.size(), plain.size());
    std::pair<Clock::time_point, std::uint32_t> oldest{Clock::time_point::max(), 0};
    std::uint32_t stuck = 0;
    for (const auto& [other, progressed] : plain) {
      oldest = std::min(oldest, {progressed, other});
      stuck += progressed <= now - seconds(100);
    }
    ASSERT_EQ(calls.oldest_progress(), oldest.first);
    ASSERT_EQ(calls.StuckSince(now - seconds(100)), stuck);
    if (!plain.empty()) {
      ASSERT_EQ(calls.oldest(), oldest.second);
    }
  }
}

}  // namespace
}  // namespace leasegateway
