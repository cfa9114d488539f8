#include "service/guard/guarded_connection.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <deque>
#include <memory>
#include <string>

#include "tests/support/conduct_fixture.h"

namespace leasegateway {
namespace {

using conduct_test::Begun;
using conduct_test::Call;
using conduct_test::Frame;
using conduct_test::kData;
using conduct_test::kNone;
using conduct_test::kPreface;

// Connections without sockets that have limits in common.
class GuardedConnectionTest : public testing::Test {
 protected:
  GuardedConnection& Open() {
    connections_.push_back(std::make_unique<GuardedConnection>(-1, boost::asio::ip::tcp::endpoint(),
                                                               options_, together_));
    EXPECT_TRUE(connections_.back()->OnPlain(kPreface));
    return *connections_.back();
  }
  // Calls from `stream` on whose requests don't come.
  static void Begin(GuardedConnection& connection, int calls) {
    for (int i = 0; i < calls; ++i) connection.OnPlain(Begun(2 * static_cast<unsigned>(i) + 1));
  }
  // Of a request that has begun.
  static bool Send(GuardedConnection& connection, int kilobytes) {
    for (int i = 0; i < kilobytes; i += 16) {
      if (!connection.OnPlain(Frame(kData, kNone, 1, 16 << 10))) return false;
    }
    return true;
  }

  GuardedConnection::Options options_;
  const std::shared_ptr<GuardedConnection::Together> together_ =
      std::make_shared<GuardedConnection::Together>();
  std::deque<std::unique_ptr<GuardedConnection>> connections_;
};

TEST_F(GuardedConnectionTest, UnfinishedCallsAreCountedInAllAndForgotten) {
  GuardedConnection& connection = Open();
  Begin(connection, 129);
  EXPECT_EQ(together_->unfinished_calls, 129);
  EXPECT_EQ(together_->suspects, 1);
  EXPECT_TRUE(connection.suspect());
  connection.OnPlain(Frame(kData, conduct_test::kEnd, 1, 10));
  EXPECT_EQ(together_->unfinished_calls, 128);
  EXPECT_EQ(together_->suspects, 0);
  connections_.clear();
  EXPECT_EQ(together_->unfinished_calls, 0);
  EXPECT_EQ(together_->unfinished_bytes, 0);
}

TEST_F(GuardedConnectionTest, SuspectThatEndsIsNoneAnyMore) {
  Begin(Open(), 200);
  connections_.clear();
  EXPECT_EQ(together_->suspects, 0);
}

TEST_F(GuardedConnectionTest, WithTwiceWhatAllMayHaveUnfinishedNobodyMayHaveMany) {
  GuardedConnection& some = Open();
  Begin(some, 100);
  for (int i = 0; i < 22; ++i) Begin(Open(), 900);
  Begin(Open(), 100);
  ASSERT_EQ(together_->unfinished_calls, 20'000);
  GuardedConnection& last = Open();
  EXPECT_TRUE(last.OnPlain(Begun(1))) << "has few";
  EXPECT_TRUE(some.OnPlain(Call(10'001))) << "has few";
  EXPECT_FALSE(connections_[1]->OnPlain(Begun(10'001)));
  EXPECT_EQ(connections_[1]->cut(), CutReason::kUnfinishedCalls);
}

TEST_F(GuardedConnectionTest, RequestsThatAreHalfSentFillNoMoreThanSo) {
  GuardedConnection& large = Open();
  Begin(large, 1);
  ASSERT_TRUE(Send(large, 64 << 10));
  EXPECT_FALSE(Send(large, 16));
  EXPECT_EQ(large.cut(), CutReason::kUnfinishedBytes);
}

TEST_F(GuardedConnectionTest, LongRequestsMakeRoomForThemselves) {
  options_.max_request_bytes = 100 << 20;
  GuardedConnection& large = Open();
  Begin(large, 1);
  EXPECT_TRUE(Send(large, 100 << 10));
}

TEST_F(GuardedConnectionTest, WithTwiceWhatAllMayHaveHalfSentNobodyMayHaveMoreThanTwoRequests) {
  GuardedConnection& some = Open();
  Begin(some, 1);
  ASSERT_TRUE(Send(some, 2 << 10));
  for (int i = 0; i < 6; ++i) {
    GuardedConnection& other = Open();
    Begin(other, 1);
    ASSERT_TRUE(Send(other, (i == 0 ? 44 : 42) << 10));
  }
  GuardedConnection& large = Open();
  Begin(large, 1);
  EXPECT_TRUE(large.OnPlain(Frame(kData, kNone, 1, 16 << 10))) << "has little";
  EXPECT_TRUE(some.OnPlain(Call(10'001))) << "has two";
  EXPECT_FALSE(connections_[1]->OnPlain(Frame(kData, kNone, 1, 16 << 10)));
  EXPECT_EQ(connections_[1]->cut(), CutReason::kUnfinishedBytes);
}

TEST_F(GuardedConnectionTest, WhatComesAfterTheCutIsNotRead) {
  GuardedConnection& connection = Open();
  connection.Cut(CutReason::kMemory);
  connection.Cut(CutReason::kIdleFrames);
  EXPECT_EQ(connection.cut(), CutReason::kMemory) << "the first reason stays";
  EXPECT_FALSE(connection.OnPlain(Call(1)));
  EXPECT_EQ(connection.conduct().calls(), 0);
}

}  // namespace
}  // namespace leasegateway
