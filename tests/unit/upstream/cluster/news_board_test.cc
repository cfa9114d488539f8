#include "upstream/cluster/news_board.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <utility>
#include <vector>

namespace leasegateway {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

TEST(NewsBoardTest, ATopicIsHeardByThoseWhoWantIt) {
  NewsBoard news;
  std::vector<std::int64_t> one;
  std::vector<std::int64_t> another;
  const auto first = news.Subscribe("a", [&one](std::int64_t n) { one.push_back(n); });
  const auto second = news.Subscribe("a", [&another](std::int64_t n) { another.push_back(n); });
  news.Heard("a", 1);
  news.Heard("b", 2);
  EXPECT_THAT(one, ElementsAre(1));
  EXPECT_THAT(another, ElementsAre(1));
}

TEST(NewsBoardTest, NothingIsHeardAfterTheEndOfASubscription) {
  NewsBoard news;
  std::vector<std::int64_t> heard;
  auto subscription = news.Subscribe("a", [&heard](std::int64_t n) { heard.push_back(n); });
  subscription.reset();
  news.Heard("a", 1);
  EXPECT_THAT(heard, IsEmpty());
}

TEST(NewsBoardTest, CallbackMayEndItsOwnSubscriptionAndMakeAnother) {
  NewsBoard news;
  std::vector<std::int64_t> heard;
  News::Subscription first;
  News::Subscription second;
  first = news.Subscribe("a", [&](std::int64_t n) {
    heard.push_back(n);
    first.reset();
    second = news.Subscribe("a", [&heard](std::int64_t later) { heard.push_back(-later); });
  });
  news.Heard("a", 1);
  news.Heard("a", 2);
  EXPECT_THAT(heard, ElementsAre(1, -2));
}

TEST(NewsBoardTest, WhatASubscriptionHoldsMayBeSubscriptions) {
  NewsBoard news;
  auto inner = news.Subscribe("b", [](std::int64_t) {});
  auto outer = news.Subscribe("a", [inner = std::move(inner)](std::int64_t) {});
  outer.reset();  // and the inner one with it
  news.Heard("b", 1);
}

TEST(NewsBoardTest, SubscriptionOutlivesTheBoard) {
  auto news = std::make_unique<NewsBoard>();
  auto subscription = news->Subscribe("a", [](std::int64_t) {});
  news.reset();
  subscription.reset();
}

TEST(NewsBoardTest, GapIsToldToThoseWhoAsk) {
  NewsBoard news;
  int gaps = 0;
  int heard = 0;
  auto gap = news.OnGap([&gaps] { ++gaps; });
  const auto subscription = news.Subscribe("a", [&heard](std::int64_t) { ++heard; });
  news.Gap();
  EXPECT_EQ(gaps, 1);
  EXPECT_EQ(heard, 0);
  gap.reset();
  news.Gap();
  EXPECT_EQ(gaps, 1);
}

}  // namespace
}  // namespace leasegateway
