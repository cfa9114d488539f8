#include "upstream/provider/money_and_time.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <limits>
#include <vector>

#include "tests/support/provider_replies.h"
#include "upstream/provider/json_codec.h"

namespace leasegateway {
namespace {

using Kind = Tolerated::Kind;

TEST(JsonCodecTest, ReadsEveryFormOfTime) {
  struct Case {
    const char* json;
    int64_t seconds;
    int32_t nanos;
  };
  for (const Case& c : std::vector<Case>{
           {"1718851200", 1718851200, 0},
           {"1718851200.5", 1718851200, 500'000'000},
           {"1.7188512e9", 1718851200, 0},
           {"1718851200000", 1718851200, 0},
           {"1718851200123", 1718851200, 123'000'000},
           {"1718851200123.25", 1718851200, 123'250'000},
           {"\"1718851200\"", 1718851200, 0},
           {"\"1718851200123\"", 1718851200, 123'000'000},
           {"\"2024-06-20T02:40:00Z\"", 1718851200, 0},
           {"\"2024-06-20T02:40:00.25Z\"", 1718851200, 250'000'000},
           {"\"2024-06-20T04:40:00+02:00\"", 1718851200, 0},
           {"\"2024-06-20T02:40:00\"", 1718851200, 0},
           {"\"2024-06-20\"", 1718841600, 0},
           {"0", 0, 0},
           {"-1", -1, 0},
           {"-1.25", -2, 750'000'000},
           {"99999999999", 99'999'999'999, 0},
           {"100000000000", 100'000'000, 0},
           {"-100000000001", -100'000'001, 999'000'000},
       }) {
    const v1::Number number = DecodedNumber(NumberWith(Concat({R"("created_at": )", c.json})));
    EXPECT_EQ(number.create_time().seconds(), c.seconds) << c.json;
    EXPECT_EQ(number.create_time().nanos(), c.nanos) << c.json;
  }
}

TEST(JsonCodecTest, LeavesOutWhatIsNoTime) {
  for (const char* json : {"\"\"", "\"soon\"", "\"infinite-future\"", "\"2024-13-01\"",
                           "\"20-06-2024\"", "true", "999999999999999999", "1e30", "{}", "[]",
                           "\" 2024-06-20\"", "\"0x10\"", "\"nan\"", "NaN"}) {
    EXPECT_FALSE(NumberWithout(Concat({R"("created_at": )", json}), Kind::kField,
                               "data.created_at: a time is wanted")
                     .has_create_time());
  }
}

TEST(JsonCodecTest, TimesOfOtherMessagesHaveEveryFormToo) {
  const auto termination =
      DecodeTermination(Envelope(R"({"terminated_at": "2024-06-20T02:40:00Z"})"));
  ASSERT_TRUE(termination.ok()) << termination.status();
  EXPECT_EQ(termination->value.terminate_time().seconds(), 1718851200);
  const auto forwarding = DecodeCallForwarding(
      Envelope(R"({"call_forwarding": {"enabled": true, "estimated_completion": 1790000000}})"));
  ASSERT_TRUE(forwarding.ok()) << forwarding.status();
  EXPECT_EQ(forwarding->value.estimated_completion_time().seconds(), 1790000000);
}

TEST(JsonCodecTest, MoneyIsExact) {
  struct Case {
    const char* json;
    int64_t units;
    int32_t nanos;
  };
  for (const Case& c : std::vector<Case>{
           {"19.99", 19, 990'000'000},
           {"0.1", 0, 100'000'000},
           {"1.999E1", 19, 990'000'000},
           {"1999e-2", 19, 990'000'000},
           {"0.01999e+3", 19, 990'000'000},
           {"\"19.99\"", 19, 990'000'000},
           {"\"1.999E1\"", 19, 990'000'000},
           {"20", 20, 0},
           {"2e1", 20, 0},
           {"0", 0, 0},
           {"-0", 0, 0},
           {"\"0e999999999999999999999\"", 0, 0},
           {"0.000000001", 0, 1},
           {"1e-9", 0, 1},
           {"19.990000000000", 19, 990'000'000},
           {"9007199254740993.01", 9007199254740993, 10'000'000},
           {"9223372036854775807.999999999", std::numeric_limits<int64_t>::max(), 999'999'999},
       }) {
    const v1::Number number =
        DecodedNumber(NumberWith(Concat({R"("pricing": {"monthly_rate": )", c.json, "}"})));
    EXPECT_EQ(number.pricing().monthly_rate().units(), c.units) << c.json;
    EXPECT_EQ(number.pricing().monthly_rate().nanos(), c.nanos) << c.json;
  }
}

// As a provider writes them that reckons in doubles.
TEST(JsonCodecTest, MoneyIsTakenToTheNearestBillionth) {
  struct Case {
    const char* json;
    int64_t units;
    int32_t nanos;
  };
  for (const Case& c :
       std::vector<Case>{{"0.30000000000000004", 0, 300'000'000},
                         {"19.990000000000002", 19, 990'000'000},
                         {"2.9899999999999998", 2, 990'000'000},
                         {"4.9999999999999999", 5, 0},
                         {"\"0.1000000000000000055511151231257827\"", 0, 100'000'000},
                         {"0.0000000004", 0, 0},
                         {"0.0000000005", 0, 1},
                         {"5.551115123125783e-17", 0, 0},
                         {"1e-400", 0, 0},
                         {"-1e-10", 0, 0}}) {
    const v1::Number number =
        NumberWithout(Concat({R"("pricing": {"currency": "USD", "monthly_rate": )", c.json, "}"}),
                      Kind::kRounded, "data.pricing.monthly_rate: ");
    EXPECT_EQ(number.pricing().monthly_rate().units(), c.units) << c.json;
    EXPECT_EQ(number.pricing().monthly_rate().nanos(), c.nanos) << c.json;
    EXPECT_EQ(number.pricing().monthly_rate().currency_code(), "USD");
  }
}

TEST(JsonCodecTest, MoneyThatMakesNoSenseIsUnknown) {
  for (const char* json : {"-2.5",
                           "-0.05",
                           "9223372036854775808",
                           "9223372036854775807.9999999999",
                           "1e19",
                           "1e300",
                           "1e400",
                           "-9223372036854775809",
                           "\"1e999999999999999999\"",
                           "\"\"",
                           "\"$19.99\"",
                           "\"19,99\"",
                           "\"19.\"",
                           "\".5\"",
                           "\"019\"",
                           "\"1e\"",
                           "\"+1\"",
                           "\"-\"",
                           "\" 1\"",
                           "\"1 \"",
                           "\"NaN\"",
                           "NaN",
                           "01",
                           "true",
                           "{}",
                           "[1]"}) {
    const v1::Number number = NumberWithout(
        Concat({R"("pricing": {"currency": "USD", "upfront_fee": 2, "monthly_rate": )", json, "}"}),
        Kind::kAmount, "data.pricing.monthly_rate: ");
    EXPECT_FALSE(number.pricing().has_monthly_rate()) << json;
    EXPECT_EQ(number.pricing().upfront_fee().units(), 2) << json;
  }
}

TEST(JsonCodecTest, MoneyOfACurrencyThatCanNotBeReadIsUnknown) {
  for (const char* json : {"840", "true", "[]", R"("\ud800")", "\"\xFF\""}) {
    const v1::Number number = NumberWithout(
        Concat({R"("pricing": {"upfront_fee": 2, "currency": )", json, R"(, "monthly_rate": 3})"}),
        Kind::kAmount, "data.pricing.currency: ");
    EXPECT_FALSE(number.pricing().has_monthly_rate() || number.pricing().has_upfront_fee()) << json;
  }
}

}  // namespace
}  // namespace leasegateway
