// The gateway as a program, whose provider has a name that a name server knows, or keeps to itself.
// Its end while that server hangs: stop_test.cc.
#include <gmock/gmock.h>

#include "tests/support/gateway_program.h"
#include "tests/support/name_server.h"

namespace leasegateway {
namespace {

using testing::HasSubstr;

class NamesTest : public GatewayProgram {};

TEST_F(NamesTest, TheProviderIsFoundByItsNameAndKnownAfterTheServersEnd) {
  const Sandbox sandbox = StartSandbox("sandbox");
  NameServer server(
      R"({"api.provider.test": {"A": ["127.0.0.1"], "ttl": 1, "fault": {"AAAA": "swallow"}}})");
  StartGateway(sandbox.port, {"--dns-servers", server.server(), "--upstream-ca-file",
                              Path("sandbox.pem"), "--idle-timeout", "0s"});
  EXPECT_TRUE(List().ok());
  server.Set(R"({"api.provider.test": {"fault": {"*": "servfail"}}})");
  EXPECT_TRUE(Eventually([&] {
    const auto status = List();
    EXPECT_TRUE(status.ok()) << status.error_message();
    return Log().find("last addresses") != std::string::npos;
  }));
  EXPECT_THAT(Log(),
              HasSubstr("looking up api.provider.test failed: DNS server returned general failure; "
                        "it is still dialled at its last addresses"));
}

TEST_F(NamesTest, WhatFailsIsSaidInAnError) {
  NameServer server("{}");
  StartGateway(443, {"--dns-servers", server.server()});
  const auto failure = List();
  EXPECT_EQ(failure.error_code(), grpc::StatusCode::UNAVAILABLE);
  EXPECT_EQ(Explain(failure).reason, "UPSTREAM_UNREACHABLE");
  EXPECT_THAT(failure.error_message(),
              HasSubstr("looking up api.provider.test failed: there is no such name"));
}

}  // namespace
}  // namespace leasegateway
