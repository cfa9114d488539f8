#ifndef LEASE_GATEWAY_TESTS_SUPPORT_PROVIDER_REPLIES_H_
#define LEASE_GATEWAY_TESTS_SUPPORT_PROVIDER_REPLIES_H_

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <initializer_list>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "upstream/provider/json_codec.h"
#include "upstream/upstream_error.h"

namespace leasegateway {

// A good reply of the provider for each operation, and what is expected of others.

// A leased number as the provider gives it today. `{` and `}` are left off, for more fields.
inline constexpr std::string_view kNumberFields = R"(
  "id": "+13059478667", "status": "leased",
  "number": {"e164": "+13059478667", "formatted": "+1 (305) 947-8667"},
  "location": {"country": "US", "region": "FL", "city": "Miami"},
  "carrier": "T-Mobile",
  "capabilities": {"intl_sms": true, "channels": ["sms", "mms", "imessage"]},
  "health": {"reputation": 0.9, "previous_owners": 1},
  "data": {"requirements": ["imessage_entitlement_required"], "e911_capable": true},
  "created_at": 1718851200,
  "pricing": {"currency": "USD", "upfront_fee": 2.99, "monthly_rate": 19.99})";
inline constexpr std::string_view kLeaseFields = R"(
  "lease_id": "lsd_1234567890", "lease_status": "active",
  "billing": {"method": "monthly", "period": {"start": 1718851200, "end": null}})";

inline std::string Concat(std::initializer_list<std::string_view> parts) {
  std::string result;
  for (const std::string_view part : parts) result += part;
  return result;
}

inline std::string Envelope(std::string_view data) {
  return Concat({R"({"id": "req_4f1c", "timestamp": 1785698220563, "api_version": "v2026.10.1",
                     "object": "response", "data": )",
                 data, "}"});
}

inline std::string NumberBody() { return Envelope(Concat({"{", kNumberFields, "}"})); }
inline std::string LeasedNumberBody() {
  return Envelope(Concat({"{", kNumberFields, ",", kLeaseFields, "}"}));
}
inline std::string AvailableBody() {
  return Envelope(Concat({R"({"available": 1, "numbers": [{)", kNumberFields, "}]}"}));
}
inline std::string LeasesBody() {
  return Envelope(
      Concat({R"({"leased": 1, "numbers": [{)", kNumberFields, ",", kLeaseFields, "}]}"}));
}
inline std::string NewLeaseBody() {
  return Envelope(R"({"lease_id": "lsd_1", "number": "+13059478667", "status": "active",
    "billing": {"method": "service_contract",
                "price": {"currency": "EUR", "monthly_rate": 19.99, "upfront_fee": 2.99},
                "period": {"start": 1718851200, "end": 1721443200}}})");
}
inline std::string TerminationBody() {
  return Envelope(R"({"lease_id": "lsd_1", "number_id": "+13059478667", "status": "terminated",
                      "terminated_at": 1718851200})");
}
inline std::string FailoverBody() {
  return Envelope(R"({"number": "+13059478667", "failover":
    {"enabled": true, "mode": "selective", "numbers": ["+13059278337", "+13059278338"]}})");
}
inline std::string ForwardingBody() {
  return Envelope(R"({"number": "+13059478667", "call_forwarding": {"enabled": true,
    "to": "+13059278337", "status": "queued", "estimated_completion": 1790000000000}})");
}

// A number of which only `fields` and the id are given.
inline std::string NumberWith(std::string_view fields) {
  return Envelope(Concat({R"({"id": "+13059478667", )", fields, "}"}));
}

struct Sample {
  std::string name;
  std::string body;
  std::function<absl::Status(std::string_view)> decode;
};

inline std::vector<Sample> Samples() {
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

inline void ExpectMalformed(const absl::Status& status, const std::string& message_part = "") {
  EXPECT_EQ(status.code(), absl::StatusCode::kInternal) << status;
  EXPECT_EQ(ReasonOf(status), reason::kUpstreamMalformed) << status;
  EXPECT_THAT(std::string(status.message()), ::testing::HasSubstr(message_part));
}

inline v1::Number DecodedNumber(const std::string& body) {
  const absl::StatusOr<Reply<v1::Number>> reply = DecodeNumber(body);
  EXPECT_TRUE(reply.ok()) << reply.status() << "\n" << body;
  return reply.ok() ? reply->value : v1::Number();
}

// A number that is read without what `fields` has: one thing of `kind`, named so.
inline v1::Number NumberWithout(const std::string& fields, Tolerated::Kind kind,
                                const std::string& problem) {
  const absl::StatusOr<Reply<v1::Number>> reply = DecodeNumber(NumberWith(fields));
  EXPECT_TRUE(reply.ok()) << reply.status() << "\n" << fields;
  if (!reply.ok()) return {};
  EXPECT_EQ(reply->tolerated.of(kind), 1) << fields;
  EXPECT_THAT(reply->tolerated.first_of(kind), ::testing::HasSubstr(problem)) << fields;
  for (const auto other : {Tolerated::Kind::kItem, Tolerated::Kind::kAmount,
                           Tolerated::Kind::kField, Tolerated::Kind::kRounded}) {
    if (other == kind) continue;
    EXPECT_EQ(reply->tolerated.of(other), 0) << fields;
  }
  EXPECT_EQ(reply->value.phone_number(), "+13059478667");
  return reply->value;
}

}  // namespace leasegateway

#endif  // LEASE_GATEWAY_TESTS_SUPPORT_PROVIDER_REPLIES_H_
