#include "upstream/sandbox/sandbox.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <openssl/ssl.h>
#include <openssl/x509_vfy.h>

#include <algorithm>
#include <boost/asio/connect.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ssl/context.hpp>
#include <boost/asio/ssl/host_name_verification.hpp>
#include <boost/asio/ssl/stream.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http.hpp>
#include <boost/beast/ssl/ssl_stream.hpp>
#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <future>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "upstream/sandbox/inventory.h"

namespace leasegateway::sandbox {
namespace {

namespace beast = boost::beast;
namespace http = beast::http;
namespace json = boost::json;
namespace net = boost::asio;
using std::chrono::steady_clock;
using ::testing::AllOf;
using ::testing::ContainsRegex;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;
using tcp = net::ip::tcp;

constexpr char kFirst[] = "contiguity_sk_first";
constexpr char kSecond[] = "contiguity_sk_second";
constexpr char kTarget[] = "+13059278337";

std::uint16_t PortOf(const std::string& url) {
  const std::size_t host = url.find("://") + 3;
  return static_cast<std::uint16_t>(std::atoi(url.c_str() + url.find(':', host) + 1));
}

struct Result {
  boost::system::error_code error;  // of the exchange
  int status = 0;
  std::string body;
  std::string retry_after;
  std::string content_type;

  json::value Json() const {
    boost::system::error_code ignored;
    return json::parse(body, ignored);
  }
  json::value Data() const { return Json().at("data"); }
};

// A plain synchronous client with one connection.
class Client {
 public:
  Client(const Sandbox& sandbox, std::string key) : key_(std::move(key)) {
    tls_.add_certificate_authority(net::buffer(sandbox.ca_certificate()), error_);
    stream_.set_verify_mode(net::ssl::verify_peer);
    stream_.set_verify_callback(net::ssl::host_name_verification("localhost"));
    stream_.next_layer().connect({net::ip::address_v4::loopback(), PortOf(sandbox.url())}, error_);
    // A broken sandbox fails a test instead of hanging it.
    timeval timeout{10, 0};
    setsockopt(stream_.next_layer().native_handle(), SOL_SOCKET, SO_RCVTIMEO, &timeout,
               sizeof timeout);
    if (!error_) stream_.handshake(net::ssl::stream_base::client, error_);
  }

  const boost::system::error_code& error() const { return error_; }
  long verify_result() { return SSL_get_verify_result(stream_.native_handle()); }
  void Close() { stream_.next_layer().close(error_); }

  void Send(const std::string& method, const std::string& target, const std::string& body = "",
            const std::string& scheme = "Bearer") {
    http::request<http::string_body> request;
    request.version(11);
    request.method_string(method);
    request.target("/numbers" + target);
    request.set(http::field::host, "localhost");
    if (!key_.empty()) request.set(http::field::authorization, scheme + " " + key_);
    request.body() = body;
    request.prepare_payload();
    http::write(stream_, request, error_);
  }

  Result Receive() {
    Result result;
    http::response_parser<http::string_body> parser;
    parser.body_limit(1 << 26);
    http::read(stream_, buffer_, parser, result.error);
    const auto& response = parser.get();
    if (parser.is_header_done()) result.status = static_cast<int>(response.result_int());
    result.body = response.body();
    result.retry_after = std::string(response[http::field::retry_after]);
    result.content_type = std::string(response[http::field::content_type]);
    return result;
  }

  Result Call(const std::string& method, const std::string& target, const std::string& body = "",
              const std::string& scheme = "Bearer") {
    Send(method, target, body, scheme);
    return Receive();
  }

 private:
  std::string key_;
  boost::system::error_code error_;
  net::io_context context_;
  net::ssl::context tls_{net::ssl::context::tls_client};
  net::ssl::stream<tcp::socket> stream_{context_, tls_};
  beast::flat_buffer buffer_;
};

class SandboxTest : public ::testing::Test {
 protected:
  void SetUp() override {
    SandboxOptions options;
    options.numbers = 20;
    options.keys = {kFirst, kSecond};
    auto sandbox = Sandbox::Start(options);
    ASSERT_TRUE(sandbox.ok()) << sandbox.status();
    sandbox_ = *std::move(sandbox);
    number_ = MakeInventory(1, 20)[0].e164;
  }

  // Over a connection of its own.
  Result Call(const std::string& method, const std::string& target, const std::string& body = "",
              const std::string& key = kFirst) {
    Client client(*sandbox_, key);
    EXPECT_FALSE(client.error()) << client.error().message();
    return client.Call(method, target, body);
  }
  json::value Control(const std::string& method, const std::string& path,
                      const std::string& body = "") {
    const auto reply = sandbox_->Control(method, "/_sandbox/" + path, body);
    EXPECT_TRUE(reply.ok()) << reply.status();
    return reply.ok() ? json::parse(*reply) : json::value();
  }
  std::string Refusal(const std::string& path, const std::string& body) {
    const auto reply = sandbox_->Control("POST", "/_sandbox/" + path, body);
    EXPECT_EQ(reply.status().code(), absl::StatusCode::kInvalidArgument) << body;
    return std::string(reply.status().message());
  }
  std::string Lease(const std::string& key = kFirst) {
    const Result result = Call("POST", "/lease/" + number_, "", key);
    EXPECT_EQ(result.status, 200) << result.body;
    return std::string(result.Data().at("lease_id").as_string());
  }
  int Booked(const std::string& kind) {
    const json::value ledger = Control("GET", "ledger");
    int count = 0;
    for (const json::value& entry : ledger.at("entries").as_array()) {
      count += entry.at("kind") == json::value(kind);
    }
    return count;
  }

