// Calls that are reset, and those whose requests don't come.

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

#include "service/guard/conduct.h"
#include "tests/support/conduct_fixture.h"

namespace leasegateway::conduct_test {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

class ConductCallsTest : public ConductTest {};

// --- resets -------------------------------------------------------------------------------------

TEST_F(ConductCallsTest, ResetsAtOnceAreCut) {
  std::uint32_t stream = 1;
  const auto until_cut = [&] {
    int calls = 0;
    for (; calls < 10'000; stream += 2, ++calls) {
      const Reason reason = Read(Begun(stream) + Frame(kReset, kNone, stream));
      if (!reason) continue;
      EXPECT_EQ(reason, Reason(CutReason::kRapidResets));
      stream += 2;
      break;
    }
    return calls;
  };
  EXPECT_EQ(until_cut(), 1'000);
  now_ += milliseconds(200);
  EXPECT_EQ(until_cut(), 100);  // 500 a second
}

TEST_F(ConductCallsTest, ResetsOfWholeCallsAtOnceAreCut) {
  for (const bool has_data : {false, true}) {
    Open({});
    Read(Frame(kSettings, kAck, 0));
    int calls = 0;
    for (std::uint32_t stream = 1; calls < 10'000; stream += 2, ++calls) {
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

// A fan-out whose callers are gone. What a call brings is taken back with it, and no more.
TEST_F(ConductCallsTest, WholeCallsMayBeResetAsManyAsOthers) {
  std::string calls, resets;
  for (std::uint32_t stream = 1; stream < 2'000; stream += 2) {
    calls += Call(stream);
    resets += Reset(stream);
  }
  EXPECT_EQ(Read(calls), Reason());
  EXPECT_EQ(Read(resets), Reason());
  EXPECT_EQ(Read(Begun(2'001) + Reset(2'001)), Reason(CutReason::kRapidResets));
}

TEST_F(ConductCallsTest, WhoHasTimeMayResetTwiceAsManyAsANewConnection) {
  Read(Ping());
  now_ += seconds(3);
  int calls = 0;
  std::uint32_t stream = 1;
  for (; !Read(Begun(stream) + Frame(kReset, kNone, stream)); stream += 2) ++calls;
  EXPECT_EQ(calls, 2'000);
  Conduct::Options options;
  options.max_streams = 3'000;
  Open(std::move(options));
  for (calls = 0, stream = 1; !Read(Begun(stream) + Frame(kReset, kNone, stream)); stream += 2)
    ++calls;
  EXPECT_EQ(calls, 3'000);
}

// Deadlines of 20 ms pass while the provider is out, for a second at 10,000 calls each.
TEST_F(ConductCallsTest, CallsThatWereNotResetAreSavedUp) {
  const auto resets_after = [this](int good) {
    Open({});
    std::uint32_t stream = 1;
    Read(Frame(kSettings, kAck, 0));
    for (int i = 0; i < good; ++i, stream += 2) {
      EXPECT_EQ(Read(Call(stream)), Reason());
      Answer(stream);
    }
    now_ += milliseconds(200);
    Read(Ping());
    int resets = 0;
    for (; resets < 20'000 && !Read(Call(stream) + Reset(stream)); stream += 2) ++resets;
    return resets;
  };
  EXPECT_NEAR(resets_after(0), 1'100, 1);
  EXPECT_NEAR(resets_after(500), 1'600, 1);
  EXPECT_NEAR(resets_after(5'000), 6'000, 1);
  EXPECT_NEAR(resets_after(30'000), 12'000, 1);
}

TEST_F(ConductCallsTest, ProxiesMayResetTenTimesAsMany) {
  Conduct::Options options;
  options.trusted = true;
  Open(std::move(options));
  Read(Frame(kSettings, kAck, 0));
  int calls = 0;
  std::uint32_t stream = 1;
  for (; !Read(Begun(stream) + Frame(kReset, kNone, stream)); stream += 2) ++calls;
  EXPECT_EQ(calls, 10'000);
  now_ += milliseconds(200);
  stream += 2;
  for (calls = 0; !Read(Begun(stream) + Frame(kReset, kNone, stream)); stream += 2) ++calls;
  EXPECT_EQ(calls, 1'000);
}

// A tenth of what an attacker sends at full speed, in batches of 10 ms.
TEST_F(ConductCallsTest, MildResetsAreCutWithinASecond) {
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
TEST_F(ConductCallsTest, LateResetsAreFree) {
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

TEST_F(ConductCallsTest, YoungIsBelowFiftyMillisecondsAtLeast) {
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
      for (std::uint32_t i = 0; i < 40; i += 2) Answer(stream + i);
    }
    return false;
  };
  EXPECT_TRUE(flood(milliseconds(49)));
  EXPECT_FALSE(flood(milliseconds(100)));
}

// Hedging: each call twice, and the slower one is taken back.
TEST_F(ConductCallsTest, OneResetForEachCallThatStaysIsFree) {
  Read(Frame(kSettings, kAck, 0));
  for (std::uint32_t stream = 1; stream < 40'000; stream += 4) {
    ASSERT_EQ(Read(Call(stream) + Call(stream + 2) + Reset(stream + 2)), Reason()) << stream;
    Answer(stream);
  }
}

// A watcher that takes the first message and goes.
TEST_F(ConductCallsTest, ResetsForWhatIsSentAreFree) {
  OpenWithBytesSent();
  Read(Frame(kSettings, kAck, 0));
  for (std::uint32_t stream = 1; stream < 40'000; stream += 2) {
    ASSERT_EQ(Read(Call(stream)), Reason());
    sent_ += 128;
    ASSERT_EQ(Read(Reset(stream)), Reason()) << stream;
  }
}

TEST_F(ConductCallsTest, UnfinishedCallsAreResetRapidlyAtAnyAge) {
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

// gRPC answers it by a reset, and the request isn't there for the end of it.
TEST_F(ConductCallsTest, PaddedDataIsAReset) {
  for (const int flags : {kPadded, kPadded | kEnd, 0x20}) {
    Open({});
    std::uint32_t stream = 1;
    Reason reason;
    for (; !reason && stream < 10'000; stream += 2) {
      reason = Read(Begun(stream) + Frame(kData, flags, stream, 30));
    }
    EXPECT_EQ(reason, Reason(CutReason::kRapidResets)) << flags;
    EXPECT_EQ(stream / 2, 1'001) << flags;
    EXPECT_EQ(conduct_->calls(), 0);
    EXPECT_EQ(conduct_->unfinished_calls(), 0);
  }
}

TEST_F(ConductCallsTest, ResetsOfWhatIsNoMoreAreFrames) {
  Read(Frame(kSettings, kAck, 0));
  for (std::uint32_t stream = 1; stream < 100; stream += 2) Read(Call(stream));
  now_ += seconds(1);
  EXPECT_EQ(Repeat(Reset(1)), CutAfter(50 + 2'000, CutReason::kIdleFrames));
}

// --- unfinished calls ---------------------------------------------------------------------------

TEST_F(ConductCallsTest, MoreUnfinishedCallsThanStreamsAreCut) {
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

TEST_F(ConductCallsTest, SilentCallsAreCut) {
  OpenWithBytesSent();
  for (std::uint32_t stream = 1; stream <= 2 * 129; stream += 2) Read(Begun(stream));
  EXPECT_EQ(LookFor(milliseconds(2'000)), Reason());
  EXPECT_EQ(LookFor(milliseconds(100)), Reason(CutReason::kUnfinishedCalls));
}

TEST_F(ConductCallsTest, FewSilentCallsAreNot) {
  OpenWithBytesSent();
  for (std::uint32_t stream = 1; stream <= 2 * 128; stream += 2) Read(Begun(stream));
  EXPECT_EQ(LookFor(seconds(60)), Reason());
}

TEST_F(ConductCallsTest, SilenceIsNoOffenceWhenItIsNotKnownWhatIsSent) {
  for (std::uint32_t stream = 1; stream <= 2 * 900; stream += 2) Read(Begun(stream));
  EXPECT_EQ(LookFor(seconds(60)), Reason());
}

// Many callers on a connection whose window is full, and a slow link: pieces of DATA are progress.
TEST_F(ConductCallsTest, CallsThatProgressAreNotCut) {
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
TEST_F(ConductCallsTest, CallsThatWereAnsweredAreNotSilent) {
  OpenWithBytesSent();
  for (std::uint32_t stream = 1; stream <= 2 * 500; stream += 2) Read(Begun(stream));
  sent_ += (500 - 128) * 32;
  EXPECT_EQ(LookFor(seconds(60)), Reason());
  Read(Begun(2'001));
  EXPECT_EQ(LookFor(seconds(60)), Reason(CutReason::kUnfinishedCalls));
}

TEST_F(ConductCallsTest, AnswersBeforeDontCount) {
  OpenWithBytesSent();
  for (std::uint32_t stream = 1; stream <= 2 * 500; stream += 2) Read(Begun(stream));
  sent_ += 1'000'000;
  for (std::uint32_t stream = 1; stream <= 2 * 436; stream += 2) Read(Frame(kData, kEnd, stream));
  EXPECT_EQ(conduct_->unfinished_calls(), 64);
  for (std::uint32_t stream = 2'001; stream <= 2'400; stream += 2) Read(Begun(stream));
  EXPECT_EQ(LookFor(seconds(3)), Reason(CutReason::kUnfinishedCalls));
}

// What the gateway itself missed is nobody's silence.
TEST_F(ConductCallsTest, AStandstillIsNoSilence) {
  OpenWithBytesSent();
  for (std::uint32_t stream = 1; stream <= 2 * 500; stream += 2) Read(Begun(stream));
  EXPECT_EQ(LookFor(milliseconds(100)), Reason());
  now_ += std::chrono::minutes(1);
  EXPECT_EQ(conduct_->Look(now_), Reason());
}

TEST_F(ConductCallsTest, BytesOfUnfinishedRequestsAreBounded) {
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

TEST_F(ConductCallsTest, ManyCallsWithoutAcknowledgementAreCut) {
  std::uint32_t stream = 1;
  for (; stream < 4'000; stream += 2) ASSERT_EQ(Read(Call(stream)), Reason()) << stream;
  EXPECT_EQ(Read(Frame(kSettings, kNone, 0)), Reason());
  EXPECT_EQ(Read(Call(stream)), Reason(CutReason::kUnacknowledged));

  Open({});
  for (stream = 1; stream < 4'000; stream += 2) {
    Read(Call(stream));
    Answer(stream);
  }
  Read(Frame(kSettings, kAck, 0));
  for (; stream < 40'000; stream += 2) {
    ASSERT_EQ(Read(Call(stream)), Reason()) << stream;
    Answer(stream);
  }
}

TEST_F(ConductCallsTest, WhoHasAcknowledgedMayHaveNoMoreThanSoManyOpen) {
  Read(Frame(kSettings, kAck, 0));
  std::uint32_t stream = 1;
  for (; stream < 2'000; stream += 2) ASSERT_EQ(Read(Call(stream)), Reason()) << stream;
  Answer(1);
  EXPECT_EQ(Read(Reset(3) + Call(stream) + Call(stream + 2)), Reason());
  EXPECT_EQ(conduct_->open_calls().open(), 1'000u);
  EXPECT_EQ(Read(Call(stream + 4)), Reason(CutReason::kTooManyCalls));
}

// In any pieces.
TEST_F(ConductCallsTest, WindowsThatThePeerGivesAreKnown) {
  const auto number = [](std::uint32_t value) {
    std::string bytes;
    for (const int shift : {24, 16, 8, 0}) bytes += static_cast<char>(value >> shift);
    return bytes;
  };
  // SETTINGS of two, with a highest bit that is none of the window's; then of streams and of all.
  const std::string bytes =
      Frame(kSettings, kNone, 0,
            std::string("\0\3", 2) + number(9) + std::string("\0\4", 2) + number(0)) +
      Call(1) + Call(3) + Call(5) + Frame(kWindowUpdate, kNone, 3, number(0x8000'0007)) +
      Frame(kWindowUpdate, kNone, 0, number(100));
  for (std::size_t piece = 1; piece < 80; ++piece) {
    std::atomic<std::int64_t> in_all = 0;
    Conduct::Options options;
    options.waiting_in_all = &in_all;
    Open(std::move(options));
    for (std::size_t at = 0; at < bytes.size(); at += piece) {
      ASSERT_EQ(Read(std::string_view(bytes).substr(at, piece)), Reason());
    }
    ASSERT_EQ(conduct_->open_calls().open(), 3u) << piece;
    ASSERT_EQ(in_all, 2) << piece;
    conduct_->open_calls().Send(Frame(kData, kNone, 3, 6));
    ASSERT_EQ(in_all, 2) << piece;
    conduct_->open_calls().Send(Frame(kData, kNone, 3, 1));
    ASSERT_EQ(in_all, 3) << piece;
    for (int i = 0; i < 4; ++i) conduct_->open_calls().Send(Frame(kData, kNone, 99, 16'384));
    Read(Frame(kSettings, kNone, 0, std::string("\0\4", 2) + number(8)));
    ASSERT_EQ(in_all, 0) << "65,635 were left of all, and 65,543 sent";
    conduct_->open_calls().Send(Frame(kData, kNone, 99, 92));
    ASSERT_EQ(in_all, 3);
    conduct_.reset();
    EXPECT_EQ(in_all, 0);
  }
}

TEST_F(ConductTest, TellsWhatIsSpentOfItsAllowances) {
  EXPECT_EQ(conduct_->spent(now_), Conduct::Spent());
  Repeat(Ping(), 100);
  const Conduct::Spent used{.idle = 100 * Conduct::kFrame};
  EXPECT_EQ(conduct_->spent(now_), used);
  now_ += std::chrono::milliseconds(50);
  EXPECT_EQ(conduct_->spent(now_), used.After(std::chrono::milliseconds(50)));
  EXPECT_EQ(conduct_->spent(now_).idle, used.idle - 50 * Conduct::kIdleAMillisecond);
  now_ += std::chrono::hours(1);
  EXPECT_EQ(conduct_->spent(now_), Conduct::Spent());
}

TEST_F(ConductTest, BeginsWithWhatIsNotSpent) {
  for (const std::uint32_t max_streams : {1'000u, 4'000u}) {
    Conduct::Options options;
    options.max_streams = max_streams;
    options.spent = {.idle = Conduct::kIdleMost - 40 * Conduct::kFrame,
                     .resets = (max_streams - 3) * Conduct::kFrame};
    Open(options);
    EXPECT_EQ(Repeat(Ping()), CutAfter(40, CutReason::kIdleFrames));
    Open(options);
    EXPECT_EQ(conduct_->spent(now_), options.spent);
    for (int i = 0; i < 3; ++i) {
      const std::uint32_t stream = NextStream();
      EXPECT_EQ(Read(Begun(stream) + Reset(stream)), Reason()) << i;
    }
    EXPECT_EQ(conduct_->spent(now_).resets, max_streams * Conduct::kFrame);
    const std::uint32_t stream = NextStream();
    EXPECT_EQ(Read(Begun(stream) + Reset(stream)), CutReason::kRapidResets);
  }
}

// What a client begins with is more than a few frames, and others may have spent all.
TEST_F(ConductTest, ABeginningIsNeverSpent) {
  Conduct::Options options;
  options.spent.idle = Conduct::kIdleMost;
  Open(options);
  conduct_->Answers();
  EXPECT_EQ(Read(Frame(kSettings, kNone, 0, 18) + Frame(kWindowUpdate, kNone, 0, 4) +
                 Frame(kSettings, kAck, 0) + Call(1)),
            Reason());
}

}  // namespace
}  // namespace leasegateway::conduct_test
