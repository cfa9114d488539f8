// Calls that are ended from here before their requests have come, and those that are stuck.

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>
#include <thread>
#include <utility>

#include "service/guard/conduct.h"
#include "tests/support/conduct_fixture.h"

namespace leasegateway::conduct_test {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr auto kNever = Conduct::Clock::time_point::max();

class ConductAnswersTest : public ConductTest {};

TEST_F(ConductAnswersTest, WhatWasAnsweredIsUnfinishedNoMore) {
  Read(Begun(1) + Begun(3) + Frame(kData, kNone, 1, 300) + Frame(kData, kNone, 3, 400) + Call(5));
  conduct_->Answered(1);
  EXPECT_EQ(conduct_->unfinished_calls(), 1);
  EXPECT_EQ(conduct_->unfinished_bytes(), 400);
  EXPECT_EQ(conduct_->calls(), 2);
  for (const std::uint32_t stream : {1, 5, 7, 0}) conduct_->Answered(stream);
  EXPECT_EQ(conduct_->unfinished_calls(), 1);
  EXPECT_EQ(conduct_->calls(), 2);
  Read(Frame(kData, kEnd, 3, 1));
  conduct_->Answered(3);
  EXPECT_EQ(conduct_->unfinished_calls(), 0);
  EXPECT_EQ(conduct_->calls(), 3);
}

TEST_F(ConductAnswersTest, CallsThatAreRefusedAddUpToNothing) {
  Conduct::Options options;
  options.max_unfinished_bytes = 1 << 20;
  Open(std::move(options));
  Read(Frame(kSettings, kAck, 0));
  for (std::uint32_t stream = 1; stream < 10'000; stream += 2) {
    ASSERT_EQ(Read(Begun(stream) + Frame(kData, kNone, stream, 1'000)), Reason()) << stream;
    conduct_->Answered(stream);
    Answer(stream);
  }
  EXPECT_EQ(conduct_->calls(), 5'000);
}

// What was on its way as the call was ended: the rest of the request, or its reset.
TEST_F(ConductAnswersTest, WhatWasOnItsWayCostsAsBefore) {
  Read(Frame(kSettings, kAck, 0));
  for (std::uint32_t stream = 1; stream < 10'000; stream += 2) {
    Read(Begun(stream));
    conduct_->Answered(stream);
    Answer(stream);
    ASSERT_EQ(Read(Frame(kData, kNone, stream, 16'384) + Frame(kData, kNone, stream, 16'384)),
              Reason())
        << stream;
    ASSERT_EQ(Read(stream % 4 == 1 ? Frame(kData, kEnd, stream, 1) : Reset(stream)), Reason())
        << stream;
  }
  // And only once.
  Open({});
  Read(Begun(1));
  conduct_->Answered(1);
  Read(Frame(kData, kEnd, 1, 16'384));
  EXPECT_EQ(Repeat(Frame(kData, kNone, 1, 16'384)), CutAfter(117, CutReason::kIdleFrames));
  Open({});
  Read(Begun(1));
  conduct_->Answered(1);
  EXPECT_EQ(Repeat(Frame(kData, kNone, 1)), CutAfter(2'000, CutReason::kIdleFrames));
}

// Where it isn't told what was answered: gRPC holds these to max_streams.
TEST_F(ConductAnswersTest, OfThoseThatHaveAcknowledgedTheOldestIsForgotten) {
  Conduct::Options options;
  options.max_streams = 3;
  Open(std::move(options));
  Read(Frame(kSettings, kAck, 0) + Begun(1) + Begun(3) + Begun(5));
  Read(Frame(kData, kNone, 1, 300) + Frame(kData, kNone, 3, 400));
  for (const std::uint32_t stream : {1, 3, 5}) Answer(stream);
  EXPECT_EQ(Read(Begun(7)), Reason());
  EXPECT_EQ(conduct_->unfinished_calls(), 3);
  EXPECT_EQ(conduct_->unfinished_bytes(), 700) << "5 had least";
  EXPECT_EQ(Read(Begun(9)), Reason());
  EXPECT_EQ(conduct_->unfinished_bytes(), 400);
  EXPECT_EQ(Read(Frame(kData, kEnd, 5, 16'384)), Reason());
  EXPECT_EQ(conduct_->calls(), 0);
  EXPECT_EQ(Read(Frame(kData, kEnd, 9, 1)), Reason());
  EXPECT_EQ(conduct_->calls(), 1);
  EXPECT_EQ(conduct_->unfinished_calls(), 2);
}

TEST_F(ConductAnswersTest, AnswersAreNotSilence) {
  OpenWithBytesSent();
  for (std::uint32_t stream = 1; stream < 2 * 500; stream += 2) Read(Begun(stream));
  EXPECT_EQ(LookFor(milliseconds(1'900)), Reason());
  for (std::uint32_t stream = 1; stream < 2 * 400; stream += 2) conduct_->Answered(stream);
  EXPECT_EQ(LookFor(seconds(60)), Reason());
  EXPECT_EQ(conduct_->unfinished_calls(), 100);
}

// One thread reads, another one sends, and one looks; nothing is lost.
TEST_F(ConductAnswersTest, AnswersComeFromAnotherThread) {
  constexpr std::uint32_t kBehind = 40'001;
  Read(Frame(kSettings, kAck, 0));
  std::atomic<std::uint32_t> begun{0};
  std::thread sends([&] {
    for (std::uint32_t stream = 1; stream < kBehind; stream += 2) {
      while (begun.load() < stream) std::this_thread::yield();
      conduct_->Answered(stream);
      Answer(stream);
    }
  });
  for (std::uint32_t stream = 1; stream < kBehind; stream += 2) {
    while (conduct_->open_calls().open() > 500) std::this_thread::yield();
    EXPECT_EQ(Read(Begun(stream) + Frame(kData, kNone, stream, 300)), Reason());
    begun = stream;
    if (stream % 100 == 1) conduct_->Look(now_);
  }
  sends.join();
  conduct_->Look(now_);
  EXPECT_EQ(conduct_->unfinished_calls(), 0);
  EXPECT_EQ(conduct_->unfinished_bytes(), 0);
  EXPECT_EQ(conduct_->calls(), kBehind / 2);
}

TEST_F(ConductAnswersTest, TheOldestProgressIsKnown) {
  EXPECT_EQ(conduct_->oldest_progress(), kNever);
  const auto began = now_;
  Read(Begun(1));
  now_ += seconds(1);
  Read(Begun(3));
  EXPECT_EQ(conduct_->oldest_progress(), began);
  now_ += seconds(1);
  Read(Frame(kData, kNone, 1, 300));
  EXPECT_EQ(conduct_->oldest_progress(), began + seconds(1));
  Read(Frame(kData, kNone, 3) + Ping());
  EXPECT_EQ(conduct_->oldest_progress(), began + seconds(1)) << "brought nothing";
  conduct_->Answered(3);
  EXPECT_EQ(conduct_->oldest_progress(), began + seconds(2));
  Read(Frame(kData, kEnd, 1, 1));
  EXPECT_EQ(conduct_->oldest_progress(), kNever);
}

TEST_F(ConductAnswersTest, StuckCallsAreThoseWithoutData) {
  for (std::uint32_t stream = 1; stream < 2 * 100; stream += 2) Read(Begun(stream));
  now_ += seconds(20);
  const std::string data = Frame(kData, kNone, 1, 300);
  Read(data.substr(0, 20));
  for (std::uint32_t stream = 201; stream < 2 * 110; stream += 2) {
    EXPECT_EQ(conduct_->StuckCalls(now_), 0);
  }
  now_ += milliseconds(9'999);
  EXPECT_EQ(conduct_->StuckCalls(now_), 0);
  now_ += milliseconds(1);
  EXPECT_EQ(conduct_->StuckCalls(now_), 99);
  now_ += seconds(19);
  Read(std::string_view(data).substr(20, 1));  // of a frame that is under way
  now_ += seconds(29);
  EXPECT_EQ(conduct_->StuckCalls(now_), 99);
  now_ += seconds(1);
  EXPECT_EQ(conduct_->StuckCalls(now_), 100);
}

}  // namespace
}  // namespace leasegateway::conduct_test
