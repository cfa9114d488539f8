#include "service/process/log_repeats.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

namespace leasegateway {
namespace {

using ::testing::Eq;
using ::testing::Optional;

class LogRepeatsTest : public testing::Test {
 protected:
  std::optional<std::uint64_t> Says(const std::string& text) { return repeats_.Says(text, now_); }

  LogRepeats repeats_;
  LogRepeats::Clock::time_point now_{std::chrono::hours(1)};
};

TEST_F(LogRepeatsTest, EachTextIsWrittenOnceAMinuteWithTheCountOfTheRest) {
  EXPECT_THAT(Says("a"), Optional(0u));
  for (int i = 0; i < 7; ++i) EXPECT_THAT(Says("a"), Eq(std::nullopt));
  EXPECT_THAT(Says("b"), Optional(0u));
  now_ += std::chrono::seconds(59);
  EXPECT_THAT(Says("a"), Eq(std::nullopt));
  now_ += std::chrono::seconds(1);
  EXPECT_THAT(Says("a"), Optional(8u));
  EXPECT_THAT(Says("b"), Optional(0u)) << "told already";
}

TEST_F(LogRepeatsTest, TextsThatAllDifferAreBoundedToo) {
  int written = 0;
  for (int i = 0; i < 1'000; ++i) written += Says(std::to_string(i)) ? 1 : 0;
  EXPECT_EQ(written, 64);
  now_ += std::chrono::minutes(1);
  EXPECT_THAT(Says("next"), Optional(936u));
}

}  // namespace
}  // namespace leasegateway
