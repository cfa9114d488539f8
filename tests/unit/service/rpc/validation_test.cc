#include "service/rpc/validation.h"

#include <gtest/gtest.h>

#include <functional>
#include <limits>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "absl/strings/cord.h"
#include "google/rpc/error_details.pb.h"
#include "upstream/availability/availability.h"
#include "upstream/availability/number_filter.h"
#include "upstream/availability/order_by.h"
#include "upstream/upstream_error.h"

namespace leasegateway {
namespace {

constexpr char kNumber[] = "+13059478667";
constexpr char kOther[] = "+13059278337";
constexpr char kUuid[] = "9b2f6a3e-5c1d-4f7a-8e90-1a2b3c4d5e6f";

google::rpc::BadRequest Violations(const absl::Status& status) {
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  google::rpc::BadRequest bad_request;
  const auto payload = status.GetPayload("type.googleapis.com/google.rpc.BadRequest");
  EXPECT_TRUE(payload && bad_request.ParseFromString(std::string(*payload)));
  if (bad_request.field_violations().empty()) bad_request.add_field_violations();  // for the caller
  return bad_request;
}

TEST(Validation, PhoneNumbers) {
  for (const char* good : {"+12", "+13059478667", "+123456789012345"}) {
    EXPECT_TRUE(IsPhoneNumber(good)) << good;
  }
  for (const std::string bad : {"", "+", "+1", "13059478667", "+03059478667", "+1234567890123456",
                                "+1305947866x", "+1 305", "+1305947866\n", "\xff\xfe\xfd"}) {
    EXPECT_FALSE(IsPhoneNumber(bad)) << bad;
    v1::GetNumberRequest request;
    request.set_phone_number(bad);
    const auto status = Validate(request);
    EXPECT_EQ(ReasonOf(status), reason::kInvalidPhoneNumber);
    EXPECT_EQ(Violations(status).field_violations(0).field(), "phone_number");
  }
}

TEST(Validation, OversizedValuesAreShortened) {
  v1::GetNumberRequest request;
  request.set_phone_number(std::string(100'000, '9'));
  const auto status = Validate(request);
  EXPECT_LT(status.message().size(), 400U);
  EXPECT_NE(std::string(status.message()).find("100000 bytes"), std::string::npos);
}

TEST(Validation, CreateLeaseNamesEveryField) {
  v1::CreateLeaseRequest request;
  request.set_request_id("one");
  request.set_billing_method(v1::BILLING_METHOD_GOODWILL);
  const auto bad_request = Violations(Validate(request));
  ASSERT_EQ(bad_request.field_violations_size(), 3);
  EXPECT_EQ(bad_request.field_violations(0).field(), "phone_number");
  EXPECT_EQ(bad_request.field_violations(1).field(), "request_id");
  EXPECT_EQ(bad_request.field_violations(2).field(), "billing_method");
  request.set_phone_number(kNumber);
  request.set_request_id(kUuid);
  EXPECT_EQ(ReasonOf(Validate(request)), reason::kInvalidBillingMethod);
  request.set_billing_method(v1::BILLING_METHOD_SERVICE_CONTRACT);
  EXPECT_TRUE(Validate(request).ok());
}

TEST(Validation, RequestIds) {
  v1::TerminateLeaseRequest request;
  request.set_phone_number(kNumber);
  for (const char* bad :
       {"1", "9b2f6a3e-5c1d-4f7a-8e90-1a2b3c4d5e6g", "9b2f6a3e05c1d-4f7a-8e90-1a2b3c4d5e6f"}) {
    request.set_request_id(bad);
    EXPECT_EQ(ReasonOf(Validate(request)), reason::kInvalidRequestId) << bad;
  }
  for (const char* good : {"", kUuid, "9B2F6A3E-5C1D-4F7A-8E90-1A2B3C4D5E6F"}) {
    request.set_request_id(good);
    EXPECT_TRUE(Validate(request).ok()) << good;
  }
}

// The description of the one violation, of `field`.
std::string OneViolation(const absl::Status& status, std::string_view reason,
                         const std::string& field) {
  EXPECT_EQ(ReasonOf(status), reason);
  const auto bad_request = Violations(status);
  EXPECT_EQ(bad_request.field_violations_size(), 1) << status;
  EXPECT_EQ(bad_request.field_violations(0).field(), field);
  return bad_request.field_violations(0).description();
}

TEST(Validation, ExpectedPrice) {
  v1::CreateLeaseRequest request;
  request.set_phone_number(kNumber);
  auto& price = *request.mutable_expected_price();
  OneViolation(Validate(request), reason::kInvalidRequest, "expected_price");
  price.mutable_upfront_fee()->set_currency_code("USD");
  EXPECT_TRUE(Validate(request).ok());
  price.mutable_upfront_fee()->set_units(-1);
  EXPECT_NE(OneViolation(Validate(request), reason::kInvalidRequest, "expected_price.upfront_fee")
                .find("-1 units"),
            std::string::npos);
  price.clear_upfront_fee();
  price.mutable_monthly_rate()->set_units(5);
  OneViolation(Validate(request), reason::kInvalidRequest,
               "expected_price.monthly_rate.currency_code");
  price.mutable_monthly_rate()->set_currency_code("USD");
  EXPECT_TRUE(Validate(request).ok());
  price.mutable_monthly_rate()->set_nanos(1'000'000'000);
  OneViolation(Validate(request), reason::kInvalidRequest, "expected_price.monthly_rate.nanos");
}

TEST(Validation, LeaseIdIsShortAndPrintable) {
  v1::TerminateLeaseRequest request;
  request.set_phone_number(kNumber);
  for (const std::string& good : {std::string("lsd_1234567890"), std::string(128, 'x')}) {
    request.set_lease_id(good);
    EXPECT_TRUE(Validate(request).ok()) << good;
  }
  for (const std::string& bad : {std::string(129, 'x'), std::string("lsd 1"), std::string("lsd\n"),
                                 std::string("lsd_\xc3\xa9")}) {
    request.set_lease_id(bad);
    OneViolation(Validate(request), reason::kInvalidRequest, "lease_id");
  }
}

TEST(Validation, LeaseAnyNeedsBothCeilings) {
  v1::LeaseAnyNumberRequest request;
  auto bad_request = Violations(Validate(request));
  EXPECT_EQ(ReasonOf(Validate(request)), reason::kPriceCeilingMissing);
  ASSERT_EQ(bad_request.field_violations_size(), 2);
  EXPECT_EQ(bad_request.field_violations(0).field(), "filter.max_monthly_rate");
  EXPECT_EQ(bad_request.field_violations(1).field(), "filter.max_upfront_fee");
  auto& filter = *request.mutable_filter();
  filter.mutable_max_monthly_rate()->set_currency_code("USD");
  OneViolation(Validate(request), reason::kPriceCeilingMissing, "filter.max_upfront_fee");
  filter.mutable_max_upfront_fee()->set_currency_code("USD");
  EXPECT_TRUE(Validate(request).ok());
  filter.add_countries("America");
  OneViolation(Validate(request), reason::kInvalidFilter, "filter.countries[0]");
  filter.clear_countries();
  request.set_order_by("price");
  OneViolation(Validate(request), reason::kInvalidOrderBy, "order_by");
  request.clear_order_by();
  request.set_request_id("one");
  OneViolation(Validate(request), reason::kInvalidRequestId, "request_id");
  request.clear_request_id();
  request.set_billing_method(v1::BILLING_METHOD_GOODWILL);
  OneViolation(Validate(request), reason::kInvalidBillingMethod, "billing_method");
}

TEST(Validation, GetOperationNeedsAUuid) {
  v1::GetOperationRequest request;
  EXPECT_NE(
      OneViolation(Validate(request), reason::kInvalidRequestId, "request_id").find("is required"),
      std::string::npos);
  request.set_request_id("one");
  EXPECT_NE(
      OneViolation(Validate(request), reason::kInvalidRequestId, "request_id").find("\"one\""),
      std::string::npos);
  request.set_request_id(kUuid);
  EXPECT_TRUE(Validate(request).ok());
}

TEST(Validation, ListOperations) {
  v1::ListOperationsRequest request;
  EXPECT_TRUE(Validate(request).ok());
  request.set_page_size(-1);
  OneViolation(Validate(request), reason::kInvalidPageSize, "page_size");
  request.set_page_size(100'000);
  request.set_phone_number("305");
  OneViolation(Validate(request), reason::kInvalidPhoneNumber, "phone_number");
  request.set_phone_number(kNumber);
  request.set_state(static_cast<v1::OperationState>(9));
  OneViolation(Validate(request), reason::kInvalidRequest, "state");
  request.set_state(v1::OPERATION_STATE_UNKNOWN);
  EXPECT_TRUE(Validate(request).ok());
}

TEST(Validation, Failover) {
  v1::ConfigureFailoverRequest request;
  request.set_phone_number(kNumber);
  EXPECT_EQ(Violations(Validate(request)).field_violations(0).field(), "failover");
  auto& failover = *request.mutable_failover();
  EXPECT_TRUE(Validate(request).ok());  // disabled
  failover.set_enabled(true);
  EXPECT_EQ(Violations(Validate(request)).field_violations(0).field(), "failover.mode");
  failover.set_mode(static_cast<v1::FailoverMode>(9));
  EXPECT_EQ(ReasonOf(Validate(request)), reason::kInvalidFailover);
  failover.set_mode(v1::FAILOVER_MODE_ALL);
  EXPECT_TRUE(Validate(request).ok());
  failover.add_phone_numbers(kOther);
  EXPECT_EQ(Violations(Validate(request)).field_violations(0).field(), "failover.phone_numbers");
  failover.set_mode(v1::FAILOVER_MODE_SELECTIVE);
  EXPECT_TRUE(Validate(request).ok());
  failover.add_phone_numbers(kNumber);
  EXPECT_EQ(Violations(Validate(request)).field_violations(0).field(), "failover.phone_numbers[1]");
  failover.clear_phone_numbers();
  EXPECT_EQ(Violations(Validate(request)).field_violations(0).field(), "failover.phone_numbers");
  for (int i = 0; i < 1001; ++i) failover.add_phone_numbers(kOther);
  EXPECT_EQ(Violations(Validate(request)).field_violations_size(), 1);
}

// gRPC's clients take 8 KiB of metadata by default.
TEST(Validation, DetailsStaySmallHoweverMuchIsWrong) {
  v1::ConfigureFailoverRequest request;
  request.set_phone_number(kNumber);
  auto& failover = *request.mutable_failover();
  failover.set_enabled(true);
  failover.set_mode(v1::FAILOVER_MODE_SELECTIVE);
  for (int i = 0; i < 1'000; ++i) failover.add_phone_numbers("13059478667");
  const absl::Status status = Validate(request);
  EXPECT_LT(status.message().size(), 1'500u);
  const auto violations = Violations(status);
  EXPECT_LT(violations.ByteSizeLong(), 4'000u);
  EXPECT_EQ(violations.field_violations(0).field(), "failover.phone_numbers[0]");
  const int named = violations.field_violations_size() - 1;
  EXPECT_GT(named, 10);
  EXPECT_EQ(violations.field_violations(named).description(),
            "and " + std::to_string(1'000 - named) + " more violations");
}

TEST(Validation, CallForwarding) {
  v1::EnableCallForwardingRequest request;
  request.set_phone_number(kNumber);
  EXPECT_EQ(ReasonOf(Validate(request)), reason::kInvalidForwardTo);
  request.set_forward_to(kNumber);
  EXPECT_EQ(ReasonOf(Validate(request)), reason::kInvalidForwardTo);
  request.set_forward_to(kOther);
  EXPECT_TRUE(Validate(request).ok());
}

// --- filters ------------------------------------------------------------------------------------

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
      const auto bad_request = Violations(status);
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
  const auto bad_request = Violations(status);
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

// --- the other fields of reads
// --------------------------------------------------------------------

TEST(Validation, PageSize) {
  v1::ListAvailableNumbersRequest request;
  for (const int bad : {-1, std::numeric_limits<int>::min()}) {
    request.set_page_size(bad);
    const auto status = Validate(request);
    EXPECT_EQ(ReasonOf(status), reason::kInvalidPageSize);
    EXPECT_EQ(Violations(status).field_violations(0).field(), "page_size");
    EXPECT_NE(std::string(status.message()).find(std::to_string(bad) + " must not be below zero"),
              std::string::npos);
  }
  for (const int good : {0, 1, 10'000, std::numeric_limits<int>::max()}) {
    request.set_page_size(good);
    EXPECT_TRUE(Validate(request).ok()) << good;
  }
}

TEST(Validation, OrderBy) {
  v1::ListAvailableNumbersRequest request;
  for (const char* bad : {"price", "phone_number asc", "phone_number,", ",", "PHONE_NUMBER",
                          "phone_number desc desc", "phone_number, phone_number desc"}) {
    request.set_order_by(bad);
    const auto status = Validate(request);
    EXPECT_EQ(ReasonOf(status), reason::kInvalidOrderBy) << bad;
    EXPECT_EQ(Violations(status).field_violations(0).field(), "order_by");
  }
  request.set_order_by("price");
  EXPECT_NE(std::string(Validate(request).message()).find("\"price\" is not a field to order by"),
            std::string::npos);
  for (const char* good : {"", "pricing.monthly_rate desc, phone_number", "create_time"}) {
    request.set_order_by(good);
    EXPECT_TRUE(Validate(request).ok()) << good;
  }
}

template <typename Request>
void CheckMaxStaleness(Request request) {
  SCOPED_TRACE(request.GetTypeName());
  EXPECT_TRUE(Validate(request).ok());
  const auto set = [&](std::int64_t new_seconds, std::int32_t nanos) {
    request.mutable_max_staleness()->set_seconds(new_seconds);
    request.mutable_max_staleness()->set_nanos(nanos);
    return Validate(request);
  };
  const auto refused = [&](std::int64_t new_seconds, std::int32_t nanos, const std::string& rule) {
    const auto status = set(new_seconds, nanos);
    EXPECT_EQ(ReasonOf(status), reason::kInvalidMaxStaleness) << new_seconds << ' ' << nanos;
    const auto bad_request = Violations(status);
    ASSERT_EQ(bad_request.field_violations_size(), 1);
    EXPECT_EQ(bad_request.field_violations(0).field(), "max_staleness");
    const std::string& text = bad_request.field_violations(0).description();
    EXPECT_NE(text.find(rule), std::string::npos) << text;
    EXPECT_NE(text.find(std::to_string(new_seconds) + " s"), std::string::npos) << text;
    EXPECT_NE(text.find(std::to_string(nanos) + " ns"), std::string::npos) << text;
  };
  EXPECT_TRUE(set(0, 0).ok());
  EXPECT_TRUE(set(0, 1).ok());  // nanos only
  EXPECT_TRUE(set(0, 999'999'999).ok());
  EXPECT_TRUE(set(315'576'000'000, 0).ok());
  refused(-1, 0, "below zero");
  refused(0, -1, "below zero");
  refused(std::numeric_limits<std::int64_t>::min(), 0, "below zero");
  refused(315'576'000'001, 0, "no google.protobuf.Duration");
  refused(std::numeric_limits<std::int64_t>::max(), 0, "no google.protobuf.Duration");
  refused(0, 1'000'000'000, "no google.protobuf.Duration");
}

TEST(Validation, MaxStaleness) {
  CheckMaxStaleness(v1::ListAvailableNumbersRequest());
  CheckMaxStaleness(v1::ListLeasesRequest());
  v1::GetNumberRequest number;
  number.set_phone_number(kNumber);
  CheckMaxStaleness(number);
  v1::GetLeaseRequest lease;
  lease.set_phone_number(kNumber);
  CheckMaxStaleness(lease);
  v1::BatchGetNumbersRequest batch;
  batch.add_phone_numbers(kNumber);
  CheckMaxStaleness(batch);
}

TEST(Validation, Batches) {
  v1::BatchGetNumbersRequest request;
  const auto refused = [&](const std::string& value) {
    const auto status = Validate(request);
    EXPECT_EQ(ReasonOf(status), reason::kInvalidBatch);
    EXPECT_EQ(Violations(status).field_violations(0).field(), "phone_numbers");
    EXPECT_NE(std::string(status.message()).find("has " + value + " numbers, must have 1 to 1000"),
              std::string::npos)
        << status;
  };
  refused("0");
  request.add_phone_numbers("not a number");  // fails alone
  EXPECT_TRUE(Validate(request).ok());
  while (request.phone_numbers_size() < 1000) request.add_phone_numbers(kNumber);
  EXPECT_TRUE(Validate(request).ok());
  request.add_phone_numbers(kNumber);
  refused("1001");
}

TEST(Validation, OneNumberOfABatch) {
  EXPECT_TRUE(CheckPhoneNumber(kNumber).ok());
  v1::GetNumberRequest request;
  request.set_phone_number("0123");
  EXPECT_EQ(CheckPhoneNumber("0123"), Validate(request));
}

}  // namespace
}  // namespace leasegateway
