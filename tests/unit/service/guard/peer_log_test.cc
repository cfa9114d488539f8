#include "service/guard/peer_log.h"

#include <gtest/gtest.h>

#include <string>

namespace leasegateway {
namespace {

using Kind = PeerLog::Kind;

class PeerLogTest : public testing::Test {
 protected:
  bool Says(Kind kind, const std::string& peer) { return log_.Says(kind, peer, now_); }

  PeerLog log_;
  PeerLog::Clock::time_point now_{std::chrono::hours(1)};
};

TEST_F(PeerLogTest, SaysAThingOfAPeerOnceAMinute) {
  EXPECT_TRUE(Says(Kind::kCut, "10.0.0.1"));
  EXPECT_FALSE(Says(Kind::kCut, "10.0.0.1"));
  EXPECT_TRUE(Says(Kind::kCut, "10.0.0.2"));
  now_ += std::chrono::minutes(1);
  EXPECT_TRUE(Says(Kind::kCut, "10.0.0.1"));
}

TEST_F(PeerLogTest, AFloodOfOneKindHidesNoOther) {
  int said = 0;
  for (int i = 0; i < 1000; ++i) said += Says(Kind::kRefused, std::to_string(i)) ? 1 : 0;
  EXPECT_EQ(said, 100);
  EXPECT_TRUE(Says(Kind::kCut, "1"));
  EXPECT_TRUE(Says(Kind::kFailure, "accept"));
}

}  // namespace
}  // namespace leasegateway
