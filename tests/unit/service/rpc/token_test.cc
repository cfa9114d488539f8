#include "service/rpc/token.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <set>
#include <string>
#include <vector>

namespace leasegateway {
namespace {

// A fixed value: the same in every process, and with every build.
TEST(FingerprintTest, IsTheSameEverywhere) {
  v1::AvailabilityFilter filter;
  filter.add_countries("US");
  filter.set_min_reputation(0.8);
  EXPECT_EQ(Fingerprint({}, "", "default"), 0xaf5570f5a1810b7aU);
  EXPECT_EQ(Fingerprint(filter, "phone_number", "a"), Fingerprint(filter, "phone_number", "a"));
}

TEST(FingerprintTest, DiffersWithFilterOrderAndAccount) {
  std::set<std::uint64_t> seen;
  std::vector<v1::AvailabilityFilter> filters(7);
  filters[1].add_countries("US");
  filters[2].add_regions("US");
  filters[3].set_number_prefix("1");
  filters[4].set_number_suffix("1");
  filters[5].mutable_allowed_requirements();
  filters[6].set_intl_sms(false);
  for (const auto& filter : filters) {
    for (const char* order : {"", "phone_number", "phone_number desc", "create_time"}) {
      for (const char* account : {"default", "a", "b", ""}) {
        EXPECT_TRUE(seen.insert(Fingerprint(filter, order, account)).second) << order << account;
      }
    }
  }
  // What is the filter's end can't pass for the beginning of the order.
  v1::AvailabilityFilter filter;
  filter.set_number_suffix("7");
  EXPECT_NE(Fingerprint(filter, "", "a"), Fingerprint({}, filter.SerializeAsString(), "a"));
  EXPECT_NE(Fingerprint({}, "ab", "c"), Fingerprint({}, "a", "bc"));
}

TEST(TokenTest, RoundTrip) {
  for (const std::vector<std::uint64_t>& values : {std::vector<std::uint64_t>{0},
                                                   {~std::uint64_t{0}},
                                                   {1, 2, 3, 4},
                                                   {0x0123456789abcdef, 0xfedcba9876543210}}) {
    const std::string text = EncodeToken(values);
    EXPECT_EQ(text.find_first_not_of("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
                                     "0123456789-_"),
              std::string::npos)
        << text;
    EXPECT_EQ(DecodeToken(text, values.size()), values);
  }
}

TEST(TokenTest, RejectsWhatIsNoToken) {
  const std::string good = EncodeToken({1, 2, 0xffff'ffff'ffff'ffff});
  EXPECT_TRUE(DecodeToken(good, 3));
  EXPECT_FALSE(DecodeToken(good, 2));
  EXPECT_FALSE(DecodeToken(good, 4));
  EXPECT_FALSE(DecodeToken("", 1));
  EXPECT_FALSE(DecodeToken("!", 1));
  EXPECT_FALSE(DecodeToken(good.substr(1), 3));
  EXPECT_FALSE(DecodeToken(good + "A", 3));
  // Not of the alphabet for URLs.
  EXPECT_FALSE(DecodeToken("AAAAAAAAAA+", 1));
  EXPECT_FALSE(DecodeToken("AAAAAAAAAA/", 1));
  // One spelling only: no padding, no white space, no bits beyond the last byte.
  EXPECT_TRUE(DecodeToken("AAAAAAAAAAA", 1));
  EXPECT_FALSE(DecodeToken("AAAAAAAAAAA=", 1));
  EXPECT_FALSE(DecodeToken("AAAAAAAAAAA ", 1));
  EXPECT_FALSE(DecodeToken("AAAAAA\nAAAAA", 1));
  EXPECT_FALSE(DecodeToken("AAAAAAAAAAB", 1));
}

}  // namespace
}  // namespace leasegateway
