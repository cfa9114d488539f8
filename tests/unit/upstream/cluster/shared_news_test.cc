#include "upstream/cluster/shared_news.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "tests/support/fake_calls.h"
#include "tests/support/fake_database.h"

namespace leasegateway {
namespace {

namespace asio = boost::asio;
using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::ElementsAre;
using testing::IsEmpty;
using testing::Pair;
using testing::SizeIs;

class SharedNewsTest : public testing::Test {
 protected:
  SharedNewsTest()
      : database_(std::make_shared<FakeDatabase>()),
        news_(std::make_unique<SharedNews>(io_.get_executor(), database_, NewsTeller::Options(),
                                           time_.environment())) {}
  ~SharedNewsTest() override {
    news_.reset();
    FakeTime::Run(io_);
  }

  void Run() { FakeTime::Run(io_); }
  News::Subscription Hear(const std::string& topic) {
    return news_->Subscribe(
        topic, [this, topic](std::int64_t number) { heard_.emplace_back(topic, number); });
  }

  asio::io_context io_;
  FakeTime time_;
  const std::shared_ptr<FakeDatabase> database_;
  std::unique_ptr<SharedNews> news_;
  std::vector<std::pair<std::string, std::int64_t>> heard_;
};

TEST_F(SharedNewsTest, HeardHereAtOnceWhileTheDatabaseIsAway) {
  database_->status = absl::UnavailableError("away");
  const auto subscription = Hear("a");
  news_->Tell("a", 1);
  Run();
  EXPECT_THAT(heard_, ElementsAre(Pair("a", 1)));
}

TEST_F(SharedNewsTest, TellCallsNobodyItself) {
  std::mutex callers;  // as a caller may hold it that its callback takes
  int heard = 0;
  const auto subscription = news_->Subscribe("a", [&](std::int64_t) {
    const std::lock_guard lock(callers);
    ++heard;
  });
  {
    const std::lock_guard lock(callers);
    news_->Tell("a", 1);
  }
  Run();
  EXPECT_EQ(heard, 1);
}

TEST_F(SharedNewsTest, EachTopicOfWhatIsReceivedIsHeard) {
  const auto first = Hear("a");
  const auto second = Hear("b");
  news_->Received("b=2 c=3 a=1");
  Run();
  EXPECT_THAT(heard_, ElementsAre(Pair("b", 2), Pair("a", 1)));
  EXPECT_EQ(news_->stats().heard, 3U);
}

TEST_F(SharedNewsTest, GapAfterEachListenAndWhenAnotherDroppedSomething) {
  int gaps = 0;
  const auto subscription = news_->OnGap([&gaps] { ++gaps; });
  news_->Listening();
  Run();
  EXPECT_EQ(gaps, 1);
  news_->Received("!gap=4 a=1");
  Run();
  EXPECT_EQ(gaps, 2);
  EXPECT_EQ(news_->stats().gaps, 2U);
}

TEST_F(SharedNewsTest, WhatDoesNotComeBackIsNoticed) {
  news_->Listening();
  time_.Advance(seconds(9), io_);
  EXPECT_FALSE(news_->stats().deaf);
  time_.Advance(seconds(2), io_);
  EXPECT_TRUE(news_->stats().deaf);
  news_->Received("a=1");
  Run();
  EXPECT_FALSE(news_->stats().deaf);
}

TEST_F(SharedNewsTest, WhoHearsIsNotDeaf) {
  news_->Listening();
  time_.Advance(milliseconds(10), io_);
  ASSERT_THAT(database_->transactions, SizeIs(1));
  news_->Received(database_->transactions[0].parameters[0]);
  time_.Advance(seconds(20), io_);
  EXPECT_FALSE(news_->stats().deaf);
}

TEST_F(SharedNewsTest, WhoListensAnewIsJudgedAnew) {
  news_->Listening();
  time_.Advance(seconds(5), io_);
  news_->Listening();
  time_.Advance(seconds(6), io_);
  EXPECT_FALSE(news_->stats().deaf);
  time_.Advance(seconds(10), io_);
  EXPECT_TRUE(news_->stats().deaf);
}

TEST_F(SharedNewsTest, WhoEndsIsNotDeaf) {
  news_->Listening();
  time_.Advance(milliseconds(10), io_);
  asio::co_spawn(io_, news_->Finish(time_.now() + seconds(1)), asio::detached);
  time_.Advance(seconds(20), io_);
  EXPECT_FALSE(news_->stats().deaf);
}

TEST_F(SharedNewsTest, WhoCannotTellIsNotDeaf) {
  database_->status = absl::UnavailableError("away");
  news_->Listening();
  time_.Advance(seconds(20), io_);
  EXPECT_FALSE(news_->stats().deaf);
}

TEST_F(SharedNewsTest, WhatIsNoTopicIsNotTold) {
  for (const std::string& topic : std::vector<std::string>{"", "a b", "a=b", "a\n", "!gap",
                                                           "\xc3\xa9", std::string(201, 'x')}) {
    news_->Tell(topic, 1);
  }
  news_->Tell(std::string(200, 'x'), 1);
  time_.Advance(milliseconds(5), io_);
  ASSERT_THAT(database_->transactions, SizeIs(1));
  EXPECT_THAT(database_->transactions[0].parameters, ElementsAre(std::string(200, 'x') + "=1"));
}

TEST_F(SharedNewsTest, NothingIsHeardAfterItsEnd) {
  const auto subscription = Hear("a");
  news_->Tell("a", 1);
  news_.reset();
  Run();
  EXPECT_THAT(heard_, IsEmpty());
}

}  // namespace
}  // namespace leasegateway
