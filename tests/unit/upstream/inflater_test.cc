#include "upstream/inflater.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <ostream>
#include <string>
#include <string_view>

#include "tests/support/gzip.h"

namespace leasegateway {

using Format = Inflater::Format;

void PrintTo(Inflater::Outcome outcome, std::ostream* out) {
  constexpr const char* kNames[] = {"ok", "too large", "corrupt", "cut off", "trailing"};
  *out << kNames[static_cast<int>(outcome)];
}

namespace {

struct Inflated {
  Inflater::Outcome outcome = Inflater::Outcome::kOk;
  std::string text;
  std::string problem;
  std::size_t taken = 0;  // bytes of the pieces that were put
};

// A text that gives no more room than it is asked for.
class Text {
 public:
  char* MakeRoom(std::size_t wanted) {
    bytes_.resize(size_ + wanted);
    return bytes_.data() + size_;
  }
  std::size_t room() const { return bytes_.size() - size_; }
  void Extend(std::size_t written) { size_ += written; }
  std::string_view view() const { return std::string_view(bytes_).substr(0, size_); }

 private:
  std::string bytes_;
  std::size_t size_ = 0;
};

// In pieces of `step` bytes.
Inflated Inflate(std::string_view bytes, std::size_t limit = 1 << 20, std::size_t step = 1 << 14,
                 Format format = Format::kGzip) {
  Inflater inflater(format, limit);
  Text text;
  Inflated result;
  for (std::size_t at = 0; at < bytes.size() && result.outcome == Inflater::Outcome::kOk;
       at += step) {
    const std::string_view piece = bytes.substr(at, step);
    result.outcome = inflater.Put(piece, text);
    result.taken += piece.size();
  }
  if (result.outcome == Inflater::Outcome::kOk) result.outcome = inflater.Finish();
  result.text = text.view();
  result.problem = inflater.problem();
  return result;
}

std::string Json() {
  std::string json = "[";
  for (int i = 0; i < 5'000; ++i) {
    json += R"({"id":"+1305)" + std::to_string(1'000'000 + i * 7) + R"("},)";
  }
  return json + "null]";
}

TEST(InflaterTest, WhatComesInAnyPiecesComesOutWhole) {
  const std::string text = Json();
  for (const int level : {0, 1, 9}) {
    const std::string bytes = Gzip(text, level);
    for (const std::size_t step : {1u, 2u, 17u, 4'096u, 1u << 20}) {
      const Inflated inflated = Inflate(bytes, 1 << 20, step);
      EXPECT_EQ(inflated.outcome, Inflater::Outcome::kOk) << level << " " << step;
      EXPECT_TRUE(inflated.text == text) << level << " " << step;
    }
  }
}

// RFC 1952, 2.2.
TEST(InflaterTest, MembersFollowEachOther) {
  const std::string bytes = Gzip("one") + Gzip("") + Gzip(", two") + Gzip(", three");
  for (const std::size_t step : {1u, 5u, 1'000u}) {
    const Inflated inflated = Inflate(bytes, 1 << 20, step);
    EXPECT_EQ(inflated.outcome, Inflater::Outcome::kOk);
    EXPECT_EQ(inflated.text, "one, two, three");
  }
}

TEST(InflaterTest, NoBytesAreNoText) {
  const Inflated inflated = Inflate("");
  EXPECT_EQ(inflated.outcome, Inflater::Outcome::kOk);
  EXPECT_EQ(inflated.text, "");
}

TEST(InflaterTest, OneThatIsCutOffAnywhereIsCutOff) {
  const std::string bytes = Gzip("one") + Gzip("two and something more");
  const std::size_t first = Gzip("one").size();
  for (std::size_t size = 1; size < bytes.size(); ++size) {
    const Inflater::Outcome expected =
        size == first ? Inflater::Outcome::kOk : Inflater::Outcome::kCutOff;
    EXPECT_EQ(Inflate(std::string_view(bytes).substr(0, size)).outcome, expected) << size;
  }
}

TEST(InflaterTest, ChecksumAndLengthHaveToBeRight) {
  const std::string bytes = Gzip("some text");
  for (const std::size_t from_end : {1u, 4u, 5u, 8u}) {
    std::string wrong = bytes;
    wrong[wrong.size() - from_end] ^= 1;
    const Inflated inflated = Inflate(wrong);
    EXPECT_EQ(inflated.outcome, Inflater::Outcome::kCorrupt) << from_end;
    EXPECT_EQ(inflated.problem, from_end > 4 ? "incorrect data check" : "incorrect length check");
  }
}

TEST(InflaterTest, WhatIsNoGzipIsCorrupt) {
  EXPECT_EQ(Inflate(R"({"id": "req_1"})").outcome, Inflater::Outcome::kCorrupt);
  std::string deflated = Gzip("some text");
  deflated.erase(0, 10);  // its header
  EXPECT_EQ(Inflate(deflated).outcome, Inflater::Outcome::kCorrupt);
}

TEST(InflaterTest, WhatFollowsAMemberIsAnotherOne) {
  for (const std::string& more : {std::string("\n"), std::string("{}"), std::string(4, '\0')}) {
    EXPECT_EQ(Inflate(Gzip("text") + more).outcome, Inflater::Outcome::kTrailing);
  }
  EXPECT_EQ(Inflate(Gzip("text") + "\x1f").outcome, Inflater::Outcome::kCutOff);
  EXPECT_EQ(Inflate(Gzip("text") + "\x1fno member").outcome, Inflater::Outcome::kCorrupt);
}

TEST(InflaterTest, LimitIsOfWhatComesOut) {
  const std::string text(100'000, 'x');
  EXPECT_EQ(Inflate(Gzip(text), text.size()).outcome, Inflater::Outcome::kOk);
  const Inflated cut = Inflate(Gzip(text), text.size() - 1);
  EXPECT_EQ(cut.outcome, Inflater::Outcome::kTooLarge);
  EXPECT_EQ(cut.text.size(), text.size());
  // Members together.
  EXPECT_EQ(Inflate(Gzip(text) + Gzip("x"), text.size()).outcome, Inflater::Outcome::kTooLarge);
  EXPECT_EQ(Inflate(Gzip("x"), 0).outcome, Inflater::Outcome::kTooLarge);
}

// A thousandth of what comes out, so whoever waits for its end has lost.
TEST(InflaterTest, BombEndsWithThePieceThatPassesTheLimit) {
  const std::string bomb = Gzip(std::string(64 << 20, '\0'), 9);
  ASSERT_LT(bomb.size(), 100'000u);
  const Inflated inflated = Inflate(bomb, 1 << 20, 256);
  EXPECT_EQ(inflated.outcome, Inflater::Outcome::kTooLarge);
  EXPECT_EQ(inflated.text.size(), (1u << 20) + 1);
  EXPECT_LT(inflated.taken, bomb.size() / 32);
}

// RFC 1950. A stream of it says itself where it ends, and nothing follows.
TEST(InflaterTest, ZlibStreamIsOneWithItsChecksum) {
  const std::string text = Json();
  const std::string bytes = Zlib(text);
  for (const std::size_t step : {1u, 17u, 1u << 20}) {
    const Inflated inflated = Inflate(bytes, text.size(), step, Format::kZlib);
    EXPECT_EQ(inflated.outcome, Inflater::Outcome::kOk) << step;
    EXPECT_TRUE(inflated.text == text) << step;
  }
  const auto outcome_of = [](const std::string& of) {
    return Inflate(of, 1 << 20, 1 << 14, Format::kZlib).outcome;
  };
  EXPECT_EQ(Inflate(bytes, text.size() - 1, 1 << 14, Format::kZlib).outcome,
            Inflater::Outcome::kTooLarge);
  EXPECT_EQ(outcome_of(bytes.substr(0, bytes.size() - 1)), Inflater::Outcome::kCutOff);
  EXPECT_EQ(outcome_of(bytes + bytes), Inflater::Outcome::kTrailing);
  EXPECT_EQ(outcome_of(Gzip(text)), Inflater::Outcome::kCorrupt);
  EXPECT_EQ(Inflate(bytes).outcome, Inflater::Outcome::kCorrupt) << "taken for gzip";
  std::string wrong = bytes;
  wrong.back() ^= 1;
  EXPECT_EQ(outcome_of(wrong), Inflater::Outcome::kCorrupt);
}

}  // namespace
}  // namespace leasegateway
