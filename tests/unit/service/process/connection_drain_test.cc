#include "service/process/connection_drain.h"

#include <gtest/gtest.h>

namespace leasegateway {
namespace {

using namespace std::chrono_literals;

TEST(ConnectionDrainTest, GoawaysAreOftenOnlyAtTheBeginning) {
  EXPECT_EQ(UntilNextGoaway(0ms), 10ms);
  EXPECT_EQ(UntilNextGoaway(99ms), 10ms);
  EXPECT_EQ(UntilNextGoaway(100ms), 250ms);
  EXPECT_EQ(UntilNextGoaway(7s), 250ms);
}

}  // namespace
}  // namespace leasegateway
