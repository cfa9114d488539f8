#include "service/admin/admin_room.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <list>
#include <memory>
#include <sstream>
#include <string>

#include "service/process/logging.h"

namespace leasegateway {
namespace {

using boost::asio::ip::make_address;
using ::testing::HasSubstr;
using ::testing::Not;
using Stage = AdminRoom::Stage;

struct Guest final : AdminRoom::Guest {
  bool AnswerTaken() override { return taken; }
  void MakeRoom() override { place.reset(), gone = true; }

  bool taken = true;
  bool gone = false;
  std::unique_ptr<AdminRoom::Place> place;
};

class AdminRoomTest : public testing::Test {
 protected:
  // Null: it is refused.
  Guest* Enter(const std::string& address, Stage stage = Stage::kRequest) {
    Guest& guest = guests_.emplace_back();
    guest.place = room_.Enter(make_address(address), guest);
    if (!guest.place) return nullptr;
    if (stage != Stage::kRequest) guest.place->Enter(stage);
    now_ += apart_;
    return &guest;
  }
  std::uint64_t Lost(AdminLoss why) const { return stats_.losses(why); }

  AdminStats stats_;
  AdminStats::TimePoint now_ = AdminStats::TimePoint::clock::now();
  std::chrono::milliseconds apart_{100};  // each enters after the one before
  AdminRoom room_{{.max_connections = 4,
                   .max_connections_per_peer = 2,
                   .fresh = std::chrono::milliseconds(100),
                   .now = [this] { return now_; }},
                  stats_};
  std::list<Guest> guests_;
};

TEST_F(AdminRoomTest, ThePeerIsAnAddressOfIPv4OrANetworkOfIPv6) {
  EXPECT_EQ(AdminPeerOf(make_address("::ffff:10.0.0.1")), make_address("10.0.0.1"));
  EXPECT_EQ(AdminPeerOf(make_address("10.0.0.1")), make_address("10.0.0.1"));
  EXPECT_EQ(AdminPeerOf(make_address("2001:db8:1:2:3:4:5:6")), make_address("2001:db8:1:2::"));
  EXPECT_NE(AdminPeerOf(make_address("2001:db8:1:3::1")), make_address("2001:db8:1:2::"));
}

TEST_F(AdminRoomTest, AFullPeersOldestMakesRoomAndNobodyElses) {
  Guest* other = Enter("10.0.0.2");
  Enter("10.0.0.2");
  Guest* first = Enter("10.0.0.1");
  Guest* second = Enter("::ffff:10.0.0.1");
  ASSERT_NE(Enter("10.0.0.1"), nullptr);
  EXPECT_TRUE(first->gone);
  EXPECT_FALSE(second->gone);
  EXPECT_FALSE(other->gone);
  EXPECT_EQ(stats_.connections, 4);
  EXPECT_EQ(Lost(AdminLoss::kMadeRoom), 1U);
}

TEST_F(AdminRoomTest, APeerWhoseConnectionsAllWaitForAnswersIsRefused) {
  Enter("10.0.0.1", Stage::kAnswer);
  Enter("10.0.0.1", Stage::kAnswer);
  EXPECT_EQ(Enter("10.0.0.1"), nullptr);
  EXPECT_EQ(Lost(AdminLoss::kPeerShare), 1U);
  EXPECT_NE(Enter("10.0.0.2"), nullptr);
}

TEST_F(AdminRoomTest, OfAFullRoomTheIdleGoFirstThenWhoSentNoWholeRequestThenWhoDoesNotRead) {
  Guest* unread = Enter("10.0.0.1", Stage::kUnread);
  Guest* older = Enter("10.0.0.2");
  Guest* newer = Enter("10.0.0.3");
  Guest* idle = Enter("10.0.0.4", Stage::kIdle);
  Enter("10.0.0.5", Stage::kAnswer);
  EXPECT_TRUE(idle->gone);
  EXPECT_FALSE(older->gone);
  Enter("10.0.0.6", Stage::kAnswer);
  EXPECT_TRUE(older->gone);
  EXPECT_FALSE(newer->gone);
  Enter("10.0.0.7", Stage::kAnswer);
  EXPECT_TRUE(newer->gone);
  EXPECT_FALSE(unread->gone);
  Enter("10.0.0.8", Stage::kAnswer);
  EXPECT_TRUE(unread->gone);
  EXPECT_EQ(Lost(AdminLoss::kMaxConnections), 0U);
  EXPECT_EQ(Enter("10.0.0.9"), nullptr);
  EXPECT_FALSE(room_.MakeRoom());
  EXPECT_EQ(Lost(AdminLoss::kMaxConnections), 1U);
  EXPECT_EQ(stats_.connections, 4);
}

TEST_F(AdminRoomTest, APeerThatHasMostMakesRoomBeforeAnOlderOneOfAnother) {
  Guest* older = Enter("10.0.0.1");
  Guest* first = Enter("10.0.0.2");
  Guest* second = Enter("10.0.0.2");
  Guest* newer = Enter("10.0.0.3");
  Enter("10.0.0.4");
  EXPECT_TRUE(first->gone);
  EXPECT_FALSE(older->gone);
  Enter("10.0.0.5");
  EXPECT_TRUE(older->gone) << "each has one now";
  EXPECT_FALSE(second->gone);
  EXPECT_FALSE(newer->gone);
}

TEST_F(AdminRoomTest, TheOldestIsTheOneThatIsInItsStageLongest) {
  Guest* first = Enter("10.0.0.1");
  Guest* second = Enter("10.0.0.2");
  Guest* third = Enter("10.0.0.3");
  first->place->Enter(Stage::kAnswer);
  first->place->Enter(Stage::kIdle);
  first->place->Enter(Stage::kRequest);  // its second one
  EXPECT_TRUE(room_.MakeRoom());
  EXPECT_TRUE(second->gone);
  EXPECT_TRUE(room_.MakeRoom());
  EXPECT_TRUE(third->gone);
  EXPECT_FALSE(first->gone);
}

TEST_F(AdminRoomTest, AnIdleOneThatHasNotGotItsAnswerYetIsNotTheFirst) {
  Guest* reading = Enter("10.0.0.1", Stage::kIdle);
  Guest* request = Enter("10.0.0.2");
  Guest* unread = Enter("10.0.0.3", Stage::kUnread);
  reading->taken = false;
  EXPECT_TRUE(room_.MakeRoom());
  EXPECT_TRUE(request->gone);
  EXPECT_TRUE(room_.MakeRoom());
  EXPECT_TRUE(reading->gone) << "older than the other";
  EXPECT_FALSE(unread->gone);
}

TEST_F(AdminRoomTest, WhatMayBeOnItsWayGoesLast) {
  apart_ = std::chrono::milliseconds(34);
  Guest* request = Enter("10.0.0.1");
  Guest* sending = Enter("10.0.0.2");
  Guest* answered = Enter("10.0.0.3", Stage::kUnread);
  EXPECT_TRUE(room_.MakeRoom());
  EXPECT_TRUE(request->gone) << "it had its time";
  sending->place->Enter(Stage::kUnread);
  Guest* coming = Enter("10.0.0.4");
  Guest* idle = Enter("10.0.0.4", Stage::kIdle);
  EXPECT_TRUE(room_.MakeRoom());
  EXPECT_TRUE(idle->gone);
  EXPECT_TRUE(room_.MakeRoom());
  EXPECT_TRUE(answered->gone);
  EXPECT_TRUE(room_.MakeRoom());
  EXPECT_TRUE(sending->gone) << "but they go, the oldest first";
  EXPECT_TRUE(room_.MakeRoom());
  EXPECT_TRUE(coming->gone);
}

TEST_F(AdminRoomTest, WhoLeavesFreesThePlace) {
  for (int i = 0; i < 10; ++i) {
    Guest* guest = Enter("10.0.0.1", Stage::kAnswer);
    ASSERT_NE(guest, nullptr);
    guest->place.reset();
  }
  EXPECT_EQ(stats_.connections, 0);
}

TEST(AdminStatsTest, SaysOnceAMinuteWhatWasLost) {
  std::ostringstream log;
  InitLoggingTo(log, "info", "text");
  AdminStats stats;
  const AdminStats::TimePoint start = AdminStats::TimePoint::clock::now();
  const auto peer = make_address("10.0.0.1");
  stats.Note(AdminLoss::kMadeRoom, peer, start);
  for (int i = 0; i < 3; ++i) {
    stats.Note(AdminLoss::kBadRequest, peer, start + std::chrono::seconds(59));
  }
  stats.Note(AdminLoss::kMadeRoom, make_address("10.0.0.2"), start + std::chrono::seconds(60));
  ShutdownLogging();
  EXPECT_THAT(log.str(), HasSubstr("last such line: made_room 1), now one from 10.0.0.1\n"));
  EXPECT_THAT(log.str(),
              HasSubstr("last such line: made_room 1, bad_request 3), now one from 10.0.0.2\n"));
  EXPECT_THAT(log.str(), Not(HasSubstr("line: bad_request")));
  EXPECT_EQ(stats.losses(AdminLoss::kBadRequest), 3U);
}

}  // namespace
}  // namespace leasegateway
