#include "upstream/sandbox/provider.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/json/array.hpp>
#include <boost/json/serialize.hpp>
#include <boost/json/value.hpp>
#include <chrono>
#include <cstdint>
#include <future>
#include <string>
#include <thread>
#include <vector>

#include "tests/support/sandbox_fixture.h"
#include "upstream/sandbox/inventory.h"

namespace leasegateway::sandbox {
namespace {

namespace json = boost::json;
using ::testing::ContainsRegex;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

constexpr char kTarget[] = "+13059278337";

TEST_F(SandboxTest, ListsTheInventoryInAnEnvelope) {
  const Result result = Call("GET", "/leases");
  EXPECT_EQ(result.status, 200);
  EXPECT_EQ(result.content_type, "application/json");
  const json::value reply = result.Json();
  EXPECT_TRUE(std::string(reply.at("id").as_string()).starts_with("req_"));
  EXPECT_EQ(reply.at("id").as_string().size(), 20U);
  EXPECT_EQ(reply.at("api_version"), "v2026.10.1");
  EXPECT_EQ(reply.at("object"), "response");
  EXPECT_GT(reply.at("timestamp").as_int64(), 1'000'000'000'000);
  EXPECT_EQ(reply.at("data").at("available"), 20);
  EXPECT_EQ(reply.at("data").at("numbers").as_array().size(), 20U);
  for (const json::value& number : reply.at("data").at("numbers").as_array()) {
    EXPECT_TRUE(IsE164(std::string(number.at("id").as_string())));
    EXPECT_NE(number.at("pricing").at("currency").as_string(), "");
  }
  EXPECT_THAT(result.body, Not(ContainsRegex("[0-9]E[+-]?[0-9]")));
}

TEST_F(SandboxTest, WantsAKey) {
  for (const std::string key : {"", "contiguity_sk_unknown", "other"}) {
    const Result result = Call("GET", "/leases", "", key);
    EXPECT_EQ(result.status, 401);
    EXPECT_EQ(result.Json().at("object"), "error");
    EXPECT_EQ(result.Data().at("status"), 401);
    EXPECT_THAT(std::string(result.Json().at("id").as_string()), StartsWith("err_"));
  }
  Client client(*sandbox_, kFirst);
  EXPECT_EQ(client.Call("GET", "/leases", "", "Token").status, 200);
  EXPECT_EQ(client.Call("GET", "/leases", "", "Basic").status, 401);
}

TEST_F(SandboxTest, LeasesTerminatesAndKeepsABook) {
  EXPECT_EQ(Call("GET", "/leased").status, 404);
  const std::string encoded = "%2B" + number_.substr(1);
  const Result leased = Call("POST", "/lease/" + encoded, R"({"billing_method":"monthly"})");
  ASSERT_EQ(leased.status, 200) << leased.body;
  EXPECT_EQ(leased.Data().at("status"), "active");
  EXPECT_EQ(leased.Data().at("number"), json::value(number_));
  EXPECT_EQ(leased.Data().at("billing").at("method"), "monthly");
  EXPECT_TRUE(leased.Data().at("billing").at("period").at("end").is_null());
  const std::string id(leased.Data().at("lease_id").as_string());
  EXPECT_THAT(id, StartsWith("lsd_"));

  EXPECT_EQ(Call("POST", "/lease/" + number_).status, 400);
  EXPECT_EQ(Call("GET", "/leases").Data().at("available"), 19);
  const json::value list = Call("GET", "/leased").Data();
  EXPECT_EQ(list.at("leased"), 1);
  EXPECT_EQ(list.at("numbers").at(0).at("lease_id"), json::value(id));
  const json::value number = Call("GET", "/" + encoded).Data();
  EXPECT_EQ(number.at("status"), "leased");
  EXPECT_EQ(number.at("lease_status"), "active");
  const Result retired = Call("GET", "/leased/" + number_);
  EXPECT_EQ(retired.Json().at("object"), "leased_number_details");
  EXPECT_EQ(retired.Data().at("lease_id"), json::value(id));

  const json::value ended = Call("DELETE", "/leased/" + number_).Data();
  EXPECT_EQ(ended.at("status"), "terminated");
  EXPECT_EQ(ended.at("number_id"), json::value(number_));
  EXPECT_EQ(Call("DELETE", "/leased/" + number_).status, 400);
  EXPECT_EQ(Call("GET", "/leased/" + number_).status, 404);
  EXPECT_EQ(Call("GET", "/leases").Data().at("available"), 20);

  const json::value ledger = Control("GET", "ledger");
  ASSERT_EQ(ledger.at("entries").as_array().size(), 3U);
  const json::value charge = ledger.at("entries").at(1);
  EXPECT_EQ(charge.at("seq"), 2);
  EXPECT_EQ(charge.at("kind"), "charge");
  EXPECT_EQ(charge.at("account"), "account-1");
  EXPECT_EQ(charge.at("lease_id"), json::value(id));
  const InventoryNumber plain = MakeInventory(1, 1)[0];
  const int cents = plain.upfront_cents + plain.monthly_cents;
  char amount[32];
  std::snprintf(amount, sizeof amount, "%d.%02d", cents / 100, cents % 100);
  EXPECT_EQ(charge.at("amount"), json::value(amount));
  EXPECT_EQ(ledger.at("entries").at(2).at("kind"), "terminate");
}

TEST_F(SandboxTest, KeepsAccountsApart) {
  Lease(kSecond);
  EXPECT_EQ(Call("DELETE", "/leased/" + number_).status, 400);
  EXPECT_EQ(Call("POST", "/" + number_ + "/configure", R"({"failover":{"enabled":true}})").status,
            400);
  EXPECT_EQ(Call("GET", "/lease/" + number_ + "/call_forwarding").status, 400);
  EXPECT_EQ(Call("GET", "/leased").status, 404);
  const json::value seen = Call("GET", "/" + number_).Data();
  EXPECT_EQ(seen.at("status"), "leased");
  EXPECT_FALSE(seen.as_object().contains("lease_id"));
  EXPECT_EQ(Call("DELETE", "/leased/" + number_, "", kSecond).status, 200);
}

TEST_F(SandboxTest, RefusesWhatMakesNoSense) {
  EXPECT_EQ(Call("GET", "/12345").status, 400);
  EXPECT_EQ(Call("GET", "/+999999999999999").status, 404);
  EXPECT_EQ(Call("GET", "/a/b/c/d").status, 404);
  EXPECT_EQ(Call("PUT", "/leases").status, 405);
  EXPECT_EQ(Call("POST", "/lease/" + number_, "{").status, 400);
  EXPECT_EQ(Call("POST", "/lease/" + number_, "[]").status, 400);
  EXPECT_EQ(Call("POST", "/lease/" + number_, R"({"billing_method":"barter"})").status, 400);
  EXPECT_EQ(Call("POST", "/lease/" + number_, std::string((1 << 20) + 1, ' ')).status, 413);
  EXPECT_EQ(Booked("lease"), 0);
  EXPECT_EQ(Call("POST", "/lease/" + number_, std::string(1 << 20, ' ')).status, 200);
}

TEST_F(SandboxTest, BillsAContractOnlyToWhoHasOne) {
  const std::string body = R"({"billing_method":"service_contract"})";
  EXPECT_EQ(Call("POST", "/lease/" + number_, body).status, 400);
  Control("POST", "accounts", R"({"contract":true})");
  EXPECT_EQ(Call("POST", "/lease/" + number_, body).status, 200);
  EXPECT_EQ(Booked("lease"), 1);
  EXPECT_EQ(Booked("charge"), 0);
}

TEST_F(SandboxTest, WantsAnAgreementFirst) {
  Control("POST", "accounts", R"({"agreement_url":"https://example.com/a"})");
  const Result refused = Call("POST", "/lease/" + number_);
  EXPECT_EQ(refused.status, 403);
  EXPECT_EQ(refused.Data().at("agreement_url"), "https://example.com/a");
  EXPECT_EQ(Call("POST", "/lease/" + number_, "", kSecond).status, 200);
  EXPECT_EQ(Call("DELETE", "/leased/" + number_, "", kSecond).status, 200);
  Control("POST", "accounts", R"({"agreement_accepted":true})");
  EXPECT_EQ(Call("POST", "/lease/" + number_).status, 200);
}

TEST_F(SandboxTest, AddsAccountsAndHidesWhatTheyMayNotLease) {
  const json::value all =
      Control("POST", "accounts", R"({"key":"contiguity_sk_third","entitlements":[]})");
  EXPECT_EQ(all.at("accounts").as_array().size(), 3U);
  EXPECT_EQ(json::serialize(all).find("contiguity_sk_"), std::string::npos);
  std::int64_t free = 0;
  for (const InventoryNumber& number : MakeInventory(1, 20)) free += number.requirements == 0;
  ASSERT_LT(free, 20);
  EXPECT_EQ(Call("GET", "/leases", "", "contiguity_sk_third").Data().at("available"), free);
  EXPECT_EQ(Call("GET", "/leases").Data().at("available"), 20);
}

TEST_F(SandboxTest, ConfiguresFailover) {
  const std::string path = "/" + number_ + "/configure";
  EXPECT_EQ(Call("POST", path, R"({"failover":{"enabled":true}})").status, 400);
  Lease();
  for (const char* body :
       {"", "[]", R"({"failover":1})", R"({"failover":{}})", R"({"failover":{"enabled":1}})",
        R"({"failover":{"enabled":true,"mode":"some"}})",
        R"({"failover":{"enabled":true,"mode":"selective"}})",
        R"({"failover":{"enabled":true,"mode":"selective","numbers":["x"]}})",
        R"({"failover":{"enabled":true,"mode":"all","numbers":["+13059278337"]}})"}) {
    EXPECT_EQ(Call("POST", path, body).status, 400) << body;
  }
  EXPECT_EQ(Booked("failover"), 0);
  const json::value data = Call("POST", path,
                                R"({"failover":{"enabled":true,"mode":"selective",)"
                                R"("numbers":["+13059278337"]}})")
                               .Data();
  EXPECT_EQ(data.at("number"), json::value(number_));
  EXPECT_EQ(data.at("failover").at("mode"), "selective");
  EXPECT_EQ(data.at("failover").at("numbers").at(0), kTarget);
  EXPECT_EQ(Booked("failover"), 1);
}

TEST_F(SandboxTest, ForwardsCallsAfterAWhile) {
  const std::string path = "/lease/" + number_ + "/call_forwarding";
  EXPECT_EQ(Call("GET", path).status, 400);
  Lease();
  json::value state = Call("GET", path).Data().at("call_forwarding");
  EXPECT_EQ(state.at("enabled"), false);
  EXPECT_EQ(state.at("status"), "active");
  EXPECT_TRUE(state.at("to").is_null());
  for (const std::string body : {"", "{}", R"({"to":"x"})"}) {
    EXPECT_EQ(Call("POST", path + "/enable", body).status, 400) << body;
  }
  EXPECT_EQ(Call("POST", path + "/enable", "{\"to\":\"" + number_ + "\"}").status, 400);
  state = Call("POST", path + "/enable", R"({"to":"+13059278337"})").Data().at("call_forwarding");
  EXPECT_EQ(state.at("status"), "queued");
  EXPECT_EQ(state.at("to"), kTarget);
  EXPECT_TRUE(state.at("estimated_completion").is_int64());
  std::this_thread::sleep_for(std::chrono::milliseconds(2100));
  state = Call("GET", path).Data().at("call_forwarding");
  EXPECT_EQ(state.at("status"), "active");
  EXPECT_TRUE(state.at("estimated_completion").is_null());
  state = Call("POST", path + "/disable").Data().at("call_forwarding");
  EXPECT_EQ(state.at("enabled"), false);
  EXPECT_EQ(state.at("status"), "queued");
  EXPECT_EQ(Booked("forwarding"), 2);
}

TEST_F(SandboxTest, TheLedgerGoesOnAfterWhatIsKnown) {
  Call("POST", "/lease/" + number_);
  Call("DELETE", "/leased/" + number_);
  const json::array all = Control("GET", "ledger").at("entries").as_array();
  ASSERT_EQ(all.size(), 3U);
  EXPECT_EQ(Control("GET", "ledger?after=2").at("entries").as_array(), json::array{all[2]});
  EXPECT_EQ(Control("GET", "ledger?after=99").at("entries").as_array(), json::array());
}

TEST_F(SandboxTest, TheListShowsEveryChangeAtOnce) {
  const auto listed = [this](const char* key) { return Call("GET", "/leases", "", key); };
  const Result before = listed(kFirst);
  const Result again = listed(kFirst);
  EXPECT_EQ(before.Data(), again.Data());
  EXPECT_NE(before.Json().at("id"), again.Json().at("id"));
  Lease(kSecond);
  EXPECT_THAT(listed(kFirst).body, Not(HasSubstr(number_)));
  EXPECT_EQ(Call("DELETE", "/leased/" + number_, "", kSecond).status, 200);
  EXPECT_EQ(listed(kFirst).Data(), before.Data());
  Control("POST", "numbers/" + number_, R"({"carrier":"Twilio"})");
  EXPECT_THAT(listed(kFirst).body, HasSubstr("Twilio"));
  Control("POST", "accounts", std::string(R"({"key":")") + kSecond + R"(","entitlements":[]})");
  EXPECT_LT(listed(kSecond).Data().at("available").as_int64(), 20);
  EXPECT_EQ(listed(kFirst).Data().at("available"), 20);
  Control("POST", "accounts", std::string(R"({"key":")") + kSecond + R"(","entitlements":null})");
  EXPECT_EQ(listed(kSecond).Data(), listed(kFirst).Data());
  Control("POST", "reset");
  EXPECT_EQ(listed(kFirst).Data(), before.Data());
}

TEST_F(SandboxTest, OnlyOneOfManyBuysANumber) {
  std::vector<std::future<int>> calls;
  for (int i = 0; i < 8; ++i) {
    calls.push_back(std::async(std::launch::async, [this, i] {
      return Call("POST", "/lease/" + number_, "", i % 2 == 0 ? kFirst : kSecond).status;
    }));
  }
  int bought = 0;
  for (auto& call : calls) bought += call.get() == 200;
  EXPECT_EQ(bought, 1);
  EXPECT_EQ(Booked("charge"), 1);
}

}  // namespace
}  // namespace leasegateway::sandbox
