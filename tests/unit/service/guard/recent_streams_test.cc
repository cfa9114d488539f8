#include "service/guard/recent_streams.h"

#include <gtest/gtest.h>

#include <cstdint>

namespace leasegateway {
namespace {

TEST(RecentStreams, HasTheLastOnes) {
  RecentStreams streams;
  for (std::uint32_t stream = 0; stream < 10'000; ++stream) {
    streams.Add(stream);
    ASSERT_TRUE(streams.Has(stream));
    if (stream < RecentStreams::kLeast) continue;
    ASSERT_TRUE(streams.Has(stream - RecentStreams::kLeast + 1));
    if (stream >= 2 * RecentStreams::kLeast) {
      ASSERT_FALSE(streams.Has(stream - 2 * RecentStreams::kLeast));
    }
  }
  EXPECT_TRUE(streams.Remove(9'999));
  EXPECT_TRUE(streams.Remove(9'999 - RecentStreams::kLeast + 1));
  EXPECT_FALSE(streams.Remove(9'999));
  EXPECT_FALSE(streams.Has(9'999));
}

}  // namespace
}  // namespace leasegateway
