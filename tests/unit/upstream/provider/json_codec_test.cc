#include "upstream/provider/json_codec.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <boost/json/value.hpp>
#include <cstddef>
#include <functional>
#include <initializer_list>
#include <limits>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "upstream/upstream_error.h"

namespace leasegateway {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::StartsWith;

// A leased number as the provider gives it today. `{` and `}` are left off, for more fields.
constexpr std::string_view kNumberFields = R"(
  "id": "+13059478667", "status": "leased",
  "number": {"e164": "+13059478667", "formatted": "+1 (305) 947-8667"},
  "location": {"country": "US", "region": "FL", "city": "Miami"},
  "carrier": "T-Mobile",
  "capabilities": {"intl_sms": true, "channels": ["sms", "mms", "imessage"]},
  "health": {"reputation": 0.9, "previous_owners": 1},
  "data": {"requirements": ["imessage_entitlement_required"], "e911_capable": true},
  "created_at": 1718851200,
  "pricing": {"currency": "USD", "upfront_fee": 2.99, "monthly_rate": 19.99})";
constexpr std::string_view kLeaseFields = R"(
  "lease_id": "lsd_1234567890", "lease_status": "active",
  "billing": {"method": "monthly", "period": {"start": 1718851200, "end": null}})";

std::string Concat(std::initializer_list<std::string_view> parts) {
  std::string result;
  for (const std::string_view part : parts) result += part;
  return result;
}

std::string Envelope(std::string_view data) {
  return Concat({R"({"id": "req_4f1c", "timestamp": 1785698220563, "api_version": "v2026.10.1",
                     "object": "response", "data": )",
                 data, "}"});
}

std::string NumberBody() { return Envelope(Concat({"{", kNumberFields, "}"})); }
std::string LeasedNumberBody() {
  return Envelope(Concat({"{", kNumberFields, ",", kLeaseFields, "}"}));
}
std::string AvailableBody() {
  return Envelope(Concat({R"({"available": 1, "numbers": [{)", kNumberFields, "}]}"}));
}
std::string LeasesBody() {
  return Envelope(
      Concat({R"({"leased": 1, "numbers": [{)", kNumberFields, ",", kLeaseFields, "}]}"}));
}
std::string NewLeaseBody() {
  return Envelope(R"({"lease_id": "lsd_1", "number": "+13059478667", "status": "active",
    "billing": {"method": "service_contract",
                "price": {"currency": "EUR", "monthly_rate": 19.99, "upfront_fee": 2.99},
                "period": {"start": 1718851200, "end": 1721443200}}})");
}
std::string TerminationBody() {
  return Envelope(R"({"lease_id": "lsd_1", "number_id": "+13059478667", "status": "terminated",
                      "terminated_at": 1718851200})");
}
std::string FailoverBody() {
  return Envelope(R"({"number": "+13059478667", "failover":
    {"enabled": true, "mode": "selective", "numbers": ["+13059278337", "+13059278338"]}})");
}
std::string ForwardingBody() {
  return Envelope(R"({"number": "+13059478667", "call_forwarding": {"enabled": true,
    "to": "+13059278337", "status": "queued", "estimated_completion": 1790000000000}})");
}

// A number of which only `fields` and the id are given.
std::string NumberWith(std::string_view fields) {
  return Envelope(Concat({R"({"id": "+13059478667", )", fields, "}"}));
}

struct Sample {
  std::string name;
  std::string body;
  std::function<absl::Status(std::string_view)> decode;
};

std::vector<Sample> Samples() {
  return {
      {"available", AvailableBody(),
       [](std::string_view body) { return DecodeAvailableNumbers(body).status(); }},
      {"leases", LeasesBody(), [](std::string_view body) { return DecodeLeases(body).status(); }},
      {"number", NumberBody(), [](std::string_view body) { return DecodeNumber(body).status(); }},
      {"leased number", LeasedNumberBody(),
       [](std::string_view body) { return DecodeNumber(body).status(); }},
      {"new lease", NewLeaseBody(),
       [](std::string_view body) { return DecodeLease(body).status(); }},
      {"termination", TerminationBody(),
       [](std::string_view body) { return DecodeTermination(body).status(); }},
      {"failover", FailoverBody(),
       [](std::string_view body) { return DecodeFailover(body).status(); }},
      {"forwarding", ForwardingBody(),
       [](std::string_view body) { return DecodeCallForwarding(body).status(); }},
  };
}

