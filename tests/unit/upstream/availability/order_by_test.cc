#include "upstream/availability/order_by.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <string_view>
#include <utility>

#include "tests/support/snapshots.h"

namespace leasegateway {
namespace {

// --- ParseOrderBy --------------------------------------------------------------------------------

TEST(ParseOrderByTest, ReadsFieldsWithTheirDirections) {
  using Field = OrderKey::Field;
  EXPECT_THAT(
      ParseOrderBy("pricing.monthly_rate desc, pricing.upfront_fee,health.reputation desc,"
                   "health.previous_owners,create_time desc,phone_number")
          .value(),
      ElementsAre(OrderKey{Field::kMonthlyRate, true}, OrderKey{Field::kUpfrontFee, false},
                  OrderKey{Field::kReputation, true}, OrderKey{Field::kPreviousOwners, false},
                  OrderKey{Field::kCreateTime, true}, OrderKey{Field::kPhoneNumber, false}));
}

TEST(ParseOrderByTest, IgnoresRedundantSpaces) {
  EXPECT_EQ(ParseOrderBy("  create_time   desc  ,  phone_number ").value(),
            ParseOrderBy("create_time desc,phone_number").value());
}

TEST(ParseOrderByTest, HasNoKeysWithoutText) {
  EXPECT_THAT(ParseOrderBy("").value(), IsEmpty());
  EXPECT_THAT(ParseOrderBy("  ").value(), IsEmpty());
}

TEST(ParseOrderByTest, NamesTheRuleThatWasBroken) {
  const std::pair<std::string, std::string> cases[] = {
      {"price", "\"price\" is not a field to order by: pricing.monthly_rate, pricing.upfront_fee"},
      {"Create_Time", "\"Create_Time\" is not a field"},
      {"create_time\tdesc", "\"create_time\\tdesc\" is not a field"},
      {"create_time,", "nothing before, between or after commas"},
      {",create_time", "nothing before, between or after commas"},
      {"create_time,,phone_number", "nothing before, between or after commas"},
      {"create_time, create_time desc", "\"create_time desc\" is there twice"},
      {"create_time asc", "\"asc\" is not written"},
      {"create_time DESC", "only \"desc\" can follow"},
      {"create_time desc phone_number", "only \"desc\" can follow"},
      {std::string(1000, 'x'), "x…\" is not a field"},
  };
  for (const auto& [text, rule] : cases) {
    const auto order = ParseOrderBy(text);
    EXPECT_EQ(order.status().code(), absl::StatusCode::kInvalidArgument) << text;
    EXPECT_THAT(std::string(order.status().message()), HasSubstr(rule)) << text;
    EXPECT_LT(order.status().message().size(), 300U) << text;
  }
}

}  // namespace
}  // namespace leasegateway
