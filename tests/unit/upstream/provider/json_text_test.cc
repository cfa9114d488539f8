#include "upstream/provider/json_text.h"

#include <gtest/gtest.h>

#include <cstddef>
#include <string_view>

namespace leasegateway {
namespace {

constexpr std::size_t kNowhere = std::string_view::npos;

TEST(JsonTextTest, FindsTheEndOfBrackets) {
  EXPECT_EQ(EndOfBrackets("{}"), 2u);
  EXPECT_EQ(EndOfBrackets(R"({"a": [1, {"b": "]}\"}"}]}, 2)"), 26u);
  for (const char* text : {"{", "[1", "{]", "[{]}", R"({"a": "})", R"({"a\)", "[\"\\"}) {
    EXPECT_EQ(EndOfBrackets(text), kNowhere) << text;
  }
}

TEST(JsonTextTest, FindsTheEndOfAnItem) {
  EXPECT_EQ(EndOfItem("[1, 2]", 1), 2u);
  EXPECT_EQ(EndOfItem("[1, 2]", 3), 5u);
  EXPECT_EQ(EndOfItem(R"([{"a": "],"}, 2])", 1), 12u);
  // Also where the brackets inside of it don't match.
  EXPECT_EQ(EndOfItem("[{}}, 2]", 1), 4u);
  EXPECT_EQ(EndOfItem("[{[}, 2]", 1), 4u);
  EXPECT_EQ(EndOfItem("[{, 2]", 1), 5u);
  // Nobody knows.
  EXPECT_EQ(EndOfItem("[\"x, 2]", 1), 7u);
  EXPECT_EQ(EndOfItem("[\"\\", 1), 3u);
}

TEST(JsonTextTest, MendsTextsAlone) {
  EXPECT_EQ(MendTexts("{\"a\": \"Caf\xC3\xA9 \\\"\"}"), "{\"a\": \"Caf\xC3\xA9 \\\"\"}");
  EXPECT_EQ(MendTexts("{\"a\": \"Caf\xE9\"}"), R"({"a": "Caf\ud800"})");
  EXPECT_EQ(MendTexts("{\n\"a\": \"b\nc\"}"), "{\n\"a\": \"b\\ud800c\"}");
  EXPECT_EQ(MendTexts("{\xFF}"), "{?}");
}

TEST(JsonTextTest, PrintsWholeCharacters) {
  EXPECT_EQ(Printable("a\tb\n", 10), "a b ");
  EXPECT_EQ(Printable("a\xC3\xA9z", 2), "a");
  EXPECT_EQ(Printable("a\xC3\xA9z", 3), "a\xC3\xA9");
}

}  // namespace
}  // namespace leasegateway