void ExpectMalformed(const absl::Status& status, const std::string& message_part = "") {
  EXPECT_EQ(status.code(), absl::StatusCode::kInternal) << status;
  EXPECT_EQ(ReasonOf(status), reason::kUpstreamMalformed) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr(message_part));
}

v1::Number DecodedNumber(const std::string& body) {
  const absl::StatusOr<Reply<v1::Number>> reply = DecodeNumber(body);
  EXPECT_TRUE(reply.ok()) << reply.status() << "\n" << body;
  return reply.ok() ? reply->value : v1::Number();
}

using Kind = Tolerated::Kind;

// A number that is read without what `fields` has: one thing of `kind`, named so.
v1::Number NumberWithout(const std::string& fields, Kind kind, const std::string& problem) {
  const absl::StatusOr<Reply<v1::Number>> reply = DecodeNumber(NumberWith(fields));
  EXPECT_TRUE(reply.ok()) << reply.status() << "\n" << fields;
  if (!reply.ok()) return {};
  EXPECT_EQ(reply->tolerated.of(kind), 1) << fields;
  EXPECT_THAT(reply->tolerated.first_of(kind), HasSubstr(problem)) << fields;
  for (const Kind other : {Kind::kItem, Kind::kAmount, Kind::kField, Kind::kRounded}) {
    if (other == kind) continue;
    EXPECT_EQ(reply->tolerated.of(other), 0) << fields;
  }
  EXPECT_EQ(reply->value.phone_number(), "+13059478667");
  return reply->value;
}

// --- replies as described ------------------------------------------------------------------------

TEST(JsonCodecTest, ReadsTheEnvelope) {
  const auto reply = DecodeAvailableNumbers(AvailableBody());
  ASSERT_TRUE(reply.ok()) << reply.status();
  EXPECT_EQ(reply->metadata.upstream_request_id(), "req_4f1c");
  EXPECT_EQ(reply->metadata.upstream_time().seconds(), 1785698220);
  EXPECT_EQ(reply->metadata.upstream_time().nanos(), 563'000'000);
  EXPECT_EQ(reply->metadata.upstream_api_version(), "v2026.10.1");
  EXPECT_FALSE(reply->metadata.has_fetch_time());
}

TEST(JsonCodecTest, ReadsAnAvailableNumber) {
  const auto reply = DecodeAvailableNumbers(AvailableBody());
  ASSERT_TRUE(reply.ok()) << reply.status();
  ASSERT_EQ(reply->value.size(), 1);
  const v1::Number& number = reply->value[0];
  EXPECT_EQ(number.phone_number(), "+13059478667");
  EXPECT_EQ(number.formatted(), "+1 (305) 947-8667");
  EXPECT_EQ(number.status(), v1::NUMBER_STATUS_LEASED);
  EXPECT_EQ(number.provider_status(), "leased");
  EXPECT_EQ(number.location().country(), "US");
  EXPECT_EQ(number.location().region(), "FL");
  EXPECT_EQ(number.location().city(), "Miami");
  EXPECT_EQ(number.carrier(), "T-Mobile");
  EXPECT_TRUE(number.capabilities().intl_sms());
  EXPECT_THAT(number.capabilities().channels(), ElementsAre("sms", "mms", "imessage"));
  EXPECT_DOUBLE_EQ(number.health().reputation(), 0.9);
  EXPECT_EQ(number.health().previous_owners(), 1);
  EXPECT_THAT(number.requirements(), ElementsAre("imessage_entitlement_required"));
  EXPECT_TRUE(number.e911_capable());
  EXPECT_EQ(number.create_time().seconds(), 1718851200);
  EXPECT_EQ(number.pricing().upfront_fee().currency_code(), "USD");
  EXPECT_EQ(number.pricing().upfront_fee().units(), 2);
  EXPECT_EQ(number.pricing().upfront_fee().nanos(), 990'000'000);
  EXPECT_EQ(number.pricing().monthly_rate().currency_code(), "USD");
  EXPECT_EQ(number.pricing().monthly_rate().units(), 19);
  EXPECT_EQ(number.pricing().monthly_rate().nanos(), 990'000'000);
  EXPECT_FALSE(number.has_lease());
  EXPECT_FALSE(number.has_additional_data());
  EXPECT_FALSE(number.has_additional_fields());
}

