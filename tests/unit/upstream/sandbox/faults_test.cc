#include "upstream/sandbox/faults.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <boost/asio/error.hpp>
#include <boost/json/array.hpp>
#include <boost/json/value.hpp>
#include <chrono>
#include <string>
#include <thread>
#include <vector>

#include "tests/support/sandbox_fixture.h"
#include "upstream/sandbox/inventory.h"

namespace leasegateway::sandbox {
namespace {

namespace json = boost::json;
namespace net = boost::asio;
using std::chrono::steady_clock;
using ::testing::StartsWith;

TEST_F(SandboxTest, FaultStatus) {
  Control("POST", "faults",
          R"([{"kind":"status","status":429,"message":"Slow down","retry_after":"7"},
              {"kind":"status","status":403,"envelope":false,"agreement_url":"https://x.example"},
              {"kind":"status","status":500,"body":"odd"}])");
  Client client(*sandbox_, kFirst);
  Result result = client.Call("GET", "/leases");
  EXPECT_EQ(result.status, 429);
  EXPECT_EQ(result.retry_after, "7");
  EXPECT_EQ(result.Data().at("error"), "Slow down");
  result = client.Call("GET", "/leases");
  EXPECT_EQ(result.status, 403);
  EXPECT_EQ(result.Json().at("message"), "Injected");
  EXPECT_EQ(result.Json().at("agreement_url"), "https://x.example");
  EXPECT_EQ(client.Call("GET", "/leases").body, "odd");
  EXPECT_EQ(client.Call("GET", "/leases").status, 200);  // over the same connection
}

TEST_F(SandboxTest, FaultRewrite) {
  Control("POST", "faults",
          R"([{"kind":"rewrite","find":")" + number_ + R"(","replace":"\\ud800 %e9% %C3%A9"},
              {"kind":"rewrite","find":"what is not there","replace":"x"}])");
  const std::string plain = Call("GET", "/" + number_).body;
  EXPECT_NE(plain.find("\"\\ud800 \xE9% \xC3\xA9\""), std::string::npos) << plain;
  EXPECT_NE(plain.find(number_), std::string::npos) << "only the first is rewritten";
  EXPECT_EQ(Call("GET", "/" + number_).Data().at("id"), json::value(number_));
  // The request takes effect.
  Control("POST", "faults",
          R"({"route":"POST /lease/{number}","kind":"rewrite","find":"lsd_","replace":"x"})");
  const int before = Booked("lease");
  EXPECT_EQ(Call("POST", "/lease/" + number_).status, 200);
  EXPECT_EQ(Booked("lease"), before + 1);
}

TEST_F(SandboxTest, FaultsStrikeBeforeOrAfter) {
  for (const std::string kind : {"close", "reset"}) {
    const std::string fault = "{\"route\":\"POST /lease/{number}\",\"kind\":\"" + kind + "\"";
    const int before = Booked("lease");
    Control("POST", "faults", fault + "}");
    EXPECT_EQ(Call("GET", "/leases").status, 200);  // another route
    EXPECT_TRUE(Call("POST", "/lease/" + number_).error);
    EXPECT_EQ(Booked("lease"), before);
    Control("POST", "faults", fault + R"(,"when":"after"})");
    const Result result = Call("POST", "/lease/" + number_);
    EXPECT_TRUE(result.error);
    EXPECT_EQ(result.error == net::error::connection_reset, kind == "reset")
        << result.error.message();
    EXPECT_EQ(Booked("lease"), before + 1);
    EXPECT_EQ(Call("DELETE", "/leased/" + number_).status, 200);
  }
}

TEST_F(SandboxTest, FaultDelayHoldsNobodyElseUp) {
  Control("POST", "faults", R"({"route":"GET /{number}","kind":"delay","delay_ms":600})");
  const auto start = steady_clock::now();
  Client slow(*sandbox_, kFirst);
  slow.Send("GET", "/" + number_);
  EXPECT_EQ(Call("GET", "/leases").status, 200);
  EXPECT_LT(steady_clock::now() - start, std::chrono::milliseconds(500));
  EXPECT_EQ(slow.Receive().status, 200);
  EXPECT_GE(steady_clock::now() - start, std::chrono::milliseconds(600));
}

