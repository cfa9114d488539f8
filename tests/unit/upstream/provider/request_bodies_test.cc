#include "upstream/provider/request_bodies.h"

#include <gtest/gtest.h>

namespace leasegateway {
namespace {

TEST(JsonCodecEncodeTest, CreateLease) {
  EXPECT_EQ(EncodeCreateLease(v1::BILLING_METHOD_UNSPECIFIED), "{}");
  EXPECT_EQ(EncodeCreateLease(v1::BILLING_METHOD_MONTHLY), R"({"billing_method":"monthly"})");
  EXPECT_EQ(EncodeCreateLease(v1::BILLING_METHOD_SERVICE_CONTRACT),
            R"({"billing_method":"service_contract"})");
}

TEST(JsonCodecEncodeTest, Failover) {
  v1::Failover failover;
  EXPECT_EQ(EncodeFailover(failover), R"({"failover":{"enabled":false}})");
  failover.set_enabled(true);
  failover.set_mode(v1::FAILOVER_MODE_ALL);
  EXPECT_EQ(EncodeFailover(failover), R"({"failover":{"enabled":true,"mode":"all"}})");
  failover.set_mode(v1::FAILOVER_MODE_SELECTIVE);
  failover.add_phone_numbers("+13059278337");
  failover.add_phone_numbers("+13059278338");
  EXPECT_EQ(EncodeFailover(failover), R"({"failover":{"enabled":true,"mode":"selective",)"
                                      R"("numbers":["+13059278337","+13059278338"]}})");
}

TEST(JsonCodecEncodeTest, EnableCallForwarding) {
  EXPECT_EQ(EncodeEnableCallForwarding("+13059278337"), R"({"to":"+13059278337"})");
  EXPECT_EQ(EncodeEnableCallForwarding("\"\n"), R"({"to":"\"\n"})");
}

}  // namespace
}  // namespace leasegateway