TEST(JsonCodecTest, ReadsTheLeaseOfANumber) {
  const v1::Number number = DecodedNumber(LeasedNumberBody());
  ASSERT_TRUE(number.has_lease());
  const v1::Lease& lease = number.lease();
  EXPECT_EQ(lease.lease_id(), "lsd_1234567890");
  EXPECT_EQ(lease.phone_number(), "+13059478667");
  EXPECT_EQ(lease.status(), v1::LEASE_STATUS_ACTIVE);
  EXPECT_EQ(lease.provider_status(), "active");
  EXPECT_EQ(lease.billing().method(), v1::BILLING_METHOD_MONTHLY);
  EXPECT_EQ(lease.billing().provider_method(), "monthly");
  EXPECT_EQ(lease.billing().start_time().seconds(), 1718851200);
  EXPECT_FALSE(lease.billing().has_end_time());
  EXPECT_FALSE(lease.billing().has_price());
  EXPECT_FALSE(lease.has_number());
}

TEST(JsonCodecTest, ReadsLeasesWithTheirNumbers) {
  const auto reply = DecodeLeases(LeasesBody());
  ASSERT_TRUE(reply.ok()) << reply.status();
  ASSERT_EQ(reply->value.size(), 1);
  const v1::Lease& lease = reply->value[0];
  EXPECT_EQ(lease.lease_id(), "lsd_1234567890");
  EXPECT_EQ(lease.phone_number(), "+13059478667");
  EXPECT_EQ(lease.status(), v1::LEASE_STATUS_ACTIVE);
  EXPECT_EQ(lease.number().phone_number(), "+13059478667");
  EXPECT_EQ(lease.number().location().city(), "Miami");
  EXPECT_FALSE(lease.number().has_lease());
}

TEST(JsonCodecTest, ReadsANewLease) {
  const auto reply = DecodeLease(NewLeaseBody());
  ASSERT_TRUE(reply.ok()) << reply.status();
  const v1::Lease& lease = reply->value;
  EXPECT_EQ(lease.lease_id(), "lsd_1");
  EXPECT_EQ(lease.phone_number(), "+13059478667");
  EXPECT_EQ(lease.status(), v1::LEASE_STATUS_ACTIVE);
  EXPECT_EQ(lease.billing().method(), v1::BILLING_METHOD_SERVICE_CONTRACT);
  EXPECT_EQ(lease.billing().price().monthly_rate().units(), 19);
  EXPECT_EQ(lease.billing().price().monthly_rate().currency_code(), "EUR");
  EXPECT_EQ(lease.billing().start_time().seconds(), 1718851200);
  EXPECT_EQ(lease.billing().end_time().seconds(), 1721443200);
}

TEST(JsonCodecTest, ReadsATermination) {
  const auto reply = DecodeTermination(TerminationBody());
  ASSERT_TRUE(reply.ok()) << reply.status();
  EXPECT_EQ(reply->value.lease_id(), "lsd_1");
  EXPECT_EQ(reply->value.phone_number(), "+13059478667");
  EXPECT_EQ(reply->value.status(), v1::LEASE_STATUS_TERMINATED);
  EXPECT_EQ(reply->value.provider_status(), "terminated");
  EXPECT_EQ(reply->value.terminate_time().seconds(), 1718851200);
}

TEST(JsonCodecTest, ReadsFailover) {
  const auto reply = DecodeFailover(FailoverBody());
  ASSERT_TRUE(reply.ok()) << reply.status();
  EXPECT_TRUE(reply->value.enabled());
  EXPECT_EQ(reply->value.mode(), v1::FAILOVER_MODE_SELECTIVE);
  EXPECT_EQ(reply->value.provider_mode(), "selective");
  EXPECT_THAT(reply->value.phone_numbers(), ElementsAre("+13059278337", "+13059278338"));
}

