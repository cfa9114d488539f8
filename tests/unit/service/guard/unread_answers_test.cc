#include "service/guard/unread_answers.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <cstdint>
#include <vector>

namespace leasegateway {
namespace {

using namespace std::chrono_literals;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using Connection = UnreadAnswers::Connection;

constexpr std::uint64_t kMost = UnreadAnswers::kMost;

std::vector<std::size_t> Choose(const std::vector<Connection>& connections, std::uint64_t waiting) {
  return UnreadAnswers::Choose(connections, waiting);
}

TEST(UnreadAnswersTest, NobodyIsCutForNotReading) {
  EXPECT_THAT(Choose({{1'000, 1h}, {1'000, 1h}}, 2'000), IsEmpty());
  EXPECT_THAT(Choose({{1'000, 1h}}, kMost), IsEmpty());
  EXPECT_THAT(Choose({{1'000, 1h}}, kMost + 1), ElementsAre(0));
}

TEST(UnreadAnswersTest, WhoHasFewCallsNeverIs) {
  EXPECT_THAT(Choose(std::vector<Connection>(1'000, {UnreadAnswers::kFew, 1h}), 128'000),
              IsEmpty());
  EXPECT_THAT(Choose({{UnreadAnswers::kFew, 1h}, {UnreadAnswers::kFew + 1, 1h}}, 128'000),
              ElementsAre(1));
}

TEST(UnreadAnswersTest, WhoHasMostIsAndNoMoreThanItTakes) {
  EXPECT_THAT(Choose({{200, 3s}, {900, 3s}, {300, 3s}}, kMost + 900), ElementsAre(1));
  EXPECT_THAT(Choose({{200, 3s}, {900, 3s}, {300, 3s}}, kMost + 901), ElementsAre(1, 2));
}

TEST(UnreadAnswersTest, WithTooManyThereIsLessTime) {
  const std::vector<Connection> all = {{950, 499ms, true}, {900, 500ms, true}, {800, 99ms},
                                       {700, 100ms},       {600, 1'999ms},     {500, 2s}};
  EXPECT_THAT(Choose(all, 3'072), ElementsAre(5));
  EXPECT_THAT(Choose(all, 9'000), ElementsAre(1, 3, 4, 5));
}

TEST(UnreadAnswersTest, ProxiesComeLastAndHaveTheLongestTime) {
  EXPECT_THAT(Choose({{900, 1h, true, true}, {300, 3s}}, kMost + 1'000), ElementsAre(1, 0));
  EXPECT_THAT(Choose({{900, 1'999ms, false, true}, {300, 100ms}}, 20'000), ElementsAre(1));
}

class StallTest : public ::testing::Test {
 protected:
  // Looks each 10 ms of that time.
  UnreadAnswers::Clock::duration After(std::chrono::milliseconds time) {
    for (auto passed = 0ms; passed < time; passed += 10ms) {
      now_ += 10ms;
      stall_.Look(open_, waiting_, answered_, now_);
    }
    return stall_.time();
  }

  UnreadAnswers::Clock::time_point now_{1000h};
  std::uint64_t open_ = 1'000;
  std::uint64_t waiting_ = 200;
  std::uint64_t answered_ = 5'000'000;
  UnreadAnswers::Stall stall_;
};

TEST_F(StallTest, LastsWhileNothingIsTaken) {
  EXPECT_EQ(After(10ms), 0s) << "what was taken before is not known";
  EXPECT_EQ(After(2s), 2s);
}

TEST_F(StallTest, IsOverWithBytesForEachOpenCall) {
  After(1s);
  answered_ += 63'999;
  EXPECT_EQ(After(1s), 1'990ms) << "next to nothing";
  answered_ += 1;
  EXPECT_EQ(After(10ms), 0s);
  EXPECT_EQ(After(300ms), 300ms);
}

TEST_F(StallTest, IsNoneWithFewCallsThatWait) {
  After(1s);
  waiting_ = UnreadAnswers::kFew;
  EXPECT_EQ(After(10ms), 0s);
  waiting_ = UnreadAnswers::kFew + 1;
  EXPECT_EQ(After(10ms), 10ms);
}

TEST_F(StallTest, BeginsWithTheFirstLook) {
  answered_ = 0;
  EXPECT_EQ(After(10ms), 0s);
  EXPECT_EQ(After(10ms), 10ms);
}

TEST_F(StallTest, AStandstillOfTheGatewayIsNone) {
  After(20ms);
  now_ += 1min;
  stall_.Look(open_, waiting_, answered_, now_);
  EXPECT_EQ(stall_.time(), 30ms);
}

}  // namespace
}  // namespace leasegateway
