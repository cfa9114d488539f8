#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <cstdint>
#include <future>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "tests/support/journal_engines.h"
#include "tests/support/spending_entries.h"
#include "upstream/upstream_error.h"

// What every journal counts and refuses, whatever keeps it.

namespace leasegateway {
namespace {

using std::chrono::hours;
using testing::ElementsAre;
using testing::IsEmpty;
using Clock = std::chrono::steady_clock;
using Record = OperationJournal::Record;

class SpendingContract : public testing::TestWithParam<EngineKind> {
 protected:
  ~SpendingContract() override { journal_.reset(); }

  void Reopen() {
    journal_.reset();
    journal_ = engine_->Open();
  }
  template <typename T>
  T Get(boost::asio::awaitable<T> call) {
    return io_.Get(std::move(call));
  }
  Record MustBegin(const std::string& id, const Spender& spender = kOrders) {
    auto begun = Get(journal_->Begin(PurchaseOf(id, spender), false));
    EXPECT_TRUE(begun.ok()) << begun.status();
    return begun.ok() ? std::move(begun->record) : Record();
  }
  absl::Status Write(Record& record, OperationJournal::Change change) {
    change.revision = record.revision;
    const v1::Operation operation = change.operation;
    const auto updated = Get(journal_->Update(std::move(change)));
    if (!updated.ok()) return updated.status();
    record.entry.operation = operation;
    record.revision = updated->revision;
    return absl::OkStatus();
  }
  absl::Status Send(Record& record, std::shared_ptr<const SpendingRules> rules,
                    const v1::Pricing& price = Price(1, 5)) {
    return Write(record, SendingOf(record, std::move(rules), price));
  }
  absl::Status Move(Record& record, v1::OperationState state) {
    return Write(record, ChangeTo(WithState(record.entry.operation, state)));
  }
  // A lease that was bought.
  Record MustBuy(const std::string& id, const Spender& spender = kOrders,
                 const v1::Pricing& price = Price(1, 5)) {
    Record record = MustBegin(id, spender);
    EXPECT_TRUE(Send(record, nullptr, price).ok());
    EXPECT_TRUE(Write(record, BoughtOf(record, price)).ok());
    return record;
  }
  absl::Status TryToBuy(const std::string& id, const SpendingRules& rules,
                        const Spender& spender = kOrders, const v1::Pricing& price = Price(1, 5)) {
    Record record = MustBegin(id, spender);
    return Send(record, std::make_shared<SpendingRules>(rules), price);
  }
  void MustEnd(const std::string& id, const std::string& lease_id) {
    auto entry = PurchaseOf(id, {"sales", "someone"});
    entry.operation.set_kind(v1::OPERATION_KIND_TERMINATE);
    auto begun = Get(journal_->Begin(std::move(entry), false));
    ASSERT_TRUE(begun.ok()) << begun.status();
    v1::Operation done = WithState(begun->record.entry.operation, v1::OPERATION_STATE_SUCCEEDED);
    done.mutable_termination()->set_lease_id(lease_id);
    ASSERT_TRUE(Write(begun->record, ChangeTo(done)).ok());
  }
  SpendingUse Use(const Spender& spender = kOrders) {
    const auto counts = Get(journal_->Spent(spender));
    EXPECT_TRUE(counts.ok()) << counts.status();
    return counts.ok() ? counts->caller_on_account : SpendingUse();
  }
  std::string Used(const Spender& spender = kOrders) { return Show(Use(spender)); }

