#include "upstream/sandbox/sandbox.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <openssl/x509_vfy.h>

#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <chrono>
#include <string>
#include <thread>
#include <vector>

#include "tests/support/sandbox_fixture.h"

namespace leasegateway::sandbox {
namespace {

namespace json = boost::json;
using std::chrono::steady_clock;
using ::testing::HasSubstr;
using ::testing::Not;

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

TEST(SandboxStartTest, OneProviderAtSeveralPorts) {
  SandboxOptions options;
  options.numbers = 1;
  options.more_ports = 2;
  auto sandbox = Sandbox::Start(options);
  ASSERT_TRUE(sandbox.ok());
  const std::vector<std::string> urls = (*sandbox)->urls();
  ASSERT_EQ(urls.size(), 3U);
  EXPECT_EQ(urls[0], (*sandbox)->url());
  const std::string number = MakeInventory(1, 1)[0].e164;
  Client first(**sandbox, (*sandbox)->key(), urls[1]);
  EXPECT_EQ(first.Call("POST", "/lease/" + number).status, 200);
  Client second(**sandbox, (*sandbox)->key(), urls[2]);
  EXPECT_EQ(second.Call("DELETE", "/leased/" + number).status, 200);
  const auto writes = (*sandbox)->Control("GET", "/_sandbox/writes", "");
  ASSERT_TRUE(writes.ok());
  const json::value all = json::parse(*writes).at("writes");
  EXPECT_EQ(all.at(0).at("port"), PortOf(urls[1]));
  EXPECT_EQ(all.at(1).at("port"), PortOf(urls[2]));
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
