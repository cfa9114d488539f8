#include "service/guard/conduct.h"

#include <gtest/gtest.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <ostream>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace leasegateway {

void PrintTo(CutReason reason, std::ostream* out) {
  *out << kCutReasonNames[static_cast<std::size_t>(reason)];
}

namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using Reason = std::optional<CutReason>;

constexpr std::string_view kPreface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
constexpr int kData = 0, kHeaders = 1, kPriority = 2, kReset = 3, kSettings = 4, kPing = 6,
              kGoaway = 7, kWindowUpdate = 8, kContinuation = 9, kUnknown = 0xfa;
constexpr int kNone = 0, kAck = 1, kEnd = 1, kEndHeaders = 4, kPadded = 8;

std::string Frame(int type, int flags, std::uint32_t stream, const std::string& payload) {
  std::string frame;
  for (const int shift : {16, 8, 0}) frame += static_cast<char>(payload.size() >> shift);
  frame += static_cast<char>(type);
  frame += static_cast<char>(flags);
  for (const int shift : {24, 16, 8, 0}) frame += static_cast<char>(stream >> shift);
  return frame + payload;
}
std::string Frame(int type, int flags, std::uint32_t stream, std::size_t length = 0) {
  return Frame(type, flags, stream, std::string(length, 'x'));
}
std::string Ping() { return Frame(kPing, kNone, 0, 8); }
std::string Call(std::uint32_t stream) {
  return Frame(kHeaders, kEndHeaders, stream, 60) + Frame(kData, kEnd, stream, 30);
}
std::string Begun(std::uint32_t stream) { return Frame(kHeaders, kEndHeaders, stream, 60); }
std::string Reset(std::uint32_t stream) { return Frame(kReset, kNone, stream, 4); }

// A connection that has sent its preface, at a time of its own.
class ConductTest : public testing::Test {
 protected:
  ConductTest() { Open({}); }

  void Open(Conduct::Options options) {
    conduct_.emplace(std::move(options));
    stream_ = 0;
    EXPECT_EQ(Read(kPreface), Reason());
  }
  // Beside a peer that is sent `sent_` bytes.
  void OpenWithBytesSent() {
    Conduct::Options options;
    options.bytes_sent = [this] {
      ++asked_;
      return sent_;
    };
    Open(std::move(options));
  }
  Reason Read(std::string_view bytes) { return conduct_->Read(bytes, now_); }
  std::uint32_t NextStream() { return std::exchange(stream_, stream_ == 0 ? 3 : stream_ + 2) | 1; }

  // How many times `frames` may be sent until it is cut, and why; at most `most`.
  std::pair<int, Reason> Repeat(const std::string& frames, int most = 100'000) {
    for (int i = 0; i < most; ++i) {
      if (const Reason reason = Read(frames)) return {i, reason};
    }
    return {most, {}};
  }
  // Looks each 100 ms of `time`.
  Reason LookFor(milliseconds time) {
    for (milliseconds passed{0}; passed < time; passed += milliseconds(100)) {
      now_ += milliseconds(100);
      if (const Reason reason = conduct_->Look(now_)) return reason;
    }
    return {};
  }

  Conduct::Clock::time_point now_{std::chrono::hours(1)};
  std::uint64_t sent_ = 1'000;
  int asked_ = 0;
  std::optional<Conduct> conduct_;
  std::uint32_t stream_ = 0;
};

std::pair<int, Reason> CutAfter(int times, CutReason reason) { return {times, reason}; }
std::pair<int, Reason> NotCut(int times) { return {times, {}}; }

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

