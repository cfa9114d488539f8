#include "service/guard/open_calls.h"

#include <gtest/gtest.h>

#include <atomic>
#include <cstdint>
#include <string>
#include <thread>

#include "tests/support/conduct_fixture.h"

namespace leasegateway::conduct_test {
namespace {

// As gRPC answers a call: initial metadata, a message, trailers.
std::string Answer(std::uint32_t stream, std::size_t bytes = 20) {
  return Frame(kHeaders, kEndHeaders, stream, 40) + Frame(kData, kNone, stream, bytes) +
         Frame(kHeaders, kEndHeaders | kEnd, stream, 30);
}

class OpenCallsTest : public testing::Test {
 protected:
  void Begin(std::uint32_t first, int calls) {
    for (int i = 0; i < calls; ++i) calls_.Begin(first + 2 * static_cast<std::uint32_t>(i));
  }

  std::atomic<std::int64_t> in_all_{0};
  OpenCalls calls_{&in_all_};
};

TEST_F(OpenCallsTest, WhoeverEndsACallItIsOverOnce) {
  Begin(1, 5);
  EXPECT_EQ(calls_.open(), 5u);
  calls_.Send(Answer(1));
  EXPECT_EQ(calls_.open(), 4u) << "trailers";
  calls_.Send(Frame(kReset, kNone, 1, 4));
  calls_.Reset(1);
  EXPECT_EQ(calls_.open(), 4u) << "of one that has ended";
  calls_.Reset(3);
  EXPECT_EQ(calls_.open(), 3u) << "reset by the peer";
  calls_.Send(Frame(kReset, kNone, 5, 4));
  EXPECT_EQ(calls_.open(), 2u) << "reset by gRPC";
  calls_.Send(Frame(kData, kEnd, 7, 10));
  EXPECT_EQ(calls_.open(), 1u) << "DATA";
  calls_.Send(Frame(kSettings, kAck, 0) + Frame(kPing, kAck, 9, 8) + Frame(kHeaders, 0, 9, 8) +
              Frame(kContinuation, kEnd | kEndHeaders, 9, 8) + Frame(kData, kNone, 9, 8));
  EXPECT_EQ(calls_.open(), 1u) << "no end";
  calls_.Reset(11);
  calls_.Send(Frame(kHeaders, kEnd, 13, 8));
  EXPECT_EQ(calls_.open(), 1u) << "of none";
}

TEST_F(OpenCallsTest, PiecesChangeNothing) {
  const std::string bytes = Frame(kSettings, kNone, 0, 18) + Answer(1, 70'000) + Answer(5, 300) +
                            Frame(kReset, kNone, 9, 4);
  for (std::size_t piece = 1; piece < 60; ++piece) {
    OpenCalls calls;
    for (const std::uint32_t stream : {1, 3, 5, 7, 9}) calls.Begin(stream);
    for (std::size_t at = 0; at < bytes.size(); at += piece) {
      calls.Send(std::string_view(bytes).substr(at, piece));
    }
    ASSERT_EQ(calls.open(), 2u) << piece;
    ASSERT_EQ(calls.answered(), 70'000u + 300 + 4 * 35) << piece;
  }
}

TEST_F(OpenCallsTest, CallsThatTheServiceIsBusyWithWaitForNobody) {
  Begin(1, 100);
  calls_.Send(Frame(kHeaders, kEndHeaders, 1, 40) + Frame(kData, kNone, 1, 65'534));
  EXPECT_EQ(calls_.waiting(), 0u);
  EXPECT_EQ(in_all_, 0);
}

TEST_F(OpenCallsTest, ACallWithoutWindowWaits) {
  Begin(1, 2);
  calls_.Widen(0, 1 << 20);
  calls_.Send(Frame(kData, kNone, 1, 65'535));
  EXPECT_EQ(calls_.waiting(), 1u);
  calls_.Widen(3, 10);
  EXPECT_EQ(calls_.waiting(), 1u) << "another's";
  calls_.Widen(1, 10);
  EXPECT_EQ(calls_.waiting(), 0u);
  calls_.Send(Frame(kData, kNone, 1, 10));
  EXPECT_EQ(calls_.waiting(), 1u);
  calls_.Send(Frame(kHeaders, kEnd, 1, 10));
  EXPECT_EQ(calls_.waiting(), 0u) << "ended";
  EXPECT_EQ(in_all_, 0);
}

TEST_F(OpenCallsTest, SettingsChangeTheWindowsThatThereAre) {
  Begin(1, 3);
  calls_.Send(Frame(kData, kNone, 1, 1'000));
  calls_.SetWindow(0);
  EXPECT_EQ(calls_.waiting(), 3u);
  calls_.Begin(7);
  EXPECT_EQ(calls_.waiting(), 4u);
  calls_.SetWindow(1'000);
  EXPECT_EQ(calls_.waiting(), 1u) << "the one that was sent as much";
  calls_.SetWindow(1'001);
  EXPECT_EQ(calls_.waiting(), 0u);
  EXPECT_EQ(in_all_, 0);
}

TEST_F(OpenCallsTest, WithoutTheConnectionsWindowAllWait) {
  Begin(1, 7);
  calls_.Send(Frame(kData, kNone, 1, 60'000) + Frame(kData, kEnd, 3, 5'535));
  EXPECT_EQ(calls_.waiting(), 6u);
  EXPECT_EQ(in_all_, 6);
  calls_.Begin(101);
  EXPECT_EQ(in_all_, 7);
  calls_.Widen(0, 1);
  EXPECT_EQ(in_all_, 0);
}

TEST_F(OpenCallsTest, WhileTheSocketIsFullAllWait) {
  Begin(1, 7);
  calls_.SetFull(true);
  EXPECT_EQ(calls_.waiting(), 7u);
  calls_.SetFull(false);
  EXPECT_EQ(calls_.waiting(), 0u);
}

TEST_F(OpenCallsTest, AConnectionThatHasEndedWaitsForNothing) {
  OpenCalls other(&in_all_);
  other.Begin(1);
  other.SetFull(true);
  Begin(1, 7);
  calls_.SetFull(true);
  EXPECT_EQ(in_all_, 8);
  calls_.Close();
  EXPECT_EQ(in_all_, 1);
  calls_.Begin(99);
  EXPECT_EQ(in_all_, 1);
  EXPECT_EQ(calls_.open(), 8u);
}

TEST_F(OpenCallsTest, ReaderAndWriterAreTwoThreads) {
  constexpr std::uint32_t kCalls = 20'000;
  std::atomic<std::uint32_t> begun{0};
  std::thread writer([&] {
    for (std::uint32_t stream = 1; stream < 2 * kCalls; stream += 2) {
      while (begun < stream) std::this_thread::yield();
      calls_.Send(Answer(stream));
    }
  });
  for (std::uint32_t stream = 1; stream < 2 * kCalls; stream += 2) {
    calls_.Begin(stream);
    begun = stream;
    if (stream % 64 == 1) calls_.Widen(0, 20 * 32);
    if (stream % 3 == 0) calls_.Reset(stream);
  }
  writer.join();
  EXPECT_EQ(calls_.open(), 0u);
  EXPECT_EQ(calls_.waiting(), 0u);
  EXPECT_EQ(in_all_, 0);
}

}  // namespace
}  // namespace leasegateway::conduct_test
