#include "upstream/provider/json_reply.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "tests/support/provider_replies.h"
#include "upstream/provider/json_codec.h"

namespace leasegateway {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::StartsWith;
using Kind = Tolerated::Kind;

std::string GoodItem(size_t index) {
  return Concat({R"({"id": "+)", std::to_string(13'050'000'000 + index), R"(", "lease_id": "l"})"});
}

std::vector<std::string> GoodItems(size_t count) {
  std::vector<std::string> items;
  for (size_t i = 0; i < count; ++i) items.push_back(GoodItem(i));
  return items;
}

// What is after the list must be read after a bad item too.
std::string ListBody(const std::vector<std::string>& items) {
  std::string list;
  for (const std::string& item : items) list += Concat({&item == &items[0] ? "" : ",\n", item});
  return Concat({R"({"data": {"numbers": [)", list, R"( ], "available": 7}, "id": "req_1"})"});
}

std::vector<std::string> PhoneNumbersOf(const NumberList& numbers) {
  std::vector<std::string> result;
  for (const v1::Number& number : numbers) result.push_back(number.phone_number());
  return result;
}

struct BadItem {
  std::string json;
  std::string problem;  // after "data.numbers[INDEX]"
};

std::vector<BadItem> BadItems() {
  return {
      {"null", ": an object is wanted, not null"},
      {"true", ": an object is wanted, not true"},
      {"-1.5e3", ": an object is wanted, not -1.5e3"},
      {R"("x,]}")", R"(: an object is wanted, not "x,]}")"},
      {R"([{"id": "+13059478667"}, 2])", ": an object is wanted, not ["},
      {"[]", ": an object is wanted, not ["},
      {"{}", ".id: is missing"},
      {R"({"id": null, "carrier": "x"})", ".id: is missing"},
      {R"({"id": 13059478667, "data": {"x": [1, {"y": "]}"}]}})", ".id: a string is wanted"},
      {R"({"id": ["+13059478667"], "carrier": "x"})", ".id: a string is wanted, not ["},
      {R"({"id": "3059478667"})", ": an E.164 number is wanted, not 3059478667"},
      {R"({"id": "+13059478667", "number": "+13059478668"})", ": id and number.e164 differ"},
      {R"({"id": "+13059478667", "carrier": "a", "id": "+13059478667"})", ".id: is there twice"},
      {R"({"id": "+13059478667", "lease_id": 7})", ".lease_id: a string is wanted, not 7"},
      {R"({"id": "\ud800", "number": "+13059478667"})", ".id: the text can't be read"},
      {R"({"id": "+13059478667", "number": {"e164": []}})", ".number.e164: a string is wanted"},
      {R"({"id": "+13059478667", "status": "leased", "lease_status": "active"})",
       ".lease_id: is missing"},
      // Not JSON, and its end can be seen.
      {"nul", ": an object is wanted, not nul"},
      {"01", ": an object is wanted, not 01"},
      {"x", ": an object is wanted, not x"},
      {"1 2", ": an object is wanted, not 1 2"},
      {"[}", ": an object is wanted, not [}"},
      {"[1 2]", ": an object is wanted, not ["},
      {"{}}", ".id: is missing"},
      {R"({"id": "+13059478667"} {"id": "+13059478667"})", ": there is more"},
      {R"({"id": "+13059478667" "x": 1})", ": not JSON"},
      {R"({"id": "+13059478667", "x" 1})", ": not JSON"},
      {R"({"id": "+13059478667", 1})", ": not JSON"},
      {R"({"id": "+13059478667",})", ": not JSON"},
      {R"({"id": "+13059478667", "x": })", ".x: not JSON"},
      {R"({"id": "+13059478667", "x": 1}})", ": there is more"},
      {R"({"id": "+13059478667", "x": [[1]})", ".x[1]: not JSON"},
      {R"({"id": "+13059478667", "carrier": "Bob "the" B"})", ".carrier: not JSON"},
      {R"({"id": "+13059478667", "location": {"city": "a":"b"}})", ".location.city: not JSON"},
      {R"({"id": "+13059478667", "capabilities": ["sms" "mms"]})", ".capabilities[0]: not JSON"},
  };
}

