#include "upstream/sandbox/control.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http.hpp>
#include <boost/json/parse.hpp>
#include <boost/json/value.hpp>
#include <chrono>
#include <string>
#include <thread>
#include <utility>

#include "tests/support/sandbox_fixture.h"

namespace leasegateway::sandbox {
namespace {

namespace beast = boost::beast;
namespace http = boost::beast::http;
namespace json = boost::json;
namespace net = boost::asio;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;
using tcp = net::ip::tcp;

TEST_F(SandboxTest, FaultsCanBeSeenAndCleared) {
  Control("POST", "faults", R"({"route":"GET /leases","kind":"status","count":3})");
  Call("GET", "/leases");
  const json::value left = Control("GET", "faults").at("faults").at(0);
  EXPECT_EQ(left.at("remaining"), 2);
  EXPECT_EQ(left.at("hits"), 1);
  Control("DELETE", "faults");
  EXPECT_EQ(Call("GET", "/leases").status, 200);
}

TEST_F(SandboxTest, BadControlRequestsNameFieldValueAndRule) {
  EXPECT_THAT(Refusal("faults", R"({"kind":"fire"})"),
              AllOf(HasSubstr("kind"), HasSubstr("fire"), HasSubstr("must be one of")));
  EXPECT_THAT(Refusal("faults", R"({"kind":"status","status":42})"),
              AllOf(HasSubstr("status"), HasSubstr("42"), HasSubstr("200 to 599")));
  EXPECT_THAT(Refusal("faults", R"({"kind":"status","route":"GET /x"})"), HasSubstr("GET /x"));
  EXPECT_THAT(Refusal("faults", R"({"kind":"status","count":0})"), HasSubstr("count: 0"));
  EXPECT_THAT(Refusal("faults", R"({"kind":"status","fraction":2})"), HasSubstr("0 to 1"));
  EXPECT_THAT(Refusal("faults", R"({"kind":"status","typo":1})"), HasSubstr("typo: 1"));
  EXPECT_THAT(Refusal("faults", R"({"kind":"status","when":"now"})"), HasSubstr("before or after"));
  EXPECT_THAT(Refusal("faults", R"({"kind":"status","retry_after":"1\r\nx: y"})"),
              HasSubstr("retry_after"));
  EXPECT_THAT(Refusal("faults", R"({"kind":"delay"})"), HasSubstr("delay_ms"));
  EXPECT_THAT(Refusal("faults", R"({"number":"12","kind":"close"})"),
              AllOf(HasSubstr("number"), HasSubstr("12"), HasSubstr("E.164")));
  const auto ledger = sandbox_->Control("GET", "/_sandbox/ledger?after=x", "");
  EXPECT_THAT(std::string(ledger.status().message()), AllOf(HasSubstr("after"), HasSubstr("x")));
  EXPECT_THAT(Refusal("faults", "{"), HasSubstr("JSON"));
  EXPECT_THAT(Refusal("faults", R"([{"kind":"hang"},{"kind":"x"}])"), HasSubstr("kind"));
  EXPECT_TRUE(Control("GET", "faults").at("faults").as_array().empty());  // all or none
  EXPECT_THAT(Refusal("accounts", R"({"contract":1})"), HasSubstr("contract: 1"));
  EXPECT_THAT(Refusal("accounts", R"({"key":"secret"})"),
              AllOf(HasSubstr("key"), Not(HasSubstr("secret"))));
  EXPECT_THAT(Refusal("numbers/12", "{}"), HasSubstr("E.164"));
  for (const std::string count : {"0", "-1", "100001", "1.5", "\"1\"", "null", "[1]"}) {
    EXPECT_THAT(Refusal("churn", R"({"count":)" + count + "}"),
                HasSubstr("count: " + count + " must be an integer from 1 to 100000"));
  }
  EXPECT_THAT(Refusal("churn", "{}"), HasSubstr("count: "));
  EXPECT_THAT(Refusal("churn", "5"), HasSubstr("body: 5 must be an object"));
  EXPECT_THAT(Refusal("churn", R"({"count":1,"typo":2})"), HasSubstr("typo: 2 is not a key"));
  EXPECT_EQ(sandbox_->Control("POST", "/_sandbox/numbers/+99999999999", "{}").status().code(),
            absl::StatusCode::kNotFound);
  EXPECT_EQ(sandbox_->Control("GET", "/_sandbox/x", "").status().code(),
            absl::StatusCode::kNotFound);
}

TEST_F(SandboxTest, CountsRequestsAndConnections) {
  {
    Client one(*sandbox_, kFirst);
    Client two(*sandbox_, kFirst);
    one.Call("GET", "/leases");
    one.Call("GET", "/" + number_);
    two.Call("GET", "/" + number_);
  }
  std::this_thread::sleep_for(std::chrono::milliseconds(100));
  const json::value counts = Control("GET", "requests");
  EXPECT_EQ(counts.at("total"), 3);
  EXPECT_EQ(counts.at("routes").at("GET /{number}"), 2);
  EXPECT_EQ(counts.at("routes").at("GET /leases"), 1);
  EXPECT_EQ(counts.at("connections"), 2);
  EXPECT_EQ(counts.at("max_open_connections"), 2);
  EXPECT_EQ(counts.at("open_connections"), 0);
}

TEST_F(SandboxTest, NotesFromWhenToWhenEachWriteIsUnderWay) {
  Control("POST", "faults",
          R"({"route":"POST /lease/{number}","kind":"delay","delay_ms":50,"when":"after"})");
  Call("GET", "/" + number_);
  Lease();
  Call("DELETE", "/leased/" + number_);
  const json::value all = Control("GET", "writes").at("writes");
  ASSERT_EQ(all.as_array().size(), 2U);
  const json::value& lease = all.at(0);
  const json::value& end = all.at(1);
  EXPECT_EQ(lease.at("seq"), 1);
  EXPECT_EQ(lease.at("route"), "POST /lease/{number}");
  EXPECT_EQ(end.at("route"), "DELETE /leased/{number}");
  EXPECT_EQ(lease.at("number").as_string(), number_);
  EXPECT_EQ(lease.at("port"), PortOf(sandbox_->url()));
  EXPECT_GE(lease.at("to_us").as_int64() - lease.at("from_us").as_int64(), 50'000);
  EXPECT_GE(end.at("from_us").as_int64(), lease.at("to_us").as_int64());
  const auto later = sandbox_->Control("GET", "/_sandbox/writes?after=1", "");
  ASSERT_TRUE(later.ok());
  EXPECT_EQ(json::parse(*later).at("writes").as_array().size(), 1U);
}

TEST_F(SandboxTest, ResetForgetsEverything) {
  Lease();
  Control("POST", "accounts", R"({"contract":true})");
  Control("POST", "numbers/" + number_, R"({"carrier":"Twilio"})");
  Control("POST", "faults", R"({"kind":"hang"})");
  Control("POST", "reset");
  EXPECT_EQ(Call("GET", "/leases").Data().at("available"), 20);
  EXPECT_NE(Call("GET", "/" + number_).Data().at("carrier"), "Twilio");
  EXPECT_EQ(Control("GET", "accounts").at("accounts").at(0).at("contract"), false);
  EXPECT_TRUE(Control("GET", "ledger").at("entries").as_array().empty());
  EXPECT_TRUE(Control("GET", "writes").at("writes").as_array().empty());
}

TEST_F(SandboxTest, ControlPortSpeaksPlainHttp) {
  net::io_context context;
  tcp::socket socket(context);
  socket.connect({net::ip::address_v4::loopback(), PortOf(sandbox_->control_url())});
  beast::flat_buffer buffer;
  const std::pair<std::string, int> expected[] = {
      {"GET /_sandbox/", 200},       {"GET /_sandbox/ledger", 200},
      {"GET /nothing", 404},         {"GET /_sandbox/churn", 405},
      {"POST /_sandbox/churn", 400}, {"DELETE /_sandbox/ledger", 405},
      {"POST /_sandbox/faults", 400}};
  for (const auto& [line, status] : expected) {
    net::write(socket, net::buffer(line + " HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n"));
    http::response<http::string_body> response;
    http::read(socket, buffer, response);
    EXPECT_EQ(response.result_int(), static_cast<unsigned>(status)) << line;
    EXPECT_FALSE(json::parse(response.body()).as_object().empty()) << line;
  }
}

}  // namespace
}  // namespace leasegateway::sandbox
