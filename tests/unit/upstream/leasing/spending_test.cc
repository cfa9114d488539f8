#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <memory>
#include <string>
#include <utility>

#include "tests/support/leasing_fixture.h"
#include "tests/support/spending_entries.h"

// What limits of spending do to operations.

namespace leasegateway {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::ElementsAre;
using testing::IsEmpty;

class SpendingTest : public RecordedLeaseApiTest {
 protected:
  SpendingTest() { rules_ = Rules({.of_caller = Count({}, 1)}); }

  CallContext Limited(const std::string& id = kId, const std::string& caller = "orders") {
    CallContext context = Context(id, seconds(30));
    context.caller = caller;
    return context;
  }
  auto Buy(const std::string& id = kId, const std::string& phone_number = kNumber) {
    return Run(api_->CreateLease(Limited(id), LeaseRequest(phone_number)));
  }
  auto BuyAny(const std::string& id = kId) {
    return Run(api_->LeaseAnyNumber(Limited(id), AnyRequest()));
  }
  // In the journal, from the time before.
  void StopWithOrders(v1::OperationState state, const std::string& caller = "orders") {
    StopWith(v1::OPERATION_KIND_LEASE, state, kNumber, Fingerprint(LeaseRequest(kNumber)));
    auto& operation = journal_->entries.begin()->second.operation;
    operation.set_caller(caller);
    *operation.mutable_price() = Price(1, 5);
    if (state == v1::OPERATION_STATE_INTENDED) return;
    journal_->spending.rows.push_back(
        {"default", kId, caller, kNumber, "", PriceOf(Price(1, 5), v1::BILLING_METHOD_MONTHLY)});
  }
  std::string Used() {
    return Show(MemorySpending::Sum(journal_->spending.rows, {"default", "orders"}).caller);
  }
};

TEST_F(SpendingTest, PurchasePastALimitIsRefusedWrittenDownAndNotSent) {
  provider_->Add(kOther);
  ASSERT_TRUE(Buy()->result->ok());
  const auto call = Buy(kId2, kOther);
  ASSERT_TRUE(call->ended());
  EXPECT_EQ(call->result->status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(call->reason(), "SPEND_LIMIT_EXCEEDED");
  EXPECT_EQ(MetadataOf(call->result->status())["scope"], "caller");
  EXPECT_EQ(MetadataOf(call->result->status())["request_sent"], "false");
  EXPECT_THAT(provider_->posts, ElementsAre(kNumber));
  EXPECT_EQ(Recorded(kId2).state(), v1::OPERATION_STATE_FAILED);
  EXPECT_EQ(ReasonOf(FromProto(Recorded(kId2).error())), "SPEND_LIMIT_EXCEEDED");
  EXPECT_EQ(Used(), "1 today, 1 live, USD 6 today, 5 a month");
  EXPECT_EQ(api_->stats().refused_by_spending, 1u);
}

TEST_F(SpendingTest, SameRequestBuysOnceThereIsRoom) {
  provider_->Add(kOther);
  ASSERT_TRUE(Buy()->result->ok());
  EXPECT_EQ(Buy(kId2, kOther)->reason(), "SPEND_LIMIT_EXCEEDED");
  rules_ = Rules({.of_caller = Count({}, 2)});
  EXPECT_TRUE(Buy(kId2, kOther)->result->ok());
  EXPECT_THAT(provider_->posts, ElementsAre(kNumber, kOther));
}

TEST_F(SpendingTest, LeaseThatIsGivenUpMakesRoom) {
  ASSERT_TRUE(Buy()->result->ok());
  ASSERT_TRUE(Terminate(kId2)->result->ok());
  EXPECT_EQ(Used(), "1 today, 0 live, USD 6 today, 0 a month");
  EXPECT_TRUE(Buy("third")->result->ok());
}

TEST_F(SpendingTest, PurchaseThatCameToNothingIsGivenBack) {
  provider_->steps.push_back({false, Http(400, true)});
  ASSERT_TRUE(Buy()->ended());
  EXPECT_EQ(Used(), "0 today, 0 live");
}

TEST_F(SpendingTest, OutcomeThatIsNotKnownKeepsItsReservation) {
  provider_->Add(kOther);
  provider_->steps.push_back(Lost(false));
  provider_->all_looks_fail = absl::OkStatus();
  provider_->on_write = [this] { provider_->all_looks_fail = Http(500, false); };
  const auto call = Buy();
  Advance(seconds(31));
  EXPECT_EQ(call->reason(), "OUTCOME_UNKNOWN");
  EXPECT_EQ(Used(), "1 today, 1 live, USD 6 today, 5 a month");
}

TEST_F(SpendingTest, TrialRunIsRefusedAndTakesNothing) {
  provider_->Add(kOther);
  auto request = LeaseRequest(kOther);
  request.set_validate_only(true);
  auto any = AnyRequest();
  any.set_validate_only(true);
  EXPECT_TRUE(Run(api_->CreateLease(Limited(kId2), request))->result->ok());
  EXPECT_TRUE(Run(api_->LeaseAnyNumber(Limited(kId2), any))->result->ok());
  EXPECT_EQ(Used(), "0 today, 0 live");
  ASSERT_TRUE(Buy()->result->ok());
  EXPECT_EQ(Run(api_->CreateLease(Limited(kId2), request))->reason(), "SPEND_LIMIT_EXCEEDED");
  EXPECT_EQ(Run(api_->LeaseAnyNumber(Limited(kId2), any))->reason(), "SPEND_LIMIT_EXCEEDED");
}

// --- prices -------------------------------------------------------------------------------------

TEST_F(SpendingTest, AnyNumberIsOneThatKeepsTheLimits) {
  // In the order that was asked for, the dearest first.
  provider_->Add(kNumber, 9);
  provider_->Add(kOther, 8);
  provider_->Add(kThird, 4);
  rules_ = Rules({.of_caller = Money({}, 5)});
  auto request = AnyRequest();
  request.set_order_by("pricing.monthly_rate desc");
  const auto call = Run(api_->LeaseAnyNumber(Limited(), request));
  ASSERT_TRUE(call->ended() && call->result->ok()) << call->reason();
  EXPECT_EQ((*call->result)->lease().phone_number(), kThird);
  EXPECT_THAT(provider_->posts, ElementsAre(kThird));
  EXPECT_EQ(Used(), "1 today, 1 live, USD 5 today, 4 a month");
}

TEST_F(SpendingTest, DearerNumbersAreNotLookedAtWhenOneWasTooDear) {
  provider_->Add(kNumber, 7);
  provider_->Add(kOther, 8);
  provider_->Add(kThird, 9);
  rules_ = Rules({.of_caller = Money({}, 5)});
  const auto call = BuyAny();
  EXPECT_EQ(call->reason(), "SPEND_LIMIT_EXCEEDED");
  EXPECT_EQ(provider_->looks, 1);
  EXPECT_THAT(provider_->posts, IsEmpty());
}

TEST_F(SpendingTest, NoOtherNumberIsTriedWhereTheNumberOfPurchasesIsTheLimit) {
  provider_->Add(kOther, 1);
  rules_ = Rules({.of_caller = Count(0, {})});
  EXPECT_EQ(BuyAny()->reason(), "SPEND_LIMIT_EXCEEDED");
  EXPECT_EQ(provider_->looks, 1);
}

TEST_F(SpendingTest, PriceOfTheNumberBeforeIsNotThatOfTheNext) {
  provider_->Add(kNumber, 4);
  provider_->Add(kOther, 5);
  provider_->records[kOther].number.clear_pricing();
  provider_->steps.push_back({false, Http(400, true)});  // of the first
  provider_->on_write = [this] { provider_->Take(kNumber); };
  rules_ = Rules({.of_caller = Money({}, 5)});
  auto request = AnyRequest();
  request.clear_filter();
  const auto call = Run(api_->LeaseAnyNumber(Limited(), request));
  EXPECT_EQ(MetadataOf(call->result->status())["asked"], "unknown") << call->reason();
  EXPECT_THAT(provider_->posts, ElementsAre(kNumber));
}

TEST_F(SpendingTest, ChargeAboveThePriceIsCountedAndShown) {
  rules_ = Rules({.of_caller = Money({}, 6)});
  provider_->on_write = [this] {
    *provider_->records[kNumber].number.mutable_pricing() = Price(1, 9);
  };
  ASSERT_TRUE(Buy()->result->ok());
  EXPECT_EQ(Used(), "1 today, 1 live, USD 10 today, 9 a month");
  EXPECT_EQ(Recorded().price().monthly_rate().units(), 9);
  EXPECT_EQ(api_->stats().overruns, 1u);
  ASSERT_TRUE(Terminate(kId2)->result->ok());
  provider_->on_write = nullptr;
  rules_ = nullptr;
  ASSERT_TRUE(Buy("third")->result->ok());
  EXPECT_EQ(api_->stats().overruns, 1u);
}

// --- leases that ended elsewhere ----------------------------------------------------------------

TEST_F(SpendingTest, LeaseThatEndedElsewhereMakesRoom) {
  provider_->Add(kOther);
  ASSERT_TRUE(Buy()->result->ok());
  provider_->records[kNumber].number.clear_lease();
  EXPECT_TRUE(Buy(kId2, kOther)->result->ok());
  EXPECT_EQ(provider_->lists, 1);
  EXPECT_EQ(Used(), "2 today, 1 live, USD 12 today, 5 a month");
  // Not what was bought since it may have been listed.
  EXPECT_EQ(journal_->held_as_of, time_.now() - options_.settle);
}

TEST_F(SpendingTest, LeaseThatIsNotListedButThereStillCounts) {
  provider_->Add(kOther);
  ASSERT_TRUE(Buy()->result->ok());
  provider_->lists_nothing = true;
  EXPECT_EQ(Buy(kId2, kOther)->reason(), "SPEND_LIMIT_EXCEEDED");
  EXPECT_EQ(Used(), "1 today, 1 live, USD 6 today, 5 a month");
  // Not again at once, whoever asks.
  EXPECT_EQ(Buy(kId2, kOther)->reason(), "SPEND_LIMIT_EXCEEDED");
  EXPECT_EQ(provider_->lists, 1);
  Advance(options_.settle);
  EXPECT_EQ(Buy(kId2, kOther)->reason(), "SPEND_LIMIT_EXCEEDED");
  EXPECT_EQ(provider_->lists, 2);
}

TEST_F(SpendingTest, NobodyLooksForEndsWhereTheDayIsTheLimit) {
  provider_->Add(kOther);
  rules_ = Rules({.of_caller = Count(1, {})});
  ASSERT_TRUE(Buy()->result->ok());
  EXPECT_EQ(Buy(kId2, kOther)->reason(), "SPEND_LIMIT_EXCEEDED");
  EXPECT_EQ(provider_->lists, 0);
}

// --- after a restart ----------------------------------------------------------------------------

TEST_F(SpendingTest, RequestOfTheProcessBeforeIsSentAgainWithItsReservation) {
  StopWithOrders(v1::OPERATION_STATE_SENT);
  rules_ = Rules({.of_caller = Count(0, 0)});  // lowered meanwhile
  provider_->all_looks_fail = Http(500, false);
  Start();
  const auto call = Buy();
  provider_->all_looks_fail = absl::OkStatus();
  Advance(seconds(20));
  ASSERT_TRUE(call->ended() && call->result->ok()) << call->reason();
  EXPECT_THAT(provider_->posts, ElementsAre(kNumber));
  EXPECT_EQ(Used(), "1 today, 1 live, USD 6 today, 5 a month");
}

TEST_F(SpendingTest, IntentOfTheProcessBeforeIsLimitedByWhoComesAgain) {
  StopWithOrders(v1::OPERATION_STATE_INTENDED);
  Start();
  rules_ = Rules({.of_caller = Count(0, {})});
  EXPECT_EQ(Buy()->reason(), "SPEND_LIMIT_EXCEEDED");
  EXPECT_THAT(provider_->posts, IsEmpty());
}

TEST_F(SpendingTest, PurchaseOfAnotherCallerKeepsThatCallersLimits) {
  StopWithOrders(v1::OPERATION_STATE_INTENDED, "other");
  Start();
  auto rules = *Rules({.of_caller = Count(0, {}), .of_both = Count(0, {})});
  auto of_other = Rules({.of_both = Count(0, {})});
  rules.of_another = [&](const std::string& caller) {
    return caller == "other" ? of_other : nullptr;
  };
  rules_ = std::make_shared<const SpendingRules>(rules);
  EXPECT_EQ(MetadataOf(Buy()->result->status())["scope"], "caller_on_account");
  EXPECT_THAT(provider_->posts, IsEmpty());
  of_other = Rules({.of_both = Count(1, {})});
  EXPECT_TRUE(Buy()->result->ok());
}

TEST_F(SpendingTest, PurchaseOfACallerWhoseLimitsNobodyKnowsKeepsTheAccounts) {
  StopWithOrders(v1::OPERATION_STATE_INTENDED, "other");
  Start();
  rules_ = Rules({.of_caller = Count(0, {}), .of_both = Count(0, {})});
  EXPECT_TRUE(Buy()->result->ok());
  provider_->Add(kOther);
  rules_ = Rules({.of_account = Count(1, {})});
  EXPECT_EQ(Buy(kId2, kOther)->reason(), "SPEND_LIMIT_EXCEEDED");
}

}  // namespace
}  // namespace leasegateway
