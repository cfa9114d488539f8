#include "service/guard/memory_pressure.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <vector>

namespace leasegateway {
namespace {

using namespace std::chrono_literals;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

constexpr std::uint64_t kMB = 1'000'000;

class MemoryPressureTest : public ::testing::Test {
 protected:
  using Connection = MemoryPressure::Connection;

  // Of `megabytes`, unless otherwise said.
  static Connection Costs(std::uint64_t megabytes, bool trusted = false) {
    return {.unfinished_bytes = megabytes * kMB, .trusted = trusted};
  }
  // With so much of 1,000 MB used.
  MemoryPressure::Decision Look(std::uint64_t megabytes) {
    return pressure_.Look(MemoryGauge::Reading{.used = megabytes * kMB, .limit = 1000 * kMB},
                          connections_, cuts_, now_);
  }
  std::vector<std::size_t> Cut(std::uint64_t megabytes) { return Look(megabytes).cut; }
  // At which of the next seconds memory is given back, looked at each 100 ms.
  std::vector<int> Returns(int seconds, std::uint64_t megabytes = 100) {
    std::vector<int> returns;
    for (int i = 1; i <= seconds * 10; ++i) {
      now_ += 100ms;
      if (Look(megabytes).return_memory) returns.push_back(i / 10);
    }
    return returns;
  }

