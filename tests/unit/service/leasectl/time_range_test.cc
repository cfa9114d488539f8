#include "service/leasectl/time_range.h"

#include <gtest/gtest.h>

namespace leasegateway {
namespace {

std::string Utc(absl::Time time) {
  return absl::FormatTime(absl::RFC3339_full, time, absl::UTCTimeZone());
}

TEST(TimeRange, MonthIsFromItsFirstMidnightToTheNextOnesInUtc) {
  for (const auto& [text, start, end] :
       {std::tuple{"2026-11", "2026-11-01T00:00:00+00:00", "2026-12-01T00:00:00+00:00"},
        std::tuple{"2026-12", "2026-12-01T00:00:00+00:00", "2027-01-01T00:00:00+00:00"},
        std::tuple{"2028-02", "2028-02-01T00:00:00+00:00", "2028-03-01T00:00:00+00:00"}}) {
    const auto month = ParseMonth(text);
    ASSERT_TRUE(month.ok()) << text;
    EXPECT_EQ(month->name, text);
    EXPECT_EQ(Utc(month->start), start);
    EXPECT_EQ(Utc(month->end), end);
  }
}

TEST(TimeRange, WhatIsNoMonthIsNamedWithTheRule) {
  for (const std::string text :
       {"", "2026", "2026-13", "2026-00", "2026-1", "2026-11-30", "26-11", "2026/11", " 2026-11",
        "2026-11 ", "-026-11", "2026-+1", "1969-12", "9999-12", "november"}) {
    EXPECT_EQ(CheckMonth(text), "\"" + text + "\" must be a month from 1970 on, such as 2026-11");
  }
  EXPECT_EQ(CheckMonth("2026-11"), "");
}

TEST(TimeRange, InstantIsATimeOrTheMidnightOfADate) {
  for (const auto& [text, utc] :
       {std::tuple{"2026-11-30", "2026-11-30T00:00:00+00:00"},
        std::tuple{"2026-11-30T12:30:01Z", "2026-11-30T12:30:01+00:00"},
        std::tuple{"2026-11-30t12:30:01z", "2026-11-30T12:30:01+00:00"},
        std::tuple{"2026-11-30T12:30:01.25Z", "2026-11-30T12:30:01.25+00:00"},
        std::tuple{"2026-11-30T23:30:00-05:30", "2026-12-01T05:00:00+00:00"}}) {
    const auto time = ParseInstant(text);
    ASSERT_TRUE(time.ok()) << text;
    EXPECT_EQ(Utc(*time), utc);
  }
}

TEST(TimeRange, WhatIsNoInstantIsNamedWithTheRule) {
  for (const std::string text :
       {"", "2026-11", "2026-02-30", "2026-13-01", "2026-11-30T12:00:00", "2026-11-30 12:00:00Z",
        "2026-11-30T25:00:00Z", "2026-11-30T12:00:00.Z", "2026-11-30T12:00:00+0100",
        "2026-11-30T12:00:00Z ", "infinite-future", "now", "1969-12-31"}) {
    EXPECT_EQ(CheckInstant(text), "\"" + text +
                                      "\" must be a date such as 2026-11-30 or a time such as "
                                      "2026-11-30T12:00:00Z, from 1970 on");
  }
}

TEST(TimeRange, TimestampKeepsNanoseconds) {
  const auto timestamp = ToTimestamp(ParseInstant("2026-11-30T12:30:01.123456789Z").value());
  EXPECT_EQ(timestamp.seconds(), 1796041801);
  EXPECT_EQ(timestamp.nanos(), 123456789);
}

}  // namespace
}  // namespace leasegateway
