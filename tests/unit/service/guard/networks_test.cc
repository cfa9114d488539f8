#include "service/guard/networks.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

namespace leasegateway {
namespace {

using ::testing::HasSubstr;

boost::asio::ip::address Address(const std::string& text) {
  return boost::asio::ip::make_address(text);
}

Networks Parsed(const std::string& text) {
  auto networks = Networks::Parse(text);
  EXPECT_TRUE(networks.ok()) << text << ": " << networks.status();
  return networks.ok() ? *std::move(networks) : Networks();
}

TEST(NetworksTest, NoneContainNothing) {
  EXPECT_FALSE(Networks().Contains(Address("10.0.0.1")));
  for (const char* none : {"", " ", "\t\n"}) {
    EXPECT_FALSE(Parsed(none).Contains(Address("0.0.0.0"))) << '"' << none << '"';
    EXPECT_FALSE(Parsed(none).Contains(Address("::"))) << '"' << none << '"';
  }
}

TEST(NetworksTest, AnAddressIsANetworkOfOne) {
  const Networks networks = Parsed("10.1.2.3, 2001:db8::7");
  EXPECT_TRUE(networks.Contains(Address("10.1.2.3")));
  EXPECT_FALSE(networks.Contains(Address("10.1.2.2")));
  EXPECT_FALSE(networks.Contains(Address("10.1.2.4")));
  EXPECT_TRUE(networks.Contains(Address("2001:db8::7")));
  EXPECT_FALSE(networks.Contains(Address("2001:db8::6")));
}

TEST(NetworksTest, ANetworkEndsWhereItsLengthSays) {
  const Networks networks = Parsed("10.1.0.0/20,2001:db8:0:8::/61");
  EXPECT_TRUE(networks.Contains(Address("10.1.0.0")));
  EXPECT_TRUE(networks.Contains(Address("10.1.15.255")));
  EXPECT_FALSE(networks.Contains(Address("10.1.16.0")));
  EXPECT_FALSE(networks.Contains(Address("10.0.255.255")));
  EXPECT_TRUE(networks.Contains(Address("2001:db8:0:f:ffff:ffff:ffff:ffff")));
  EXPECT_FALSE(networks.Contains(Address("2001:db8:0:10::")));
  EXPECT_FALSE(networks.Contains(Address("2001:db8:0:7::1")));
}

TEST(NetworksTest, BitsBehindTheLengthAreIgnored) {
  EXPECT_TRUE(Parsed("10.1.2.3/8").Contains(Address("10.200.0.1")));
  EXPECT_TRUE(Parsed("2001:db8::7/32").Contains(Address("2001:db8:ffff::1")));
}

TEST(NetworksTest, LengthZeroIsTheWholeFamilyAndNotTheOther) {
  EXPECT_TRUE(Parsed("0.0.0.0/0").Contains(Address("203.0.113.9")));
  EXPECT_FALSE(Parsed("0.0.0.0/0").Contains(Address("2001:db8::1")));
  EXPECT_TRUE(Parsed("::/0").Contains(Address("2001:db8::1")));
  EXPECT_FALSE(Parsed("::/0").Contains(Address("203.0.113.9")));
}

TEST(NetworksTest, AMappedAddressIsTheIpv4AddressInIt) {
  EXPECT_EQ(Unmapped(Address("::ffff:10.1.2.3")), Address("10.1.2.3"));
  EXPECT_EQ(Unmapped(Address("10.1.2.3")), Address("10.1.2.3"));
  EXPECT_EQ(Unmapped(Address("2001:db8::7")), Address("2001:db8::7"));
  const Networks networks = Parsed("10.0.0.0/8");
  EXPECT_TRUE(networks.Contains(Address("::ffff:10.1.2.3")));
  EXPECT_FALSE(networks.Contains(Address("::ffff:11.1.2.3")));
}

TEST(NetworksTest, WhiteSpaceAroundEntriesIsIgnored) {
  const Networks networks = Parsed("  10.1.2.3 ,\t10.1.2.4/32\n, fd00::/8 ");
  EXPECT_TRUE(networks.Contains(Address("10.1.2.3")));
  EXPECT_TRUE(networks.Contains(Address("10.1.2.4")));
  EXPECT_TRUE(networks.Contains(Address("fd12::1")));
}

TEST(NetworksTest, SaysWhichEntryIsNone) {
  for (const char* wrong :
       {"10.0.0", "10.0.0.256", "10.0.0.0/33", "10.0.0.0/-1", "10.0.0.0/", "10.0.0.0/8/9", "/8",
        "2001:db8::/129", "2001:db8::g", "localhost", "10.0.0.1-10.0.0.9"}) {
    const auto networks = Networks::Parse(std::string("10.1.2.3, ") + wrong);
    ASSERT_EQ(networks.status().code(), absl::StatusCode::kInvalidArgument) << wrong;
    EXPECT_THAT(std::string(networks.status().message()),
                HasSubstr(std::string("has \"") + wrong + "\", which is no ADDRESS"));
  }
  EXPECT_FALSE(Networks::Parse("10.1.2.3,").ok()) << "an entry that is empty";
  EXPECT_FALSE(Networks::Parse(",").ok());
}

}  // namespace
}  // namespace leasegateway