TEST(JsonCodecTest, FailoverMayBeAbsent) {
  for (const char* data : {R"({"number": "+13059478667"})", R"({"failover": null})", "{}"}) {
    const auto reply = DecodeFailover(Envelope(data));
    ASSERT_TRUE(reply.ok()) << reply.status();
    EXPECT_EQ(reply->value.ByteSizeLong(), 0u);
  }
}

TEST(JsonCodecTest, ReadsCallForwarding) {
  const auto reply = DecodeCallForwarding(ForwardingBody());
  ASSERT_TRUE(reply.ok()) << reply.status();
  EXPECT_TRUE(reply->value.enabled());
  EXPECT_EQ(reply->value.forward_to(), "+13059278337");
  EXPECT_EQ(reply->value.status(), v1::CALL_FORWARDING_STATUS_QUEUED);
  EXPECT_EQ(reply->value.estimated_completion_time().seconds(), 1790000000);
}

TEST(JsonCodecTest, ReadsDisabledCallForwarding) {
  const auto reply = DecodeCallForwarding(Envelope(R"({"call_forwarding":
      {"enabled": false, "to": null, "status": "active", "estimated_completion": null}})"));
  ASSERT_TRUE(reply.ok()) << reply.status();
  EXPECT_FALSE(reply->value.enabled());
  EXPECT_THAT(reply->value.forward_to(), IsEmpty());
  EXPECT_EQ(reply->value.status(), v1::CALL_FORWARDING_STATUS_ACTIVE);
  EXPECT_FALSE(reply->value.has_estimated_completion_time());
}

TEST(JsonCodecTest, CallForwardingMustSayWhetherItIsEnabled) {
  ExpectMalformed(DecodeCallForwarding(Envelope("{}")).status(),
                  "data.call_forwarding: is missing");
  ExpectMalformed(DecodeCallForwarding(Envelope(R"({"call_forwarding": {"to": null}})")).status(),
                  "data.call_forwarding.enabled: is missing");
}

TEST(JsonCodecTest, AnEmptyListIsFine) {
  const auto numbers = DecodeAvailableNumbers(Envelope(R"({"available": 0, "numbers": []})"));
  ASSERT_TRUE(numbers.ok()) << numbers.status();
  EXPECT_TRUE(numbers->value.empty());
  const auto leases = DecodeLeases(Envelope(R"({"numbers": []})"));
  ASSERT_TRUE(leases.ok()) << leases.status();
  EXPECT_TRUE(leases->value.empty());
}

// --- known variations ----------------------------------------------------------------------------

TEST(JsonCodecTest, TheEnvelopeNeedsOnlyData) {
  const auto reply = DecodeNumber(R"({"data": {"id": "+13059478667"}})");
  ASSERT_TRUE(reply.ok()) << reply.status();
  EXPECT_EQ(reply->value.phone_number(), "+13059478667");
  EXPECT_FALSE(reply->metadata.has_upstream_time());
}

TEST(JsonCodecTest, TheOrderOfKeysDoesNotMatter) {
  const auto reply = DecodeNumber(R"({"data": {"pricing": {"monthly_rate": 5, "currency": "GBP"},
      "billing": {"method": "goodwill"}, "lease_id": "lsd_1", "id": "+13059478667"}, "id": "req_1"})");
  ASSERT_TRUE(reply.ok()) << reply.status();
  EXPECT_EQ(reply->value.pricing().monthly_rate().currency_code(), "GBP");
  EXPECT_EQ(reply->value.lease().phone_number(), "+13059478667");
  EXPECT_EQ(reply->value.lease().billing().method(), v1::BILLING_METHOD_GOODWILL);
  EXPECT_EQ(reply->metadata.upstream_request_id(), "req_1");
}

TEST(JsonCodecTest, AByteOrderMarkIsPassedOver) {
  EXPECT_TRUE(DecodeNumber("\xEF\xBB\xBF" + NumberBody()).ok());
}