// Items of which everything else is read.
std::vector<BadItem> ItemsWithABadField() {
  return {
      {R"("pricing": {"monthly_rate": "free"})", ".pricing.monthly_rate: an amount of money"},
      {R"("health": {"previous_owners": -1})",
       ".health.previous_owners: a count is wanted, not -1"},
      {R"("health": {"reputation": 1e400}, "x": 12345678901234567890123)",
       ".health.reputation: a number from 0 to 1 is wanted, not 1e400"},
      {R"("later": [1e999, 2])", ".later[0]: a number"},
      {R"("capabilities": ["sms", {}, "mms"])", ".capabilities[1]: a string is wanted, not {"},
      {R"("created_at": {"x": [{}]})", ".created_at: a time is wanted, not {"},
      {R"("carrier": "\ud800")", ".carrier: the text can't be read"},
      {"\"carrier\": \"Caf\xE9\"", ".carrier: the text can't be read"},
      {"\"carrier\": \"a\nb\"", ".carrier: the text can't be read"},
      {R"("x": [{"a": 1, "\u0061": {}}], "y": 1)", ".x[0].a: is there twice"},
      {R"("billing": {"method": "monthly"})", ".lease_id: is missing"},
  };
}

TEST(JsonCodecBadItemTest, OneIsLeftOut) {
  const auto reply = DecodeAvailableNumbers(Envelope(R"({"numbers": [{"id": "+13059478667"},
      {"id": "3059478668", "carrier": "x", "pricing": {"monthly_rate": 1}},
      {"id": "+13059478669"}]})"));
  ASSERT_TRUE(reply.ok()) << reply.status();
  EXPECT_THAT(PhoneNumbersOf(reply->value), ElementsAre("+13059478667", "+13059478669"));
  EXPECT_THAT(reply->value[1].carrier(), IsEmpty());
  EXPECT_FALSE(reply->value[1].has_pricing());
  EXPECT_EQ(reply->tolerated.of(Kind::kItem), 1);
  EXPECT_EQ(reply->tolerated.first_of(Kind::kItem),
            "data.numbers[1]: an E.164 number is wanted, not 3059478668");
  EXPECT_EQ(reply->metadata.upstream_request_id(), "req_4f1c");
}

TEST(JsonCodecBadItemTest, FieldsAreLeftOutAndTheirItemsStay) {
  for (const BadItem& bad : ItemsWithABadField()) {
    for (size_t place = 0; place < 3; ++place) {
      std::vector<std::string> items = GoodItems(3);
      items[place] =
          Concat({R"({"id": "+13059478667", )", bad.json, R"(, "number": "+13059478667"})"});
      const std::string body = ListBody(items);
      SCOPED_TRACE(body);
      const auto reply = DecodeAvailableNumbers(body);
      ASSERT_TRUE(reply.ok()) << reply.status();
      ASSERT_EQ(reply->value.size(), 3);
      EXPECT_EQ(reply->value[static_cast<int>(place)].phone_number(), "+13059478667");
      EXPECT_EQ(reply->tolerated.of(Kind::kItem), 0);
      const Kind kind = bad.json.starts_with("\"pricing") ? Kind::kAmount : Kind::kField;
      EXPECT_EQ(reply->tolerated.of(kind), 1);
      EXPECT_THAT(reply->tolerated.first_of(kind),
                  StartsWith(Concat({"data.numbers[", std::to_string(place), "]", bad.problem})));
    }
  }
}

TEST(JsonCodecBadItemTest, GoodListsHaveNone) {
  const auto reply = DecodeAvailableNumbers(AvailableBody());
  ASSERT_TRUE(reply.ok()) << reply.status();
  for (const int count : reply->tolerated.counts) EXPECT_EQ(count, 0);
  for (const std::string& first : reply->tolerated.first) EXPECT_THAT(first, IsEmpty());
}

