// Thousands of replies that a provider could send, generated from one good reply an operation: the
// rule of json_codec.h, field by field for every operation. Each must be read as what it says but
// for the field that can't be read; or, where that says which number or lease it is, without the
// item; or be refused as UPSTREAM_MALFORMED.
// Here are whole bodies; single fields are in provider_fields_test.cc.
#include "tests/support/provider_bodies.h"

#include <gtest/gtest.h>

#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <boost/json/value.hpp>
#include <cstddef>
#include <functional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace leasegateway::bodies {
namespace {

// Otherwise the cases below would look at nothing.
TEST_F(ProviderBodiesTest, TheGoodOnesAreReadWhole) {
  for (const Operation& operation : Operations()) {
    const Decoded decoded = Decode(operation, operation.body);
    ASSERT_TRUE(decoded.status.ok()) << operation.name << decoded.status;
    for (const Field& field : operation.fields) {
      if (field.in_response.empty()) continue;
      EXPECT_NE(Show(*decoded.response, field.in_response), kAbsent)
          << operation.name << " " << field.at;
    }
  }
}

TEST_F(ProviderBodiesTest, EveryTruncationIsMalformed) {
  for (const Operation& operation : Operations()) {
    for (std::size_t size = 0; size < operation.body.size(); ++size) {
      ExpectMalformed(operation, std::string_view(operation.body).substr(0, size));
    }
  }
  Enough(6'000);
}

// Calls `on_object` with every object in the value.
void ForEachObject(json::value& value, const std::function<void(json::object&)>& on_object) {
  if (value.is_object()) {
    on_object(value.get_object());
    for (auto& field : value.get_object()) ForEachObject(field.value(), on_object);
  } else if (value.is_array()) {
    for (auto& element : value.get_array()) ForEachObject(element, on_object);
  }
}

// A marker that becomes `raw`, a member of an object, when the value is serialised.
std::string WithMember(const json::value& root, std::string_view raw) {
  std::string body = json::serialize(root);
  const std::string_view marker = "\"@@\":0";
  body.replace(body.find(marker), marker.size(), raw);
  return body;
}

TEST_F(ProviderBodiesTest, KeysThatAreThereTwiceAreNone) {
  for (const Operation& operation : Operations()) {
    json::value root = json::parse(operation.body);
    ForEachObject(root, [&](json::object& object) {
      const json::object original = object;
      for (const auto& field : original) {
        const std::string key(field.key());
        const std::string escaped = absl::StrFormat("\\u%04x%s", key[0], key.substr(1));
        for (const std::string& spelling : {key, escaped}) {
          std::string first;
          for (const std::string& value : {json::serialize(field.value()), std::string("null"),
                                           std::string("0"), std::string("\"other\"")}) {
            object["@@"] = 0;
            const std::string member = absl::StrCat("\"", spelling, "\":", value);
            // After the key, and before it.
            const std::string after = WithMember(root, member);
            object = json::object();
            object["@@"] = 0;
            for (const auto& each : original) object[each.key()] = each.value();
            const std::string before = WithMember(root, member);
            object = original;
            for (const std::string& body : {after, before}) {
              const Decoded decoded = Decode(operation, body);
              const std::string result = decoded.status.ok() ? decoded.response->ShortDebugString()
                                                             : std::string(kMalformed);
              // Whichever comes first, and whatever it is, neither is believed.
              if (first.empty()) first = result;
              EXPECT_EQ(result, first) << Quote(operation, body);
            }
          }
        }
      }
    });
  }
  Enough(3'000);
}

TEST_F(ProviderBodiesTest, DeepValuesAreKeptOrLeftOut) {
  const auto nested = [](std::size_t levels, std::string_view open, std::string_view close) {
    std::string text;
    for (std::size_t i = 0; i < levels; ++i) text += open;
    text += "1";
    for (std::size_t i = 0; i < levels; ++i) text += close;
    return text;
  };
  for (const Operation& operation : Operations()) {
    for (const Field& field : operation.fields) {
      for (const std::size_t levels :
           {1,  2,  20, 29,  30,  31,  32,  33,  40,  58,  59,  60,   61,   62,   63,
            64, 65, 66, 100, 500, 510, 511, 512, 513, 514, 515, 1000, 1024, 1025, 20'000}) {
        for (const auto& value : {nested(levels, "[", "]"), nested(levels, R"({"a":)", "}")}) {
          const std::string body = With(operation, field.at, value);
          const Decoded decoded = Decode(operation, body);
          SCOPED_TRACE(absl::StrCat(operation.name, field.at, levels, value[0] == '{' ? "{" : "["));
          if (IsNeeded(field.kind)) {
            if (field.kind == Kind::kPhone && value[0] == '{') continue;
            ExpectRefused(operation, decoded, body);
            continue;
          }
          ASSERT_TRUE(decoded.status.ok()) << decoded.status;
          EXPECT_EQ(decoded.bad_items(), 0);
          const bool keeps = field.kind == Kind::kUnknown || field.kind == Kind::kDropped ||
                             (field.kind == Kind::kObject && value[0] == '{');
          if (field.kind == Kind::kTexts) continue;
          EXPECT_EQ(decoded.left_out(), keeps ? 0 : 1);
        }
      }
    }
  }
  Enough(5'000);
}

TEST_F(ProviderBodiesTest, LongTextsAndNumbersAreReadWhole) {
  for (const Operation& operation : Operations()) {
    for (const Field& field : operation.fields) {
      for (const std::size_t size : {15U, 16U, 63U, 64U, 65U, 1'000U, 20'000U}) {
        const std::string text(size, 'x');
        const Decoded decoded =
            Decode(operation, With(operation, field.at, absl::StrCat("\"", text, "\"")));
        if (field.kind == Kind::kText || field.kind == Kind::kNeededText) {
          ASSERT_TRUE(decoded.status.ok()) << operation.name << field.at << decoded.status;
          EXPECT_EQ(Show(*decoded.response, field.in_response), text);
        }
        // As many digits, before and after the point.
        for (const std::string& digits :
             {std::string(size, '9'), "1" + std::string(size, '0'), "0." + std::string(size, '0'),
              "1." + std::string(size, '0') + "1", "-" + std::string(size, '9'),
              "1e" + std::string(size, '0') + "1", "0." + std::string(size, '0') + "1"}) {
          for (const std::string& raw : {digits, absl::StrCat("\"", digits, "\"")}) {
            const Decoded read = Decode(operation, With(operation, field.at, raw));
            if (!read.status.ok() || read.bad_items() > 0) continue;
            const std::string shown =
                field.in_response.empty() ? kAbsent : Show(*read.response, field.in_response);
            if (field.kind == Kind::kAmount && shown != kAbsent) {
              // Read: then every digit of it, to the ninth decimal.
              const std::string all = digits.starts_with("1e")   ? "10.000000000"
                                      : digits.starts_with("0.") ? "0.000000000"
                                      : digits.starts_with("1.") ? "1.000000000"
                                                                 : digits + ".000000000";
              EXPECT_EQ(shown, all) << operation.name << field.at;
            } else if (field.kind == Kind::kCount && shown != kAbsent) {
              EXPECT_TRUE(digits.starts_with("0.") || digits.starts_with("1e")) << digits;
            }
          }
        }
      }
    }
  }
  Enough(10'000);
}

std::string Utf16(std::string_view ascii, bool big, bool mark, int bytes = 2) {
  std::string out;
  const auto put = [&](unsigned unit) {
    for (int i = 0; i < bytes; ++i) {
      const int shift = 8 * (big ? bytes - 1 - i : i);
      out += static_cast<char>(shift < 32 ? (unit >> shift) & 0xFF : 0);
    }
  };
  if (mark) put(0xFEFF);
  for (const char c : ascii) put(static_cast<unsigned char>(c));
  return out;
}

TEST_F(ProviderBodiesTest, OtherEncodingsOfTheWholeAreMalformed) {
  for (const Operation& operation : Operations()) {
    for (const bool big : {false, true}) {
      for (const bool mark : {false, true}) {
        for (const int bytes : {2, 4}) {
          ExpectMalformed(operation, Utf16(operation.body, big, mark, bytes));
        }
      }
    }
    ExpectSame(operation, "\xEF\xBB\xBF" + operation.body);
    ExpectMalformed(operation, "\xEF\xBB\xBF\xEF\xBB\xBF" + operation.body);
    ExpectMalformed(operation, operation.body + "\xEF\xBB\xBF");
    ExpectMalformed(operation, "\xEF\xBB" + operation.body);
    ExpectMalformed(operation, "\xEF\xBB\xBF");
    ExpectMalformed(operation, "\x1f\x8b\x08" + operation.body);  // as if compressed
    ExpectMalformed(operation, std::string(1, '\0') + operation.body);
    ExpectMalformed(operation, operation.body + std::string(1, '\0'));
  }
  Enough(100);
}

TEST_F(ProviderBodiesTest, WhatStandsAroundTheWholeIsMalformed) {
  for (const Operation& operation : Operations()) {
    const std::string& body = operation.body;
    for (const std::string& wrong : {body + body,
                                     body + "," + body,
                                     body + "}",
                                     body + "]",
                                     "[" + body + "]",
                                     "[" + body,
                                     "{" + body + "}",
                                     "{" + body,
                                     "x" + body,
                                     body + "x",
                                     body + "1",
                                     body + "null",
                                     "callback(" + body + ")",
                                     ")]}',\n" + body,
                                     "/**/" + body,
                                     body + "//",
                                     "\"" + body + "\"",
                                     json::serialize(json::string(body)),
                                     body + ";",
                                     "--b\r\n\r\n" + body,
                                     "\f" + body,
                                     body + "\v",
                                     "\xC2\xA0" + body,
                                     "data: " + body,
                                     std::string("null"),
                                     std::string("true"),
                                     std::string("1"),
                                     std::string("\"a\""),
                                     std::string("[]"),
                                     std::string("{}"),
                                     std::string("<html></html>"),
                                     std::string(" "),
                                     std::string(1, '\0'),
                                     std::string(100'000, '['),
                                     std::string(100'000, '{'),
                                     std::string(100'000, '"'),
                                     std::string(100'000, ' '),
                                     std::string(100'000, '9')}) {
      ExpectMalformed(operation, wrong);
    }
    for (const char* space : {" ", "\t", "\r", "\n", "\r\n \t"}) {
      ExpectSame(operation, space + body);
      ExpectSame(operation, body + space);
    }
  }
  Enough(350);
}

// Replaces each character: `in_text` those of strings, `outside` all others but quotes.
std::string Rewrite(std::string_view body, const std::function<std::string(char)>& in_text,
                    const std::function<std::string(char)>& outside) {
  std::string out;
  bool inside = false;
  for (const char c : body) {
    if (c == '"') inside = !inside;
    out += c == '"' ? "\"" : inside ? in_text(c) : outside(c);
  }
  return out;
}

TEST_F(ProviderBodiesTest, OtherSpellingsOfTheSameAreReadTheSame) {
  const auto same = [](char c) { return std::string(1, c); };
  const auto is_mark = [](char c) {
    return std::string_view("{}[]:,").find(c) != std::string::npos;
  };
  for (const Operation& operation : Operations()) {
    const std::string body = json::serialize(json::parse(operation.body));
    ASSERT_EQ(body.find('\\'), std::string::npos);
    ExpectSame(operation, body);
    for (const char* format : {"\\u%04x", "\\u%04X"}) {
      ExpectSame(operation, Rewrite(
                                body,
                                [&](char c) {
                                  char text[8];
                                  std::snprintf(text, sizeof(text), format, c);
                                  return std::string(text);
                                },
                                same));
    }
    for (const std::string space : {" ", "\n", "\t", "\r\n", "          "}) {
      ExpectSame(operation, Rewrite(body, same, [&](char c) {
                   return is_mark(c) ? absl::StrCat(space, std::string(1, c), space) : same(c);
                 }));
    }
    // Space that JSON does not know, at each place in turn.
    for (std::size_t at = 1; at < body.size(); ++at) {
      if (!is_mark(body[at])) continue;
      // Not within a string.
      if (std::count(body.begin(), body.begin() + static_cast<std::ptrdiff_t>(at), '"') % 2 == 1) {
        continue;
      }
      for (const char* space : {"\f", "\v", "\xC2\xA0", "\xE2\x80\x89", "\xEF\xBB\xBF", "\x01"}) {
        ExpectNothingNew(operation, body.substr(0, at) + space + body.substr(at));
      }
      // Without it, doubled, or another one in its place.
      for (const std::string other :
           {"", "{", "}", "[", "]", ":", ",", ";", "|", ",,", "::", "{{", "\""}) {
        if (other == std::string(1, body[at])) continue;
        ExpectNothingNew(operation, body.substr(0, at) + other + body.substr(at + 1));
      }
    }
  }
  Enough(10'000);
}

TEST_F(ProviderBodiesTest, TheOrderOfTheKeysIsNothing) {
  for (const Operation& operation : Operations()) {
    // Each object has each of its keys first in turn.
    for (int turn = 1; turn < 12; ++turn) {
      json::value root = json::parse(operation.body);
      ForEachObject(root, [&](json::object& object) {
        std::vector<std::pair<std::string, json::value>> members;
        for (const auto& field : object) members.emplace_back(field.key(), field.value());
        std::rotate(members.begin(), members.begin() + turn % static_cast<int>(members.size()),
                    members.end());
        object.clear();
        for (auto& [key, value] : members) object[key] = std::move(value);
      });
      ExpectSame(operation, json::serialize(root));
    }
  }
  Enough(80);
}

}  // namespace
}  // namespace leasegateway::bodies