TEST(JsonCodecTest, NullIsAbsent) {
  const v1::Number number = DecodedNumber(NumberWith(
      R"("status": null, "number": null, "location": {"city": null}, "carrier": null,
         "capabilities": null, "health": {"reputation": null}, "data": {"e911_capable": null,
         "later": null}, "created_at": null, "pricing": {"upfront_fee": null, "currency": null},
         "lease_id": null, "lease_status": null, "billing": null, "later": null)"));
  EXPECT_EQ(number.status(), v1::NUMBER_STATUS_UNSPECIFIED);
  EXPECT_FALSE(number.has_capabilities());
  EXPECT_FALSE(number.has_e911_capable());
  EXPECT_FALSE(number.has_create_time());
  EXPECT_FALSE(number.pricing().has_upfront_fee());
  EXPECT_FALSE(number.has_lease());
  EXPECT_FALSE(number.has_additional_data());
  EXPECT_FALSE(number.has_additional_fields());
}

TEST(JsonCodecTest, ANumberMayBeOneString) {
  const v1::Number by_string = DecodedNumber(Envelope(R"({"number": "+13059478667"})"));
  EXPECT_EQ(by_string.phone_number(), "+13059478667");
  const v1::Number by_form = DecodedNumber(Envelope(R"({"number": {"e164": "+13059478667"}})"));
  EXPECT_EQ(by_form.phone_number(), "+13059478667");
  const auto lease = DecodeLease(
      Envelope(R"({"lease_id": "l", "number": {"e164": "+13059478667", "formatted": "x"}})"));
  ASSERT_TRUE(lease.ok()) << lease.status();
  EXPECT_EQ(lease->value.phone_number(), "+13059478667");
}

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

TEST(JsonCodecTest, CapabilitiesMayBeAnArray) {
  const v1::Number number = DecodedNumber(NumberWith(R"("capabilities": ["sms", "voice"])"));
  EXPECT_THAT(number.capabilities().channels(), ElementsAre("sms", "voice"));
  EXPECT_FALSE(number.capabilities().has_intl_sms());
  EXPECT_THAT(NumberWithout(R"("capabilities": ["sms", 1, "voice"])", Kind::kField,
                            "data.capabilities[1]: a string is wanted, not 1")
                  .capabilities()
                  .channels(),
              ElementsAre("sms", "voice"));
  EXPECT_FALSE(NumberWithout(R"("capabilities": "sms")", Kind::kField,
                             "data.capabilities: an object is wanted")
                   .has_capabilities());
}

TEST(JsonCodecTest, KnowsEveryWord) {
  const auto number_status = [](const std::string& word) {
    return DecodedNumber(NumberWith("\"status\": \"" + word + "\"")).status();
  };
  EXPECT_EQ(number_status("available"), v1::NUMBER_STATUS_AVAILABLE);
  EXPECT_EQ(number_status("g-available"), v1::NUMBER_STATUS_G_AVAILABLE);
  EXPECT_EQ(number_status("leased"), v1::NUMBER_STATUS_LEASED);
  EXPECT_EQ(number_status("unavailable"), v1::NUMBER_STATUS_UNAVAILABLE);
  const auto lease_status = [](const std::string& word) {
    return DecodedNumber(NumberWith(R"("lease_id": "l", "lease_status": ")" + word + "\""))
        .lease()
        .status();
  };
  EXPECT_EQ(lease_status("active"), v1::LEASE_STATUS_ACTIVE);
  EXPECT_EQ(lease_status("paused"), v1::LEASE_STATUS_PAUSED);
  EXPECT_EQ(lease_status("pending"), v1::LEASE_STATUS_PENDING);
  EXPECT_EQ(lease_status("expired"), v1::LEASE_STATUS_EXPIRED);
  EXPECT_EQ(lease_status("terminated"), v1::LEASE_STATUS_TERMINATED);
}

