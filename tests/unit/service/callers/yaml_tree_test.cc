#include "service/callers/yaml_tree.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "absl/strings/str_cat.h"

namespace leasegateway {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

// In one line, with the place of each value.
std::string Describe(const YamlNode& node) {
  std::string text = absl::StrCat(node.line, ":", node.column);
  if (node.kind == YamlNode::Kind::kScalar) {
    absl::StrAppend(&text, node.plain ? " " : " '", node.text);
    return text;
  }
  absl::StrAppend(&text, node.kind == YamlNode::Kind::kMapping ? "{" : "[");
  const char* separator = "";
  for (const YamlNode& child : node.children) {
    absl::StrAppend(&text, separator, Describe(child));
    separator = ", ";
  }
  absl::StrAppend(&text, node.kind == YamlNode::Kind::kMapping ? "}" : "]");
  return text;
}

std::string Parsed(const std::string& text) {
  const auto node = ParseYaml(text, "f");
  return node.ok() ? Describe(*node) : std::string(node.status().message());
}

TEST(YamlTreeTest, ValuesKnowWhereTheyStand) {
  EXPECT_EQ(Parsed("a: 1\nb:\n  - 'x'\n  - {c: \"y\"}\n"),
            "1:1{1:1 a, 1:4 1, 2:1 b, 3:3[3:5 'x, 4:5{4:6 c, 4:9 'y}]}");
}

TEST(YamlTreeTest, ColumnsAreCharacters) {
  EXPECT_EQ(Parsed("{\xc3\xa9: 1}"), "1:1{1:2 \xc3\xa9, 1:5 1}");
}

TEST(YamlTreeTest, NothingIsNull) {
  for (const char* text : {"", "\n# nothing\n", "~", "null", "--- \n...\n"}) {
    const auto node = ParseYaml(text, "f");
    ASSERT_TRUE(node.ok()) << text;
    EXPECT_TRUE(node->IsNull()) << text;
  }
  for (const char* text : {"''", "\"~\"", "'null'", "no", "[]", "{}"}) {
    const auto node = ParseYaml(text, "f");
    ASSERT_TRUE(node.ok()) << text;
    EXPECT_FALSE(node->IsNull()) << text;
  }
}

TEST(YamlTreeTest, Refusals) {
  const struct {
    const char* text;
    const char* error;
  } kCases[] = {
      {"a: &x 1\nb: 2\n", "f:1:4: has an anchor, which is not allowed here"},
      {"a: &x [1]\n", "f:1:4: has an anchor, which is not allowed here"},
      {"a: &x {b: 1}\n", "f:1:4: has an anchor, which is not allowed here"},
      {"&x a: 1\n", "f:1:1: has an anchor, which is not allowed here"},
      {"a: 1\nb: *x\n", "f:2:4: is an alias, which is not allowed here"},
      {"*x : 1\n", "f:1:1: is an alias, which is not allowed here"},
      {"a: !!int 1\n", "f:1:4: has a tag, which is not allowed here"},
      {"a: ! 1\n", "f:1:4: has a tag, which is not allowed here"},
      {"a: !!set {b}\n", "f:1:4: has a tag, which is not allowed here"},
      {"a: !x [b]\n", "f:1:4: has a tag, which is not allowed here"},
      {"a: 1\nb: 2\na: 3\n", "f:3:1: a: stands here twice, before on line 1"},
      {"a: 1\n\"a\": 3\n", "f:2:1: a: stands here twice, before on line 1"},
      {"x: {\"b\\n\": 1, c: 2, \"b\\n\": 1}\n",
       "f:1:21: b\\n: stands here twice, before on line 1"},
      {"? [a]\n: 1\n", "f:1:3: key must be a name"},
      {"? {a: 1}\n: 1\n", "f:1:3: key must be a name"},
      {"a: 1\n---\nb: 2\n", "f:2:1: must be one YAML document"},
      {"a: 1\n\tb: 2\n", "f:2:1: is not YAML: "},
      {"a: [1\n", "f:2:1: is not YAML: "},
      {"a: 1\nb: \xff\n", "f:2:4: is not YAML: "},
      {"a: 1\n\xc3\xa9\xc3\xa9\x01\n", "f:2:3: is not YAML: "},
      // What a byte order mark would make of it.
      {"\xff\xfe"
       "a\0",
       "f:1:1: is not YAML: "},
  };
  for (const auto& [text, error] : kCases) EXPECT_THAT(Parsed(text), StartsWith(error)) << text;
}

TEST(YamlTreeTest, AMarkOfUtf8IsAllowed) {
  EXPECT_THAT(Parsed("\xef\xbb\xbf"
                     "a: 1\n"),
              HasSubstr(" a, "));
}

TEST(YamlTreeTest, DepthIsBounded) {
  const auto nested = [](int depth) { return std::string(depth, '[') + std::string(depth, ']'); };
  EXPECT_THAT(Parsed(nested(kMaxYamlDepth)), StartsWith("1:1[1:2["));
  EXPECT_EQ(Parsed(nested(kMaxYamlDepth + 1)), "f:1:17: is deeper than 16 levels");
  EXPECT_EQ(Parsed(std::string(100'000, '[')), "f:1:17: is deeper than 16 levels");
  EXPECT_THAT(Parsed(std::string(kMaxYamlDepth, '[') + "a" + std::string(kMaxYamlDepth, ']')),
              HasSubstr("is deeper than 16 levels"));
}

TEST(YamlTreeTest, SizeIsBounded) {
  EXPECT_EQ(Parsed(std::string(kMaxYamlBytes - 1, '#') + "\n"), "1:1 ");
  EXPECT_EQ(Parsed(std::string(kMaxYamlBytes, '#') + "\n"), "f:1:1: is longer than 8MiB");
  std::string many = "[";
  for (std::size_t i = 0; i < kMaxYamlNodes; ++i) many += "1,\n";
  EXPECT_EQ(Parsed(many + "]"), "f:1000000:1: has more than 1000000 values");
}

}  // namespace
}  // namespace leasegateway