  postgres::IoThreads io_;
  const std::unique_ptr<JournalEngine> engine_ = GetParam().make();
  std::shared_ptr<OperationJournal> journal_ = engine_->Open();
};

TEST_P(SpendingContract, PurchaseIsCountedFromItsReservationToTheEndOfItsLease) {
  Record record = MustBegin("a");
  EXPECT_EQ(Used(), "0 today, 0 live");
  ASSERT_TRUE(Send(record, nullptr).ok());
  EXPECT_EQ(Used(), "1 today, 1 live, USD 6 today, 5 a month");
  ASSERT_TRUE(Move(record, v1::OPERATION_STATE_UNKNOWN).ok());
  Reopen();
  EXPECT_EQ(Used(), "1 today, 1 live, USD 6 today, 5 a month");
  record = *Get(journal_->TakeOver("sales", "a", record.revision));
  ASSERT_TRUE(Write(record, BoughtOf(record, Price(1, 5))).ok());
  EXPECT_EQ(Used(), "1 today, 1 live, USD 6 today, 5 a month");
  engine_->Age(1);
  EXPECT_EQ(Used(), "0 today, 1 live, USD 0 today, 5 a month");
  MustEnd("end", "lsd_a");
  EXPECT_EQ(Used(), "0 today, 0 live, USD 0 today, 0 a month");
}

TEST_P(SpendingContract, LeaseThatEndsOnItsDayStillCountsForTheDay) {
  MustBuy("a");
  MustEnd("end", "another");
  EXPECT_EQ(Used(), "1 today, 1 live, USD 6 today, 5 a month");
  MustEnd("end2", "lsd_a");
  EXPECT_EQ(Used(), "1 today, 0 live, USD 6 today, 0 a month");
}

TEST_P(SpendingContract, WhatIsUnderWayAtMidnightCountsOnBothDays) {
  Record record = MustBegin("a");
  ASSERT_TRUE(Send(record, nullptr).ok());
  engine_->Age(3);
  EXPECT_EQ(Used(), "1 today, 1 live, USD 6 today, 5 a month");
  ASSERT_TRUE(Write(record, BoughtOf(record, Price(1, 5))).ok());
  EXPECT_EQ(Used(), "1 today, 1 live, USD 6 today, 5 a month");
}

TEST_P(SpendingContract, NothingBoughtIsGivenBack) {
  for (const auto state : {v1::OPERATION_STATE_FAILED, v1::OPERATION_STATE_INTENDED}) {
    Record record = MustBegin(absl::StrCat("a", state));
    ASSERT_TRUE(Send(record, nullptr).ok());
    ASSERT_TRUE(Move(record, state).ok());
    EXPECT_EQ(Used(), "0 today, 0 live");
  }
}

TEST_P(SpendingContract, AnotherNumberIsReservedInThePlaceOfTheFirst) {
  Record record = MustBegin("a");
  const auto rules = Rules({.of_caller = Money({}, 8)});
  ASSERT_TRUE(Send(record, rules).ok());
  ASSERT_TRUE(Send(record, rules, Price(2, 8)).ok());
  EXPECT_EQ(Used(), "1 today, 1 live, USD 10 today, 8 a month");
  // More than there is: what it has reserved stays.
  EXPECT_EQ(ReasonOf(Send(record, rules, Price(0, 9))), reason::kSpendLimitExceeded);
  EXPECT_EQ(Used(), "1 today, 1 live, USD 10 today, 8 a month");
}

TEST_P(SpendingContract, ReservationThatItHasNeedsNoRoom) {
  Record record = MustBegin("a");
  ASSERT_TRUE(Send(record, nullptr).ok());
  const auto nothing = Rules({.of_account = Count(0, 0)});
  EXPECT_TRUE(Send(record, nothing).ok());
  EXPECT_EQ(ReasonOf(Send(record, nothing, Price(1, 4))), reason::kSpendLimitExceeded);
  EXPECT_EQ(Used(), "1 today, 1 live, USD 6 today, 5 a month");
}

TEST_P(SpendingContract, WhatWasChargedCountsAlsoBeyondTheLimit) {
  Record record = MustBegin("a");
  const auto rules = Rules({.of_caller = Money(10, 6)});
  ASSERT_TRUE(Send(record, rules).ok());
  ASSERT_TRUE(Write(record, BoughtOf(record, Price(3, 8))).ok());
  EXPECT_EQ(Used(), "1 today, 1 live, USD 11 today, 8 a month");
  const auto refused = TryToBuy("b", *rules, kOrders, Price(0, 0));
  EXPECT_EQ(MetadataOf(refused)["used"], "11");
  // A charge that nobody knows is what was reserved.
  Record other = MustBegin("c");
  ASSERT_TRUE(Send(other, nullptr, Price(2, 2)).ok());
  ASSERT_TRUE(Write(other, BoughtOf(other, v1::Pricing())).ok());
  EXPECT_EQ(Used(), "2 today, 2 live, USD 15 today, 10 a month");
}

TEST_P(SpendingContract, ContractIsNotPaidByThePurchase) {
  Record record = MustBegin("a");
  record.entry.operation.set_billing_method(v1::BILLING_METHOD_SERVICE_CONTRACT);
  ASSERT_TRUE(Send(record, Rules({.of_caller = Money(0, 0)})).ok());
  ASSERT_TRUE(Write(record, BoughtOf(record, Price(1, 5))).ok());
  EXPECT_EQ(Used(), "1 today, 1 live, USD 0 today, 0 a month");
}

TEST_P(SpendingContract, ScopesAreApart) {
  MustBuy("a", {"sales", "orders"});
  MustBuy("b", {"sales", "other"});
  MustBuy("c", {"support", "orders"}, Price(0, 2, "EUR"));
  const auto counts = *Get(journal_->Spent({"sales", "orders"}));
  EXPECT_EQ(Show(counts.caller), "2 today, 2 live, EUR 2 today, 2 a month, USD 6 today, 5 a month");
  EXPECT_EQ(Show(counts.account), "2 today, 2 live, USD 12 today, 10 a month");
  EXPECT_EQ(Show(counts.caller_on_account), "1 today, 1 live, USD 6 today, 5 a month");
}

// --- refusals -----------------------------------------------------------------------------------

struct LimitCase {
  std::string limit;
  SpendingLimits limits;  // two purchases at 1 + 5 keep them, and no third
  std::string value, used, asked;
};

std::vector<LimitCase> LimitCases() {
  return {{"purchases_per_day", Count(2, {}), "2", "2", "1"},
          {"live_leases", Count({}, 2), "2", "2", "1"},
          {"money_per_day", Money(12.5, {}), "12.5", "12", "6"},
          {"money_per_month", Money({}, 10), "10", "10", "5"}};
}

TEST_P(SpendingContract, EachLimitOfEachScopeRefusesAndChangesNothing) {
  int count = 0;
  for (const LimitCase& test : LimitCases()) {
    for (const char* scope : {"caller", "account", "caller_on_account"}) {
      SCOPED_TRACE(absl::StrCat(scope, ".", test.limit));
      const std::string name(scope);
      // Apart from the other cases, and from what the scope doesn't count.
      const Spender spender{absl::StrCat("account", ++count), absl::StrCat("caller", count)};
      const Spender same{name == "caller" ? "elsewhere" : spender.account,
                         name == "account" ? "somebody" : spender.caller};
      const Spender apart{name == "caller" ? spender.account : "apart",
                          name == "account" ? spender.caller : "apart"};
      MustBuy(absl::StrCat("apart", count), apart, Price(100, 100));
      MustBuy(absl::StrCat("a", count), same);
      SpendingRules rules;
      (name == "caller"    ? rules.caller
       : name == "account" ? rules.account
                           : rules.caller_on_account) =
          std::make_shared<SpendingLimits>(test.limits);
      ASSERT_TRUE(TryToBuy(absl::StrCat("b", count), rules, spender).ok());
      const std::string before = Used(spender);
      Record record = MustBegin(absl::StrCat("c", count), spender);
      const auto refused = Send(record, std::make_shared<SpendingRules>(rules));
      EXPECT_EQ(refused.code(), absl::StatusCode::kFailedPrecondition) << refused;
      EXPECT_EQ(ReasonOf(refused), reason::kSpendLimitExceeded);
      auto metadata = MetadataOf(refused);
      EXPECT_EQ(metadata["scope"], name);
      EXPECT_EQ(metadata["limit"], test.limit);
      EXPECT_EQ(metadata["value"], test.value);
      EXPECT_EQ(metadata["used"], test.used);
      EXPECT_EQ(metadata["asked"], test.asked);
      EXPECT_EQ(Used(spender), before);
      const auto found = Get(journal_->Find(spender.account, absl::StrCat("c", count)));
      EXPECT_EQ((*found)->entry.operation.state(), v1::OPERATION_STATE_INTENDED);
      EXPECT_EQ((*found)->revision, record.revision);
      // What is given back can be had, and the refused one is as it was.
      Record given = **Get(journal_->Find(spender.account, absl::StrCat("b", count)));
      ASSERT_TRUE(Move(given, v1::OPERATION_STATE_FAILED).ok());
      EXPECT_TRUE(Send(record, std::make_shared<SpendingRules>(rules)).ok());
    }
  }
}

TEST_P(SpendingContract, LimitThatIsSetLaterCountsWhatIsThere) {
  for (const char* id : {"a", "b", "c"}) MustBuy(id);
  EXPECT_EQ(MetadataOf(TryToBuy("d", *Rules({.of_account = Count({}, 2)})))["used"], "3");
}

TEST_P(SpendingContract, PriceOfOnePurchaseHasItsLimits) {
  SpendingLimits limits;
  limits.currencies["USD"].monthly_rate = 5'000'000'000;
  limits.currencies["USD"].upfront_fee = 1'000'000'000;
  const auto rules = Rules({.of_both = limits});
  EXPECT_TRUE(TryToBuy("a", *rules).ok());
  int count = 0;
  for (const auto& [price, limit] :
       {std::pair(Price(1, 6), "monthly_rate"), std::pair(Price(2, 5), "upfront_fee"),
        std::pair(Price(1, 5, "EUR"), "currencies"), std::pair(v1::Pricing(), "currencies")}) {
    const std::string id = absl::StrCat("b", ++count);
    EXPECT_EQ(MetadataOf(TryToBuy(id, *rules, kOrders, price))["limit"], limit);
    const auto found = Get(journal_->Find("sales", id));
    EXPECT_EQ((*found)->entry.operation.state(), v1::OPERATION_STATE_INTENDED);
  }
  EXPECT_EQ(Use().purchases_today, 1);
}

TEST_P(SpendingContract, CheckTakesNothing) {
  const auto rules = Rules({.of_caller = Count(1, {})});
  const SpendingPrice price = PriceOf(Price(1, 5), v1::BILLING_METHOD_MONTHLY);
  EXPECT_TRUE(Get(CheckSpending(journal_, rules, kOrders, price)).ok());
  EXPECT_TRUE(Get(CheckSpending(journal_, rules, kOrders, price)).ok());
  EXPECT_EQ(Used(), "0 today, 0 live");
  MustBuy("a");
  EXPECT_EQ(MetadataOf(Get(CheckSpending(journal_, rules, kOrders, price)))["limit"],
            "purchases_per_day");
  EXPECT_TRUE(Get(CheckSpending(journal_, nullptr, kOrders, price)).ok());
}

// --- races --------------------------------------------------------------------------------------

TEST_P(SpendingContract, NoRaceTakesTheLastUnitTwice) {
  // Two replicas, and two callers who share an account and have one limit each, so that locks of
  // several limits meet crosswise.
  const auto second = engine_->OpenAnother();
  const std::shared_ptr<OperationJournal> journals[] = {journal_, second};
  int round = 0;
  for (const LimitCase& test : LimitCases()) {
    SCOPED_TRACE(test.limit);
    const std::string account = absl::StrCat("account", ++round);
    SpendingRules rules;
    rules.account = std::make_shared<SpendingLimits>(test.limits);
    rules.caller = std::make_shared<SpendingLimits>(Count(1, {}));
    rules.caller_on_account = std::make_shared<SpendingLimits>(Money(100, {}));
    const auto shared = std::make_shared<SpendingRules>(rules);
    std::vector<std::future<absl::StatusOr<OperationJournal::Updated>>> calls;
    for (int i = 0; i < 24; ++i) {
      const Spender spender{account, absl::StrCat("caller", round, "-", i % 4)};
      const auto& journal = journals[i % 2];
      const auto begun =
          Get(journal->Begin(PurchaseOf(absl::StrCat(round, "-", i), spender), false));
      ASSERT_TRUE(begun.ok()) << begun.status();
      auto change = SendingOf(begun->record, shared, Price(1, 5));
      calls.push_back(io_.Start(journal->Update(std::move(change))));
    }
    int bought = 0;
    for (auto& call : calls) {
      const auto updated = postgres::IoThreads::Get(std::move(call));
      if (updated.ok()) ++bought;
      if (!updated.ok()) {
        EXPECT_EQ(ReasonOf(updated.status()), reason::kSpendLimitExceeded) << updated.status();
      }
    }
    EXPECT_EQ(bought, 2);
    const auto counts = *Get(journal_->Spent({account, "nobody"}));
    EXPECT_EQ(Show(counts.account), "2 today, 2 live, USD 12 today, 10 a month");
  }
}

// --- leases that end elsewhere ------------------------------------------------------------------

TEST_P(SpendingContract, LeasesThatAreNotThereAnyMoreAreFoundAndEnded) {
  for (const char* id : {"a", "b", "c"}) MustBuy(id);
  Record open = MustBegin("open");
  ASSERT_TRUE(Send(open, nullptr).ok());
  MustBuy("x", {"support", "orders"});
  const auto held = [&](std::vector<std::string> ids, Clock::time_point as_of, int limit = 10) {
    const auto found = Get(journal_->HeldWithout("sales", std::move(ids), as_of, limit));
    EXPECT_TRUE(found.ok()) << found.status();
    return found.ok() ? *found : std::vector<HeldLease>();
  };
  EXPECT_THAT(held({"lsd_b", "foreign"}, Clock::now()),
              ElementsAre(HeldLease{"lsd_a", "+a"}, HeldLease{"lsd_c", "+c"}));
  EXPECT_THAT(held({}, Clock::now(), 2),
              ElementsAre(HeldLease{"lsd_a", "+a"}, HeldLease{"lsd_b", "+b"}));
  EXPECT_THAT(held({}, Clock::now() - hours(1)), IsEmpty());  // bought too lately
  ASSERT_TRUE(Get(journal_->EndedElsewhere("sales", {"lsd_a", "lsd_c", "lsd_x", ""})).ok());
  EXPECT_THAT(held({}, Clock::now()), ElementsAre(HeldLease{"lsd_b", "+b"}));
  EXPECT_EQ(Used(), "4 today, 2 live, USD 24 today, 10 a month");
  EXPECT_EQ(Used({"support", "orders"}), "1 today, 1 live, USD 6 today, 5 a month");
}

INSTANTIATE_TEST_SUITE_P(Engines, SpendingContract, AllEngines(),
                         [](const auto& kind) { return kind.param.name; });

}  // namespace
}  // namespace leasegateway
