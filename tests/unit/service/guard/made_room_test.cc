#include "service/guard/made_room.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace leasegateway {
namespace {

using boost::asio::ip::make_address;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

class MadeRoomTest : public testing::Test {
 protected:
  // The older the call, the earlier it has to be added.
  void Add(const std::string& address, int connections) {
    for (int i = 0; i < connections; ++i) {
      occupants_.push_back({SiteOf(make_address(address)), time_ += std::chrono::seconds(1)});
    }
  }
  std::chrono::steady_clock::time_point time_;
  std::vector<Occupant> occupants_;
};

TEST_F(MadeRoomTest, OfWhoHasMostTheOneLongestWithoutACallGoes) {
  Add("10.0.0.1", 10);
  Add("10.0.0.2", 12);
  Add("10.0.0.3", 11);
  EXPECT_THAT(MakeRoom(occupants_, 0), IsEmpty());
  EXPECT_THAT(MakeRoom(occupants_, 1), ElementsAre(10));
  occupants_[10].called = time_ + std::chrono::hours(1);
  EXPECT_THAT(MakeRoom(occupants_, 1), ElementsAre(11));
}

TEST_F(MadeRoomTest, EachTimeWhoHasMostThen) {
  Add("10.0.0.1", 100);
  Add("10.0.0.2", 90);
  std::size_t of_first = 0;
  for (const std::size_t index : MakeRoom(occupants_, 30)) of_first += index < 100 ? 1 : 0;
  EXPECT_EQ(of_first, 20u);
}

TEST_F(MadeRoomTest, WhoHasFewKeepsThem) {
  for (int i = 1; i < 100; ++i) Add("10.0.0." + std::to_string(i), 8);
  EXPECT_THAT(MakeRoom(occupants_, 10), IsEmpty());
  Add("10.0.1.1", 10);
  EXPECT_EQ(MakeRoom(occupants_, 10).size(), 2u);
}

TEST_F(MadeRoomTest, ASiteOfIpv6IsOne) {
  Add("10.0.0.1", 50);
  for (int i = 1; i <= 60; ++i) Add("2001:db8:1:" + std::to_string(i) + "::1", 1);
  Add("2001:db8:2::1", 20);
  EXPECT_THAT(MakeRoom(occupants_, 1), ElementsAre(50));
  EXPECT_NE(SiteOf(make_address("2001:db8:1::1")), SiteOf(make_address("2001:db8:2::1")));
  EXPECT_EQ(SiteOf(make_address("::ffff:10.0.0.1")), SiteOf(make_address("10.0.0.1")));
}

}  // namespace
}  // namespace leasegateway
