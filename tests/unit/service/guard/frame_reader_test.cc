#include "service/guard/frame_reader.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <ostream>
#include <string>
#include <string_view>

#include "service/guard/conduct.h"
#include "tests/support/conduct_fixture.h"

namespace leasegateway::conduct_test {
namespace {

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
  conduct.Answers();
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

TEST(FrameReaderTest, PiecesChangeNothing) {
  std::string bytes(kPreface);
  bytes += Frame(kSettings, kNone, 0, 18) + Frame(kWindowUpdate, kNone, 0, 4) + Call(1) + Begun(3);
  bytes += Frame(kData, kNone, 3, 9) + Frame(kData, kNone, 3);
  bytes += Frame(kSettings, kAck, 0) + Frame(kHeaders, kEnd, 5, 30);
  bytes += Frame(kContinuation, kEndHeaders, 5, 7) + Reset(5) + Ping() + Begun(7) + Call(9);
  const Outcome whole{.reason = {}, .calls = 3, .bytes = 9, .unfinished = 2};
  for (std::size_t piece = 1; piece <= bytes.size(); ++piece) {
    ASSERT_EQ(InPieces(bytes, piece, piece), whole) << piece;
    ASSERT_EQ(InPieces(bytes, piece, bytes.size()), whole) << piece;
  }
}

TEST(FrameReaderTest, OffencesAreFoundInAnyPieces) {
  std::string data(kPreface);
  data += Begun(1);
  for (int i = 0; i < 2'001; ++i) data += Frame(kData, kNone, 1);
  std::string block = std::string(kPreface) + Frame(kHeaders, kNone, 1, 3);
  for (int i = 0; i < 17; ++i) block += Frame(kContinuation, kNone, 1, i);
  std::string calls(kPreface);
  for (std::uint32_t stream = 1; stream <= 2 * 1'001; stream += 2) calls += Begun(stream);
  for (std::size_t piece = 1; piece < 20; ++piece) {
    EXPECT_EQ(InPieces(data, piece, piece).reason, Reason(CutReason::kIdleFrames)) << piece;
    EXPECT_EQ(InPieces(block, piece, piece).reason, Reason(CutReason::kHeaderBlock)) << piece;
    EXPECT_EQ(InPieces(calls, piece, piece).reason, Reason(CutReason::kUnfinishedCalls)) << piece;
  }
}

TEST(FrameReaderTest, AForeignPrefaceIsSeenAtAnyByte) {
  for (std::size_t wrong = 0; wrong < kPreface.size(); ++wrong) {
    for (const std::size_t piece : {1, 5, 1'000}) {
      std::string bytes(kPreface);
      bytes[wrong] ^= 1;
      EXPECT_EQ(InPieces(bytes + Call(1), piece, piece), Outcome()) << wrong;
    }
  }
}

TEST(FrameReaderTest, AServerSendsNoPreface) {
  FrameReader reader(FrameReader::Sender::kServer);
  const std::string sent = Frame(kSettings, kNone, 0, 6) + Frame(kHeaders, kEnd, 7, 5);
  std::string_view bytes = sent;
  FrameHeader frame;
  ASSERT_TRUE(reader.Next(bytes, frame));
  ASSERT_TRUE(reader.Next(bytes, frame));
  EXPECT_EQ(frame.stream, 7u);
  EXPECT_TRUE(frame.Has(FrameHeader::kEndStream));
}

}  // namespace
}  // namespace leasegateway::conduct_test
