#include "upstream/provider/json_codec.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "tests/support/provider_replies.h"

namespace leasegateway {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using Kind = Tolerated::Kind;

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

// --- what is refused -----------------------------------------------------------------------------

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

TEST(JsonCodecTest, RefusesAnErrorThatComesWithSuccess) {
  for (const Sample& sample : Samples()) {
    ExpectMalformed(sample.decode(R"({"id": "err_1", "object": "error",
                                      "data": {"error": "No", "status": 400}})"),
                    "object: an error");
    ExpectMalformed(
        sample.decode(R"({"data": {"error": "No", "status": 400}, "object": "error"})"));
  }
}

}  // namespace
}  // namespace leasegateway