TEST(JsonCodecTest, UnknownWordsPassThrough) {
  const v1::Number number = DecodedNumber(NumberWith(
      R"("status": "reserved", "carrier": "Twilio", "lease_id": "l", "lease_status": "frozen",
                    "capabilities": {"channels": ["telepathy"]},
                    "billing": {"method": "barter"})"));
  EXPECT_EQ(number.status(), v1::NUMBER_STATUS_UNSPECIFIED);
  EXPECT_EQ(number.provider_status(), "reserved");
  EXPECT_EQ(number.carrier(), "Twilio");
  EXPECT_THAT(number.capabilities().channels(), ElementsAre("telepathy"));
  EXPECT_EQ(number.lease().status(), v1::LEASE_STATUS_UNSPECIFIED);
  EXPECT_EQ(number.lease().provider_status(), "frozen");
  EXPECT_EQ(number.lease().billing().method(), v1::BILLING_METHOD_UNSPECIFIED);
  EXPECT_EQ(number.lease().billing().provider_method(), "barter");

  const auto failover = DecodeFailover(Envelope(R"({"failover": {"enabled": true, "mode": "x"}})"));
  ASSERT_TRUE(failover.ok()) << failover.status();
  EXPECT_EQ(failover->value.mode(), v1::FAILOVER_MODE_UNSPECIFIED);
  EXPECT_EQ(failover->value.provider_mode(), "x");
  const auto forwarding =
      DecodeCallForwarding(Envelope(R"({"call_forwarding": {"enabled": true, "status": "x"}})"));
  ASSERT_TRUE(forwarding.ok()) << forwarding.status();
  EXPECT_EQ(forwarding->value.status(), v1::CALL_FORWARDING_STATUS_UNSPECIFIED);
  EXPECT_EQ(forwarding->value.provider_status(), "x");
  const auto termination = DecodeTermination(Envelope(R"({"status": "x"})"));
  ASSERT_TRUE(termination.ok()) << termination.status();
  EXPECT_EQ(termination->value.status(), v1::LEASE_STATUS_UNSPECIFIED);
  EXPECT_EQ(termination->value.provider_status(), "x");
}

TEST(JsonCodecTest, UnknownKeysAreKept) {
  const v1::Number number = DecodedNumber(NumberWith(
      R"("data": {"requirements": [], "e911_capable": false, "text": "a\u00e9\n", "flag": true,
                  "list": [1, "b", null, [], {"deep": -2.5}], "object": {"k": {"n": null}}},
         "vanity": "MIAMI", "score": 7)"));
  EXPECT_FALSE(number.e911_capable());
  EXPECT_TRUE(number.has_e911_capable());
  const auto& data = number.additional_data().fields();
  EXPECT_EQ(data.size(), 4u);
  EXPECT_EQ(data.at("text").string_value(), "a\xC3\xA9\n");
  EXPECT_TRUE(data.at("flag").bool_value());
  const auto& list = data.at("list").list_value();
  ASSERT_EQ(list.values_size(), 5);
  EXPECT_EQ(list.values(0).number_value(), 1);
  EXPECT_EQ(list.values(1).string_value(), "b");
  EXPECT_TRUE(list.values(2).has_null_value());
  EXPECT_TRUE(list.values(3).has_list_value());
  EXPECT_EQ(list.values(4).struct_value().fields().at("deep").number_value(), -2.5);
  EXPECT_TRUE(data.at("object")
                  .struct_value()
                  .fields()
                  .at("k")
                  .struct_value()
                  .fields()
                  .at("n")
                  .has_null_value());
  const auto& fields = number.additional_fields().fields();
  EXPECT_EQ(fields.size(), 2u);
  EXPECT_EQ(fields.at("vanity").string_value(), "MIAMI");
  EXPECT_EQ(fields.at("score").number_value(), 7);
}

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

TEST(JsonCodecTest, RefusesANumberWithoutAnE164Number) {
  ExpectMalformed(DecodeNumber(Envelope("{}")).status(), "data.id: is missing");
  for (const char* id :
       {"13059478667", "+", "+1", "+0305947866", "+1305947866712345", "+1 305", "+1305x", "x"}) {
    ExpectMalformed(DecodeNumber(Envelope(Concat({R"({"id": ")", id, "\"}"}))).status(),
                    "data: an E.164 number is wanted");
    ExpectMalformed(DecodeNumber(Envelope(Concat({R"({"number": ")", id, "\"}"}))).status(),
                    "data: an E.164 number is wanted");
  }
  ExpectMalformed(DecodeNumber(NumberWith(R"("number": "+13059278337")")).status(), "differ");
}

