#include "upstream/resilience/fair_line.h"

#include <gtest/gtest.h>

#include <map>
#include <random>
#include <string>
#include <vector>

namespace leasegateway {
namespace {

using Line = FairLine<std::string>;

// All that wait, in the order in which they have their turns.
std::vector<std::string> Served(Line& line, std::map<std::string, Line::Place>& places) {
  std::vector<std::string> served;
  while (!line.empty()) {
    served.push_back(line.front());
    line.Leave(places.at(line.front()), true);
  }
  return served;
}

class FairLineTest : public testing::Test {
 protected:
  void Join(const std::string& share, const std::string& waiter) {
    places_[waiter] = line_.Join(share, waiter);
  }
  void Leave(const std::string& waiter, bool had_turn = false) {
    line_.Leave(places_.at(waiter), had_turn);
  }
  std::vector<std::string> Served() { return leasegateway::Served(line_, places_); }

  Line line_;
  std::map<std::string, Line::Place> places_;
};

TEST_F(FairLineTest, OneShareIsFirstComeFirstServed) {
  for (const char* waiter : {"1", "2", "3"}) Join("", waiter);
  EXPECT_EQ(line_.Turns(""), 4u);
  EXPECT_EQ(*line_.last(), "3");
  EXPECT_EQ(Served(), (std::vector<std::string>{"1", "2", "3"}));
}

TEST_F(FairLineTest, SharesTakeTurns) {
  for (const char* waiter : {"a1", "a2", "a3"}) Join("a", waiter);
  for (const char* waiter : {"b1", "b2"}) Join("b", waiter);
  Join("c", "c1");
  EXPECT_EQ(line_.size(), 6u);
  EXPECT_EQ(Served(), (std::vector<std::string>{"a1", "b1", "c1", "a2", "b2", "a3"}));
}

TEST_F(FairLineTest, ThousandOfAShareDelayAnotherByOneTurn) {
  for (int i = 0; i < 1'000; ++i) Join("a", "a" + std::to_string(i));
  EXPECT_EQ(line_.Turns("b"), 2u);
  EXPECT_EQ(line_.Turns("a"), 1'001u);
  Join("b", "b1");
  EXPECT_EQ(line_.Turns("b"), 4u);
  EXPECT_EQ(line_.Turns("c"), 3u);
  Leave("a0", true);
  EXPECT_EQ(line_.front(), "b1");
}

TEST_F(FairLineTest, WhoLeavesWithoutATurnLeavesItToItsShare) {
  for (const char* waiter : {"a1", "a2"}) Join("a", waiter);
  Join("b", "b1");
  Leave("a1");
  EXPECT_EQ(line_.front(), "a2");
  Leave("b1");
  EXPECT_EQ(line_.Turns("b"), 2u);
  EXPECT_EQ(Served(), (std::vector<std::string>{"a2"}));
}

TEST_F(FairLineTest, ShareThatComesBackIsBehindTheOthers) {
  Join("a", "a1");
  Join("b", "b1");
  Join("b", "b2");
  Leave("a1", true);
  Join("a", "a2");
  EXPECT_EQ(Served(), (std::vector<std::string>{"b1", "a2", "b2"}));
}

TEST_F(FairLineTest, LongestMakesRoomForWhoHasFewer) {
  for (const char* waiter : {"a1", "a2", "a3"}) Join("a", waiter);
  for (const char* waiter : {"b1", "b2"}) Join("b", waiter);
  EXPECT_EQ(*line_.LastOfLongest("c"), "a3");
  EXPECT_EQ(line_.LastOfLongest("b"), nullptr) << "it would have as many";
  EXPECT_EQ(line_.LastOfLongest("a"), nullptr);
  Leave("a3");
  Leave("a2");
  EXPECT_EQ(*line_.LastOfLongest("c"), "b2");
  EXPECT_EQ(Line().LastOfLongest(""), nullptr);
}

// What Turns foretells is what happens when nobody else comes.
TEST_F(FairLineTest, TurnsAreForetold) {
  std::minstd_rand random(7);
  for (int round = 0; round < 200; ++round) {
    int next = 0;
    for (std::size_t i = random() % 30; i > 0; --i) {
      Join(std::string(1, static_cast<char>('a' + random() % 4)), std::to_string(next++));
    }
    for (std::size_t i = random() % 4; i > 0 && !line_.empty(); --i) {
      Leave(line_.front(), random() % 2 == 0);
    }
    const std::string share(1, static_cast<char>('a' + random() % 5));
    const std::size_t foretold = line_.Turns(share);
    Join(share, "new");
    std::size_t turns = 1;
    for (; line_.front() != "new"; ++turns) Leave(line_.front(), true);
    // Where a share has had its turn of this round already, the new one is earlier.
    EXPECT_LE(turns, foretold);
    EXPECT_GE(turns + 4, foretold);
    Served();
    places_.clear();
  }
}

}  // namespace
}  // namespace leasegateway