TEST_F(ConductTest, LongPayloadsCostMore) {
  EXPECT_EQ(Repeat(Frame(kUnknown, kNone, 0, 16'384)), CutAfter(117, CutReason::kIdleFrames));
  Open({});
  EXPECT_EQ(Repeat(Frame(kSettings, kNone, 0, 16'380)), CutAfter(83, CutReason::kIdleFrames));
}

TEST_F(ConductTest, DataThatBringsNothingIsCut) {
  const auto cut = CutAfter(2'000, CutReason::kIdleFrames);
  const std::string padding(256, '\xff');
  for (const std::string& frame :
       {Frame(kData, kNone, 1), Frame(kData, kPadded, 1), Frame(kData, kPadded, 1, padding),
        Frame(kData, kPadded, 1, std::string(1, '\0')), Frame(kData, kPadded, 1, "\xff"),
        Frame(kData, kNone, 1, 15)}) {
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
  }
  int cut_after = 0;
  while (!Read(Call(NextStream()) + Ping() + Ping() + Ping() + Ping() + Ping())) ++cut_after;
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
    for (int i = 0;; ++i) {
      std::string block = Frame(kHeaders, kNone, 2, 1);
      for (int j = 0; j < 16; ++j) block += Frame(kContinuation, kNone, 2, 1);
      if (const Reason cut = Read(block)) return {i, cut};
    }
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

// --- resets -------------------------------------------------------------------------------------

TEST_F(ConductTest, ResetsAtOnceAreCut) {
  std::uint32_t stream = 1;
  const auto until_cut = [&] {
    int calls = 0;
    for (;; stream += 2, ++calls) {
      const Reason reason = Read(Begun(stream) + Frame(kReset, kNone, stream));
      if (!reason) continue;
      EXPECT_EQ(reason, Reason(CutReason::kRapidResets));
      stream += 2;
      return calls;
    }
  };
  EXPECT_EQ(until_cut(), 1'000);
  now_ += milliseconds(200);
  EXPECT_EQ(until_cut(), 100);  // 500 a second
}

TEST_F(ConductTest, ResetsOfWholeCallsAtOnceAreCut) {
  for (const bool has_data : {false, true}) {
    Open({});
    Read(Frame(kSettings, kAck, 0));
    int calls = 0;
    for (std::uint32_t stream = 1;; stream += 2, ++calls) {
      const std::string call =
          has_data ? Call(stream) : Frame(kHeaders, kEndHeaders | kEnd, stream, 60);
      if (const Reason reason = Read(call + Reset(stream))) {
        EXPECT_EQ(reason, Reason(CutReason::kRapidResets));
        break;
      }
    }
    EXPECT_NEAR(calls, 1'000, 1);
  }
}

// A tenth of what an attacker sends at full speed, in batches of 10 ms.
TEST_F(ConductTest, MildResetsAreCutWithinASecond) {
  Read(Frame(kSettings, kAck, 0));
  const auto began = now_;
  Reason reason;
  for (std::uint32_t stream = 1; !reason && now_ < began + seconds(10); now_ += milliseconds(10)) {
    for (int i = 0; i < 20 && !reason; ++i, stream += 2)
      reason = Read(Call(stream) + Reset(stream));
  }
  EXPECT_EQ(reason, Reason(CutReason::kRapidResets));
  EXPECT_LE(now_ - began, seconds(1));
}

// Deadlines pass while the provider is out.
TEST_F(ConductTest, LateResetsAreFree) {
  Read(Frame(kSettings, kAck, 0));
  std::uint32_t stream = 1;
  for (int i = 0; i < 20; ++i) {
    std::string calls, resets;
    for (int j = 0; j < 1'000; ++j, stream += 2) {
      calls += Call(stream);
      resets += Reset(stream);
    }
    ASSERT_EQ(Read(calls), Reason());
    now_ += milliseconds(100);
    ASSERT_EQ(Read(resets), Reason()) << i;
  }
}

TEST_F(ConductTest, YoungIsBelowFiftyMillisecondsAtLeast) {
  Read(Frame(kSettings, kAck, 0));
  std::uint32_t stream = 1;
  const auto all_reset_after = [&](milliseconds step, milliseconds age) {
    Open({});
    Read(Frame(kSettings, kAck, 0));
    for (stream = 1; stream < 40'000; stream += 2) {
      now_ += step;
      const std::uint32_t began_before = 2 * static_cast<std::uint32_t>(age / step);
      std::string bytes = Call(stream);
      if (stream > began_before) bytes += Reset(stream - began_before);
      if (Read(bytes)) return false;
    }
    return true;
  };
  EXPECT_TRUE(all_reset_after(milliseconds(1), milliseconds(100)));
  // Four resets of five, as young as that, are more than the allowance.
  const auto flood = [&](milliseconds age) {
    Open({});
    Read(Frame(kSettings, kAck, 0));
    for (stream = 1; stream < 40'000; stream += 40) {
      std::string bytes;
      const std::uint32_t before = 40 * static_cast<std::uint32_t>(age.count());
      for (std::uint32_t i = 0; i < 40; i += 2) {
        bytes += Call(stream + i);
        if (stream > before) bytes += Reset(stream + i - before);
      }
      now_ += milliseconds(1);
      if (Read(bytes)) return true;
    }
    return false;
  };
  EXPECT_TRUE(flood(milliseconds(49)));
  EXPECT_FALSE(flood(milliseconds(100)));
}

// Hedging: each call twice, and the slower one is taken back.
TEST_F(ConductTest, OneResetForEachCallThatStaysIsFree) {
  Read(Frame(kSettings, kAck, 0));
  for (std::uint32_t stream = 1; stream < 40'000; stream += 4) {
    ASSERT_EQ(Read(Call(stream) + Call(stream + 2) + Reset(stream + 2)), Reason()) << stream;
  }
}

// A watcher that takes the first message and goes.
TEST_F(ConductTest, ResetsForWhatIsSentAreFree) {
  OpenWithBytesSent();
  Read(Frame(kSettings, kAck, 0));
  for (std::uint32_t stream = 1; stream < 40'000; stream += 2) {
    ASSERT_EQ(Read(Call(stream)), Reason());
    sent_ += 128;
    ASSERT_EQ(Read(Reset(stream)), Reason()) << stream;
  }
}

TEST_F(ConductTest, UnfinishedCallsAreResetRapidlyAtAnyAge) {
  Read(Frame(kSettings, kAck, 0));
  std::uint32_t stream = 1;
  int rounds = 0;
  for (Reason reason; !reason && rounds < 100; ++rounds) {
    std::string calls, resets;
    for (int i = 0; i < 500; ++i, stream += 2) {
      calls += Begun(stream);
      resets += Reset(stream);
    }
    ASSERT_EQ(Read(calls), Reason());
    now_ += milliseconds(200);
    reason = Read(resets);
    EXPECT_EQ(reason.value_or(CutReason::kRapidResets), CutReason::kRapidResets);
  }
  EXPECT_EQ(rounds, 3);
}

TEST_F(ConductTest, ResetsOfWhatIsNoMoreAreFrames) {
  Read(Frame(kSettings, kAck, 0));
  for (std::uint32_t stream = 1; stream < 100; stream += 2) Read(Call(stream));
  now_ += seconds(1);
  EXPECT_EQ(Repeat(Reset(1)), CutAfter(50 + 2'000, CutReason::kIdleFrames));
}

// --- unfinished calls ---------------------------------------------------------------------------

TEST_F(ConductTest, MoreUnfinishedCallsThanStreamsAreCut) {
  for (std::uint32_t stream = 1; stream < 2'000; stream += 2) {
    ASSERT_EQ(Read(Begun(stream)), Reason());
  }
  EXPECT_EQ(conduct_->unfinished_calls(), 1'000);
  Read(Reset(1));
  Read(Frame(kData, kEnd, 3));
  EXPECT_EQ(Read(Begun(2'001) + Begun(2'003)), Reason());
  EXPECT_EQ(Read(Begun(2'005)), Reason(CutReason::kUnfinishedCalls));

  Conduct::Options options;
  options.max_streams = 3;
  Open(std::move(options));
  EXPECT_EQ(Read(Begun(1) + Begun(3) + Begun(5)), Reason());
  EXPECT_EQ(Read(Begun(7)), Reason(CutReason::kUnfinishedCalls));
}

TEST_F(ConductTest, SilentCallsAreCut) {
  OpenWithBytesSent();
  for (std::uint32_t stream = 1; stream <= 2 * 129; stream += 2) Read(Begun(stream));
  EXPECT_EQ(LookFor(milliseconds(2'000)), Reason());
  EXPECT_EQ(LookFor(milliseconds(100)), Reason(CutReason::kUnfinishedCalls));
}

TEST_F(ConductTest, FewSilentCallsAreNot) {
  OpenWithBytesSent();
  for (std::uint32_t stream = 1; stream <= 2 * 128; stream += 2) Read(Begun(stream));
  EXPECT_EQ(LookFor(seconds(60)), Reason());
}

TEST_F(ConductTest, SilenceIsNoOffenceWhenItIsNotKnownWhatIsSent) {
  for (std::uint32_t stream = 1; stream <= 2 * 900; stream += 2) Read(Begun(stream));
  EXPECT_EQ(LookFor(seconds(60)), Reason());
}

// Many callers on a connection whose window is full, and a slow link: pieces of DATA are progress.
TEST_F(ConductTest, CallsThatProgressAreNotCut) {
  OpenWithBytesSent();
  for (std::uint32_t stream = 1; stream <= 2 * 900; stream += 2) Read(Begun(stream));
  const std::string data = Frame(kData, kNone, 1, 16'384);
  for (std::size_t at = 0; at < data.size(); at += 1'024) {
    EXPECT_EQ(LookFor(milliseconds(1'900)), Reason()) << at;
    EXPECT_EQ(Read(std::string_view(data).substr(at, 1'024)), Reason());
  }
  EXPECT_EQ(LookFor(milliseconds(1'900)), Reason());
  Read(Frame(kData, kEnd, 3));
  EXPECT_EQ(LookFor(milliseconds(1'900)), Reason());
  Read(Ping());  // is none
  EXPECT_EQ(LookFor(milliseconds(300)), Reason(CutReason::kUnfinishedCalls));
}

// Refused before their requests are out: their callers don't send the rest.
TEST_F(ConductTest, CallsThatWereAnsweredAreNotSilent) {
  OpenWithBytesSent();
  for (std::uint32_t stream = 1; stream <= 2 * 500; stream += 2) Read(Begun(stream));
  sent_ += (500 - 128) * 32;
  EXPECT_EQ(LookFor(seconds(60)), Reason());
  Read(Begun(2'001));
  EXPECT_EQ(LookFor(seconds(60)), Reason(CutReason::kUnfinishedCalls));
}

TEST_F(ConductTest, AnswersBeforeDontCount) {
  OpenWithBytesSent();
  for (std::uint32_t stream = 1; stream <= 2 * 500; stream += 2) Read(Begun(stream));
  sent_ += 1'000'000;
  for (std::uint32_t stream = 1; stream <= 2 * 436; stream += 2) Read(Frame(kData, kEnd, stream));
  EXPECT_EQ(conduct_->unfinished_calls(), 64);
  for (std::uint32_t stream = 2'001; stream <= 2'400; stream += 2) Read(Begun(stream));
  EXPECT_EQ(LookFor(seconds(3)), Reason(CutReason::kUnfinishedCalls));
}

// What the gateway itself missed is nobody's silence.
TEST_F(ConductTest, AStandstillIsNoSilence) {
  OpenWithBytesSent();
  for (std::uint32_t stream = 1; stream <= 2 * 500; stream += 2) Read(Begun(stream));
  EXPECT_EQ(LookFor(milliseconds(100)), Reason());
  now_ += std::chrono::minutes(1);
  EXPECT_EQ(conduct_->Look(now_), Reason());
}

TEST_F(ConductTest, BytesOfUnfinishedRequestsAreBounded) {
  std::uint32_t stream = 1;
  for (int i = 0; i < 64; ++i, stream += 2) {
    std::string request = Begun(stream);
    for (int j = 0; j < 64; ++j) request += Frame(kData, kNone, stream, 16 << 10);
    ASSERT_EQ(Read(request), Reason()) << i;
  }
  EXPECT_EQ(conduct_->unfinished_bytes(), 64 << 20);
  EXPECT_EQ(Read(Begun(stream) + Frame(kData, kEnd, stream, 300)), Reason());
  Read(Frame(kData, kEnd, 1));
  stream += 2;
  EXPECT_EQ(Read(Begun(stream) + Frame(kData, kNone, stream, 1 << 20)), Reason());
  EXPECT_EQ(Read(Frame(kData, kNone, stream, 1)), Reason(CutReason::kUnfinishedBytes));
}

TEST_F(ConductTest, ManyCallsWithoutAcknowledgementAreCut) {
  std::uint32_t stream = 1;
  for (; stream < 4'000; stream += 2) ASSERT_EQ(Read(Call(stream)), Reason()) << stream;
  EXPECT_EQ(Read(Frame(kSettings, kNone, 0)), Reason());
  EXPECT_EQ(Read(Call(stream)), Reason(CutReason::kUnacknowledged));

  Open({});
  for (stream = 1; stream < 4'000; stream += 2) Read(Call(stream));
  Read(Frame(kSettings, kAck, 0));
  for (; stream < 40'000; stream += 2) ASSERT_EQ(Read(Call(stream)), Reason()) << stream;
}

// --- pieces -------------------------------------------------------------------------------------

struct Outcome {
  Reason reason;
  std::uint64_t calls = 0, bytes = 0;
  std::uint32_t unfinished = 0;
  friend bool operator==(const Outcome&, const Outcome&) = default;
};
void PrintTo(const Outcome& outcome, std::ostream* out) {
  *out << (outcome.reason ? static_cast<int>(*outcome.reason) : -1) << ' ' << outcome.calls << ' '
       << outcome.bytes << ' ' << outcome.unfinished;
}
Outcome InPieces(std::string_view bytes, std::size_t first, std::size_t piece) {
  const Conduct::Clock::time_point now{std::chrono::hours(1)};
  Conduct conduct;
  Outcome outcome;
  for (std::size_t size = first; !outcome.reason && !bytes.empty(); size = piece) {
    outcome.reason = conduct.Read(bytes.substr(0, size), now);
    bytes.remove_prefix(std::min(size, bytes.size()));
  }
  outcome.calls = conduct.calls();
  outcome.bytes = conduct.unfinished_bytes();
  outcome.unfinished = conduct.unfinished_calls();
  return outcome;
}

TEST(ConductPiecesTest, PiecesChangeNothing) {
  std::string bytes(kPreface);
  bytes += Frame(kSettings, kNone, 0, 18) + Frame(kWindowUpdate, kNone, 0, 4) + Call(1) + Begun(3);
  bytes += Frame(kData, kPadded, 3,
                 std::string("\x04"
                             "abcdefgh")) +
           Frame(kData, kPadded, 3);
  bytes += Frame(kSettings, kAck, 0) + Frame(kHeaders, kEnd, 5, 30);
  bytes += Frame(kContinuation, kEndHeaders, 5, 7) + Reset(5) + Ping() + Begun(7) + Call(9);
  const Outcome whole{.reason = {}, .calls = 3, .bytes = 9, .unfinished = 2};
  for (std::size_t piece = 1; piece <= bytes.size(); ++piece) {
    ASSERT_EQ(InPieces(bytes, piece, piece), whole) << piece;
    ASSERT_EQ(InPieces(bytes, piece, bytes.size()), whole) << piece;
  }
}

TEST(ConductPiecesTest, OffencesAreFoundInAnyPieces) {
  std::string data(kPreface);
  data += Begun(1);
  for (int i = 0; i < 2'001; ++i) data += Frame(kData, kPadded, 1, std::string(3, '\x02'));
  std::string block = std::string(kPreface) + Frame(kHeaders, kNone, 1, 3);
  for (int i = 0; i < 17; ++i) block += Frame(kContinuation, kNone, 1, i);
  std::string calls(kPreface);
  for (std::uint32_t stream = 1; stream <= 2 * 1'001; stream += 2) calls += Begun(stream);
  for (std::size_t piece = 1; piece < 64; ++piece) {
    EXPECT_EQ(InPieces(data, piece, piece).reason, Reason(CutReason::kIdleFrames)) << piece;
    EXPECT_EQ(InPieces(block, piece, piece).reason, Reason(CutReason::kHeaderBlock)) << piece;
    EXPECT_EQ(InPieces(calls, piece, piece).reason, Reason(CutReason::kUnfinishedCalls)) << piece;
  }
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

TEST(ConductPiecesTest, AForeignPrefaceIsSeenAtAnyByte) {
  for (std::size_t wrong = 0; wrong < kPreface.size(); ++wrong) {
    for (const std::size_t piece : {1, 5, 1'000}) {
      std::string bytes(kPreface);
      bytes[wrong] ^= 1;
      EXPECT_EQ(InPieces(bytes + Call(1), piece, piece), Outcome()) << wrong;
    }
  }
}

}  // namespace
}  // namespace leasegateway
