#include "upstream/sandbox/numbers.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/json/object.hpp>
#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <boost/json/value.hpp>
#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "tests/support/sandbox_fixture.h"
#include "upstream/sandbox/inventory.h"

namespace leasegateway::sandbox {
namespace {

namespace json = boost::json;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

TEST_F(SandboxTest, PatchedNumbersMakeOddReplies) {
  Control(
      "POST", "numbers/" + number_,
      R"({"carrier":"Twilio","capabilities":["sms"],"health":null,"pricing":{"monthly_rate":1.5},
              "extra":{"a":1}})");
  const Result result = Call("GET", "/" + number_);
  const json::object data = result.Data().as_object();
  EXPECT_EQ(data.at("carrier"), "Twilio");
  EXPECT_EQ(data.at("capabilities").at(0), "sms");
  EXPECT_FALSE(data.contains("health"));
  EXPECT_EQ(data.at("extra").at("a"), 1);
  EXPECT_THAT(result.body, HasSubstr("\"monthly_rate\":1.5"));
  Control("POST", "numbers/" + number_, R"({"status":"unavailable"})");
  EXPECT_EQ(Call("POST", "/lease/" + number_).status, 400);
  EXPECT_EQ(Call("GET", "/leases").Data().at("available"), 19);
  EXPECT_FALSE(Call("GET", "/" + number_).Data().as_object().contains("health"));
}

TEST_F(SandboxTest, APatchedStatusHidesANumberAndBringsItBack) {
  const auto listed = [this] { return Call("GET", "/leases").body; };
  ASSERT_THAT(listed(), HasSubstr(number_));
  for (const std::string status : {"unavailable", "leased"}) {
    Control("POST", "numbers/" + number_, R"({"status":")" + status + "\"}");
    EXPECT_THAT(listed(), AllOf(Not(HasSubstr(number_)), HasSubstr(R"("available":19)")));
    EXPECT_EQ(Call("GET", "/" + number_).Data().at("status"), json::value(status));
    Control("POST", "numbers/" + number_, R"({"status":"available"})");
    EXPECT_THAT(listed(), AllOf(HasSubstr(number_), HasSubstr(R"("available":20)")));
    EXPECT_EQ(Call("GET", "/" + number_).Data().at("status"), "available");
  }
  EXPECT_EQ(Call("POST", "/lease/" + number_).status, 200);
}

// What GET /leases says of each number.
std::map<std::string, json::value> ByNumber(const Result& list) {
  std::map<std::string, json::value> numbers;
  if (list.status == 404) return numbers;
  const json::value data = list.Data();
  for (const json::value& number : data.at("numbers").as_array()) {
    numbers.emplace(number.at("id").as_string(), number);
  }
  return numbers;
}

// How many are in `a` but not in `b`, and in both but different.
std::pair<std::int64_t, std::int64_t> Difference(const std::map<std::string, json::value>& a,
                                                 const std::map<std::string, json::value>& b) {
  std::pair<std::int64_t, std::int64_t> result;
  for (const auto& [number, value] : a) {
    const auto found = b.find(number);
    result.first += found == b.end();
    result.second += found != b.end() && found->second != value;
  }
  return result;
}

TEST(SandboxChurnTest, ChangesAsManyNumbersAsItSays) {
  SandboxOptions options;
  options.numbers = 600;
  options.keys = {kFirst};
  std::vector<std::string> runs[2];
  for (std::vector<std::string>& run : runs) {
    const auto sandbox = Sandbox::Start(options);
    ASSERT_TRUE(sandbox.ok()) << sandbox.status();
    Client client(**sandbox, kFirst);
    const std::vector<InventoryNumber> inventory = MakeInventory(1, 600);
    for (int i = 0; i < 50; ++i) {
      EXPECT_EQ(client.Call("POST", "/lease/" + inventory[static_cast<size_t>(i)].e164).status,
                200);
    }
    auto before = ByNumber(client.Call("GET", "/leases"));
    ASSERT_EQ(before.size(), 550U);
    for (int round = 0; round < 3; ++round) {
      const auto reply = (*sandbox)->Control("POST", "/_sandbox/churn", R"({"count":150})");
      ASSERT_TRUE(reply.ok()) << reply.status();
      const json::value done = json::parse(*reply);
      const std::int64_t gone = done.at("became_unavailable").as_int64();
      const std::int64_t back = done.at("came_back").as_int64();
      const std::int64_t prices = done.at("changed_price").as_int64();
      const std::int64_t reputations = done.at("changed_reputation").as_int64();
      EXPECT_EQ(gone + back + prices + reputations, 150);
      for (const std::int64_t third : {gone, prices + reputations}) {
        EXPECT_NEAR(static_cast<double>(third), round == 0 ? 75 : 50, 25);
      }
      EXPECT_NEAR(static_cast<double>(back), round == 0 ? 0 : 50, round == 0 ? 0 : 25);
      EXPECT_GT(prices, 0);
      EXPECT_GT(reputations, 0);
      const Result list = client.Call("GET", "/leases");
      const auto after = ByNumber(list);
      EXPECT_EQ(Difference(before, after), std::pair(gone, prices + reputations));
      EXPECT_EQ(Difference(after, before), std::pair(back, prices + reputations));
      EXPECT_EQ(list.Data().at("available"), static_cast<std::int64_t>(after.size()));
      for (const auto& [number, value] : before) {
        if (after.contains(number)) continue;
        EXPECT_EQ(client.Call("GET", "/" + number).Data().at("status"), "unavailable");
        EXPECT_EQ(client.Call("POST", "/lease/" + number).status, 400);
        break;
      }
      before = after;
      run.push_back(json::serialize(list.Data()));
    }
    EXPECT_EQ(ByNumber(client.Call("GET", "/leased")).size(), 50U);
  }
  EXPECT_EQ(runs[0], runs[1]);  // the seed decides
}

TEST_F(SandboxTest, ChurnGoesAsFarAsThereAreNumbers) {
  const json::value before = Call("GET", "/leases").Data();
  Control("POST", "numbers/" + number_, R"({"carrier":"Twilio"})");
  const json::value done = Control("POST", "churn", R"({"count":100000})");
  std::int64_t sum = 0;
  for (const auto& kind : done.as_object()) sum += kind.value().as_int64();
  EXPECT_EQ(sum, 19);
  EXPECT_THAT(json::serialize(Control("GET", "")), HasSubstr("\"POST /_sandbox/churn\""));
  EXPECT_EQ(Call("GET", "/leases").Data().at("available"),
            20 - done.at("became_unavailable").as_int64());
  EXPECT_THAT(Call("GET", "/leases").body, HasSubstr("Twilio"));
  Control("POST", "reset");
  EXPECT_EQ(Call("GET", "/leases").Data(), before);
}

TEST_F(SandboxTest, APatchBringsBackWhatChurnHid) {
  std::string hidden;
  for (const InventoryNumber& number : MakeInventory(1, 20)) {
    while (hidden.empty()) {
      Control("POST", "churn", R"({"count":1})");
      if (Call("GET", "/" + number.e164).Data().at("status") == "unavailable") hidden = number.e164;
    }
  }
  Control("POST", "numbers/" + hidden, R"({"carrier":"Twilio"})");
  EXPECT_THAT(Call("GET", "/leases").body, Not(HasSubstr(hidden)));
  Control("POST", "numbers/" + hidden, R"({"status":"available"})");
  EXPECT_THAT(Call("GET", "/leases").body, HasSubstr(hidden));
  EXPECT_EQ(Call("POST", "/lease/" + hidden).status, 200);
}

}  // namespace
}  // namespace leasegateway::sandbox
