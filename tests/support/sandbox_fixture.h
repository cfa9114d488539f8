#ifndef LEASE_GATEWAY_TESTS_SUPPORT_SANDBOX_FIXTURE_H_
#define LEASE_GATEWAY_TESTS_SUPPORT_SANDBOX_FIXTURE_H_

#include <gtest/gtest.h>

#include <boost/json/parse.hpp>
#include <boost/json/value.hpp>
#include <memory>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "tests/support/sandbox_client.h"
#include "upstream/sandbox/inventory.h"
#include "upstream/sandbox/sandbox.h"

namespace leasegateway::sandbox {

inline constexpr char kFirst[] = "contiguity_sk_first";
inline constexpr char kSecond[] = "contiguity_sk_second";

// A sandbox of 20 numbers with two accounts.
class SandboxTest : public ::testing::Test {
 protected:
  void SetUp() override {
    SandboxOptions options;
    options.numbers = 20;
    options.keys = {kFirst, kSecond};
    Start(options);
  }
  void Start(const SandboxOptions& options) {
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
  boost::json::value Control(const std::string& method, const std::string& path,
                             const std::string& body = "") {
    const auto reply = sandbox_->Control(method, "/_sandbox/" + path, body);
    EXPECT_TRUE(reply.ok()) << reply.status();
    return reply.ok() ? boost::json::parse(*reply) : boost::json::value();
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
    const boost::json::value ledger = Control("GET", "ledger");
    int count = 0;
    for (const boost::json::value& entry : ledger.at("entries").as_array()) {
      count += entry.at("kind") == boost::json::value(kind);
    }
    return count;
  }

  std::unique_ptr<Sandbox> sandbox_;
  std::string number_;
};

}  // namespace leasegateway::sandbox

#endif  // LEASE_GATEWAY_TESTS_SUPPORT_SANDBOX_FIXTURE_H_
