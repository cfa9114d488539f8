// As provider_bodies_test.cc: every value at every field.
#include <gtest/gtest.h>

#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <boost/json/value.hpp>
#include <cstddef>
#include <set>
#include <string>
#include <string_view>

#include "absl/strings/str_cat.h"
#include "tests/support/provider_bodies.h"

namespace leasegateway::bodies {
namespace {

// A value of JSON, and what each kind of field makes of it. kMalformed: it can't be read as that.
struct Row {
  const char* value;
  const char* text = kMalformed;
  const char* amount = kMalformed;
  const char* time = kMalformed;
  const char* count = kMalformed;
  const char* ratio = kMalformed;
  const char* flag = kMalformed;
  const char* texts = kMalformed;
  const char* object = kMalformed;
};
constexpr char M[] = "malformed";
constexpr Row kRows[] = {
    {"null", kAbsent, kAbsent, kAbsent, kAbsent, kAbsent, kAbsent, kAbsent, kAbsent},
    {"true", M, M, M, M, M, "true"},
    {"false", M, M, M, M, M, "false"},
    // Numbers.
    {"0", M, "0.000000000", "0.000000000", kAbsent, kAbsent},
    {"-0", M, "0.000000000", "0.000000000", kAbsent, kAbsent},
    {"-0.0", M, "0.000000000", "0.000000000", kAbsent, kAbsent},
    {"0e9", M, "0.000000000", "0.000000000", kAbsent, kAbsent},
    {"1", M, "1.000000000", "1.000000000", "1", "1"},
    {"-1", M, M, "-1.000000000"},
    {"0.5", M, "0.500000000", "0.500000000", M, "0.5"},
    {"-0.5", M, M, "-1.500000000"},
    {"0.1", M, "0.100000000", "0.100000000", M, "0.10000000000000001"},
    {"1.5", M, "1.500000000", "1.500000000"},
    {"1.0", M, "1.000000000", "1.000000000", "1", "1"},
    {"19.99", M, "19.990000000", "19.990000000"},
    {"-19.99", M, M, "-20.010000000"},
    {"12.345678901", M, "12.345678901", "12.345678901"},
    {"12.3456789012", M, "12.345678901", "12.345678901"},
    {"0.30000000000000004", M, "0.300000000", "0.300000000", M, "0.30000000000000004"},
    {"1e2", M, "100.000000000", "100.000000000", "100"},
    {"1E+2", M, "100.000000000", "100.000000000", "100"},
    {"1.5e1", M, "15.000000000", "15.000000000", "15"},
    {"100e-2", M, "1.000000000", "1.000000000", "1", "1"},
    {"5e-1", M, "0.500000000", "0.500000000", M, "0.5"},
    {"1e-9", M, "0.000000001", "0.000000001", M, "1.0000000000000001e-09"},
    {"1e-10", M, "0.000000000", "0.000000000", M, "1e-10"},
    {"1e-400", M, "0.000000000", "0.000000000", M, kAbsent},
    {"1e400"},
    {"-1e400"},
    {"1e308"},
    {"1e99999999999999999999"},
    {"0e-99999999999999999999", M, "0.000000000", "0.000000000", kAbsent, kAbsent},
    {"2147483647", M, "2147483647.000000000", "2147483647.000000000", "2147483647"},
    {"2147483648", M, "2147483648.000000000", "2147483648.000000000"},
    {"99999999999", M, "99999999999.000000000", "99999999999.000000000"},
    {"1718851200123", M, "1718851200123.000000000", "1718851200.123000000"},
    {"9007199254740993", M, "9007199254740993.000000000"},
    {"9223372036854775807", M, "9223372036854775807.000000000"},
    {"9223372036854775808"},
    {"18446744073709551616"},
    {"100000000000000000000000"},
    // Strings; some hold numbers, times or what looks like them.
    {R"("")", kAbsent},
    {R"("x")", "x"},
    {R"("0.5")", "0.5", "0.500000000", "0.500000000", M, "0.5"},
    {R"("12.50")", "12.50", "12.500000000", "12.500000000"},
    {R"("7")", "7", "7.000000000", "7.000000000", "7"},
    {R"("007")", "007"},
    {R"(" 1")", " 1"},
    {R"("1 ")", "1 "},
    {R"("+1")", "+1"},
    {R"("0x10")", "0x10"},
    {R"("1,5")", "1,5"},
    {R"("1_000")", "1_000"},
    {R"("$5")", "$5"},
    {R"("1e")", "1e"},
    {R"(".5")", ".5"},
    {R"("5.")", "5."},
    {R"("-")", "-"},
    {R"("--1")", "--1"},
    {R"("1.5.2")", "1.5.2"},
    {R"("nan")", "nan"},
    {R"("NaN")", "NaN"},
    {R"("inf")", "inf"},
    {R"("-Infinity")", "-Infinity"},
    {R"("infinite-future")", "infinite-future"},
    {R"("true")", "true"},
    {R"("null")", "null"},
    {"\"\xEF\xBC\x91\"", "\xEF\xBC\x91"},  // a fullwidth 1
    {R"("\u0031")", "1", "1.000000000", "1.000000000", "1", "1"},
    {R"("2024-06-20T00:00:00Z")", "2024-06-20T00:00:00Z", M, "1718841600.000000000"},
    {R"("2024-06-20")", "2024-06-20", M, "1718841600.000000000"},
    {R"("2024-02-30")", "2024-02-30"},
    {R"("2024-06-20T25:00:00Z")", "2024-06-20T25:00:00Z"},
    {R"("0000-00-00")", "0000-00-00"},
    {R"("Thu, 20 Jun 2024 00:00:00 GMT")", "Thu, 20 Jun 2024 00:00:00 GMT"},
    {R"("\"\\\/\b\f\n\r\t")", "\"\\/\b\f\n\r\t"},
    {R"("\u00e9\ud83d\ude00")", "\u00e9\U0001F600"},
    {"\"\u00e9\U0001F600\"", "\u00e9\U0001F600"},
    // Arrays and objects.
    {"[]", M, M, M, M, M, M, kAbsent},
    {R"([""])", M, M, M, M, M, M, "[;]"},
    {R"(["a"])", M, M, M, M, M, M, "[a;]"},
    {R"(["a","a"])", M, M, M, M, M, M, "[a;a;]"},
    {R"(["a",null])", M, M, M, M, M, M, "[a;]"},
    {R"(["a",1])", M, M, M, M, M, M, "[a;]"},
    {R"([1,"a",{"b":["c"]},"d"])", M, M, M, M, M, M, "[a;d;]"},
    {"[1]", M, M, M, M, M, M, kAbsent},
    {"[true]", M, M, M, M, M, M, kAbsent},
    {"[[]]", M, M, M, M, M, M, kAbsent},
    {R"([["a"]])", M, M, M, M, M, M, kAbsent},
    {R"([{}])", M, M, M, M, M, M, kAbsent},
    {"{}", M, M, M, M, M, M, M, kAbsent},
    {R"({"unheard_of":1})", M, M, M, M, M, M, M, kAbsent},
};

// A number that no double holds, or that the parser doesn't take for one.
bool IsOutOfBounds(const Row& row) {
  const std::string_view value = row.value;
  return value.ends_with("1e400") || value.ends_with("99999999999999999999");
}

// Of the elements of an array, those that are no strings.
int WrongTexts(const Row& row) {
  const std::string_view value = row.value;
  if (!value.starts_with('[')) return 0;
  const json::value parsed = json::parse(value);
  return static_cast<int>(
      std::count_if(parsed.get_array().begin(), parsed.get_array().end(),
                    [](const json::value& element) { return !element.is_string(); }));
}

// As kRows has it; for kPhone, kUnknown and kDropped, `before` is what the field was.
std::string Expected(const Row& row, Kind kind, const std::string& before) {
  const std::string_view value = row.value;
  switch (kind) {
    case Kind::kText:
    case Kind::kIdentity:
      return row.text;
    case Kind::kNeededText:
      return row.text == std::string_view(kAbsent) ? kMalformed : row.text;
    case Kind::kPhone:  // the other place has it still
      return row.text == std::string_view(kAbsent) ? before : kMalformed;
    case Kind::kAmount:
      return row.amount;
    case Kind::kTime:
      return row.time;
    case Kind::kCount:
      return row.count;
    case Kind::kRatio:
      return row.ratio;
    case Kind::kFlag:
      return row.flag;
    case Kind::kNeededFlag:
      if (value == "false") return kAbsent;  // proto3 has no other false
      return value == "null" ? kMalformed : row.flag;
    case Kind::kEchoedFlag:
      return value == "false" ? kAbsent : row.flag;
    case Kind::kTexts:
      return row.texts;
    case Kind::kObject:
      return row.object;
    case Kind::kNeededObject:
      return kMalformed;
    default:
      return before;
  }
}

TEST_F(ProviderBodiesTest, EveryValueAtEveryFieldIsReadAsItIsOrLeftOut) {
  for (const Operation& operation : Operations()) {
    for (const Field& field : operation.fields) {
      if (field.kind == Kind::kUnknown) continue;  // below
      for (const Row& row : kRows) {
        const std::string body = With(operation, field.at, row.value);
        const Decoded decoded = Decode(operation, body);
        const std::string before =
            field.in_response.empty() ? kAbsent : Show(*Good(operation), field.in_response);
        const std::string expected = Expected(row, field.kind, before);
        const std::string where =
            absl::StrCat(operation.name, " ", field.at, " = ", row.value, " ");
        SCOPED_TRACE(where);
        if (expected == kMalformed) {
          if (IsNeeded(field.kind)) {
            ExpectRefused(operation, decoded, body);
          } else {
            ExpectLeftOut(operation, field, decoded, body);
          }
          continue;
        }
        ASSERT_TRUE(decoded.status.ok()) << decoded.status;
        ASSERT_EQ(decoded.bad_items(), 0);
        EXPECT_EQ(decoded.left_out(), field.kind == Kind::kTexts ? WrongTexts(row) : 0);
        // Of all values, those with more decimals than an amount has.
        const std::set<std::string_view> rounded = {"12.3456789012", "0.30000000000000004", "1e-10",
                                                    "1e-400"};
        const bool is_rounded = rounded.contains(row.value);
        EXPECT_EQ(decoded.tolerated.of(Tolerated::Kind::kRounded),
                  field.kind == Kind::kAmount && is_rounded ? 1 : 0);
        if (!field.in_response.empty()) {
          EXPECT_EQ(Show(*decoded.response, field.in_response), expected);
        }
        // No word of an enum is among the values.
        for (const std::string& derived : field.derived) {
          const Place place = Find(*decoded.response, derived);
          const bool is_enum = place.message != nullptr && place.field->enum_type() != nullptr;
          if (!is_enum) continue;
          EXPECT_FALSE(place.message->GetReflection()->HasField(*place.message, place.field))
              << derived;
        }
        Field alone = field;
        alone.gone.clear();
        ExpectTheRestSame(operation, alone, decoded, body);
      }
    }
  }
  Enough(8'000);
}

// Boost.JSON is what says what the value is.
void ExpectKept(const json::value& value, std::string_view raw, const google::protobuf::Value& kept,
                const std::string& where) {
  if (value.is_null()) {
    EXPECT_TRUE(kept.has_null_value()) << where;
  } else if (value.is_bool()) {
    EXPECT_TRUE(kept.has_bool_value()) << where;
    EXPECT_EQ(kept.bool_value(), value.get_bool()) << where;
  } else if (value.is_string()) {
    EXPECT_EQ(kept.string_value(), std::string(value.get_string())) << where;
  } else if (value.is_array()) {
    ASSERT_EQ(kept.list_value().values_size(), static_cast<int>(value.get_array().size())) << where;
    for (int i = 0; i < kept.list_value().values_size(); ++i) {
      const auto& element = value.get_array().at(static_cast<std::size_t>(i));
      ExpectKept(element, json::serialize(element), kept.list_value().values(i), where);
    }
  } else if (value.is_object()) {
    ASSERT_EQ(kept.struct_value().fields_size(), static_cast<int>(value.get_object().size()))
        << where;
    for (const auto& [key, inner] : value.get_object()) {
      const auto found = kept.struct_value().fields().find(std::string(key));
      ASSERT_NE(found, kept.struct_value().fields().end()) << where;
      ExpectKept(inner, json::serialize(inner), found->second, where);
    }
  } else if (kept.has_string_value()) {  // an integer that a double does not hold
    EXPECT_EQ(kept.string_value(), std::string(raw)) << where;
    EXPECT_GT(raw.size(), 15U) << where;
  } else {
    EXPECT_EQ(kept.number_value(), std::strtod(std::string(raw).c_str(), nullptr)) << where;
  }
}

TEST_F(ProviderBodiesTest, UnknownFieldsAreKeptAsTheyAre) {
  for (const Operation& operation : Operations()) {
    for (const Field& field : operation.fields) {
      if (field.kind != Kind::kUnknown) continue;
      const std::string key = field.at.substr(field.at.rfind('/') + 1);
      for (const Row& row : kRows) {
        const std::string where = absl::StrCat(operation.name, " ", field.at, " = ", row.value);
        const std::string body = With(operation, field.at, row.value);
        const Decoded decoded = Decode(operation, body);
        ASSERT_TRUE(decoded.status.ok()) << decoded.status << where;
        EXPECT_EQ(decoded.bad_items(), 0) << where;
        const Place place = Find(*decoded.response, field.in_response);
        const bool is_null = std::string_view(row.value) == "null";
        if (is_null && place.message == nullptr) continue;
        ASSERT_NE(place.message, nullptr) << where;
        const auto& fields =
            dynamic_cast<const google::protobuf::Struct&>(
                place.message->GetReflection()->GetMessage(*place.message, place.field))
                .fields();
        const auto found = fields.find(key);
        EXPECT_EQ(decoded.left_out(), found == fields.end() && !is_null ? 1 : 0) << where;
        if (found == fields.end()) {
          EXPECT_TRUE(is_null || IsOutOfBounds(row)) << where;
          continue;
        }
        ExpectKept(json::parse(row.value), row.value, found->second, where);
      }
    }
  }
  Enough(500);
}

}  // namespace
}  // namespace leasegateway::bodies