TEST_F(SandboxTest, ARequestWhoseSenderLeftDuringADelayIsAppliedInItsTime) {
  Control("POST", "faults", R"([{"route":"POST /lease/{number}","kind":"delay","delay_ms":300}])");
  {
    Client client(*sandbox_, kFirst);
    client.Send("POST", "/lease/" + number_);
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
    client.Close();
  }
  EXPECT_EQ(Booked("lease"), 0);
  for (int i = 0; i < 400 && Booked("lease") == 0; ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  EXPECT_EQ(Booked("lease"), 1);
}

TEST_F(SandboxTest, FaultsOfOneNumberLeaveTheOthersAlone) {
  const std::string other = MakeInventory(1, 20)[1].e164;
  Control("POST", "faults",
          R"([{"kind":"status","count":3,"number":")" + number_ +
              R"("},{"kind":"status","status":503,"number":")" + other + R"("}])");
  EXPECT_EQ(Call("GET", "/leases").status, 200);
  EXPECT_EQ(Call("GET", "/" + other).status, 503);
  EXPECT_EQ(Call("GET", "/" + other).status, 200);
  EXPECT_EQ(Call("GET", "/" + number_).status, 500);
  const json::array left = Control("GET", "faults").at("faults").as_array();
  ASSERT_EQ(left.size(), 1U);
  EXPECT_EQ(left[0].at("number"), json::value(number_));
  Control("DELETE", "faults?number=" + other);
  EXPECT_EQ(Call("GET", "/" + number_).status, 500);
  Control("DELETE", "faults?number=%2B" + number_.substr(1));
  EXPECT_EQ(Call("GET", "/" + number_).status, 200);
}

TEST_F(SandboxTest, FaultsThatSpoilTheAnswer) {
  Control("POST", "faults",
          R"([{"kind":"truncate"},{"kind":"garbage"},{"kind":"html"},
              {"kind":"drip","delay_ms":0}])");
  const Result cut = Call("GET", "/leases");
  EXPECT_TRUE(cut.error);
  EXPECT_EQ(cut.status, 200);
  EXPECT_GT(cut.body.size(), 100U);
  const Result garbage = Call("GET", "/leases");
  EXPECT_EQ(garbage.status, 200);
  EXPECT_TRUE(garbage.Json().is_null());
  const Result html = Call("GET", "/leases");
  EXPECT_EQ(html.status, 502);
  EXPECT_THAT(html.content_type, StartsWith("text/html"));
  EXPECT_EQ(html.server, "lease-sandbox");
  const Result drip = Call("GET", "/" + number_);
  EXPECT_FALSE(drip.error);
  EXPECT_EQ(drip.Data().at("id"), json::value(number_));
  EXPECT_TRUE(Control("GET", "faults").at("faults").as_array().empty());
}

TEST_F(SandboxTest, FaultHtmlIsWhatAMiddlemanAnswers) {
  Control("POST", "faults",
          R"([{"kind":"html","status":403,"server":"squid/5.7","via":"1.1 proxy.corp",
               "retry_after":"7"},
              {"kind":"html","status":200,"content_type":"application/json","body":"{}"}])");
  Client client(*sandbox_, kFirst);
  const Result page = client.Call("GET", "/leases");
  EXPECT_EQ(page.status, 403);
  EXPECT_EQ(page.server, "squid/5.7");
  EXPECT_EQ(page.via, "1.1 proxy.corp");
  EXPECT_EQ(page.retry_after, "7");
  const Result json = client.Call("GET", "/leases");
  EXPECT_EQ(json.status, 200);
  EXPECT_EQ(json.content_type, "application/json");
  EXPECT_EQ(json.body, "{}");
  EXPECT_EQ(json.via, "");
}

TEST_F(SandboxTest, FaultDripTakesItsTime) {
  Control("POST", "faults", R"({"kind":"drip","delay_ms":2,"body":"{}"})");
  const auto start = steady_clock::now();
  EXPECT_EQ(Call("GET", "/leases").body, "{}");
  EXPECT_GT(steady_clock::now() - start, std::chrono::milliseconds(100));
}

TEST_F(SandboxTest, FaultHangEndsWithItsPeer) {
  Control("POST", "faults", R"({"kind":"hang","when":"after"})");
  {
    Client client(*sandbox_, kFirst);
    client.Send("POST", "/lease/" + number_);
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
    EXPECT_EQ(Control("GET", "requests").at("in_flight"), 1);
    EXPECT_EQ(Control("GET", "requests").at("open_connections"), 1);
  }
  std::this_thread::sleep_for(std::chrono::milliseconds(200));
  EXPECT_EQ(Control("GET", "requests").at("in_flight"), 0);
  EXPECT_EQ(Control("GET", "requests").at("open_connections"), 0);
  EXPECT_EQ(Booked("lease"), 1);
}

TEST_F(SandboxTest, FaultFractionsComeFromTheSeed) {
  std::vector<int> runs[2];
  for (auto& run : runs) {
    Control("POST", "reset");
    Control("POST", "faults", R"({"kind":"status","fraction":0.5})");
    Client client(*sandbox_, kFirst);
    for (int i = 0; i < 40; ++i) run.push_back(client.Call("GET", "/" + number_).status);
  }
  EXPECT_EQ(runs[0], runs[1]);
  const auto struck = std::count(runs[0].begin(), runs[0].end(), 500);
  EXPECT_GT(struck, 8);
  EXPECT_LT(struck, 32);
}

}  // namespace
}  // namespace leasegateway::sandbox
