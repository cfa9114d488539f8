// As provider_bodies_test.cc: what is no JSON, or no text, at every field.
#include <gtest/gtest.h>

#include <cstddef>
#include <string>
#include <string_view>

#include "tests/support/provider_bodies.h"

namespace leasegateway::bodies {
namespace {

// What RFC 8259 forbids, at every field, also at those that nobody reads.
constexpr std::string_view kNotJson[] = {
    "",
    "NaN",
    "Infinity",
    "-Infinity",
    "-",
    "+1",
    "01",
    "-01",
    "00",
    ".5",
    "1.",
    "-.5",
    "1.e1",
    "1e",
    "1e+",
    "1e-",
    "1.2.3",
    "0x10",
    "1_000",
    "1,5",
    "1 2",
    "1a",
    "0b1",
    "tru",
    "nul",
    "fals",
    "True",
    "TRUE",
    "NULL",
    "None",
    "undefined",
    "truetrue",
    "nulll",
    "'a'",
    "a",
    "`a`",
    "\"a",
    "a\"",
    "\"a\"\"b\"",
    "\"a\" \"b\"",
    R"("\x")",
    R"("\u12")",
    R"("\u12g4")",
    R"("\U00000041")",
    R"("\'")",
    R"("\0")",
    "\"\\",
    "[",
    "]",
    "{",
    "}",
    "[1",
    "1]",
    "[1,]",
    "[,1]",
    "[,]",
    "[1,,2]",
    "[1 2]",
    "[\"a\"",
    "{\"a\"}",
    "{\"a\":}",
    "{\"a\":1,}",
    "{,}",
    "{:1}",
    "{a:1}",
    "{'a':1}",
    "{1:1}",
    "{null:1}",
    "{\"a\":1 \"b\":2}",
    "{\"a\" 1}",
    "{\"a\":1:2}",
    "{\"a\",\"b\"}",
    "{[1]:1}",
    "[1}",
    "{\"a\":1]",
    "1//c",
    "1/*c*/",
    "//c\n1",
    "#c\n1",
    "(1)",
    "<a/>",
    "1;",
    "\x01",
    "\"\x01\"",
    "\"\n\"",
    "\"\t\"",
    "\"\r\"",
    "\"\x1f\"",
    "\f1",
    "\v1",
    "\xC2\xA0"
    "1",
    "\xE2\x80\xA8"
    "1",
    "\xEF\xBB\xBF"
    "1",
    // Not UTF-8: stray and missing continuations, overlong forms, surrogates, above U+10FFFF.
    "\"\x80\"",
    "\"\xBF\"",
    "\"\xFF\"",
    "\"\xFE\"",
    "\"\xC3\"",
    "\"\xE2\x82\"",
    "\"\xF0\x9F\x98\"",
    "\"\xC3(\"",
    "\"\xE2(\xA1\"",
    "\"\xE2\x82(\"",
    "\"\xF0(\x8C\xBC\"",
    "\"\xC0\x80\"",
    "\"\xC0\xAF\"",
    "\"\xC1\xBF\"",
    "\"\xE0\x80\xAF\"",
    "\"\xE0\x9F\xBF\"",
    "\"\xF0\x80\x80\xAF\"",
    "\"\xF0\x8F\xBF\xBF\"",
    "\"\xED\xA0\x80\"",
    "\"\xED\xBF\xBF\"",
    "\"\xED\xA0\xBD\xED\xB8\x80\"",
    "\"\xF4\x90\x80\x80\"",
    "\"\xF5\x80\x80\x80\"",
    "\"\xF8\x88\x80\x80\x80\"",
    "\"\xFC\x84\x80\x80\x80\x80\"",
};

// Whether a reader that knows nothing else of JSON than its quotes and brackets finds the end of
// it.
bool EndCanBeSeen(std::string_view raw) {
  std::string open;
  bool in_text = false;
  for (std::size_t i = 0; i < raw.size(); ++i) {
    if (in_text) {
      if (raw[i] == '\\') ++i;
      in_text = i >= raw.size() || raw[i] != '"';
    } else if (raw[i] == '"') {
      in_text = true;
    } else if (raw[i] == '{' || raw[i] == '[') {
      open += raw[i] == '{' ? '}' : ']';
    } else if (raw[i] == '}' || raw[i] == ']') {
      if (!open.ends_with(raw[i])) return false;
      open.pop_back();
    }
  }
  return open.empty() && !in_text;
}

// The whole, the item or the field: nothing else may be gone, and in a list never the others.
TEST_F(ProviderBodiesTest, WhatIsNotJsonTakesNoOtherFieldWithIt) {
  for (const Operation& operation : Operations()) {
    for (const Field& field : operation.fields) {
      const bool is_in_item = field.at.starts_with("/data/numbers/1/");
      for (const std::string_view raw : kNotJson) {
        const std::string body = With(operation, field.at, raw);
        const Decoded decoded = Decode(operation, body);
        SCOPED_TRACE(Quote(operation, body));
        if (!decoded.status.ok()) {
          EXPECT_FALSE(is_in_item && EndCanBeSeen(raw)) << decoded.status;
        } else if (decoded.bad_items() > 0) {
          ASSERT_TRUE(is_in_item);
          if (EndCanBeSeen(raw)) {
            EXPECT_EQ(decoded.bad_items(), 1);
            ExpectOnlyTheSecondGone(operation, decoded, body);
          }
        } else if (field.kind == Kind::kDropped) {
          EXPECT_TRUE(MessageDifferencer::Equals(*decoded.response, *Good(operation)));
        } else if (field.kind == Kind::kUnknown || field.kind == Kind::kTexts) {
          ExpectTheRestSame(operation, field, decoded, body);
        } else {
          ASSERT_FALSE(IsNeeded(field.kind));
          if (field.kind == Kind::kObject) {
            ExpectTheRestSame(operation, field, decoded, body);
          } else {
            ExpectLeftOut(operation, field, decoded, body);
          }
        }
      }
    }
  }
  Enough(10'000);
}

// The grammar allows them, and RFC 8259, section 8.2, leaves open what they are. They must not come
// out as text that is not UTF-8, which Decode checks.
TEST_F(ProviderBodiesTest, TextsThatAreNoneLeaveOutTheirFieldAlone) {
  for (const Operation& operation : Operations()) {
    for (const Field& field : operation.fields) {
      for (const char* raw :
           {R"("\ud800")", R"("\udc00")", R"("\ud800x")", R"("\ud800\u0041")", R"("\ud800\ud800")",
            R"("\udc00\ud800")", R"("\udfff\udbff")", "\"Caf\xE9\"", "\"\x80\\\"\"", "\"a\nb\""}) {
        const std::string body = With(operation, field.at, raw);
        const Decoded decoded = Decode(operation, body);
        SCOPED_TRACE(Quote(operation, body));
        if (IsNeeded(field.kind)) {
          ExpectRefused(operation, decoded, body);
        } else if (field.kind == Kind::kDropped) {
          ExpectSame(operation, body);
        } else if (field.kind == Kind::kUnknown) {
          ASSERT_TRUE(decoded.status.ok()) << decoded.status;
          EXPECT_EQ(decoded.left_out(), 1);
          ExpectTheRestSame(operation, field, decoded, body);
        } else {
          ExpectLeftOut(operation, field, decoded, body);
        }
      }
    }
  }
  Enough(900);
}

}  // namespace
}  // namespace leasegateway::bodies
