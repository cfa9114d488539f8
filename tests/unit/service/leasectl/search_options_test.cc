#include "service/leasectl/search_options.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"
#include "google/protobuf/text_format.h"
#include "google/protobuf/util/message_differencer.h"
#include "leasegateway/v1/lease_service.pb.h"

namespace leasegateway {
namespace {

using testing::AllOf;
using testing::HasSubstr;

TEST(ParseMoneyTest, IsExact) {
  const struct {
    const char* text;
    std::int64_t units;
    std::int32_t nanos;
    const char* currency;
  } cases[] = {{"5.00 USD", 5, 0, "USD"},
               {"5.00USD", 5, 0, "USD"},
               {"5 usd", 5, 0, "USD"},
               {" 0.1 EUR ", 0, 100'000'000, "EUR"},
               {"0 USD", 0, 0, "USD"},
               {"007.50 USD", 7, 500'000'000, "USD"},
               {"19.99\tUSD", 19, 990'000'000, "USD"},
               {"0.000000001 USD", 0, 1, "USD"},
               {"9223372036854775807.999999999 USD", 9223372036854775807, 999'999'999, "USD"}};
  for (const auto& [text, units, nanos, currency] : cases) {
    const auto money = ParseMoney(text);
    ASSERT_TRUE(money.ok()) << text;
    EXPECT_EQ(money->units(), units) << text;
    EXPECT_EQ(money->nanos(), nanos) << text;
    EXPECT_EQ(money->currency_code(), currency) << text;
  }
}

TEST(ParseMoneyTest, RefusesWhatIsNotAnAmountWithItsCurrency) {
  for (const char* text : {"",
                           "5.00",
                           "USD",
                           "USD 5.00",
                           "-5 USD",
                           "+5 USD",
                           "5. USD",
                           ".5 USD",
                           "5,00 USD",
                           "1 000 USD",
                           "1e3 USD",
                           "5.0000000001 USD",
                           "9223372036854775808 USD",
                           "5 US",
                           "5 USDT",
                           "5 U5D",
                           "5 USD EUR",
                           "5.0.0 USD",
                           "5.1 2 USD",
                           "nan USD",
                           "5 \xe2\x82\xac"}) {
    EXPECT_FALSE(ParseMoney(text).ok()) << text;
  }
}

TEST(ParseStalenessTest, IsExactFromZeroUpwards) {
  const struct {
    const char* text;
    std::int64_t seconds;
    std::int32_t nanos;
  } cases[] = {{"0s", 0, 0},     {"0", 0, 0},
               {"1m30s", 90, 0}, {"1.5s", 1, 500'000'000},
               {"1ns", 0, 1},    {"87660000h", 315'576'000'000, 0}};
  for (const auto& [text, seconds, nanos] : cases) {
    const auto duration = ParseStaleness(text);
    ASSERT_TRUE(duration.ok()) << text;
    EXPECT_EQ(duration->seconds(), seconds) << text;
    EXPECT_EQ(duration->nanos(), nanos) << text;
  }
  for (const char* text : {"", "5", "-1s", "inf", "s", "5 s", "87660001h"}) {
    EXPECT_FALSE(ParseStaleness(text).ok()) << text;
  }
}

class SearchOptionsTest : public testing::Test {
 protected:
  SearchOptionsTest() {
    search_.AddTo(app_);
    staleness_.AddTo(app_);
  }

  // CLI11 takes the arguments from the back.
  void Parse(std::vector<std::string> arguments) {
    app_.parse(std::vector<std::string>(arguments.rbegin(), arguments.rend()));
  }

  std::string ErrorOf(const std::vector<std::string>& arguments) {
    try {
      Parse(arguments);
    } catch (const CLI::ParseError& error) {
      return error.what();
    }
    return "";
  }

  void ExpectFilter(const std::vector<std::string>& arguments, const std::string& text) {
    Parse(arguments);
    v1::AvailabilityFilter expected;
    ASSERT_TRUE(google::protobuf::TextFormat::ParseFromString(text, &expected)) << text;
    EXPECT_TRUE(google::protobuf::util::MessageDifferencer::Equals(search_.Filter(), expected))
        << search_.Filter().DebugString();
  }

  CLI::App app_;
  SearchOptions search_;
  StalenessOption staleness_;
};

TEST_F(SearchOptionsTest, NothingAskedForIsAnEmptyFilter) {
  ExpectFilter({}, "");
  EXPECT_EQ(search_.Filter().ByteSizeLong(), 0U);
}

// As long as the filter has fields.
TEST_F(SearchOptionsTest, EveryFieldHasAnOption) {
  ExpectFilter(
      {"--country",
       "US,CA",
       "--country",
       "FR",
       "--region",
       "FL",
       "--city",
       "Washington, D.C.",
       "--city",
       "Miami",
       "--carrier",
       "T-Mobile",
       "--channel",
       "sms,voice",
       "--intl-sms",
       "--min-reputation",
       "0.8",
       "--max-previous-owners",
       "0",
       "--max-monthly",
       "5.00 USD",
       "--max-upfront",
       "0.5EUR",
       "--e911=false",
       "--allow-requirement",
       "a,b",
       "--status",
       "g-available",
       "--status",
       "leased,g_available",
       "--prefix",
       "+1305",
       "--suffix",
       "77",
       "--contains",
       "305",
       "--pattern",
       "+1305*7?"},
      R"pb(countries: [ "US", "CA", "FR" ]
           regions: "FL"
           cities: [ "Washington, D.C.", "Miami" ]
           carriers: "T-Mobile"
           channels: [ "sms", "voice" ]
           intl_sms: true
           min_reputation: 0.8
           max_previous_owners: 0
           max_monthly_rate { currency_code: "USD" units: 5 }
           max_upfront_fee { currency_code: "EUR" nanos: 500000000 }
           e911_capable: false
           allowed_requirements { requirements: [ "a", "b" ] }
           statuses: [ NUMBER_STATUS_G_AVAILABLE, NUMBER_STATUS_LEASED, NUMBER_STATUS_G_AVAILABLE ]
           number_prefix: "+1305"
           number_suffix: "77"
           number_contains: "305"
           number_pattern: "+1305*7?")pb");
  const auto& filter = search_.Filter();
  std::vector<const google::protobuf::FieldDescriptor*> set;
  filter.GetReflection()->ListFields(filter, &set);
  // A field that the contract gains needs an option here.
  EXPECT_EQ(static_cast<int>(set.size()), filter.GetDescriptor()->field_count());
}

TEST_F(SearchOptionsTest, NoRequirementsIsTheEmptySet) {
  ExpectFilter({"--no-requirements"}, "allowed_requirements {}");
  EXPECT_TRUE(search_.Filter().has_allowed_requirements());
}

TEST_F(SearchOptionsTest, ZeroReputationIsAskedFor) {
  ExpectFilter({"--min-reputation", "0"}, "min_reputation: 0");
}

TEST_F(SearchOptionsTest, ErrorsNameOptionValueAndRule) {
  const struct {
    std::string option, value, rule;
  } cases[] = {{"--max-monthly", "5.00", "currency"},
               {"--max-upfront", "1.0000000001 USD", "9 decimals"},
               {"--min-reputation", "1.1", "0 to 1"},
               {"--min-reputation", "nan", "0 to 1"},
               {"--max-previous-owners", "-1", "whole number"},
               {"--max-previous-owners", "2147483648", "2147483647"},
               {"--intl-sms", "maybe", "true or false"},
               {"--e911", "1", "true or false"},
               {"--status", "free", "g-available"},
               {"--prefix", "+", "digits"},
               {"--prefix", "1+305", "digits"},
               {"--suffix", "+77", "digits"},
               {"--contains", "3 5", "digits"},
               {"--pattern", "1[0-9]", "? and *"},
               {"--max-staleness", "-1s", "from 0s"},
               {"--max-staleness", "5", "from 0s"}};
  for (const auto& [option, value, rule] : cases) {
    EXPECT_THAT(ErrorOf({absl::StrCat(option, "=", value)}),
                AllOf(HasSubstr(option), HasSubstr(value), HasSubstr(rule)));
  }
  EXPECT_THAT(ErrorOf({"--city", ""}), AllOf(HasSubstr("--city"), HasSubstr("empty")));
  EXPECT_THAT(ErrorOf({"--no-requirements", "--allow-requirement", "a"}),
              AllOf(HasSubstr("--no-requirements"), HasSubstr("--allow-requirement")));
}

TEST_F(SearchOptionsTest, StalenessIsSetOnlyWhenAskedFor) {
  v1::GetNumberRequest request;
  Parse({});
  staleness_.ApplyTo(request);
  EXPECT_FALSE(request.has_max_staleness());
  Parse({"--max-staleness", "0s"});
  staleness_.ApplyTo(request);
  EXPECT_TRUE(request.has_max_staleness());
  EXPECT_EQ(request.max_staleness().seconds(), 0);
}

}  // namespace
}  // namespace leasegateway