  std::unique_ptr<Sandbox> sandbox_;
  std::string number_;
};

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

TEST_F(SandboxTest, TheLedgerGoesOnAfterWhatIsKnown) {
  Call("POST", "/lease/" + number_);
  Call("DELETE", "/leased/" + number_);
  const json::array all = Control("GET", "ledger").at("entries").as_array();
  ASSERT_EQ(all.size(), 3U);
  EXPECT_EQ(Control("GET", "ledger?after=2").at("entries").as_array(), json::array{all[2]});
  EXPECT_EQ(Control("GET", "ledger?after=99").at("entries").as_array(), json::array());
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
  const Result drip = Call("GET", "/" + number_);
  EXPECT_FALSE(drip.error);
  EXPECT_EQ(drip.Data().at("id"), json::value(number_));
  EXPECT_TRUE(Control("GET", "faults").at("faults").as_array().empty());
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

TEST_F(SandboxTest, StopsPromptlyWithConnectionsOpen) {
  Control("POST", "faults", R"([{"kind":"hang"},{"kind":"delay","delay_ms":60000}])");
  Client hanging(*sandbox_, kFirst);
  hanging.Send("GET", "/leases");
  Client delayed(*sandbox_, kFirst);
  delayed.Send("GET", "/leases");
  Client idle(*sandbox_, kFirst);
  std::this_thread::sleep_for(std::chrono::milliseconds(100));
  const auto start = steady_clock::now();
  sandbox_.reset();
  EXPECT_LT(steady_clock::now() - start, std::chrono::seconds(1));
  EXPECT_TRUE(hanging.Receive().error);
  EXPECT_TRUE(idle.Receive().error);
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

TEST(SandboxStartTest, EmptyInventoryIsNotFound) {
  SandboxOptions options;
  options.numbers = 0;
  auto sandbox = Sandbox::Start(options);
  ASSERT_TRUE(sandbox.ok());
  Client client(**sandbox, (*sandbox)->key());
  const Result result = client.Call("GET", "/leases");
  EXPECT_EQ(result.status, 404);
  EXPECT_EQ(result.Json().at("object"), "error");
}

TEST(SandboxStartTest, TheSeedMakesTheInventoryAndTheKey) {
  std::string lists[3];
  std::string keys[3];
  for (int i = 0; i < 3; ++i) {
    SandboxOptions options;
    options.seed = i == 2 ? 8 : 7;
    options.numbers = 5;
    auto sandbox = Sandbox::Start(options);
    ASSERT_TRUE(sandbox.ok());
    keys[i] = (*sandbox)->key();
    Client client(**sandbox, keys[i]);
    lists[i] = json::serialize(client.Call("GET", "/leases").Data());
  }
  EXPECT_EQ(lists[0], lists[1]);
  EXPECT_NE(lists[0], lists[2]);
  EXPECT_EQ(keys[0], keys[1]);
  EXPECT_NE(keys[0], keys[2]);
}

TEST(SandboxStartTest, SaysWhichPortIsTaken) {
  auto first = Sandbox::Start({});
  ASSERT_TRUE(first.ok());
  SandboxOptions options;
  options.port = PortOf((*first)->url());
  const auto second = Sandbox::Start(options);
  EXPECT_EQ(second.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(second.status().message()), HasSubstr(std::to_string(options.port)));
  options.port = 0;
  options.control_port = PortOf((*first)->control_url());
  EXPECT_EQ(Sandbox::Start(options).status().code(), absl::StatusCode::kFailedPrecondition);
}

TEST(SandboxStartTest, RefusesBadOptions) {
  SandboxOptions options;
  options.address = "no address";
  EXPECT_EQ(Sandbox::Start(options).status().code(), absl::StatusCode::kFailedPrecondition);
  options = {};
  options.keys = {"secret"};
  const auto refused = Sandbox::Start(options);
  EXPECT_EQ(refused.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(refused.status().message()), Not(HasSubstr("secret")));
  options = {};
  options.numbers = -1;
  EXPECT_EQ(Sandbox::Start(options).status().code(), absl::StatusCode::kInvalidArgument);
}

TEST(SandboxStartTest, AnExpiredCertificateIsTheOnlyThingWrong) {
  SandboxOptions options;
  options.certificate_days = 0;
  auto sandbox = Sandbox::Start(options);
  ASSERT_TRUE(sandbox.ok());
  Client client(**sandbox, (*sandbox)->key());
  EXPECT_TRUE(client.error());
  EXPECT_EQ(client.verify_result(), X509_V_ERR_CERT_HAS_EXPIRED);
}

}  // namespace
}  // namespace leasegateway::sandbox
