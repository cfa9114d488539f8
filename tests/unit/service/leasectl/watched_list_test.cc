#include "service/leasectl/watched_list.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"

namespace leasegateway {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using Message = v1::WatchAvailabilityResponse;

v1::Number MakeNumber(const std::string& name, const std::string& city) {
  v1::Number number;
  number.set_phone_number(name);
  number.mutable_location()->set_city(city);
  return number;
}

class Builder {
 public:
  Builder& Reset() { return message_.set_reset(true), *this; }
  Builder& Added(const std::string& name, const std::string& city = "Miami") {
    return *message_.add_added() = MakeNumber(name, city), *this;
  }
  Builder& Changed(const std::string& name, const std::string& city) {
    return *message_.add_changed() = MakeNumber(name, city), *this;
  }
  Builder& Removed(const std::string& name) { return message_.add_removed(name), *this; }
  Builder& Token(const std::string& token) { return message_.set_resume_token(token), *this; }
  operator const Message&() const { return message_; }  // NOLINT: implicit on purpose

 private:
  Message message_;
};

// "added +1 Miami" for each change.
std::vector<std::string> Words(const WatchedList::Step& step) {
  std::vector<std::string> words;
  for (const auto& [kind, number] : step.changes) {
    const char* const kinds[] = {"added", "changed", "removed"};
    words.push_back(absl::StrCat(kinds[static_cast<int>(kind)], " ", number.phone_number(), " ",
                                 number.location().city()));
  }
  return words;
}

TEST(WatchedListTest, TheFirstStateIsNoChange) {
  WatchedList list;
  EXPECT_FALSE(list.Apply(Builder().Reset().Added("+1")).is_state);
  EXPECT_TRUE(list.numbers().empty());
  EXPECT_EQ(list.resume_token(), "");
  const auto step = list.Apply(Builder().Added("+2").Token("a"));
  EXPECT_TRUE(step.is_state);
  EXPECT_THAT(step.changes, IsEmpty());
  EXPECT_EQ(list.numbers().size(), 2U);
  EXPECT_EQ(list.resume_token(), "a");
}

TEST(WatchedListTest, AnEmptyListIsAState) {
  WatchedList list;
  EXPECT_TRUE(list.Apply(Builder().Reset().Token("a")).is_state);
  EXPECT_TRUE(list.numbers().empty());
}

TEST(WatchedListTest, ChangesAreToldAndARemovedNumberIsAsItWas) {
  WatchedList list;
  list.Apply(Builder().Reset().Added("+1").Added("+2").Token("a"));
  const auto step =
      list.Apply(Builder().Added("+3").Changed("+1", "Tampa").Removed("+2").Token("b"));
  EXPECT_FALSE(step.is_state);
  EXPECT_THAT(Words(step), ElementsAre("added +3 Miami", "changed +1 Tampa", "removed +2 Miami"));
  EXPECT_EQ(list.resume_token(), "b");
}

TEST(WatchedListTest, WhatIsToldAgainAfterAnInterruptionIsNoChange) {
  WatchedList list;
  list.Apply(Builder().Reset().Added("+1").Added("+2").Token("a"));
  EXPECT_EQ(list.Apply(Builder().Added("+3").Removed("+2")).changes.size(), 2U);
  EXPECT_EQ(list.resume_token(), "a");
  list.Interrupt();
  const auto step = list.Apply(Builder().Added("+3").Added("+4").Removed("+2").Token("b"));
  EXPECT_THAT(Words(step), ElementsAre("added +4 Miami"));
}

TEST(WatchedListTest, ANewStateIsComparedWithTheOneBefore) {
  WatchedList list;
  list.Apply(Builder().Reset().Added("+1").Added("+2").Added("+3").Token("a"));
  EXPECT_THAT(list.Apply(Builder().Reset().Added("+1")).changes, IsEmpty());
  const auto step = list.Apply(Builder().Added("+2", "Tampa").Added("+4").Token("b"));
  EXPECT_TRUE(step.is_state);
  EXPECT_THAT(Words(step), ElementsAre("removed +3 Miami", "changed +2 Tampa", "added +4 Miami"));
  EXPECT_EQ(list.numbers().size(), 3U);
}

TEST(WatchedListTest, AStateThatBreaksOffIsForgotten) {
  WatchedList list;
  list.Apply(Builder().Reset().Added("+1").Token("a"));
  list.Apply(Builder().Reset().Added("+2"));
  list.Interrupt();
  EXPECT_EQ(list.numbers().count("+1"), 1U);
  EXPECT_EQ(list.resume_token(), "a");
  EXPECT_THAT(Words(list.Apply(Builder().Removed("+1").Token("b"))),
              ElementsAre("removed +1 Miami"));
}

TEST(WatchedListTest, AHeartbeatChangesOnlyTheToken) {
  WatchedList list;
  list.Apply(Builder().Reset().Added("+1").Token("a"));
  EXPECT_TRUE(IsHeartbeat(Builder().Token("b")));
  EXPECT_FALSE(IsHeartbeat(Builder().Removed("+1").Token("b")));
  const auto step = list.Apply(Builder().Token("b"));
  EXPECT_FALSE(step.is_state);
  EXPECT_THAT(step.changes, IsEmpty());
  EXPECT_EQ(list.resume_token(), "b");
}

}  // namespace
}  // namespace leasegateway