TEST(JsonCodecTest, RefusesWhatLacksItsData) {
  for (const Sample& sample : Samples()) {
    ExpectMalformed(sample.decode("{}"), "data: is missing");
    ExpectMalformed(sample.decode(R"({"id": "req_1", "data": null})"), "data: is missing");
    for (const char* data : {"[]", "\"x\"", "1", "true"}) {
      ExpectMalformed(sample.decode(Envelope(data)), "data: an object is wanted");
    }
  }
  ExpectMalformed(DecodeAvailableNumbers(Envelope("{}")).status(), "data.numbers: is missing");
  ExpectMalformed(DecodeLeases(Envelope("{}")).status(), "data.numbers: is missing");
  ExpectMalformed(DecodeLease(Envelope("{}")).status(), "data.lease_id: is missing");
  ExpectMalformed(DecodeLease(Envelope(R"({"lease_id": ""})")).status(),
                  "data.lease_id: is missing");
}

// --- items that can't be read --------------------------------------------------------------------

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

// --- more that is refused ------------------------------------------------------------------------

TEST(JsonCodecTest, RefusesAnErrorThatComesWithSuccess) {
  for (const Sample& sample : Samples()) {
    ExpectMalformed(sample.decode(R"({"id": "err_1", "object": "error",
                                      "data": {"error": "No", "status": 400}})"),
                    "object: an error");
    ExpectMalformed(
        sample.decode(R"({"data": {"error": "No", "status": 400}, "object": "error"})"));
  }
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

// --- properties ----------------------------------------------------------------------------------

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
      EXPECT_FALSE(DecodeError(sample.body.substr(0, size)).recognized);
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

// --- errors --------------------------------------------------------------------------------------

TEST(JsonCodecErrorTest, ReadsTheEnvelope) {
  const UpstreamErrorBody error = DecodeError(
      R"({"id": "err_4f1c", "timestamp": 1785698220563, "api_version": "v2026.10.1",
          "object": "error", "data": {"error": "Accept it first", "status": 403,
          "agreement_url": "https://contiguity.com/agreements/1"}})");
  EXPECT_TRUE(error.recognized);
  EXPECT_EQ(error.id, "err_4f1c");
  EXPECT_EQ(error.message, "Accept it first");
  EXPECT_EQ(error.agreement_url, "https://contiguity.com/agreements/1");
}

TEST(JsonCodecErrorTest, ReadsTheFormWithoutAnEnvelope) {
  const UpstreamErrorBody error = DecodeError(R"({"message": "Unauthorized", "status": 401})");
  EXPECT_TRUE(error.recognized);
  EXPECT_THAT(error.id, IsEmpty());
  EXPECT_EQ(error.message, "Unauthorized");
  EXPECT_THAT(error.agreement_url, IsEmpty());
}

TEST(JsonCodecErrorTest, DoesNotRecognizeOtherBodies) {
  for (const char* body :
       {"", " ", "<html>502</html>", "null", "[]", "\"error\"", "{}", R"({"message": "Forbidden"})",
        R"({"object": "response", "data": {}})", R"({"message": 1, "status": 2})",
        R"({"object": "error", "data": )", R"({"object": "error"} x)",
        R"({"object": "error", "object": "error"})"}) {
    const UpstreamErrorBody error = DecodeError(body);
    EXPECT_FALSE(error.recognized) << body;
    EXPECT_THAT(error.id, IsEmpty());
    EXPECT_THAT(error.message, IsEmpty());
    EXPECT_THAT(error.agreement_url, IsEmpty());
  }
}

