#include "upstream/cluster/news_text.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

namespace leasegateway {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using testing::Pair;

std::vector<std::pair<std::string, std::int64_t>> Read(std::string_view payload) {
  std::vector<std::pair<std::string, std::int64_t>> read;
  ReadPayload(payload, [&read](std::string_view topic, std::int64_t number) {
    read.emplace_back(topic, number);
  });
  return read;
}

TEST(NewsTextTest, PayloadIsReadAsItWasWritten) {
  const auto payloads = WritePayloads({{"o/1", 7}, {"a", -1}, {"b", INT64_MAX}});
  EXPECT_THAT(payloads, ElementsAre("o/1=7 a=-1 b=9223372036854775807"));
  EXPECT_THAT(Read(payloads[0]), ElementsAre(Pair("o/1", 7), Pair("a", -1), Pair("b", INT64_MAX)));
}

TEST(NewsTextTest, NothingIsNoPayload) { EXPECT_THAT(WritePayloads({}), IsEmpty()); }

TEST(NewsTextTest, WhatIsTooLongIsSplitBetweenAnnouncements) {
  std::vector<Announcement> announcements;
  for (int i = 0; i < 1'000; ++i) {
    announcements.push_back({std::string(190, 'x') + std::to_string(i), i});
  }
  const auto payloads = WritePayloads(announcements);
  EXPECT_EQ(payloads.size(), 25U);
  std::vector<std::pair<std::string, std::int64_t>> read;
  for (const std::string& payload : payloads) {
    EXPECT_LT(payload.size(), 8'000U);
    for (auto& one : Read(payload)) read.push_back(std::move(one));
  }
  ASSERT_EQ(read.size(), announcements.size());
  for (std::size_t i = 0; i < read.size(); ++i) {
    EXPECT_THAT(read[i], Pair(announcements[i].topic, announcements[i].number));
  }
}

TEST(NewsTextTest, PayloadIsAsLongAsPostgresqlTakes) {
  std::vector<Announcement> announcements(40, {std::string(197, 'x'), 1});
  EXPECT_EQ(WritePayloads(announcements).front().size(), 7'999U);
  announcements.front().topic += 'x';
  EXPECT_EQ(WritePayloads(announcements).size(), 2U);
}

TEST(NewsTextTest, WhatCannotBeReadIsLeftOut) {
  EXPECT_THAT(Read(""), IsEmpty());
  EXPECT_THAT(Read("a =1 b= c=x d=1x e=99999999999999999999  f=1 "), ElementsAre(Pair("f", 1)));
}

TEST(NewsTextTest, TopicWordIsTheSameInEachProcess) {
  EXPECT_EQ(TopicWord("abc"), "ba7816bf8f01cfea");
}

}  // namespace
}  // namespace leasegateway
