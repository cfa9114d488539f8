#include "upstream/leasing/journal/spending_rules.h"

#include <google/rpc/error_details.pb.h>
#include <gtest/gtest.h>

#include <limits>
#include <string>
#include <utility>

#include "tests/support/spending_entries.h"
#include "upstream/upstream_error.h"

namespace leasegateway {
namespace {

google::type::Money Amount(std::int64_t units, int nanos) {
  google::type::Money money;
  money.set_units(units);
  money.set_nanos(nanos);
  return money;
}

TEST(SpendingRules, MoneyIsBillionthsWhereItMakesSense) {
  EXPECT_EQ(ToBillionths(Amount(1, 500'000'000)), 1'500'000'000);
  EXPECT_EQ(ToBillionths(Amount(0, 0)), 0);
  EXPECT_EQ(ToBillionths(Amount(999'999'999, 999'999'999)), 999'999'999'999'999'999);
  for (const auto& money :
       {Amount(-1, 0), Amount(0, -1), Amount(1'000'000'000, 0), Amount(0, 1'000'000'000),
        Amount(std::numeric_limits<std::int64_t>::max(), 0)}) {
    EXPECT_FALSE(ToBillionths(money)) << money.DebugString();
  }
  const auto money = ToMoney(2'000'000'001, "EUR");
  EXPECT_EQ(money.units(), 2);
  EXPECT_EQ(money.nanos(), 1);
  EXPECT_EQ(money.currency_code(), "EUR");
  EXPECT_EQ(ShowMoney(12'500'000'000, "USD"), "12.5 USD");
  EXPECT_EQ(ShowMoney(10'000'000'000, "USD"), "10 USD");
}

TEST(SpendingRules, PriceIsKnownWhenBothAmountsAreInOneCurrency) {
  EXPECT_TRUE(PriceOf(Price(1, 5), v1::BILLING_METHOD_UNSPECIFIED).is_known);
  auto price = Price(1, 5);
  price.clear_upfront_fee();
  EXPECT_FALSE(PriceOf(price, v1::BILLING_METHOD_MONTHLY).is_known);
  price = Price(1, 5);
  price.clear_monthly_rate();
  EXPECT_FALSE(PriceOf(price, v1::BILLING_METHOD_MONTHLY).is_known);
  price = Price(1, 5);
  price.mutable_upfront_fee()->set_currency_code("EUR");
  EXPECT_FALSE(PriceOf(price, v1::BILLING_METHOD_MONTHLY).is_known);
  EXPECT_FALSE(PriceOf(Price(1, 5, ""), v1::BILLING_METHOD_MONTHLY).is_known);
  EXPECT_FALSE(PriceOf(Price(1, -5), v1::BILLING_METHOD_MONTHLY).is_known);
  EXPECT_EQ(PriceOf(Price(1, 5), v1::BILLING_METHOD_MONTHLY).rate(), 5'000'000'000);
  EXPECT_EQ(PriceOf(Price(1, 5), v1::BILLING_METHOD_GOODWILL).rate(), 0);
}

TEST(SpendingRules, RefusalSaysWhatIsUsedAndWhatWasAsked) {
  SpendingCounts used;
  used.account.money["USD"].today = 96'500'000'000;
  const auto rules = Rules({.of_account = Money(100, {})});
  const auto status =
      CheckSpending(*rules, kOrders, PriceOf(Price(1, 5), v1::BILLING_METHOD_MONTHLY), used);
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(status.message(),
            "account \"sales\" may spend 100 USD a day (UTC), of which 96.5 are used, and this "
            "takes 6");
  const ErrorMetadata expected = {{"scope", "account"}, {"limit", "money_per_day"},
                                  {"currency", "USD"},  {"value", "100"},
                                  {"used", "96.5"},     {"asked", "6"}};
  EXPECT_EQ(MetadataOf(status), expected);
  const auto payload = status.GetPayload("type.googleapis.com/google.rpc.PreconditionFailure");
  google::rpc::PreconditionFailure failure;
  ASSERT_TRUE(payload && failure.ParseFromString(std::string(*payload)));
  EXPECT_EQ(failure.violations(0).type(), "SPEND_LIMIT_EXCEEDED");
  EXPECT_EQ(failure.violations(0).subject(), "account \"sales\"");
  used.account.money["USD"].today = 94'000'000'000;
  EXPECT_TRUE(
      CheckSpending(*rules, kOrders, PriceOf(Price(1, 5), v1::BILLING_METHOD_MONTHLY), used).ok());
}

TEST(SpendingRules, SumsNeverGoRoundTheirEnd) {
  SpendingCounts used;
  used.caller.money["USD"].today = std::numeric_limits<std::int64_t>::max();
  SpendingLimits limits;
  limits.currencies["USD"].money_per_day = std::numeric_limits<std::int64_t>::max();
  EXPECT_FALSE(CheckSpending(*Rules({.of_caller = limits}), kOrders,
                             PriceOf(Price(1, 5), v1::BILLING_METHOD_MONTHLY), used)
                   .ok());
}

TEST(SpendingRules, OnlyLimitsOfPricesLeaveAnotherNumberToTry) {
  const auto refusal = [](const SpendingLimits& limits) {
    return CheckSpending(*Rules({.of_caller = limits}), kOrders,
                         PriceOf(Price(1, 5), v1::BILLING_METHOD_MONTHLY), {});
  };
  EXPECT_FALSE(IsForItsPrice(refusal(Count(0, {}))));
  EXPECT_FALSE(IsForItsPrice(refusal(Count({}, 0))));
  EXPECT_TRUE(IsForItsPrice(refusal(Money(0, {}))));
  EXPECT_TRUE(IsForItsPrice(refusal(Money({}, 0))));
  EXPECT_FALSE(IsForItsPrice(absl::OkStatus()));
  EXPECT_TRUE(IsForLiveLeases(refusal(Count({}, 0))));
  EXPECT_TRUE(IsForLiveLeases(refusal(Money({}, 0))));
  EXPECT_FALSE(IsForLiveLeases(refusal(Count(0, {}))));
  EXPECT_FALSE(IsForLiveLeases(refusal(Money(0, {}))));
}

TEST(SpendingRules, ChargeAboveWhatWasAskedIsAnOverrun) {
  const auto of = [](const v1::Pricing& price) {
    return PriceOf(price, v1::BILLING_METHOD_MONTHLY);
  };
  EXPECT_FALSE(IsOverrun(of(Price(1, 5)), of(Price(1, 5))));
  EXPECT_FALSE(IsOverrun(of(Price(1, 5)), of(Price(0, 4))));
  EXPECT_TRUE(IsOverrun(of(Price(1, 5)), of(Price(2, 4))));
  EXPECT_TRUE(IsOverrun(of(Price(1, 5)), of(Price(0, 6))));
  EXPECT_TRUE(IsOverrun(of(Price(1, 5)), of(Price(1, 5, "EUR"))));
  EXPECT_FALSE(IsOverrun(of(Price(1, 5)), of(v1::Pricing())));
  EXPECT_FALSE(
      IsOverrun(of(Price(1, 5)), PriceOf(Price(2, 6), v1::BILLING_METHOD_SERVICE_CONTRACT)));
}

}  // namespace
}  // namespace leasegateway
