#include "upstream/cluster/gate.h"

#include <gtest/gtest.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/use_future.hpp>
#include <memory>
#include <utility>

#include "tests/support/fake_database.h"

namespace leasegateway {
namespace {

namespace asio = boost::asio;
using std::chrono::seconds;

constexpr postgres::Statement kWrite{"write", ""};
constexpr postgres::Statement kRead{"read", ""};

class GateTest : public testing::Test {
 protected:
  GateTest() { gate_.Open(); }

  absl::Status Run(const absl::Status& answer) {
    database_->status = answer;
    return Get(gate_.RunShared({&kWrite, {}}, deadline_)).status();
  }
  template <typename T>
  T Get(asio::awaitable<T> call) {
    auto answer = asio::co_spawn(io_, std::move(call), asio::use_future);
    io_.restart();
    io_.run();
    return answer.get();
  }

  const Gate::TimePoint deadline_ = std::chrono::steady_clock::now() + seconds(1);
  asio::io_context io_;
  const std::shared_ptr<FakeDatabase> database_ = std::make_shared<FakeDatabase>();
  Gate gate_{database_};
};

TEST_F(GateTest, ADatabaseThatIsReachedAndTakesNothingIsFailingForAWhile) {
  for (const auto& failure :
       {absl::UnavailableError("SQLSTATE 53100"), absl::UnknownError("no answer")}) {
    Gate gate(database_);
    gate.Open();
    EXPECT_FALSE(gate.is_failing());
    database_->status = failure;
    EXPECT_EQ(Get(gate.RunShared({&kWrite, {}}, deadline_)).status(), failure);
    database_->status = absl::OkStatus();
    EXPECT_TRUE(Get(gate.RunShared({&kRead, {}}, deadline_)).ok());
    EXPECT_TRUE(gate.is_failing());  // a full disk can be read
    EXPECT_FALSE(gate.is_failing(std::chrono::steady_clock::now() + seconds(10)));
  }
}

TEST_F(GateTest, OneThatIsNotReachedIsSaidToBeDownByThePool) {
  database_->is_reached = false;
  EXPECT_FALSE(Run(absl::UnavailableError("away")).ok());
  EXPECT_FALSE(gate_.is_failing());
}

TEST_F(GateTest, ListsThatAreNotWrittenAreNoReasonNotToBuy) {
  database_->status = absl::UnavailableError("SQLSTATE 53100");
  EXPECT_FALSE(Get(gate_.Run({{&kWrite, {}}}, deadline_)).ok());
  EXPECT_FALSE(gate_.is_failing());
}

TEST_F(GateTest, WhatTheServerRefusesIsNoFailureOfTheServer) {
  for (const auto& answer : {absl::AlreadyExistsError("unique"), absl::InternalError("SQL"),
                             absl::ResourceExhaustedError("too many")}) {
    EXPECT_EQ(Run(answer), answer);
    EXPECT_FALSE(gate_.is_failing());
  }
}

TEST_F(GateTest, WhatIsCountedIsWhatIsKnown) {
  Run(absl::OkStatus()).IgnoreError();
  Run(absl::AlreadyExistsError("unique")).IgnoreError();
  Run(absl::UnavailableError("away")).IgnoreError();
  Run(absl::UnknownError("lost")).IgnoreError();
  const auto counts = gate_.counts();
  EXPECT_EQ(counts.ok, 2U);
  EXPECT_EQ(counts.failed, 1U);
  EXPECT_EQ(counts.unknown, 1U);
}

}  // namespace
}  // namespace leasegateway
