#include "service/rpc/filter_checks.h"

#include <gtest/gtest.h>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <limits>
#include <memory>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "service/rpc/validation.h"
#include "tests/support/bad_request.h"
#include "upstream/availability/availability.h"
#include "upstream/availability/number_filter.h"
#include "upstream/upstream_error.h"

namespace leasegateway {
namespace {

struct FilterRow {
  const char* name;
  std::function<void(v1::AvailabilityFilter&)> set;
  const char* field;  // the one violation's; empty: the filter is right
  const char* value;  // as the description names it
  const char* rule;   // a part of the description
};

void SetMoney(google::type::Money& money, const std::string& currency, std::int64_t units,
              std::int32_t nanos) {
  money.set_currency_code(currency);
  money.set_units(units);
  money.set_nanos(nanos);
}

using Filter = v1::AvailabilityFilter;

// As long as its table.
std::vector<FilterRow> FilterRows() {
  const std::string long_word(65, 'x');
  const double nan = std::numeric_limits<double>::quiet_NaN();
  const double infinity = std::numeric_limits<double>::infinity();
  std::vector<FilterRow> rows = {
      {"CountryOfThree", [](Filter& f) { f.add_countries("USA"); }, "filter.countries[0]",
       "\"USA\"", "two letters"},
      {"CountryOfDigits",
       [](Filter& f) {
         f.add_countries("US");
         f.add_countries("U1");
       },
       "filter.countries[1]", "\"U1\"", "two letters"},
      {"CountryInLowerCase", [](Filter& f) { f.add_countries("us"); }, "", "", ""},
      {"NotANumberReputation", [=](Filter& f) { f.set_min_reputation(nan); },
       "filter.min_reputation", "nan", "0 to 1"},
      {"InfiniteReputation", [=](Filter& f) { f.set_min_reputation(infinity); },
       "filter.min_reputation", "inf", "0 to 1"},
      {"NegativeReputation", [](Filter& f) { f.set_min_reputation(-0.01); },
       "filter.min_reputation", "-0.01", "0 to 1"},
      {"ReputationAboveOne", [](Filter& f) { f.set_min_reputation(1.01); }, "filter.min_reputation",
       "1.01", "0 to 1"},
      {"ReputationZero", [](Filter& f) { f.set_min_reputation(0); }, "", "", ""},
      {"ReputationOne", [](Filter& f) { f.set_min_reputation(1); }, "", "", ""},
      {"NegativeOwners", [](Filter& f) { f.set_max_previous_owners(-1); },
       "filter.max_previous_owners", "-1", "below zero"},
      {"NoOwners", [](Filter& f) { f.set_max_previous_owners(0); }, "", "", ""},
      {"StatusUnspecified", [](Filter& f) { f.add_statuses(v1::NUMBER_STATUS_UNSPECIFIED); },
       "filter.statuses[0]", "0", "no status"},
      {"StatusUnknown",
       [](Filter& f) {
         f.add_statuses(v1::NUMBER_STATUS_AVAILABLE);
         f.add_statuses(static_cast<v1::NumberStatus>(99));
       },
       "filter.statuses[1]", "99", "no status"},
      {"TooManyStatuses",
       [](Filter& f) {
         for (int i = 0; i < 101; ++i) f.add_statuses(v1::NUMBER_STATUS_AVAILABLE);
       },
       "filter.statuses", "101", "at most 100"},
      {"PrefixOfLetters", [](Filter& f) { f.set_number_prefix("+1x"); }, "filter.number_prefix",
       "\"1x\"", "1 to 15 digits"},
      {"PrefixOfPlus", [](Filter& f) { f.set_number_prefix("+"); }, "filter.number_prefix", "\"\"",
       "1 to 15 digits"},
      {"PrefixOfTwoPluses", [](Filter& f) { f.set_number_prefix("++1"); }, "filter.number_prefix",
       "\"+1\"", "1 to 15 digits"},
      {"PrefixTooLong", [](Filter& f) { f.set_number_prefix("+1234567890123456"); },
       "filter.number_prefix", "\"1234567890123456\"", "1 to 15 digits"},
      {"PrefixOfZero", [](Filter& f) { f.set_number_prefix("+01"); }, "filter.number_prefix",
       "\"+01\"", "begins with 0"},
      {"PrefixOfFifteen", [](Filter& f) { f.set_number_prefix("123456789012345"); }, "", "", ""},
      {"SuffixWithPlus", [](Filter& f) { f.set_number_suffix("+77"); }, "filter.number_suffix",
       "\"+77\"", "1 to 15 digits"},
      {"SuffixTooLong", [](Filter& f) { f.set_number_suffix("1234567890123456"); },
       "filter.number_suffix", "\"1234567890123456\"", "1 to 15 digits"},
      {"SuffixOfZeros", [](Filter& f) { f.set_number_suffix("00"); }, "", "", ""},
      {"ContainsWildcard", [](Filter& f) { f.set_number_contains("3?5"); },
       "filter.number_contains", "\"3?5\"", "1 to 15 digits"},
      {"PatternOfLetters", [](Filter& f) { f.set_number_pattern("+1305x"); },
       "filter.number_pattern", "\"+1305x\"", "? for one digit"},
      {"PatternOfPlus", [](Filter& f) { f.set_number_pattern("+"); }, "filter.number_pattern",
       "\"+\"", "1 to 64"},
      {"PatternWithPlusInside", [](Filter& f) { f.set_number_pattern("1+3"); },
       "filter.number_pattern", "\"1+3\"", "? for one digit"},
      {"PatternTooLong", [](Filter& f) { f.set_number_pattern(std::string(65, '*')); },
       "filter.number_pattern", "**", "1 to 64"},
      {"PatternOfTooManyDigits", [](Filter& f) { f.set_number_pattern("*123456789?123456*"); },
       "filter.number_pattern", "\"*123456789?123456*\"", "more than 15 digits"},
      {"PatternOfZero", [](Filter& f) { f.set_number_pattern("+0*"); }, "filter.number_pattern",
       "\"+0*\"", "begins with 0"},
      {"PatternOfManyStars", [](Filter& f) { f.set_number_pattern(std::string(64, '*')); }, "", "",
       ""},
      {"PatternAgainstPrefix",
       [](Filter& f) {
         f.set_number_pattern("+1305*");
         f.set_number_prefix("+1306");
       },
       "filter.number_pattern", "\"+1306\"", "contradicts filter.number_prefix"},
      {"PatternShorterThanPrefix",
       [](Filter& f) {
         f.set_number_pattern("1?");
         f.set_number_prefix("123");
       },
       "filter.number_pattern", "\"123\"", "contradicts filter.number_prefix"},
      {"PatternAgainstSuffix",
       [](Filter& f) {
         f.set_number_pattern("1*7?");
         f.set_number_suffix("67");
       },
       "filter.number_pattern", "\"67\"", "contradicts filter.number_suffix"},
      {"PatternWithPrefixAndSuffix",
       [](Filter& f) {
         f.set_number_pattern("+13*7?");
         f.set_number_prefix("1305");
         f.set_number_suffix("75");
       },
       "", "", ""},
      {"TwoCurrencies",
       [](Filter& f) {
         SetMoney(*f.mutable_max_monthly_rate(), "USD", 1, 0);
         SetMoney(*f.mutable_max_upfront_fee(), "EUR", 1, 0);
       },
       "filter.max_upfront_fee.currency_code", "\"EUR\"", "contradicts filter.max_monthly_rate"},
      {"OneCurrencyInTwoSpellings",
       [](Filter& f) {
         SetMoney(*f.mutable_max_monthly_rate(), "USD", 1, 0);
         SetMoney(*f.mutable_max_upfront_fee(), "usd", 1, 0);
       },
       "", "", ""},
      {"FreeOfCharge", [](Filter& f) { SetMoney(*f.mutable_max_monthly_rate(), "USD", 0, 0); }, "",
       "", ""},
  };
  const auto words = [&](const char* field, auto add) {
    rows.push_back({field, [=](Filter& f) { add(f, ""); }, nullptr, "\"\"", "1 to 64 bytes"});
    rows.push_back(
        {field, [=](Filter& f) { add(f, long_word); }, nullptr, "65 bytes", "1 to 64 bytes"});
    rows.push_back({field,
                    [=](Filter& f) {
                      for (int i = 0; i < 101; ++i) add(f, "US");
                    },
                    field, "101", "at most 100"});
    rows.push_back({field,
                    [=](Filter& f) {
                      for (int i = 0; i < 100; ++i) add(f, "US");
                    },
                    "", "", ""});
  };
  words("filter.regions", [](Filter& f, const std::string& word) { f.add_regions(word); });
  words("filter.cities", [](Filter& f, const std::string& word) { f.add_cities(word); });
  words("filter.carriers", [](Filter& f, const std::string& word) { f.add_carriers(word); });
  words("filter.channels", [](Filter& f, const std::string& word) { f.add_channels(word); });
  words("filter.allowed_requirements.requirements", [](Filter& f, const std::string& word) {
    f.mutable_allowed_requirements()->add_requirements(word);
  });
  rows.push_back({"TooManyCountries",
                  [](Filter& f) {
                    for (int i = 0; i < 101; ++i) f.add_countries("US");
                  },
                  "filter.countries", "101", "at most 100"});
  const auto price = [&](const std::string& field, auto money) {
    static std::vector<std::unique_ptr<std::string>> names;
    const auto name = [&](const std::string& suffix) {
      return names.emplace_back(std::make_unique<std::string>(field + suffix))->c_str();
    };
    const auto row = [&](const std::string& currency, std::int64_t units, std::int32_t nanos,
                         const char* suffix, const char* value, const char* rule) {
      rows.push_back({name("/Row"), [=](Filter& f) { SetMoney(*money(f), currency, units, nanos); },
                      name(suffix), value, rule});
    };
    row("", 1, 0, ".currency_code", "\"\"", "three letters");
    row("US", 1, 0, ".currency_code", "\"US\"", "three letters");
    row("U5D", 1, 0, ".currency_code", "\"U5D\"", "three letters");
    row("USD", -1, 0, "", "-1 units", "below zero");
    row("USD", 1, -1, "", "-1 nanos", "below zero");
    row("USD", 1, 1'000'000'000, ".nanos", "1000000000", "more than 999999999");
    rows.push_back({name("/Good"), [=](Filter& f) { SetMoney(*money(f), "usd", 5, 999'999'999); },
                    "", "", ""});
  };
  price("filter.max_monthly_rate", [](Filter& f) { return f.mutable_max_monthly_rate(); });
  price("filter.max_upfront_fee", [](Filter& f) { return f.mutable_max_upfront_fee(); });
  return rows;
}

TEST(Validation, FilterNamesFieldValueAndRule) {
  for (const FilterRow& row : FilterRows()) {
    v1::ListAvailableNumbersRequest list;
    row.set(*list.mutable_filter());
    v1::WatchAvailabilityRequest watch;
    *watch.mutable_filter() = list.filter();
    for (const absl::Status& status : {Validate(list), Validate(watch)}) {
      SCOPED_TRACE(std::string(row.name) + ": " + std::string(status.message()));
      if (row.field != nullptr && *row.field == '\0') {
        EXPECT_TRUE(status.ok());
        continue;
      }
      const std::string field = row.field != nullptr ? row.field : std::string(row.name) + "[0]";
      EXPECT_EQ(ReasonOf(status), reason::kInvalidFilter);
      const auto bad_request = ViolationsOf(status);
      ASSERT_EQ(bad_request.field_violations_size(), 1);
      EXPECT_EQ(bad_request.field_violations(0).field(), field);
      for (const std::string& text :
           {bad_request.field_violations(0).description(), std::string(status.message())}) {
        EXPECT_NE(text.find(row.value), std::string::npos) << text;
        EXPECT_NE(text.find(row.rule), std::string::npos) << text;
      }
      EXPECT_NE(std::string(status.message()).find(field), std::string::npos);
      EXPECT_EQ(MetadataOf(status).at("field"), field);
    }
  }
}

TEST(Validation, FilterThatIsRightInEveryField) {
  v1::AvailabilityFilter filter;
  filter.add_countries("US");
  filter.add_regions("FL");
  filter.add_cities("Miami");
  filter.add_carriers("T-Mobile");
  filter.add_channels("sms");
  filter.set_intl_sms(true);
  filter.set_min_reputation(0.8);
  filter.set_max_previous_owners(3);
  SetMoney(*filter.mutable_max_monthly_rate(), "USD", 5, 0);
  SetMoney(*filter.mutable_max_upfront_fee(), "USD", 0, 990'000'000);
  filter.set_e911_capable(true);
  filter.mutable_allowed_requirements()->add_requirements("imessage_entitlement_required");
  filter.add_statuses(v1::NUMBER_STATUS_AVAILABLE);
  filter.add_statuses(v1::NUMBER_STATUS_G_AVAILABLE);
  filter.set_number_prefix("+1305");
  filter.set_number_suffix("77");
  filter.set_number_contains("305");
  filter.set_number_pattern("+1305*7?");
  // A field that is added later has to be added here.
  const auto* const descriptor = v1::AvailabilityFilter::descriptor();
  for (int i = 0; i < descriptor->field_count(); ++i) {
    const auto* const field = descriptor->field(i);
    const auto* const reflection = filter.GetReflection();
    EXPECT_TRUE(field->is_repeated() ? reflection->FieldSize(filter, field) > 0
                                     : reflection->HasField(filter, field))
        << field->name();
  }
  v1::ListAvailableNumbersRequest request;
  *request.mutable_filter() = filter;
  EXPECT_TRUE(Validate(request).ok()) << Validate(request);
}

TEST(Validation, EveryBadFieldOfAFilterIsNamed) {
  v1::ListAvailableNumbersRequest request;
  request.set_page_size(-1);
  request.set_order_by("price");
  request.mutable_max_staleness()->set_seconds(-1);
  request.mutable_filter()->add_countries("");
  request.mutable_filter()->set_max_previous_owners(-1);
  std::vector<std::string> fields;
  const auto status = Validate(request);
  const auto bad_request = ViolationsOf(status);
  for (const auto& violation : bad_request.field_violations()) {
    fields.push_back(violation.field());
  }
  EXPECT_EQ(ReasonOf(status), reason::kInvalidPageSize);  // of the first
  EXPECT_EQ(fields,
            (std::vector<std::string>{"page_size", "filter.countries[0]", "filter.countries[0]",
                                      "filter.max_previous_owners", "order_by", "max_staleness"}));
}

// Numbers of 2 to 4 digits out of 1, 2 and 3: where a filter contradicts itself there is none; of
// the others many find some.
TEST(Validation, ContradictionsReallyFindNothing) {
  std::vector<std::string> universe;
  const std::function<void(const std::string&)> grow = [&](const std::string& digits) {
    if (digits.size() >= 2) universe.push_back("+" + digits);
    if (digits.size() == 4) return;
    for (const char digit : {'1', '2', '3'}) grow(digits + digit);
  };
  grow("");
  NumberList numbers;
  for (const auto& number : universe) numbers.Add()->set_phone_number(number);
  const auto availability = Availability::Build(numbers, {}, PinInMemory);
  ASSERT_EQ(availability->size(), 9U + 27U + 81U);

  std::mt19937 random(1);
  const auto draw = [&](std::string_view letters, std::size_t most) {
    std::string text;
    for (std::size_t i = random() % (most + 1); i > 0; --i) {
      text.push_back(letters[random() % letters.size()]);
    }
    return text;
  };
  int contradictions = 0;
  int found_some = 0;
  for (int round = 0; round < 20'000; ++round) {
    v1::ListAvailableNumbersRequest request;
    v1::AvailabilityFilter& filter = *request.mutable_filter();
    filter.set_number_pattern(draw("123?*", 4));
    filter.set_number_prefix(draw("123", 3));
    filter.set_number_suffix(draw("123", 3));
    const std::size_t total = availability->Search(filter, {}, 0, 1000).total;
    const NumberFilter matcher(filter);
    std::size_t matches = 0;
    for (const v1::Number& number : numbers) matches += matcher.Matches(number) ? 1U : 0U;
    EXPECT_EQ(total, matches) << filter.ShortDebugString();
    if (Validate(request).ok()) {
      found_some += total > 0;
      continue;
    }
    ++contradictions;
    EXPECT_NE(std::string(Validate(request).message()).find("contradicts"), std::string::npos);
    EXPECT_EQ(total, 0U) << filter.ShortDebugString();
  }
  EXPECT_GT(contradictions, 3'000);
  EXPECT_GT(found_some, 3'000);
}

}  // namespace
}  // namespace leasegateway
