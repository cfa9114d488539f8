#include "upstream/provider/json_reader.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <boost/json/value.hpp>
#include <cstddef>
#include <functional>
#include <limits>
#include <string>
#include <string_view>
#include <vector>

#include "tests/support/provider_replies.h"
#include "upstream/provider/error_body.h"
#include "upstream/provider/json_codec.h"
#include "upstream/provider/whose_answer.h"

namespace leasegateway {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::StartsWith;
using Kind = Tolerated::Kind;

// --- known variations ----------------------------------------------------------------------------

TEST(JsonCodecTest, IntegersThatADoubleCanNotHoldBecomeStrings) {
  const v1::Number number = DecodedNumber(NumberWith(
      R"("exact": 9007199254740992, "minus": -9007199254740992, "over": 9007199254740993,
         "under": -9007199254740993, "huge": 123456789012345678901234567890, "real": 1e30)"));
  const auto& fields = number.additional_fields().fields();
  EXPECT_EQ(fields.at("exact").number_value(), 9007199254740992.0);
  EXPECT_EQ(fields.at("minus").number_value(), -9007199254740992.0);
  EXPECT_EQ(fields.at("over").string_value(), "9007199254740993");
  EXPECT_EQ(fields.at("under").string_value(), "-9007199254740993");
  EXPECT_EQ(fields.at("huge").string_value(), "123456789012345678901234567890");
  EXPECT_EQ(fields.at("real").number_value(), 1e30);
}

TEST(JsonCodecTest, HealthIsReadFromAnyNumber) {
  struct Case {
    const char* reputation;
    const char* owners;
    double want_reputation;
    int32_t want_owners;
  };
  for (const Case& c : std::vector<Case>{
           {"1", "0", 1, 0},
           {"0", "2.0", 0, 2},
           {"\"0.85\"", "\"3\"", 0.85, 3},
           {"9e-1", "1e1", 0.9, 10},
           {"0.123456789012", "2147483647", 0.123456789012, std::numeric_limits<int32_t>::max()}}) {
    const v1::Number number =
        DecodedNumber(NumberWith(Concat({R"("health": {"reputation": )", c.reputation,
                                         R"(, "previous_owners": )", c.owners, "}"})));
    EXPECT_DOUBLE_EQ(number.health().reputation(), c.want_reputation);
    EXPECT_EQ(number.health().previous_owners(), c.want_owners);
  }
}

// The message has no word for a reputation that nobody knows, and 0 would be the worst.
TEST(JsonCodecTest, LeavesOutHealthOutOfRange) {
  for (const char* json :
       {"-0.1", "1.01", "9.5", "1e400", "\"nan\"", "\"inf\"", "\"0x1\"", "true", "[]", "NaN"}) {
    EXPECT_FALSE(
        NumberWithout(Concat({R"("health": {"previous_owners": 1, "reputation": )", json, "}"}),
                      Kind::kField, "data.health.reputation: ")
            .has_health());
  }
  for (const char* json : {"-1", "1.5", "2147483648", "1e400", "\"many\"", "false", "{}"}) {
    EXPECT_FALSE(NumberWithout(Concat({R"("health": {"previous_owners": )", json, "}"}),
                               Kind::kField, "data.health.previous_owners: ")
                     .has_health());
  }
}

// --- what is refused -----------------------------------------------------------------------------

TEST(JsonCodecTest, RefusesWhatIsNotJson) {
  const std::vector<std::string> bodies = {"",
                                           " ",
                                           "\n",
                                           "\xEF\xBB\xBF",
                                           "<html><body>502 Bad Gateway</body></html>",
                                           "null",
                                           "1",
                                           "\"x\"",
                                           "[]",
                                           "{",
                                           "}",
                                           "{}}",
                                           "{} {}",
                                           "{}x",
                                           "{\"a\"}",
                                           "{\"a\" 1}",
                                           "{\"a\": }",
                                           "{\"a\": 1,}",
                                           "{,}",
                                           "{'a': 1}",
                                           "{a: 1}",
                                           "{\"a\": 01}",
                                           "{\"a\": +1}",
                                           "{\"a\": .5}",
                                           "{\"a\": 1.}",
                                           "{\"a\": 1e}",
                                           "{\"a\": -}",
                                           "{\"a\": NaN}",
                                           "{\"a\": 1e400}",
                                           "{\"a\": nul}",
                                           "{\"a\": nulls}",
                                           "{\"a\": truex}",
                                           "{\"a\": tru}",
                                           "{\"a\": [1,]}",
                                           "{\"a\": [,1]}",
                                           "{\"a\": [1 2]}",
                                           "{\"a\": [1}",
                                           "{\"a\": {]}",
                                           "{\"a\": \"\\q\"}",
                                           "{\"a\": \"\\ud800\"}",
                                           "{\"a\": \"\\u12\"}",
                                           "{\"a\": \"\t\"}",
                                           "{\"a\": \"x}",
                                           "{\"a\": 1 \"b\": 2}",
                                           "{\"a\": \"b\"c}",
                                           "{\"a\": 1\"b\"}",
                                           "{\"\\q\": 1}",
                                           "{\"a\": /* c */ 1}",
                                           "{\"a\": null\v}"};
  for (const std::string& body : bodies) {
    for (const Sample& sample : Samples()) {
      SCOPED_TRACE(sample.name + ": " + body);
      ExpectMalformed(sample.decode(body));
    }
  }
}

TEST(JsonCodecTest, RefusesWrongSyntaxAroundAGoodReply) {
  for (const Sample& sample : Samples()) {
    EXPECT_TRUE(sample.decode(" \r\n\t" + sample.body + "\n ").ok()) << sample.name;
    for (const char* rest : {"x", "{}", "]", "}", ",", "null"}) {
      ExpectMalformed(sample.decode(sample.body + rest));
    }
    // Nobody asks for it.
    for (const char* value :
         {"tru", "[1 2]", "\"\\q\"", "{\"a\": 1,}", "1e400", "{\"a\":1,\"a\":2}", "nul", "01"}) {
      const std::string with_more =
          Concat({sample.body.substr(0, sample.body.rfind('}')), ", \"more\": ", value, "}"});
      SCOPED_TRACE(with_more);
      EXPECT_TRUE(sample.decode(with_more).ok());
    }
    // After it the parser would not know where it is.
    for (const char* value : {"", ":1", "1 2", "\"a\":1", "{\"a\": [}", "[1}", "{\"a\": {]}"}) {
      const std::string with_more =
          Concat({sample.body.substr(0, sample.body.rfind('}')), ", \"more\": ", value, "}"});
      SCOPED_TRACE(with_more);
      ExpectMalformed(sample.decode(with_more), "not JSON");
    }
  }
}

TEST(JsonCodecTest, LeavesOutTextsThatAreNone) {
  for (const char* bytes :
       {"\xFF", "\xC3", "\xC0\x80", "\xED\xA0\x80", "\xF5\x80\x80\x80", "\x80", "\xE2\x82", "\n",
        "\x01", "a\\\xFF", "\\ud800", "\\udc00x", "\\q", "\\u12"}) {
    EXPECT_EQ(NumberWithout(Concat({R"("carrier": "Caf)", bytes, R"(", "status": "leased")"}),
                            Kind::kField, "data.carrier: ")
                  .status(),
              v1::NUMBER_STATUS_LEASED);
    EXPECT_EQ(NumberWithout(Concat({"\"x", bytes, R"(": {"a": [1]}, "status": "leased")"}),
                            Kind::kField, "a key")
                  .status(),
              v1::NUMBER_STATUS_LEASED);
  }
}

TEST(JsonCodecTest, AKeyThatIsThereTwiceIsNone) {
  ExpectMalformed(DecodeNumber(NumberWith(R"("id": "+13059478667")")).status(),
                  "data.id: is there twice");
  ExpectMalformed(DecodeNumber(R"({"data": {"id": "+13059478667"}, "data": null})").status(),
                  "data: is there twice");
  ExpectMalformed(DecodeNumber(NumberWith(R"("lease_id": "a", "lease_id": "b")")).status(),
                  "data.lease_id: is there twice");
  EXPECT_EQ(NumberWithout(R"("carrier": "a", "status": "leased", "c\u0061rrier": "b")",
                          Kind::kField, "data.carrier: is there twice")
                .carrier(),
            "");
  EXPECT_FALSE(NumberWithout(R"("pricing": {"monthly_rate": 1, "monthly_rate": 2})", Kind::kAmount,
                             "data.pricing.monthly_rate: is there twice")
                   .pricing()
                   .has_monthly_rate());
  EXPECT_FALSE(NumberWithout(R"("health": {"reputation": 0.5}, "health": {"reputation": 0.5})",
                             Kind::kField, "data.health: is there twice")
                   .has_health());
  EXPECT_EQ(NumberWithout(R"("x": {"a": 1, "\u0061": 2, "b": 3})", Kind::kField,
                          "data.x.a: is there twice")
                .additional_fields()
                .fields()
                .at("x")
                .struct_value()
                .fields()
                .size(),
            1u);
  EXPECT_FALSE(NumberWithout(R"("x": 1, "x": 1)", Kind::kField, "data.x: is there twice")
                   .additional_fields()
                   .fields()
                   .contains("x"));
  // Three times, null included.
  EXPECT_EQ(NumberWithout(R"("carrier": "a", "carrier": null, "carrier": "a")", Kind::kField,
                          "data.carrier: is there twice")
                .carrier(),
            "");
  // The same key in two objects is fine.
  EXPECT_TRUE(DecodeNumber(NumberWith(R"("x": {"a": 1}, "y": {"a": 1, "b": {"a": 1}})")).ok());
}

// Arrays in one another: with the envelope and `data` two more levels.
std::string Nested(int levels) {
  return NumberWith(Concat({R"("deep": )", std::string(static_cast<size_t>(levels), '['),
                            std::string(static_cast<size_t>(levels), ']')}));
}

TEST(JsonCodecTest, CopiesNothingThatIsTooDeep) {
  for (const int levels : {1, 30, 62, 2000, 100'000}) {
    const v1::Number number = DecodedNumber(Nested(levels));
    EXPECT_TRUE(number.additional_fields().fields().at("deep").has_list_value());
    EXPECT_LT(number.additional_fields().ByteSizeLong(), 500u);
  }
  ExpectMalformed(DecodeNumber(std::string(100'000, '[')).status());
}

TEST(JsonCodecTest, ProtobufReadersCanReadWhatIsDeep) {
  constexpr int kLevels = 60;
  std::string deep;
  for (int i = 0; i < kLevels; ++i) deep += R"({"a":)";
  deep += "1";
  deep += std::string(kLevels, '}');
  const v1::Number number = DecodedNumber(NumberWith(Concat({R"("deep": )", deep})));
  v1::Number copy;
  EXPECT_TRUE(copy.ParseFromString(number.SerializeAsString()));
  EXPECT_TRUE(copy.additional_fields().fields().at("deep").has_struct_value());
}

TEST(JsonCodecTest, MessagesQuoteLittleOfTheValue) {
  const auto problem_of = [](const std::string& fields) {
    const auto reply = DecodeNumber(NumberWith(fields));
    EXPECT_TRUE(reply.ok()) << reply.status();
    return reply.ok() ? reply->tolerated.first_of(Kind::kField) : "";
  };
  const std::string secret(10'000, 'y');
  const std::string by_value = problem_of(Concat({R"("created_at": ")", secret, "\""}));
  EXPECT_THAT(by_value, StartsWith("data.created_at: a time is wanted"));
  EXPECT_LT(by_value.size(), 200u);
  const std::string by_key = problem_of(Concat({"\"", secret, R"(": 1e400)"}));
  EXPECT_THAT(by_key, Not(IsEmpty()));
  EXPECT_LT(by_key.size(), 200u);
  const absl::Status refused =
      DecodeNumber(Envelope(Concat({R"({"id": ")", secret, "\"}"}))).status();
  ExpectMalformed(refused, "an E.164 number is wanted");
  EXPECT_LT(refused.message().size(), 200u);
  // Cut between characters, and without control characters.
  std::string text = "\\n";
  for (int i = 0; i < 30; ++i) text += "\xC3\xA9";
  const std::string accents = problem_of(Concat({R"("created_at": ")", text, "\""}));
  EXPECT_THAT(accents, Not(HasSubstr("\n")));
  EXPECT_EQ(accents.substr(accents.size() - 2), "\xC3\xA9");
}

// Never anything but read or malformed.
void ExpectReadOrMalformed(const absl::Status& status, const std::string& body) {
  if (status.ok()) return;
  SCOPED_TRACE(body);
  ExpectMalformed(status);
}

TEST(JsonCodecPropertyTest, EveryTruncationIsMalformed) {
  for (const Sample& sample : Samples()) {
    ASSERT_TRUE(sample.decode(sample.body).ok()) << sample.name << sample.decode(sample.body);
    for (size_t size = 0; size < sample.body.size(); ++size) {
      SCOPED_TRACE(sample.name + ": " + sample.body.substr(0, size));
      ExpectMalformed(sample.decode(sample.body.substr(0, size)));
      DecodeError(sample.body.substr(0, size));
      EXPECT_EQ(WhoseAnswer(400, sample.body.substr(0, size)), Author::kMiddleman);
    }
  }
}

TEST(JsonCodecPropertyTest, EveryChangedByteIsReadOrMalformed) {
  for (const Sample& sample : Samples()) {
    for (size_t at = 0; at < sample.body.size(); ++at) {
      for (const char c : std::string_view("\0\"\\{}[],:0e-. x\x80\xFF", 17)) {
        std::string body = sample.body;
        body[at] = c;
        ExpectReadOrMalformed(sample.decode(body), body);
        DecodeError(body);
        WhoseAnswer(400, body);
      }
    }
  }
}

// Calls `visit` with each value in turn, which it may change and must put back.
void ForEachValue(boost::json::value& value,
                  const std::function<void(boost::json::value&)>& visit) {
  visit(value);
  if (value.is_object()) {
    for (auto& field : value.get_object()) ForEachValue(field.value(), visit);
  } else if (value.is_array()) {
    for (auto& element : value.get_array()) ForEachValue(element, visit);
  }
}

TEST(JsonCodecPropertyTest, EveryWrongTypeIsReadOrMalformed) {
  for (const Sample& sample : Samples()) {
    boost::json::value root = boost::json::parse(sample.body);
    int read = 0;
    int malformed = 0;
    ForEachValue(root, [&](boost::json::value& value) {
      const boost::json::value original = value;
      for (const char* json : {"null", "true", "1", "-1.5", "\"x\"", "[]", "{}", "[[]]", "[{}]"}) {
        value = boost::json::parse(json);
        const std::string body = boost::json::serialize(root);
        const absl::Status status = sample.decode(body);
        ExpectReadOrMalformed(status, body);
        ++(status.ok() ? read : malformed);
        DecodeError(body);
      }
      value = original;
    });
    EXPECT_GT(read, 0) << sample.name;
    EXPECT_GT(malformed, 0) << sample.name;
  }
}

TEST(JsonCodecPropertyTest, EveryOptionalFieldMayBeMissing) {
  const std::vector<std::string> needed = {"data", "numbers", "lease_id", "call_forwarding",
                                           "enabled"};
  for (const Sample& sample : Samples()) {
    boost::json::value root = boost::json::parse(sample.body);
    ForEachValue(root, [&](boost::json::value& value) {
      if (!value.is_object()) return;
      const boost::json::object original = value.get_object();
      for (const auto& field : original) {
        const std::string key(field.key());
        value.get_object().erase(key);
        const std::string body = boost::json::serialize(root);
        const absl::Status status = sample.decode(body);
        if (std::find(needed.begin(), needed.end(), key) == needed.end()) {
          EXPECT_TRUE(status.ok()) << status << body;
        } else {
          ExpectReadOrMalformed(status, body);
        }
        value = original;
      }
    });
  }
}

}  // namespace
}  // namespace leasegateway
