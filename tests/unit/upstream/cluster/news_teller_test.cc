#include "upstream/cluster/news_teller.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <memory>
#include <string>
#include <vector>

#include "tests/support/fake_calls.h"
#include "tests/support/fake_database.h"

namespace leasegateway {
namespace {

namespace asio = boost::asio;
using std::chrono::milliseconds;
using testing::ElementsAre;
using testing::IsEmpty;
using testing::SizeIs;

class NewsTellerTest : public testing::Test {
 protected:
  explicit NewsTellerTest(NewsTeller::Options options = {})
      : database_(std::make_shared<FakeDatabase>()),
        teller_(std::make_unique<NewsTeller>(io_.get_executor(), database_, options,
                                             time_.environment())) {
    FakeTime::Run(io_);
  }
  ~NewsTellerTest() override {
    teller_.reset();
    FakeTime::Run(io_);
  }

  void Advance(milliseconds time) { time_.Advance(time, io_); }
  bool FinishesNow() {
    bool finished = false;
    asio::co_spawn(io_, teller_->Finish(time_.now() + milliseconds(500)),
                   [&finished](const std::exception_ptr&) { finished = true; });
    Advance(milliseconds(0));
    return finished;
  }
  // What was to be sent, a transaction each.
  std::vector<std::vector<std::string>> sent() const {
    std::vector<std::vector<std::string>> payloads;
    for (const auto& transaction : database_->transactions) {
      payloads.push_back(transaction.parameters);
    }
    return payloads;
  }

  asio::io_context io_;
  FakeTime time_;
  const std::shared_ptr<FakeDatabase> database_;
  std::unique_ptr<NewsTeller> teller_;
};

TEST_F(NewsTellerTest, WhatComesTogetherGoesOutTogether) {
  teller_->Tell("a", 1);
  Advance(milliseconds(4));
  teller_->Tell("b", 2);
  EXPECT_THAT(sent(), IsEmpty());
  Advance(milliseconds(1));
  teller_->Tell("c", 3);
  Advance(milliseconds(5));
  EXPECT_THAT(sent(), ElementsAre(ElementsAre("a=1 b=2"), ElementsAre("c=3")));
  EXPECT_EQ(teller_->stats().told, 3U);
}

TEST_F(NewsTellerTest, OfATopicTheLatestNumberIsSent) {
  teller_->Tell("a", 1);
  teller_->Tell("b", 2);
  teller_->Tell("a", 3);
  Advance(milliseconds(5));
  EXPECT_THAT(sent(), ElementsAre(ElementsAre("a=3 b=2")));
}

TEST_F(NewsTellerTest, LongNewsIsOneTransactionOfSeveralPayloads) {
  for (int i = 0; i < 100; ++i) teller_->Tell(std::string(190, 'x') + std::to_string(i), i);
  Advance(milliseconds(5));
  const auto payloads = sent();
  ASSERT_THAT(payloads, ElementsAre(SizeIs(3)));
  for (const std::string& payload : payloads[0]) EXPECT_LT(payload.size(), 8'000U);
}

TEST_F(NewsTellerTest, WhatCouldNotBeSentIsSentLaterWithNewerNumbers) {
  database_->status = absl::UnavailableError("away");
  teller_->Tell("a", 1);
  teller_->Tell("b", 2);
  Advance(milliseconds(5));
  EXPECT_THAT(sent(), ElementsAre(ElementsAre("a=1 b=2")));
  database_->status = absl::OkStatus();
  teller_->Tell("b", 3);
  Advance(milliseconds(100));
  EXPECT_THAT(sent(), ElementsAre(ElementsAre("a=1 b=2"), ElementsAre("a=1 b=3")));
  EXPECT_EQ(teller_->stats().told, 2U);
  EXPECT_EQ(teller_->stats().dropped, 0U);
}

TEST_F(NewsTellerTest, WhatIsTooOldIsDroppedAndOthersHearOfAGap) {
  database_->status = absl::UnavailableError("away");
  teller_->Tell("a", 1);
  Advance(milliseconds(7'000));
  EXPECT_EQ(teller_->stats().dropped, 1U);
  database_->transactions.clear();
  database_->status = absl::OkStatus();
  teller_->Tell("b", 2);
  Advance(milliseconds(1'100));
  EXPECT_THAT(sent(), ElementsAre(ElementsAre("!gap=1 b=2")));
  Advance(milliseconds(10'000));
  EXPECT_THAT(sent(), SizeIs(1));  // once
}

class FewWaitTest : public NewsTellerTest {
 protected:
  FewWaitTest() : NewsTellerTest({.max_waiting = 2}) {}
};

TEST_F(FewWaitTest, TooMuchIsDropped) {
  for (const char* topic : {"a", "b", "c", "a"}) teller_->Tell(topic, 1);
  EXPECT_EQ(teller_->stats().dropped, 1U);
  Advance(milliseconds(5));
  EXPECT_THAT(sent(), ElementsAre(ElementsAre("!gap=1 a=1 b=1")));
}

TEST_F(NewsTellerTest, FinishSendsWhatWaitsOnce) {
  teller_->Tell("a", 1);
  EXPECT_TRUE(FinishesNow());
  teller_->Tell("b", 2);
  Advance(milliseconds(100));
  EXPECT_THAT(sent(), ElementsAre(ElementsAre("a=1")));
}

TEST_F(NewsTellerTest, FinishDoesNotTryAgain) {
  database_->status = absl::UnavailableError("away");
  teller_->Tell("a", 1);
  EXPECT_TRUE(FinishesNow());
  EXPECT_THAT(sent(), SizeIs(1));
}

}  // namespace
}  // namespace leasegateway