TEST(JsonCodecErrorTest, LeavesEmptyWhatItCanNotRead) {
  const UpstreamErrorBody error = DecodeError(
      R"({"id": 7, "object": "error", "data": {"error": ["x"], "status": null, "agreement_url": {}},
          "more": {"a": [1, 2]}})");
  EXPECT_TRUE(error.recognized);
  EXPECT_THAT(error.id, IsEmpty());
  EXPECT_THAT(error.message, IsEmpty());
  EXPECT_THAT(error.agreement_url, IsEmpty());
  EXPECT_TRUE(DecodeError(R"({"object": "error", "data": "oops"})").recognized);
}

// Or a refusal would look like a middleman's.
TEST(JsonCodecErrorTest, OddCharactersLeaveOutTheirTextAlone) {
  for (const char* text : {R"(\ud800)", "Caf\xE9", "a\nb"}) {
    const UpstreamErrorBody error =
        DecodeError(Concat({R"({"id": "err_1", "object": "error", "data": {"error": ")", text,
                            R"(", "status": 400}})"}));
    EXPECT_TRUE(error.recognized) << text;
    EXPECT_EQ(error.id, "err_1");
    EXPECT_THAT(error.message, IsEmpty());
  }
}

TEST(JsonCodecErrorTest, TheMessageIsShortAndPrintable) {
  const auto message_of = [](const std::string& text) {
    return DecodeError(Concat({R"({"object": "error", "data": {"error": ")", text, "\"}}"}))
        .message;
  };
  EXPECT_EQ(message_of(R"(a\r\nb\u0000c\u007f)"), std::string("a  b c "));
  EXPECT_EQ(message_of(std::string(513, 'a')).size(), 512u);
  EXPECT_EQ(message_of(std::string(511, 'a') + "\xC3\xA9"), std::string(511, 'a'));
}

TEST(JsonCodecErrorTest, TheAgreementIsAtAnHttpsAddress) {
  const auto url_of = [](const std::string& text) {
    return DecodeError(Concat({R"({"object": "error", "data": {"agreement_url": ")", text, "\"}}"}))
        .agreement_url;
  };
  EXPECT_EQ(url_of("https://a.example/x?y=1"), "https://a.example/x?y=1");
  for (const char* bad :
       {"http://a.example", "https://", "javascript:alert(1)", "//a.example",
        "https://a.example/ x", "https://a.example/\\n", "https://\xC3\xA9.example", ""}) {
    EXPECT_THAT(url_of(bad), IsEmpty()) << bad;
  }
  const std::string longest = "https://" + std::string(2040, 'a');
  EXPECT_EQ(url_of(longest), longest);
  EXPECT_THAT(url_of(longest + "a"), IsEmpty());
}

// --- requests ------------------------------------------------------------------------------------

TEST(JsonCodecEncodeTest, CreateLease) {
  EXPECT_EQ(EncodeCreateLease(v1::BILLING_METHOD_UNSPECIFIED), "{}");
  EXPECT_EQ(EncodeCreateLease(v1::BILLING_METHOD_MONTHLY), R"({"billing_method":"monthly"})");
  EXPECT_EQ(EncodeCreateLease(v1::BILLING_METHOD_SERVICE_CONTRACT),
            R"({"billing_method":"service_contract"})");
}

TEST(JsonCodecEncodeTest, Failover) {
  v1::Failover failover;
  EXPECT_EQ(EncodeFailover(failover), R"({"failover":{"enabled":false}})");
  failover.set_enabled(true);
  failover.set_mode(v1::FAILOVER_MODE_ALL);
  EXPECT_EQ(EncodeFailover(failover), R"({"failover":{"enabled":true,"mode":"all"}})");
  failover.set_mode(v1::FAILOVER_MODE_SELECTIVE);
  failover.add_phone_numbers("+13059278337");
  failover.add_phone_numbers("+13059278338");
  EXPECT_EQ(EncodeFailover(failover), R"({"failover":{"enabled":true,"mode":"selective",)"
                                      R"("numbers":["+13059278337","+13059278338"]}})");
}

TEST(JsonCodecEncodeTest, EnableCallForwarding) {
  EXPECT_EQ(EncodeEnableCallForwarding("+13059278337"), R"({"to":"+13059278337"})");
  EXPECT_EQ(EncodeEnableCallForwarding("\"\n"), R"({"to":"\"\n"})");
}

}  // namespace
}  // namespace leasegateway
