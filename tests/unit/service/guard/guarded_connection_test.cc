#include "service/guard/guarded_connection.h"

#include <gtest/gtest.h>

#include <cerrno>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <set>
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

TEST_F(GuardedConnectionTest, WhatIsWrittenByOneSharesNoLineWithWhatOthersRead) {
  const auto line = [this](const auto& member) {
    return (reinterpret_cast<const char*>(&member) - reinterpret_cast<const char*>(&*together_)) /
           64;
  };
  const std::set<std::ptrdiff_t> lines{line(together_->unfinished_calls),
                                       line(together_->unfinished_bytes),
                                       line(together_->suspects),
                                       line(together_->waiting_calls),
                                       line(together_->held_calls),
                                       line(together_->alarm),
                                       line(together_->resets)};
  EXPECT_EQ(lines.size(), 7);
}

// By the last frame of the answer, or by a reset.
TEST_F(GuardedConnectionTest, CallThatIsAnsweredIsUnfinishedNoMore) {
  for (const bool tls : {false, true}) {
    options_.tls = tls;
    GuardedConnection& connection = Open();
    Begin(connection, 130);
    ASSERT_TRUE(connection.OnPlain(Frame(kData, kNone, 3, 1'000)));
    const std::int64_t bytes = together_->unfinished_bytes;
    const auto sends = [&](std::string text) {
      if (tls) return connection.OnSentPlain(text);
      const iovec part{text.data(), text.size()};
      connection.BeforeSend(&part, 1);
      connection.AfterSend(static_cast<std::int64_t>(text.size()));
    };
    sends(Frame(conduct_test::kHeaders, kNone, 1, 9));
    EXPECT_EQ(together_->unfinished_calls, 130);
    EXPECT_EQ(together_->suspects, 1);
    sends(Frame(kData, conduct_test::kEnd, 1, 9));
    sends(conduct_test::Reset(3));
    EXPECT_EQ(together_->unfinished_calls, 128);
    EXPECT_EQ(together_->suspects, 0);
    EXPECT_LE(together_->unfinished_bytes, bytes - 1'000);
    EXPECT_EQ(connection.conduct().calls(), 2);
    connections_.clear();
    EXPECT_EQ(together_->unfinished_calls, 0);
  }
}

TEST_F(GuardedConnectionTest, TrustedProxyMayResetMore) {
  for (const bool trusted : {false, true}) {
    options_.trusted = trusted;
    GuardedConnection& connection = Open();
    bool goes_on = true;
    for (std::uint32_t stream = 1; stream < 2 * 1'500 && goes_on; stream += 2) {
      goes_on = connection.OnPlain(Begun(stream) + conduct_test::Reset(stream));
    }
    EXPECT_EQ(goes_on, trusted);
  }
}

// gRPC may still read what had come.
TEST_F(GuardedConnectionTest, NothingIsCountedOfWhatHasEnded) {
  GuardedConnection& connection = Open();
  connection.Ended();
  Begin(connection, 140);
  connection.OnPlain(Frame(kData, kNone, 1, 1'000));
  EXPECT_EQ(connection.conduct().unfinished_calls(), 140);
  EXPECT_EQ(together_->unfinished_calls, 0);
  EXPECT_EQ(together_->unfinished_bytes, 0);
  EXPECT_EQ(together_->suspects, 0);
}

TEST_F(GuardedConnectionTest, WithTwiceWhatAllMayHaveUnfinishedNobodyMayHaveMany) {
  GuardedConnection& some = Open();
  Begin(some, 100);
  for (int i = 0; i < 13; ++i) Begin(Open(), 900);
  Begin(Open(), 200);
  ASSERT_EQ(together_->unfinished_calls, 12'000);
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
    ASSERT_TRUE(Send(other, (i == 0 ? 28 : 26) << 10));
  }
  GuardedConnection& large = Open();
  Begin(large, 1);
  EXPECT_TRUE(large.OnPlain(Frame(kData, kNone, 1, 16 << 10))) << "has little";
  EXPECT_TRUE(some.OnPlain(Call(10'001))) << "has two";
  EXPECT_FALSE(connections_[1]->OnPlain(Frame(kData, kNone, 1, 16 << 10)));
  EXPECT_EQ(connections_[1]->cut(), CutReason::kUnfinishedBytes);
}

// In all connections: gRPC has the memory of calls until the service is done with them.
TEST_F(GuardedConnectionTest, WithManyRapidResetsInAllNobodyMayDoMany) {
  const auto reset = [](GuardedConnection& connection, std::uint32_t first, std::uint32_t calls) {
    bool goes_on = true;
    for (std::uint32_t i = 0; i < calls && goes_on; ++i) {
      const std::uint32_t stream = first + 2 * i;
      goes_on = connection.OnPlain(Begun(stream) + conduct_test::Reset(stream));
    }
    return goes_on;
  };
  GuardedConnection& few = Open();
  for (int i = 0; i < 5; ++i) ASSERT_TRUE(reset(Open(), 1, 800));
  EXPECT_TRUE(reset(few, 1, 120));
  EXPECT_LE(together_->resets, 0);
  EXPECT_FALSE(reset(Open(), 1, 200));
  EXPECT_EQ(connections_.back()->cut(), CutReason::kRapidResets);
  EXPECT_FALSE(connections_[1]->OnPlain(Begun(9'001) + conduct_test::Reset(9'001)));
  EXPECT_TRUE(connections_[2]->OnPlain(Call(9'001))) << "resets no more";
  together_->Pass(std::chrono::milliseconds(100));
  EXPECT_TRUE(reset(Open(), 1, 200));
  together_->Pass(std::chrono::hours(1));
  EXPECT_EQ(together_->resets, 4'096);
}

// However many were done, others don't pay for it for long.
TEST_F(GuardedConnectionTest, ADebtOfResetsIsPaidInASecondOrTwo) {
  EXPECT_TRUE(together_->TakeResets(4'096));
  EXPECT_FALSE(together_->TakeResets(1'000'000));
  EXPECT_FALSE(together_->TakeResets(1'000'000));
  together_->Pass(std::chrono::milliseconds(1'100));
  EXPECT_TRUE(together_->TakeResets(100));
}

TEST_F(GuardedConnectionTest, ATrustedProxyMayResetManyWhateverOthersDo) {
  options_.trusted = true;
  GuardedConnection& proxy = Open();
  together_->TakeResets(1'000'000);
  for (std::uint32_t stream = 1; stream <= 2 * 1'000; stream += 2) {
    ASSERT_TRUE(proxy.OnPlain(Begun(stream) + conduct_test::Reset(stream))) << stream;
  }
}

// As gRPC sends: what the socket does not take is offered again, and more with it.
TEST_F(GuardedConnectionTest, WhatIsOfferedTwiceIsSentOnce) {
  GuardedConnection& connection = Open();
  for (std::uint32_t stream = 1; stream < 20; stream += 2) connection.OnPlain(Call(stream));
  const OpenCalls& calls = connection.conduct().open_calls();
  std::string sent;
  for (std::uint32_t stream = 1; stream < 20; stream += 2) {
    sent += Frame(conduct_test::kHeaders, kNone, stream, 30) +
            Frame(kData, conduct_test::kEnd, stream, 99);
  }
  std::size_t taken = 0;
  std::size_t offered = 0;
  const auto offer = [&](std::size_t upto, std::int64_t result) {
    offered = upto;
    char* const bytes = sent.data();
    const std::size_t middle = taken + (upto - taken) / 2;
    const iovec parts[] = {{bytes + taken, middle - taken}, {bytes + middle, upto - middle}};
    connection.BeforeSend(parts, 2);
    errno = EAGAIN;
    connection.AfterSend(result);
    if (result > 0) taken += static_cast<std::size_t>(result);
  };
  offer(200, 100);
  EXPECT_EQ(calls.open(), 8u);
  EXPECT_EQ(calls.waiting(), 8u) << "the socket is full";
  offer(500, -1);
  EXPECT_EQ(calls.open(), 6u);
  offer(500, 1);
  offer(900, 700);
  EXPECT_EQ(calls.open(), 4u);
  offer(sent.size(), static_cast<std::int64_t>(sent.size() - taken));
  EXPECT_EQ(calls.open(), 0u);
  EXPECT_EQ(calls.answered(), sent.size() - 20u * 9);
}

TEST_F(GuardedConnectionTest, SocketThatTakesAllIsNotFull) {
  GuardedConnection& connection = Open();
  connection.OnPlain(Call(1));
  char byte = 0;
  const iovec part{&byte, 1};
  connection.BeforeSend(&part, 1);
  errno = EAGAIN;
  connection.AfterSend(-1);
  EXPECT_EQ(together_->waiting_calls, 1);
  connection.BeforeSend(&part, 1);
  connection.AfterSend(1);
  EXPECT_EQ(together_->waiting_calls, 0);
}

// Of windows of no bytes.
TEST_F(GuardedConnectionTest, WithTooManyWaitingWhoHasTakenNoneMayNotAskForMore) {
  options_.max_streams = 2'000;
  int alarms = 0;
  together_->alarm = [&] { ++alarms; };
  const std::string no_window =
      Frame(conduct_test::kSettings, kNone, 0, std::string("\0\4\0\0\0\0", 6));
  const auto ask = [](GuardedConnection& connection, std::uint32_t calls, std::uint32_t first = 1) {
    std::string bytes;
    for (std::uint32_t i = 0; i < calls; ++i) bytes += Call(first + 2 * i);
    return connection.OnPlain(bytes);
  };
  const auto open = [&]() -> GuardedConnection& {
    GuardedConnection& connection = Open();
    connection.OnPlain(no_window);
    return connection;
  };
  GuardedConnection& few = open();
  EXPECT_TRUE(ask(few, 127));
  GuardedConnection& proven = open();
  for (std::uint32_t stream = 1; stream < 1'800; stream += 2) {
    EXPECT_TRUE(ask(proven, 1, stream));
    proven.OnSentPlain(Frame(conduct_test::kHeaders, conduct_test::kEnd, stream, 9));
  }
  EXPECT_TRUE(ask(proven, 190, 2'001));
  EXPECT_EQ(alarms, 0);
  options_.trusted = true;
  GuardedConnection& proxy = open();
  EXPECT_TRUE(ask(proxy, 200));
  EXPECT_EQ(alarms, 1) << "517";
  options_.trusted = false;
  GuardedConnection& first = open();
  EXPECT_TRUE(ask(first, 1'000));
  EXPECT_TRUE(ask(open(), 1'000));
  EXPECT_TRUE(ask(open(), 555));
  EXPECT_EQ(together_->waiting_calls, 3'072);
  EXPECT_TRUE(ask(Open(), 200)) << "none stalls";
  together_->stalled_calls = 3'073;
  EXPECT_TRUE(ask(few, 1, 9'001)) << "has few";
  EXPECT_TRUE(ask(proven, 1, 9'001));
  EXPECT_TRUE(ask(proxy, 1, 9'001));
  EXPECT_TRUE(Open().OnPlain(Call(1))) << "waits for nothing";
  EXPECT_FALSE(ask(first, 1, 9'001));
  EXPECT_EQ(first.cut(), CutReason::kUnreadAnswers);
  EXPECT_EQ(together_->waiting_calls, 2'075) << "at once";
  EXPECT_EQ(alarms, 1);
  EXPECT_EQ(together_->held_calls, 1'000) << "what gRPC was given";
  together_->stalled_calls = 2'073;
  EXPECT_TRUE(ask(Open(), 128));
  GuardedConnection& last = Open();
  EXPECT_FALSE(ask(last, 129)) << "until gRPC has closed the first";
  EXPECT_EQ(last.cut(), CutReason::kUnreadAnswers);
  EXPECT_EQ(together_->held_calls, 1'000);
  GuardedConnection& unfinished = Open();
  Begin(unfinished, 129);
  EXPECT_EQ(unfinished.cut(), CutReason::kUnfinishedCalls);
  first.Closed();
  EXPECT_EQ(together_->held_calls, 128) << "that of the other";
  EXPECT_TRUE(ask(Open(), 129));
}

TEST_F(GuardedConnectionTest, WhoWasSentMuchIsProven) {
  GuardedConnection& connection = Open();
  Begin(connection, 10);
  connection.OnSentPlain(Frame(kData, kNone, 1, 10 * (16 << 10) - 1));
  EXPECT_FALSE(connection.proven());
  connection.OnSentPlain(Frame(kData, kNone, 1, 1));
  EXPECT_TRUE(connection.proven());
}

// Which gRPC has still to cancel; of others there is nothing to fear.
TEST_F(GuardedConnectionTest, ManyThatWaitAreHeldAfterTheEnd) {
  for (const int calls : {128, 129}) {
    GuardedConnection& connection = Open();
    Begin(connection, calls);
    connection.OnPlain(Frame(conduct_test::kSettings, kNone, 0, std::string("\0\4\0\0\0\0", 6)));
    connection.Ended();
  }
  EXPECT_EQ(together_->held_calls, 129);
  EXPECT_EQ(together_->waiting_calls, 0);
  connections_.clear();
  EXPECT_EQ(together_->held_calls, 0);
}

TEST_F(GuardedConnectionTest, CallsThatWaitAreForgottenAtItsEnd) {
  GuardedConnection& connection = Open();
  Begin(connection, 10);
  char byte = 0;
  const iovec part{&byte, 1};
  connection.BeforeSend(&part, 1);
  errno = EAGAIN;
  connection.AfterSend(-1);
  EXPECT_EQ(together_->waiting_calls, 10);
  connection.Ended();
  EXPECT_EQ(together_->waiting_calls, 0);
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