  std::vector<Connection> connections_;
  std::uint64_t cuts_ = 0;
  MemoryPressure::Clock::time_point now_{1000h};
  MemoryPressure pressure_;
};

TEST_F(MemoryPressureTest, CostsAreOfWhatIsKeptAndOfWhatCameForNoCall) {
  EXPECT_EQ(MemoryPressure::Cost({}), 0u);
  EXPECT_EQ(MemoryPressure::Cost({.unfinished_bytes = 700}), 700u);
  EXPECT_EQ(MemoryPressure::Cost({.open_calls = 32}), 0u) << "few";
  EXPECT_EQ(MemoryPressure::Cost({.open_calls = 35}), 3u * 17'920);
  EXPECT_EQ(MemoryPressure::Cost({.bytes = 9000}), 9000u);
  EXPECT_EQ(MemoryPressure::Cost({.bytes = 9000, .calls = 2}), 9000u - 2 * 4096);
  EXPECT_EQ(MemoryPressure::Cost({.unfinished_bytes = 5, .bytes = 9000, .calls = 3}), 5u);
}

TEST_F(MemoryPressureTest, NoneIsCutWithoutPressure) {
  connections_ = {Costs(700)};
  EXPECT_THAT(Cut(849), IsEmpty());
  EXPECT_THAT(Cut(850), ElementsAre(0));
}

TEST_F(MemoryPressureTest, NoneIsCutWithoutALimit) {
  connections_ = {Costs(700)};
  const auto decision = pressure_.Look(std::nullopt, connections_, 0, now_);
  EXPECT_THAT(decision.cut, IsEmpty());
  EXPECT_FALSE(decision.return_memory);
}

TEST_F(MemoryPressureTest, WhoCostsMostIsCutAndNoMoreThanItTakes) {
  connections_ = {Costs(20), Costs(70), Costs(1), Costs(30)};
  EXPECT_THAT(Cut(860), ElementsAre(1)) << "60 too many";
  now_ += 1s;
  EXPECT_THAT(Cut(880), ElementsAre(1, 3)) << "80 too many";
  now_ += 1s;
  EXPECT_THAT(Cut(901), ElementsAre(1, 3, 0)) << "101 too many";
}

TEST_F(MemoryPressureTest, ProxiesComeAfterAllOthers) {
  connections_ = {Costs(400, true), Costs(1), Costs(90, true), Costs(2)};
  EXPECT_THAT(Cut(853), ElementsAre(3, 1, 0)) << "53 too many";
  now_ += 1s;
  connections_ = {Costs(400, true), Costs(60)};
  EXPECT_THAT(Cut(853), ElementsAre(1));
}

TEST_F(MemoryPressureTest, WhoTakesNoAnswersComesFirst) {
  connections_ = {Costs(90), Costs(10), Costs(20), Costs(30, true)};
  connections_[1].stalls = connections_[2].stalls = connections_[3].stalls = true;
  EXPECT_THAT(Cut(851), ElementsAre(2, 1, 0)) << "51 too many";
}

TEST_F(MemoryPressureTest, WhoCostsLittleIsNeverCut) {
  connections_.resize(100, {.unfinished_bytes = MemoryPressure::kLeastCost - 1});
  connections_.push_back({.open_calls = 46, .stalls = true});
  EXPECT_THAT(Cut(1000), IsEmpty());
  connections_.push_back({.open_calls = 47});
  EXPECT_THAT(Cut(1000), ElementsAre(101));
}

TEST_F(MemoryPressureTest, ItGoesOnUntilThereIsRoomAgain) {
  connections_ = {Costs(700)};
  EXPECT_THAT(Cut(800), IsEmpty());
  EXPECT_THAT(Cut(851), ElementsAre(0));
  now_ += 1s;
  EXPECT_THAT(Cut(801), ElementsAre(0)) << "it had begun";
  now_ += 1s;
  EXPECT_THAT(Cut(799), IsEmpty());
  EXPECT_THAT(Cut(849), IsEmpty()) << "it has ended";
}

TEST_F(MemoryPressureTest, WhatWasCutIsGivenTimeToBeFreed) {
  connections_ = {Costs(60), Costs(50)};
  EXPECT_THAT(Cut(855), ElementsAre(0));
  connections_ = {Costs(50)};
  now_ += 100ms;
  EXPECT_THAT(Cut(855), IsEmpty());
  now_ += 100ms;
  EXPECT_THAT(Cut(870), ElementsAre(0)) << "70 too many, and 60 are on their way";
  now_ += 299ms;
  EXPECT_THAT(Cut(870), IsEmpty());
  now_ += 1ms;
  EXPECT_THAT(Cut(870), ElementsAre(0)) << "the first 60 were not freed after all";
}

TEST_F(MemoryPressureTest, InNeedNothingIsWaitedFor) {
  connections_ = {Costs(200)};
  EXPECT_THAT(Cut(949), ElementsAre(0));
  now_ += 100ms;
  EXPECT_THAT(Cut(949), IsEmpty());
  EXPECT_THAT(Cut(950), ElementsAre(0));
}

TEST_F(MemoryPressureTest, ALimitOfAnySize) {
  connections_ = {{.unfinished_bytes = std::uint64_t{1} << 59}};
  const std::uint64_t limit = std::uint64_t{1} << 60;
  EXPECT_THAT(pressure_.Look(MemoryGauge::Reading{limit / 2, limit}, connections_, 0, now_).cut,
              IsEmpty());
  EXPECT_THAT(pressure_.Look(MemoryGauge::Reading{limit, limit}, connections_, 0, now_).cut,
              ElementsAre(0));
  EXPECT_THAT(pressure_.Look(MemoryGauge::Reading{9, 0}, {}, 0, now_).cut, IsEmpty());
}

TEST_F(MemoryPressureTest, MemoryIsGivenBackAfterACutAndEverMoreSeldom) {
  EXPECT_THAT(Returns(20), IsEmpty());
  ++cuts_;
  EXPECT_FALSE(Look(100).return_memory);
  EXPECT_THAT(Returns(100), ElementsAre(1, 2, 4, 8, 16, 32));
}

TEST_F(MemoryPressureTest, OneCutAfterTheOtherDoesNotPutItOff) {
  std::vector<int> returns;
  for (int i = 0; i < 50; ++i, now_ += 100ms) {
    ++cuts_;
    if (Look(100).return_memory) returns.push_back(i);
  }
  EXPECT_THAT(returns, ElementsAre(10, 20, 30, 40));
}

TEST_F(MemoryPressureTest, UnderPressureMemoryIsGivenBackEachSecond) {
  EXPECT_FALSE(Look(850).return_memory);
  EXPECT_THAT(Returns(5, 850), ElementsAre(1, 2, 3, 4, 5));
}

}  // namespace
}  // namespace leasegateway
