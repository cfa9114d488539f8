#include "service/guard/conduct.h"

#include <gtest/gtest.h>

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

#include "tests/support/conduct_fixture.h"

namespace leasegateway::conduct_test {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

// --- calls --------------------------------------------------------------------------------------

TEST_F(ConductTest, CountsCallsAsTheirRequestsComeWhole) {
  Read(Frame(kHeaders, kEndHeaders | kEnd, 1, 60));
  EXPECT_EQ(conduct_->calls(), 1);
  Read(Begun(3) + Begun(5) + Begun(7));
  Read(Frame(kData, kNone, 3, 300) + Frame(kData, kNone, 5, 400));
  EXPECT_EQ(conduct_->calls(), 1);
  EXPECT_EQ(conduct_->unfinished_calls(), 3);
  EXPECT_EQ(conduct_->unfinished_bytes(), 700);
  Read(Frame(kData, kEnd, 3, 10));
  EXPECT_EQ(conduct_->calls(), 2);
  EXPECT_EQ(conduct_->unfinished_bytes(), 400);
  Read(Frame(kHeaders, kEndHeaders | kEnd, 5, 10));  // trailers
  EXPECT_EQ(conduct_->calls(), 3);
  EXPECT_EQ(conduct_->unfinished_bytes(), 0);
  Read(Reset(7));
  EXPECT_EQ(conduct_->calls(), 3);
  EXPECT_EQ(conduct_->unfinished_calls(), 0);
}

TEST_F(ConductTest, WhatBreaksTheProtocolCountsAsNoCall) {
  Read(Frame(kHeaders, kEndHeaders, 0) + Frame(kHeaders, kEndHeaders, 2) + Begun(9) + Begun(9));
  Read(Begun(7) + Frame(kHeaders, kEndHeaders | kEnd, 5) + Frame(kData, kEnd, 11));
  EXPECT_EQ(conduct_->calls(), 0);
  EXPECT_EQ(conduct_->unfinished_calls(), 1);
  Read(Frame(kData, kEnd, 9) + Frame(kData, kEnd, 9) + Frame(kData, kNone, 9, 1'000));
  EXPECT_EQ(conduct_->calls(), 1);
  EXPECT_EQ(conduct_->unfinished_calls(), 0);
  EXPECT_EQ(conduct_->unfinished_bytes(), 0);
}

TEST_F(ConductTest, TheReservedBitOfAStreamIsIgnored) {
  Read(Begun(1) + Frame(kData, kEnd, 0x8000'0001));
  EXPECT_EQ(conduct_->calls(), 1);
}

TEST_F(ConductTest, AnotherProtocolIsNotJudged) {
  conduct_.emplace(Conduct::Options());
  EXPECT_EQ(Read("GET / HTTP/1.1\r\n\r\n"), Reason());
  EXPECT_EQ(Repeat(Ping(), 10'000), NotCut(10'000));
  EXPECT_EQ(Read(Begun(1)), Reason());
  EXPECT_EQ(conduct_->unfinished_calls(), 0);
}

// --- frames that bring no call ------------------------------------------------------------------

TEST_F(ConductTest, FramesWithoutCallsAreCut) {
  const auto cut = CutAfter(2'000, CutReason::kIdleFrames);
  for (const std::string& frame :
       {Ping(), Frame(kPing, kAck, 0, 8), Frame(kPriority, kNone, 1, 5),
        Frame(kGoaway, kNone, 0, 8), Frame(kUnknown, kNone, 1, 20), Reset(2), Reset(0),
        Reset(1'001), Frame(kData, kNone, 8), Frame(kData, kEnd, 1'001),
        Frame(kHeaders, kEndHeaders | kEnd, 4, 10)}) {
    Open({});
    EXPECT_EQ(Repeat(frame), cut) << int{frame[3]};
  }
}

TEST_F(ConductTest, SettingsCostMore) {
  EXPECT_EQ(Repeat(Frame(kSettings, kNone, 0, 12)), CutAfter(250, CutReason::kIdleFrames));
  Open({});
  EXPECT_EQ(Repeat(Frame(kSettings, kAck, 0)), CutAfter(250, CutReason::kIdleFrames));
}

// Else gRPC holds it to nothing.
TEST_F(ConductTest, AcknowledgementsOfWhatWasNotSentAreCut) {
  Conduct conduct;
  const std::string settings = std::string(kPreface) + Frame(kSettings, kNone, 0);
  EXPECT_EQ(conduct.Read(settings, now_), Reason());
  EXPECT_EQ(conduct.Read(Frame(kSettings, kAck, 0), now_), Reason(CutReason::kUnacknowledged));
  Conduct later;
  later.Answers();
  EXPECT_EQ(later.Read(settings + Frame(kSettings, kAck, 0), now_), Reason());
}

TEST_F(ConductTest, LongPayloadsCostMore) {
  EXPECT_EQ(Repeat(Frame(kUnknown, kNone, 0, 16'384)), CutAfter(117, CutReason::kIdleFrames));
  Open({});
  EXPECT_EQ(Repeat(Frame(kSettings, kNone, 0, 16'380)), CutAfter(83, CutReason::kIdleFrames));
}

TEST_F(ConductTest, DataThatBringsNothingIsCut) {
  const auto cut = CutAfter(2'000, CutReason::kIdleFrames);
  for (const std::string& frame : {Frame(kData, kNone, 1), Frame(kData, kNone, 1, 15)}) {
    Open({});
    Read(Begun(1));
    EXPECT_EQ(Repeat(frame), cut) << frame.size();
  }
}

TEST_F(ConductTest, SmallDataCostsByWhatItLacks) {
  Read(Begun(1));
  EXPECT_EQ(Repeat(Frame(kData, kNone, 1, 128)), CutAfter(4'000, CutReason::kIdleFrames));
  Open({});
  Read(Begun(1));
  EXPECT_EQ(Repeat(Frame(kData, kNone, 1, 255)), CutAfter(32'000, CutReason::kIdleFrames));
  Open({});
  Read(Begun(1));
  EXPECT_EQ(Repeat(Frame(kData, kNone, 1, 256), 40'000), NotCut(40'000));
}

TEST_F(ConductTest, FramesHaveFiveHundredASecond) {
  const std::string frame = Frame(kUnknown, kNone, 0);
  EXPECT_EQ(Repeat(frame), CutAfter(2'000, CutReason::kIdleFrames));
  now_ += milliseconds(1);
  EXPECT_EQ(Repeat(frame), CutAfter(0, CutReason::kIdleFrames));
  now_ += milliseconds(1);
  EXPECT_EQ(Repeat(frame), CutAfter(1, CutReason::kIdleFrames));
  now_ += seconds(1);
  EXPECT_EQ(Repeat(frame), CutAfter(500, CutReason::kIdleFrames));
  now_ += std::chrono::hours(100);
  EXPECT_EQ(Repeat(frame), CutAfter(2'000, CutReason::kIdleFrames));
}

TEST_F(ConductTest, FourFramesACallAreFree) {
  Read(Frame(kSettings, kAck, 0));
  for (int i = 0; i < 10'000; ++i) {
    ASSERT_EQ(Read(Call(NextStream()) + Ping() + Ping() + Ping() + Ping()), Reason()) << i;
    Answer(stream_ - 2);
  }
  const std::string five = Ping() + Ping() + Ping() + Ping() + Ping();
  int cut_after = 0;
  for (; cut_after < 10'000 && !Read(Call(NextStream()) + five); ++cut_after) Answer(stream_ - 2);
  EXPECT_NEAR(cut_after, 2'000, 10);
}

// As grpc-go measures its link: a PING for each message that a watcher gets.
TEST_F(ConductTest, FramesForWhatIsSentAreFree) {
  OpenWithBytesSent();
  for (int i = 0; i < 100'000; ++i) {
    sent_ += 64;
    ASSERT_EQ(Read(Ping()), Reason()) << i;
  }
  EXPECT_EQ(asked_, 49);  // only when nothing was left
  EXPECT_EQ(Repeat(Ping()).second, Reason(CutReason::kIdleFrames));
}

TEST_F(ConductTest, TheirOwnAnswersDontPayForPings) {
  OpenWithBytesSent();
  int pings = 0;
  while (pings < 100'000 && !Read(Ping())) {
    ++pings;
    sent_ += 39;  // of PING in a record of TLS 1.3
  }
  EXPECT_LT(pings, 6'000);
}

TEST_F(ConductTest, WindowUpdatesFollowWhatIsSent) {
  const std::string update = Frame(kWindowUpdate, kNone, 0, 4);
  EXPECT_EQ(Repeat(update, 200'000), NotCut(200'000));  // it isn't known what is sent
  OpenWithBytesSent();
  for (int i = 0; i < 200'000; ++i) {
    sent_ += 20;  // DATA with the shortest message in TLS is more
    ASSERT_EQ(Read(update + update), Reason()) << i;
  }
  OpenWithBytesSent();
  sent_ = 0;
  EXPECT_EQ(Repeat(update), CutAfter(32'000, CutReason::kIdleFrames));
}

// --- header blocks ------------------------------------------------------------------------------

TEST_F(ConductTest, LongHeaderBlocksAreCut) {
  EXPECT_EQ(Read(Frame(kHeaders, kEndHeaders | kEnd, 1, 64 << 10)), Reason());
  EXPECT_EQ(Read(Frame(kHeaders, kEndHeaders | kEnd, 3, (64 << 10) + 1)),
            Reason(CutReason::kHeaderBlock));
}

TEST_F(ConductTest, ContinuationsAreOfTheirBlock) {
  for (int i = 0; i < 100; ++i) {  // each block anew
    EXPECT_EQ(Read(Frame(kHeaders, kEnd, NextStream(), 16'384) +
                   Frame(kContinuation, kNone, stream_, 16'384) +
                   Frame(kContinuation, kNone, stream_, 16'384) +
                   Frame(kContinuation, kEndHeaders, stream_, 16'384)),
              Reason());
  }
  EXPECT_EQ(Read(Frame(kContinuation, kNone, 1, 1)), Reason(CutReason::kHeaderBlock));
}

TEST_F(ConductTest, TheSeventeenthContinuationIsCut) {
  Read(Frame(kHeaders, kNone, 1, 100));
  EXPECT_EQ(Repeat(Frame(kContinuation, kNone, 1)), CutAfter(16, CutReason::kHeaderBlock));
}

TEST_F(ConductTest, ContinuationsCostAsFrames) {
  const auto [blocks, reason] = [&]() -> std::pair<int, Reason> {
    for (int i = 0; i < 1'000; ++i) {
      std::string block = Frame(kHeaders, kNone, 2, 1);
      for (int j = 0; j < 16; ++j) block += Frame(kContinuation, kNone, 2, 1);
      if (const Reason cut = Read(block)) return {i, cut};
    }
    return {-1, {}};
  }();
  EXPECT_EQ(blocks, 2'000 / 17);
  EXPECT_EQ(reason, Reason(CutReason::kIdleFrames));
}

TEST_F(ConductTest, HeaderBlocksMayBeTwiceWhatMetadataMay) {
  Conduct::Options options;
  options.max_metadata_bytes = 100'000;
  Open(std::move(options));
  EXPECT_EQ(Read(Frame(kHeaders, kEndHeaders | kEnd, 1, 200'000)), Reason());
  EXPECT_EQ(Read(Frame(kHeaders, kEndHeaders | kEnd, 3, 200'001)), Reason(CutReason::kHeaderBlock));
}

// A field that was sent before takes a byte.
TEST_F(ConductTest, ManyFieldsAreCut) {
  const auto call = [this](std::size_t fields) {
    return Read(Frame(kHeaders, kEndHeaders | kEnd, NextStream(), std::string(fields, '\x82')));
  };
  EXPECT_EQ(call(256), Reason());
  EXPECT_EQ(call(257), CutReason::kHeaderBlock);
}

// Which gRPC doesn't know.
TEST_F(ConductTest, PaddingOfHeadersIsFields) {
  const auto call = [this](std::size_t fields) {
    const std::string padded = '\x82' + std::string(fields, '\x82');  // all but one are padding
    return Read(Frame(kHeaders, kEndHeaders | kEnd | kPadded, NextStream(), padded));
  };
  EXPECT_EQ(call(255), Reason());
  EXPECT_EQ(call(256), CutReason::kHeaderBlock);
}

TEST_F(ConductTest, FieldsInPriorityAreNone) {
  std::string first = std::string("\x82\x82\x82\x82\x82") + std::string(256, '\x82');
  EXPECT_EQ(Read(Frame(kHeaders, kEndHeaders | kEnd | FrameHeader::kPriority, 3, first)), Reason());
}

TEST_F(ConductTest, FieldsOfContinuationsAreOfTheirBlock) {
  EXPECT_EQ(Read(Frame(kHeaders, kEnd, 1, std::string(200, '\x82')) +
                 Frame(kContinuation, kNone, 1, std::string(56, '\x82'))),
            Reason());
  EXPECT_EQ(Read(Frame(kContinuation, kEndHeaders, 1, std::string(1, '\x82'))),
            CutReason::kHeaderBlock);
}

TEST_F(ConductTest, AsManyFieldsAsMetadataHasRoomForAreRight) {
  Conduct::Options options;
  options.max_metadata_bytes = 64'000;
  Open(options);
  const std::string fields(1'000, '\x82');
  EXPECT_EQ(Read(Frame(kHeaders, kEndHeaders | kEnd, 1, fields)), Reason());
  EXPECT_EQ(Read(Frame(kHeaders, kEndHeaders | kEnd, 3, fields + "\x82")), CutReason::kHeaderBlock);
}

// A call brings four frames, and each eight fields above 64 take one.
TEST_F(ConductTest, ManyFieldsCostAsFrames) {
  const auto calls = [this](std::size_t fields) {
    const std::string payload(fields, '\x82');
    EXPECT_EQ(Read(Frame(kSettings, kAck, 0)), Reason());
    for (int i = 0; i < 20'000; ++i) {
      if (Read(Frame(kHeaders, kEndHeaders | kEnd, NextStream(), payload))) return i;
      Answer(stream_ - 2);
    }
    return 20'000;
  };
  EXPECT_EQ(calls(96), 20'000);
  Open({});
  // That of SETTINGS beforehand; the first call brings none, as the allowance is all but full.
  EXPECT_NEAR(calls(64 + 8 * 8), 2'000 / 4, 3);
}

// --- what header blocks have when decoded -------------------------------------------------------

// A field of 4,096 bytes when decoded, which enters the table.
std::string Large() { return std::string("\x40\1n\x7f\xe0\x1e", 6) + std::string(4'063, 'x'); }
std::string Again(std::size_t times) { return std::string(times, '\xbe'); }

TEST_F(ConductTest, LargeFieldsThatWereSentBeforeAreBounded) {
  for (const bool acknowledged : {false, true}) {
    Open({});
    if (acknowledged) Read(Frame(kSettings, kAck, 0));
    EXPECT_EQ(Read(Frame(kHeaders, kEndHeaders | kEnd, 1, Large())), Reason());
    EXPECT_EQ(Read(Frame(kHeaders, kEndHeaders | kEnd, 3, Again(16))), Reason());
    EXPECT_EQ(Read(Frame(kHeaders, kEndHeaders | kEnd, 5, Again(17))), CutReason::kHeaderBlock);
  }
  Conduct::Options options;
  options.max_metadata_bytes = 20 << 10;
  Open(std::move(options));
  EXPECT_EQ(Read(Frame(kHeaders, kEnd, 1, Large()) + Frame(kContinuation, kNone, 1, Again(19))),
            Reason());
  EXPECT_EQ(Read(Frame(kContinuation, kEndHeaders, 1, Again(1))), CutReason::kHeaderBlock);
}

// A call brings 64 units, and each 64 bytes above what it may have take one.
TEST_F(ConductTest, MuchWhenDecodedCostsAsFrames) {
  const auto calls = [this](bool acknowledged, std::size_t again) {
    Open({});
    if (acknowledged) Read(Frame(kSettings, kAck, 0));
    Read(Frame(kHeaders, kEndHeaders | kEnd, NextStream(), Large()));
    Answer(stream_ - 2);
    int count = 0;
    while (count < 1'900 &&
           !Read(Frame(kHeaders, kEndHeaders | kEnd, NextStream(), Again(again)))) {
      Answer(stream_ - 2);
      ++count;
    }
    return count;
  };
  EXPECT_EQ(calls(true, 8), 1'900);
  EXPECT_EQ(calls(true, 9), 1'900);  // what it brings
  EXPECT_NEAR(calls(true, 11), 32'000 / (3 * 64 - 64), 2);
  EXPECT_EQ(calls(false, 3), 1'900);
  EXPECT_NEAR(calls(false, 5), 32'000 / (3 * 64 - 64), 2);
}

TEST_F(ConductTest, UnfinishedCallsHaveTheirHeadersAsDecoded) {
  Read(Frame(kHeaders, kEndHeaders, 1, Large()));
  EXPECT_EQ(conduct_->unfinished_bytes(), 4'096);
  Read(Frame(kHeaders, kEndHeaders, 3, Again(4)) +
       Frame(kHeaders, kEndHeaders | kEnd, 5, Again(4)));
  EXPECT_EQ(conduct_->unfinished_bytes(), 5 * 4'096);
  Read(Frame(kHeaders, kNone, 7, Again(1)) + Frame(kContinuation, kNone, 7, Again(2)));
  EXPECT_EQ(conduct_->unfinished_bytes(), 5 * 4'096) << "the block is under way";
  Read(Frame(kContinuation, kEndHeaders, 7));
  EXPECT_EQ(conduct_->unfinished_bytes(), 8 * 4'096);
  Read(Frame(kData, kEnd, 3) + Reset(7));
  EXPECT_EQ(conduct_->unfinished_bytes(), 4'096);
  Read(Frame(kHeaders, kEndHeaders | kEnd, 1, Again(1)));
  EXPECT_EQ(conduct_->unfinished_bytes(), 0);

  Conduct::Options options;
  options.max_unfinished_bytes = 3 * 4'096;
  Open(std::move(options));
  EXPECT_EQ(Read(Frame(kHeaders, kEndHeaders, 1, Large() + Again(2))), Reason());
  EXPECT_EQ(Read(Frame(kHeaders, kEndHeaders, 3, "\x82")), CutReason::kUnfinishedBytes);
}

// A length of 16 MiB that is never sent holds nothing up but itself.
TEST_F(ConductTest, FramesMayBeLongerThanWhatComes) {
  Read(Begun(1));
  Read(std::string("\xff\xff\xff\x00\x00\x00\x00\x00\x01", 9));
  EXPECT_EQ(conduct_->unfinished_bytes(), 0xffffff);
  for (int i = 0; i < 1'000; ++i) EXPECT_EQ(Read(Ping()), Reason());
  EXPECT_EQ(Read(std::string(0xffffff - 17'000, 'x')), Reason());
  EXPECT_EQ(Read(Call(3)), Reason());
  EXPECT_EQ(conduct_->calls(), 1);
}

}  // namespace
}  // namespace leasegateway::conduct_test
