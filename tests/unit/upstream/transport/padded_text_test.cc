#include "upstream/transport/padded_text.h"

#include <gtest/gtest.h>

#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <string>
#include <string_view>
#include <utility>

namespace leasegateway {
namespace {

void* volatile written = nullptr;  // so that what is written there is not left out

void ExpectZerosBehind(const PaddedText& text) {
  const std::string_view behind(text.view().data() + text.size(), PaddedText::kPadding);
  EXPECT_EQ(behind, std::string(PaddedText::kPadding, '\0'));
}

TEST(PaddedTextTest, GrowsByPiecesAndHasZerosBehindItsEnd) {
  PaddedText text;
  EXPECT_EQ(text.view(), "");
  std::string expected;
  for (int i = 0; i < 300; ++i) {
    const std::string piece(static_cast<std::size_t>(i * 7), static_cast<char>('a' + i % 26));
    text.Append(piece);
    expected += piece;
    EXPECT_EQ(text.size(), expected.size());
    if (!expected.empty()) ExpectZerosBehind(text);
  }
  EXPECT_EQ(text.view(), expected);
}

TEST(PaddedTextTest, WhatIsWrittenIntoItsRoomBelongsToItOnceItIsExtended) {
  PaddedText text(std::string("head"));
  char* const place = text.MakeRoom(10);
  EXPECT_GE(text.room(), 10u);
  std::fill(place, place + 10, 'x');
  EXPECT_EQ(text.view(), "head");
  text.Extend(3);
  EXPECT_EQ(text.view(), "headxxx");
  ExpectZerosBehind(text);
}

// An answer that says how long it is may have no byte of it.
TEST(PaddedTextTest, RoomAloneHasZerosInItToo) {
  constexpr std::size_t kRoom = 4'000;
  // What is given out next was in use before.
  void* const used = std::malloc(kRoom + PaddedText::kPadding);
  std::memset(used, 'x', kRoom + PaddedText::kPadding);
  written = used;
  std::free(used);
  PaddedText text;
  text.Reserve(kRoom);
  EXPECT_EQ(text.size(), 0u);
  ExpectZerosBehind(text);
}

TEST(PaddedTextTest, RoomThatIsThereIsNotMovedElsewhere) {
  PaddedText text;
  text.Reserve(1'000'000);
  text.Append("a");
  const char* const before = text.view().data();
  for (int i = 0; i < 999; ++i) text.Append(std::string(1'001, 'b'));
  EXPECT_EQ(text.view().data(), before);
}

TEST(PaddedTextTest, WhatWasMovedFromIsEmpty) {
  PaddedText text(std::string("text"));
  PaddedText other = std::move(text);
  EXPECT_EQ(other.view(), "text");
  EXPECT_EQ(text.view(), "");  // NOLINT(bugprone-use-after-move)
  text = std::move(other);
  EXPECT_EQ(text.view(), "text");
  EXPECT_EQ(other.view(), "");  // NOLINT(bugprone-use-after-move)
  other.Append("again");
  EXPECT_EQ(other.view(), "again");
}

}  // namespace
}  // namespace leasegateway
