#include "upstream/sandbox/inventory.h"

#include <gtest/gtest.h>

#include <boost/json/parse.hpp>
#include <set>
#include <string>

namespace leasegateway::sandbox {
namespace {

TEST(InventoryTest, IsOfDifferentValidNumbers) {
  std::set<std::string> seen;
  std::set<std::string> countries;
  for (const InventoryNumber& number : MakeInventory(3, 20'000)) {
    EXPECT_TRUE(IsE164(number.e164)) << number.e164;
    EXPECT_TRUE(seen.insert(number.e164).second) << number.e164;
    std::string text;
    AppendNumber(number, "available", &text);
    const auto value = boost::json::parse(text + "}");
    countries.emplace(value.at("location").at("country").as_string());
    EXPECT_LE(value.at("health").at("reputation").to_number<double>(), 0.99);
  }
  EXPECT_EQ(countries.size(), 9U);
}

// Written down once: another platform, or another standard library, must make the same.
TEST(InventoryTest, IsTheSameEverywhere) {
  EXPECT_EQ(MakeInventory(1, 1)[0].e164, "+35318064985");
  EXPECT_EQ(MakeInventory(1, 1)[0].formatted, "+353 1 806 4985");
}

TEST(InventoryTest, AShorterOneIsTheBeginningOfALongerOne) {
  const auto shorter = MakeInventory(9, 10);
  const auto longer = MakeInventory(9, 1000);
  for (std::size_t i = 0; i < shorter.size(); ++i) EXPECT_EQ(shorter[i].e164, longer[i].e164);
  EXPECT_NE(MakeInventory(10, 1)[0].e164, shorter[0].e164);
}

TEST(IsE164Test, WantsAPlusAndSevenToFifteenDigits) {
  EXPECT_TRUE(IsE164("+1234567"));
  EXPECT_TRUE(IsE164("+123456789012345"));
  for (const char* text : {"", "+", "12345678", "+123456", "+1234567890123456", "+0123456789",
                           "+12345x789", " +12345678"}) {
    EXPECT_FALSE(IsE164(text)) << text;
  }
}

}  // namespace
}  // namespace leasegateway::sandbox