TEST(JsonCodecBadItemTest, OneAmongTenThousandIsLeftOut) {
  constexpr size_t kCount = 10'000;
  std::vector<std::string> items = GoodItems(kCount);
  const std::vector<size_t> places = {0, 1, kCount / 2, kCount - 1};
  for (const size_t bad : places) {
    const std::string good = std::exchange(items[bad], R"({"id": "x"})");
    const auto reply = DecodeAvailableNumbers(ListBody(items));
    items[bad] = good;
    ASSERT_TRUE(reply.ok()) << reply.status();
    ASSERT_EQ(reply->value.size(), static_cast<int>(kCount) - 1);
    EXPECT_EQ(reply->tolerated.of(Kind::kItem), 1);
    EXPECT_EQ(
        reply->tolerated.first_of(Kind::kItem),
        Concat({"data.numbers[", std::to_string(bad), "]: an E.164 number is wanted, not x"}));
    EXPECT_EQ(reply->value[static_cast<int>(kCount) - 2].phone_number(),
              std::to_string(13'050'000'000 + kCount - (bad == kCount - 1 ? 2 : 1)).insert(0, "+"));
  }
}

TEST(JsonCodecBadItemTest, EveryKindIsLeftOutAtEveryPlace) {
  for (const BadItem& bad : BadItems()) {
    for (size_t place = 0; place < 3; ++place) {
      std::vector<std::string> items = GoodItems(3);
      std::vector<std::string> want = {"+13050000000", "+13050000001", "+13050000002"};
      items[place] = bad.json;
      want.erase(want.begin() + static_cast<std::ptrdiff_t>(place));
      const std::string body = ListBody(items);
      SCOPED_TRACE(body);
      const auto numbers = DecodeAvailableNumbers(body);
      ASSERT_TRUE(numbers.ok()) << numbers.status();
      EXPECT_EQ(PhoneNumbersOf(numbers->value), want);
      EXPECT_EQ(numbers->tolerated.of(Kind::kItem), 1);
      EXPECT_THAT(numbers->tolerated.first_of(Kind::kItem),
                  StartsWith(Concat({"data.numbers[", std::to_string(place), "]"})));
      EXPECT_THAT(numbers->tolerated.first_of(Kind::kItem), HasSubstr(bad.problem));
      EXPECT_EQ(numbers->metadata.upstream_request_id(), "req_1");
      const auto leases = DecodeLeases(body);
      ASSERT_TRUE(leases.ok()) << leases.status();
      EXPECT_EQ(leases->value.size(), 2);
      EXPECT_EQ(leases->tolerated.of(Kind::kItem), 1);
    }
  }
}

TEST(JsonCodecBadItemTest, NeighboursAreLeftOutTogether) {
  std::vector<std::string> items = GoodItems(2);
  for (const BadItem& bad : BadItems()) {
    items.insert(items.begin() + 1, bad.json);
  }
  const auto reply = DecodeAvailableNumbers(ListBody(items));
  ASSERT_TRUE(reply.ok()) << reply.status();
  EXPECT_THAT(PhoneNumbersOf(reply->value), ElementsAre("+13050000000", "+13050000001"));
  EXPECT_EQ(reply->tolerated.of(Kind::kItem), static_cast<int>(BadItems().size()));
  EXPECT_THAT(reply->tolerated.first_of(Kind::kItem), StartsWith("data.numbers[1]"));
}

TEST(JsonCodecBadItemTest, ALeasedEntryWithoutItsLeaseIsLeftOut) {
  const auto reply = DecodeLeases(ListBody({GoodItem(0), R"({"id": "+13059478667"})"}));
  ASSERT_TRUE(reply.ok()) << reply.status();
  EXPECT_EQ(reply->value.size(), 1);
  EXPECT_EQ(reply->tolerated.of(Kind::kItem), 1);
  EXPECT_EQ(reply->tolerated.first_of(Kind::kItem), "data.numbers[1].lease_id: is missing");
}

TEST(JsonCodecBadItemTest, AListOfNothingElseIsMalformed) {
  for (const size_t count : {1, 2, 11, 500}) {
    const std::string body = ListBody(std::vector<std::string>(count, R"({"number": 7})"));
    const std::string problem =
        Concat({"data.numbers[0].number: an object is wanted, not 7 (and none of ",
                std::to_string(count), " items can be read)"});
    ExpectMalformed(DecodeAvailableNumbers(body).status(), problem);
    ExpectMalformed(DecodeLeases(body).status(), problem);
  }
}

TEST(JsonCodecBadItemTest, ManyDoNotTakeTheOthersWithThem) {
  for (const char* bad : {"{}", R"({"id": "+13059478667" "x": 1})"}) {
    std::vector<std::string> items(10'000, bad);
    items[1234] = GoodItem(0);
    const auto reply = DecodeAvailableNumbers(ListBody(items));
    ASSERT_TRUE(reply.ok()) << reply.status();
    EXPECT_THAT(PhoneNumbersOf(reply->value), ElementsAre("+13050000000"));
    EXPECT_EQ(reply->tolerated.of(Kind::kItem), 9'999);
  }
}

// Whose end nobody can see, or that is the list's.
TEST(JsonCodecBadItemTest, WhatHidesTheEndOfTheListFailsIt) {
  for (const char* item : {"]", "{]", R"({"id": 7, "x": "y})", "\"", R"({"id": 7, "x": 1]})"}) {
    for (size_t place = 0; place < 3; ++place) {
      std::vector<std::string> items = GoodItems(3);
      items[place] = item;
      const std::string body = ListBody(items);
      SCOPED_TRACE(body);
      ExpectMalformed(DecodeAvailableNumbers(body).status());
      ExpectMalformed(DecodeLeases(body).status());
    }
  }
  // One that is never closed goes to the end of the list.
  const auto reply = DecodeAvailableNumbers(ListBody({GoodItem(0), "{", GoodItem(1)}));
  ASSERT_TRUE(reply.ok()) << reply.status();
  EXPECT_THAT(PhoneNumbersOf(reply->value), ElementsAre("+13050000000"));
}

TEST(JsonCodecBadItemTest, CommasTooManyAreNoItems) {
  for (const char* list : {"%,%", "%,,%", ",%,%", "%,%,", ",,%,,,%,,"}) {
    std::string text;
    size_t index = 0;
    for (const char c : std::string_view(list)) text += c == '%' ? GoodItem(index++) : ",";
    const auto reply = DecodeAvailableNumbers(Envelope(Concat({R"({"numbers": [)", text, "]}"})));
    ASSERT_TRUE(reply.ok()) << reply.status() << text;
    EXPECT_THAT(PhoneNumbersOf(reply->value), ElementsAre("+13050000000", "+13050000001"));
    EXPECT_EQ(reply->tolerated.of(Kind::kItem), 0);
  }
}

TEST(JsonCodecBadItemTest, EveryTruncationOfTheListIsMalformed) {
  for (const BadItem& bad : BadItems()) {
    const std::string body = ListBody({GoodItem(0), bad.json, GoodItem(1), bad.json});
    ASSERT_TRUE(DecodeAvailableNumbers(body).ok());
    for (size_t size = 0; size < body.size(); ++size) {
      SCOPED_TRACE(body.substr(0, size));
      ExpectMalformed(DecodeAvailableNumbers(body.substr(0, size)).status());
    }
  }
}

TEST(JsonCodecBadItemTest, WhatFollowsTheListIsStillRead) {
  const std::string good = ListBody({GoodItem(0), "{}"});
  const std::string open = good.substr(0, good.size() - 1);
  EXPECT_TRUE(DecodeAvailableNumbers(good).ok());
  ExpectMalformed(DecodeAvailableNumbers(good + "x").status());
  for (const char* more : {R"(, "id": "req_2"})", R"(, "timestamp": "soon"})"}) {
    const auto reply = DecodeAvailableNumbers(open + more);
    ASSERT_TRUE(reply.ok()) << reply.status();
    EXPECT_EQ(reply->tolerated.of(Kind::kField), 1);
  }
  EXPECT_EQ(DecodeAvailableNumbers(open + R"(, "id": "req_2"})")->metadata.upstream_request_id(),
            "");
}

}  // namespace
}  // namespace leasegateway
