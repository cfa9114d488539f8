// Limits of spending, from the caller's file to the provider's ledger.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include "service/process/logging.h"
#include "tests/support/callers_fixture.h"
#include "tests/support/http_client.h"
#include "tests/support/spending_callers.h"

namespace leasegateway {
namespace {

using testing::HasSubstr;

class CallersSpendingTest : public CallersTest {
 protected:
  // The caller "buyer" with `limits` of its own: "spending: {…}", or "spending_on: {sales: {…}}".
  static std::string Buyer(const std::string& limits) {
    return "roles: {all: [read, lease, terminate, see_operations]}\ncallers:\n"
           "  - {name: buyer, match: {spiffe: \"spiffe://prod/buyer\"}, roles: {sales: [all], "
           "support: [all]}" +
           (limits.empty() ? "" : ", " + limits) + "}\n";
  }
  void StartBuyer(const std::string& limits, const std::function<void(Config&)>& adjust = nullptr,
                  const std::string& sales = "") {
    StartWithCallers(Buyer(limits), adjust, sales);
    numbers_ = PricedNumbers(*sandbox_, 30);
  }

  grpc::Status Buy(const std::string& number, const std::string& request_id,
                   bool validate_only = false, const std::string& account = "sales",
                   const std::string& caller = "buyer", int timeout_ms = 10'000) {
    v1::CreateLeaseRequest request;
    request.set_account(account);
    request.set_phone_number(number);
    request.set_request_id(request_id);
    request.set_validate_only(validate_only);
    v1::CreateLeaseResponse response;
    return stub_->CreateLease(As(caller, timeout_ms).get(), request, &response);
  }
  // The next number, with the next id.
  grpc::Status BuyNext(const std::string& account = "sales", const std::string& caller = "buyer") {
    const int index = next_++;
    return Buy(numbers_[index], PurchaseId(index), false, account, caller);
  }
  grpc::Status End(const std::string& number, const std::string& account = "sales",
                   const std::string& caller = "buyer") {
    v1::TerminateLeaseRequest request;
    request.set_account(account);
    request.set_phone_number(number);
    request.set_request_id(PurchaseId(900'000 + next_++));
    v1::TerminateLeaseResponse response;
    return stub_->TerminateLease(As(caller).get(), request, &response);
  }
  v1::WhoAmIResponse Who(const std::string& caller = "buyer") {
    v1::WhoAmIResponse who;
    const auto status = stub_->WhoAmI(As(caller).get(), {}, &who);
    EXPECT_TRUE(status.ok()) << status.error_message();
    return who;
  }
  std::string Used(const std::string& limit, v1::LimitScope scope = v1::LIMIT_SCOPE_CALLER) {
    return ShowLimit(Who(), scope, limit);
  }
  v1::Operation OperationOf(const std::string& request_id) {
    v1::GetOperationRequest request;
    request.set_account("sales");
    request.set_request_id(request_id);
    v1::GetOperationResponse response;
    const auto status = stub_->GetOperation(As("buyer").get(), request, &response);
    EXPECT_TRUE(status.ok()) << status.error_message();
    return response.operation();
  }
  // Whether it becomes true within 20 s.
  static bool Becomes(const std::function<bool()>& condition) {
    for (int i = 0; i < 2000; ++i) {
      if (condition()) return true;
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
    return false;
  }
  // A purchase whose request the provider gets, as `when` says, but of which nobody hears before
  // all faults are cleared.
  void BuyUnknown(const std::string& number, const std::string& request_id,
                  const std::string& when) {
    Fault(R"({"route":"POST /lease/{number}","count":1,"kind":"hang","when":")" + when + "\"}");
    grpc::Status status;
    std::thread buying([&] { status = Buy(number, request_id, false, "sales", "buyer", 1'500); });
    EXPECT_TRUE(Becomes([&] {
      const auto asked = sandbox_->Control("GET", "/_sandbox/requests", "");
      return asked->find("POST /lease/{number}") != asked->npos;
    }));
    Fault(R"({"number":")" + number + R"(","fraction":1,"kind":"close","when":"before"})");
    buying.join();
    EXPECT_EQ(Explain(status).reason, "OUTCOME_UNKNOWN") << status.error_message();
  }
  void ClearFaults() { EXPECT_TRUE(sandbox_->Control("DELETE", "/_sandbox/faults", "").ok()); }

  std::vector<std::string> numbers_;
  int next_ = 0;
};

// Each purchase is 2 USD once and 1 USD a month.
struct LimitRow {
  const char* name;
  const char* limits;
  int fits;             // so many purchases
  const char* refused;  // what the next is told, after its scope
  const char* before;   // what WhoAmI tells: at first,
  const char* used;     // when no more fits,
  const char* ended;    // and when one of the leases has ended
  bool comes_back;      // whether another fits then
};
constexpr LimitRow kLimits[] = {
    {"purchases_per_day", "purchases_per_day: 2", 2, "purchases_per_day: 2, 2 used, 1 asked",
     "2: 0 used, 2 left", "2: 2 used, 0 left", "2: 2 used, 0 left", false},
    {"live_leases", "live_leases: 2", 2, "live_leases: 2, 2 used, 1 asked", "2: 0 used, 2 left",
     "2: 2 used, 0 left", "2: 1 used, 1 left", true},
    {"monthly_rate", "currencies: {USD: {monthly_rate: 0.99}}", 0,
     "monthly_rate: 0.99, 0 used, 1 asked", "0.99 USD", "0.99 USD", "", false},
    {"upfront_fee", "currencies: {USD: {upfront_fee: 1.5, monthly_rate: 1}}", 0,
     "upfront_fee: 1.5, 0 used, 2 asked", "1.5 USD", "1.5 USD", "", false},
    {"money_per_day", "currencies: {USD: {money_per_day: 8.999999999}}", 2,
     "money_per_day: 8.999999999, 6 used, 3 asked",
     "8.999999999 USD: 0 USD used, 8.999999999 USD left",
     "8.999999999 USD: 6 USD used, 2.999999999 USD left",
     "8.999999999 USD: 6 USD used, 2.999999999 USD left", false},
    {"money_per_month", "currencies: {USD: {money_per_month: 2.5}}", 2,
     "money_per_month: 2.5, 2 used, 1 asked", "2.5 USD: 0 USD used, 2.5 USD left",
     "2.5 USD: 2 USD used, 0.5 USD left", "2.5 USD: 1 USD used, 1.5 USD left", true},
    {"currencies", "currencies: {EUR: {}, GBP: {}}", 0, "currencies: EUR, GBP,  used, USD asked",
     "none", "none", "", false},
};

// An account and a caller for each limit in each scope.
class EachLimit : public CallersSpendingTest {
 protected:
  struct Scope {
    v1::LimitScope scope;
    const char* name;
  };
  static constexpr Scope kScopes[] = {{v1::LIMIT_SCOPE_CALLER, "caller"},
                                      {v1::LIMIT_SCOPE_ACCOUNT, "account"},
                                      {v1::LIMIT_SCOPE_CALLER_ON_ACCOUNT, "caller_on_account"}};

  static std::string NameOf(const LimitRow& row, const Scope& scope) {
    std::string name = std::string(row.name) + "-" + scope.name;
    std::replace(name.begin(), name.end(), '_', '-');
    return name;
  }
  void StartAll() {
    std::string accounts = "accounts:\n";
    std::string callers = "roles: {all: [read, lease, terminate, see_operations]}\ncallers:\n";
    sandbox::SandboxOptions options;
    options.numbers = 400;
    for (const LimitRow& row : kLimits) {
      for (const Scope& scope : kScopes) {
        const std::string name = NameOf(row, scope);
        options.keys.push_back("contiguity_sk_" + name);
        const std::string limits = std::string("{") + row.limits + "}";
        accounts +=
            "  - {name: " + name + ", key_file: " + Write(name + ".key", options.keys.back());
        if (scope.scope == v1::LIMIT_SCOPE_ACCOUNT) accounts += ", spending: " + limits;
        accounts += "}\n";
        callers += "  - {name: " + name + ", match: {spiffe: \"spiffe://prod/" + name +
                   "\"}, roles: {" + name + ": [all]}";
        if (scope.scope == v1::LIMIT_SCOPE_CALLER) callers += ", spending: " + limits;
        if (scope.scope == v1::LIMIT_SCOPE_CALLER_ON_ACCOUNT) {
          callers += ", spending_on: {" + name + ": " + limits + "}";
        }
        callers += "}\n";
      }
    }
    Write("callers.yaml", accounts + callers);
    StartGateway([&](Config& config) { config.callers_file = Path("callers.yaml"); }, options);
    numbers_ = PricedNumbers(*sandbox_, 120, 400);
  }
  void Try(const LimitRow& row, const Scope& scope) {
    const std::string name = NameOf(row, scope);
    const auto told = [&] { return ShowLimit(Who(name), scope.scope, row.name); };
    const std::string refusal = std::string(scope.name) + " " + row.refused;
    EXPECT_EQ(told(), row.before);
    const int first = next_;
    for (int i = 0; i < row.fits; ++i) {
      // A look takes nothing.
      const auto valid = Buy(numbers_[next_], PurchaseId(next_), true, name, name);
      EXPECT_EQ(ShowRefusal(valid), "OK") << valid.error_message();
      const auto bought = BuyNext(name, name);
      EXPECT_EQ(ShowRefusal(bought), "OK") << bought.error_message();
    }
    EXPECT_EQ(told(), row.used);
    EXPECT_EQ(ShowRefusal(Buy(numbers_[next_], PurchaseId(next_), true, name, name)), refusal);
    const int refused = next_;
    EXPECT_EQ(ShowRefusal(BuyNext(name, name)), refusal);
    EXPECT_EQ(told(), row.used);
    EXPECT_EQ(CountInLedger("lease", numbers_[refused]), 0);
    if (row.fits == 0) return;
    const auto ended = End(numbers_[first], name, name);
    ASSERT_TRUE(ended.ok()) << ended.error_message();
    EXPECT_EQ(told(), row.ended);
    // The same request: it may be tried anew.
    const auto again = Buy(numbers_[refused], PurchaseId(refused), false, name, name);
    EXPECT_EQ(ShowRefusal(again), row.comes_back ? "OK" : refusal);
    EXPECT_EQ(CountInLedger("lease", numbers_[refused]), row.comes_back ? 1 : 0);
  }
};

TEST_F(EachLimit, IsKeptInEachScopeAndToldAsItIs) {
  StartAll();
  for (const LimitRow& row : kLimits) {
    for (const Scope& scope : kScopes) {
      SCOPED_TRACE(NameOf(row, scope));
      Try(row, scope);
    }
  }
}

TEST_F(CallersSpendingTest, ALimitOfACallerIsOnAllAccountsTogether) {
  StartBuyer("spending: {purchases_per_day: 2}, spending_on: {support: {live_leases: 5}}");
  EXPECT_EQ(ShowRefusal(BuyNext("sales")), "OK");
  EXPECT_EQ(ShowRefusal(BuyNext("support")), "OK");
  for (const char* account : {"sales", "support"}) {
    EXPECT_EQ(ShowRefusal(BuyNext(account)), "caller purchases_per_day: 2, 2 used, 1 asked");
  }
  EXPECT_EQ(Used("purchases_per_day"), "2: 2 used, 0 left");
  EXPECT_EQ(Used("live_leases", v1::LIMIT_SCOPE_CALLER_ON_ACCOUNT), "5: 1 used, 4 left");
  EXPECT_EQ(CountAllInLedger(*sandbox_, "lease"), 2);
}

TEST_F(CallersSpendingTest, ALimitOfAnAccountIsOfAllItsCallers) {
  StartWithCallers(
      "roles: {all: [read, lease]}\ncallers:\n"
      "  - {name: one, match: {spiffe: \"spiffe://prod/one\"}, roles: {sales: [all]}}\n"
      "  - {name: two, match: {spiffe: \"spiffe://prod/two\"}, roles: {sales: [all], support: "
      "[all]}}\n",
      nullptr, ", spending: {live_leases: 2}");
  numbers_ = PricedNumbers(*sandbox_, 10);
  EXPECT_EQ(ShowRefusal(BuyNext("sales", "one")), "OK");
  EXPECT_EQ(ShowRefusal(BuyNext("sales", "two")), "OK");
  for (const char* caller : {"one", "two"}) {
    EXPECT_EQ(ShowRefusal(BuyNext("sales", caller)), "account live_leases: 2, 2 used, 1 asked");
    EXPECT_EQ(ShowLimit(Who(caller), v1::LIMIT_SCOPE_ACCOUNT, "live_leases"), "2: 2 used, 0 left");
  }
  EXPECT_EQ(ShowRefusal(BuyNext("support", "two")), "OK");
}

// Who may see all can go on with what another has begun: that counts for the one who began it.
TEST_F(CallersSpendingTest, AnotherWhoGoesOnWithAPurchaseKeepsTheLimitsOfItsCaller) {
  StartWithCallers(
      "roles: {all: [read, lease], auditor: [lease, see_all_operations]}\ncallers:\n"
      "  - {name: buyer, match: {spiffe: \"spiffe://prod/buyer\"}, roles: {sales: [all]}, "
      "spending: {live_leases: 1}}\n"
      "  - {name: auditor, match: {spiffe: \"spiffe://prod/auditor\"}, roles: {sales: "
      "[auditor]}}\n");
  numbers_ = PricedNumbers(*sandbox_, 2);
  EXPECT_EQ(ShowRefusal(BuyNext()), "OK");
  for (const char* caller : {"buyer", "auditor"}) {
    EXPECT_EQ(ShowRefusal(Buy(numbers_[1], PurchaseId(1), false, "sales", caller)),
              "caller live_leases: 1, 1 used, 1 asked");
  }
  EXPECT_EQ(CountAllInLedger(*sandbox_, "lease"), 1);
  EXPECT_EQ(ShowRefusal(Buy(numbers_[1], PurchaseId(2), false, "sales", "auditor")), "OK");
}

TEST_F(CallersSpendingTest, OnlyCurrenciesOfTheFileAreSpent) {
  StartBuyer("spending: {currencies: {USD: {}}}");
  SetPrice(*sandbox_, numbers_[0], "0", "0.01", "EUR");
  EXPECT_EQ(ShowRefusal(BuyNext()), "caller currencies: USD,  used, EUR asked");
  EXPECT_EQ(ShowRefusal(BuyNext()), "OK");
  EXPECT_EQ(CountInLedger("lease", numbers_[0]), 0);
}

TEST_F(CallersSpendingTest, TwentyThatRaceForThreeBuyThree) {
  StartBuyer("spending: {live_leases: 3}",
             [&](Config& config) { config.journal = Path("journal.db"); });
  std::atomic<int> bought{0}, refused{0};
  std::vector<std::thread> threads;
  for (int i = 0; i < 20; ++i) {
    threads.emplace_back([&, i] {
      const auto status = Buy(numbers_[i], PurchaseId(i));
      if (status.ok()) ++bought;
      const std::string shown = ShowRefusal(status);
      if (shown == "caller live_leases: 3, 3 used, 1 asked") ++refused;
      if (!status.ok()) {
        EXPECT_THAT(shown, HasSubstr("caller live_leases: 3, 3 used"));
      }
    });
  }
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(bought, 3);
  EXPECT_EQ(refused, 17);
  EXPECT_EQ(CountAllInLedger(*sandbox_, "lease"), 3);
  EXPECT_EQ(Used("live_leases"), "3: 3 used, 0 left");
}

// Each looks for a number of its own that it can afford: what was too dear is passed over.
TEST_F(CallersSpendingTest, TwentyThatTakeAnyNumberBuyWhatFits) {
  StartBuyer("spending: {live_leases: 3, currencies: {USD: {monthly_rate: 1, upfront_fee: 2}}}");
  google::type::Money ceiling;
  ceiling.set_currency_code("USD");
  ceiling.set_units(1'000'000);
  std::atomic<int> bought{0};
  std::vector<std::thread> threads;
  for (int i = 0; i < 20; ++i) {
    threads.emplace_back([&, i] {
      v1::LeaseAnyNumberRequest request;
      request.set_account("sales");
      request.set_request_id(PurchaseId(i));
      // Above the limits, which are what counts.
      *request.mutable_filter()->mutable_max_monthly_rate() = ceiling;
      *request.mutable_filter()->mutable_max_upfront_fee() = ceiling;
      v1::LeaseAnyNumberResponse response;
      const auto status = stub_->LeaseAnyNumber(As("buyer", 60'000).get(), request, &response);
      if (!status.ok()) {
        EXPECT_EQ(Explain(status).reason, "SPEND_LIMIT_EXCEEDED") << status.error_message();
        return;
      }
      ++bought;
      EXPECT_EQ(response.lease().billing().price().monthly_rate().units(), 1);
    });
  }
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(bought, 3);
  EXPECT_EQ(CountAllInLedger(*sandbox_, "lease"), 3);
  EXPECT_EQ(Used("live_leases"), "3: 3 used, 0 left");
}

// Whoever ends a lease, it was its buyer's.
TEST_F(CallersSpendingTest, ALeaseThatAnotherCallerEndsMakesRoomForItsBuyer) {
  StartWithCallers(Buyer("spending: {live_leases: 1}") +
                   "  - {name: ender, match: {spiffe: \"spiffe://prod/ender\"}, roles: {sales: "
                   "[all]}, spending: {live_leases: 0}}\n");
  numbers_ = PricedNumbers(*sandbox_, 10);
  EXPECT_EQ(ShowRefusal(BuyNext()), "OK");
  ASSERT_TRUE(End(numbers_[0], "sales", "ender").ok());
  EXPECT_EQ(Used("live_leases"), "1: 0 used, 1 left");
  EXPECT_EQ(ShowLimit(Who("ender"), v1::LIMIT_SCOPE_CALLER, "live_leases"), "0: 0 used, 0 left");
  EXPECT_EQ(ShowRefusal(BuyNext("sales", "ender")), "caller live_leases: 0, 0 used, 1 asked");
  EXPECT_EQ(ShowRefusal(BuyNext()), "OK");
}

TEST_F(CallersSpendingTest, WhatNobodyKnowsKeepsItsPlaceUntilItIsFoundOut) {
  StartBuyer("spending: {live_leases: 1}",
             [](Config& config) { config.response_timeout = std::chrono::milliseconds(1'000); });
  BuyUnknown(numbers_[0], PurchaseId(0), "after");
  EXPECT_EQ(Used("live_leases"), "1: 1 used, 0 left");
  EXPECT_EQ(ShowRefusal(Buy(numbers_[1], PurchaseId(1))), "caller live_leases: 1, 1 used, 1 asked");
  ClearFaults();
  EXPECT_TRUE(
      Becomes([&] { return OperationOf(PurchaseId(0)).state() == v1::OPERATION_STATE_SUCCEEDED; }));
  EXPECT_EQ(Used("live_leases"), "1: 1 used, 0 left");
  EXPECT_EQ(ShowRefusal(Buy(numbers_[1], PurchaseId(1))), "caller live_leases: 1, 1 used, 1 asked");
  EXPECT_EQ(CountAllInLedger(*sandbox_, "lease"), 1);
}

TEST_F(CallersSpendingTest, WhatWasNotBoughtGivesItsPlaceBack) {
  StartBuyer("spending: {live_leases: 1, purchases_per_day: 1}", [](Config& config) {
    config.response_timeout = std::chrono::milliseconds(1'000);
    // So that it is not sent again.
    config.retry_budget_percent = config.retry_budget_floor = 0;
    config.settle_time = std::chrono::milliseconds(1'000);
  });
  BuyUnknown(numbers_[0], PurchaseId(0), "before");
  EXPECT_EQ(Used("purchases_per_day"), "1: 1 used, 0 left");
  EXPECT_EQ(ShowRefusal(Buy(numbers_[1], PurchaseId(1))),
            "caller purchases_per_day: 1, 1 used, 1 asked");
  ClearFaults();
  EXPECT_TRUE(
      Becomes([&] { return OperationOf(PurchaseId(0)).state() == v1::OPERATION_STATE_FAILED; }));
  EXPECT_EQ(Used("purchases_per_day"), "1: 0 used, 1 left");
  EXPECT_EQ(ShowRefusal(Buy(numbers_[1], PurchaseId(1))), "OK");
  EXPECT_EQ(CountAllInLedger(*sandbox_, "lease"), 1);
}

TEST_F(CallersSpendingTest, ALimitThatIsRaisedCountsFromTheNextCallOn) {
  StartBuyer("spending: {purchases_per_day: 1}");
  EXPECT_EQ(ShowRefusal(Buy(numbers_[0], PurchaseId(0))), "OK");
  EXPECT_EQ(ShowRefusal(Buy(numbers_[1], PurchaseId(1))),
            "caller purchases_per_day: 1, 1 used, 1 asked");
  WriteCallers(Buyer("spending: {purchases_per_day: 2}"));
  EXPECT_TRUE(Becomes([&] { return Used("purchases_per_day") == "2: 1 used, 1 left"; }));
  EXPECT_EQ(ShowRefusal(Buy(numbers_[1], PurchaseId(1))), "OK");
  // One that is lowered lets nothing more through, and takes nothing away.
  WriteCallers(Buyer("spending: {purchases_per_day: 1}"));
  EXPECT_TRUE(Becomes([&] { return Used("purchases_per_day") == "1: 2 used, 0 left"; }));
  EXPECT_EQ(ShowRefusal(Buy(numbers_[2], PurchaseId(2))),
            "caller purchases_per_day: 1, 2 used, 1 asked");
  // One that is new counts what was bought before it.
  WriteCallers(Buyer("spending_on: {sales: {live_leases: 2}}"));
  EXPECT_TRUE(Becomes([&] {
    return Used("live_leases", v1::LIMIT_SCOPE_CALLER_ON_ACCOUNT) == "2: 2 used, 0 left";
  }));
  EXPECT_EQ(ShowRefusal(Buy(numbers_[2], PurchaseId(2))),
            "caller_on_account live_leases: 2, 2 used, 1 asked");
  EXPECT_EQ(CountAllInLedger(*sandbox_, "lease"), 2);
}

TEST_F(CallersSpendingTest, ARestartForgetsNothing) {
  StartBuyer("spending: {purchases_per_day: 3, currencies: {USD: {money_per_month: 10}}}",
             [&](Config& config) { config.journal = Path("journal.db"); });
  EXPECT_EQ(ShowRefusal(BuyNext()), "OK");
  EXPECT_EQ(ShowRefusal(BuyNext()), "OK");
  ASSERT_TRUE(End(numbers_[0]).ok());
  Serve();
  EXPECT_EQ(Used("purchases_per_day"), "3: 2 used, 1 left");
  EXPECT_EQ(Used("money_per_month"), "10 USD: 1 USD used, 9 USD left");
  EXPECT_EQ(ShowRefusal(BuyNext()), "OK");
  EXPECT_EQ(ShowRefusal(BuyNext()), "caller purchases_per_day: 3, 3 used, 1 asked");
  // What was bought is told again, whatever limits say by now.
  EXPECT_EQ(ShowRefusal(Buy(numbers_[1], PurchaseId(1))), "OK");
  EXPECT_EQ(CountAllInLedger(*sandbox_, "lease"), 3);
}

TEST_F(CallersSpendingTest, APriceThatRisesOnTheWayIsAnOverrun) {
  std::ostringstream log;
  InitLoggingTo(log, "info", "text");
  StartBuyer("spending: {currencies: {USD: {money_per_day: 4, money_per_month: 4}}}",
             [](Config& config) { config.admin_listen = "127.0.0.1:0"; });
  const auto overruns = [&] {
    const std::string text = Http(server_->admin_port(), "GET", "/metrics").body;
    const std::string name = "\nlease_gateway_spend_overruns_total ";
    const auto at = text.find(name);
    return at == text.npos ? "none" : text.substr(at + name.size(), 1);
  };
  EXPECT_EQ(overruns(), "0");
  Fault(R"({"route":"POST /lease/{number}","count":1,"kind":"delay","delay_ms":2000,)"
        R"("when":"before"})");
  grpc::Status status;
  std::thread buying([&] { status = Buy(numbers_[0], PurchaseId(0)); });
  EXPECT_TRUE(Becomes([&] {
    const auto asked = sandbox_->Control("GET", "/_sandbox/requests", "");
    return asked->find("POST /lease/{number}") != asked->npos;
  }));
  EXPECT_EQ(Used("money_per_day"), "4 USD: 3 USD used, 1 USD left");
  SetPrice(*sandbox_, numbers_[0], "2", "5.25");
  buying.join();
  ASSERT_TRUE(status.ok()) << status.error_message();
  EXPECT_EQ(overruns(), "1");
  // As charged, also beyond the limit.
  EXPECT_EQ(Used("money_per_day"), "4 USD: 7.25 USD used, 0 USD left");
  EXPECT_EQ(Used("money_per_month"), "4 USD: 5.25 USD used, 0 USD left");
  EXPECT_EQ(ShowRefusal(Buy(numbers_[1], PurchaseId(1))),
            "caller money_per_day: 4, 7.25 used, 3 asked");
  const auto price = OperationOf(PurchaseId(0)).price();
  EXPECT_EQ(price.monthly_rate().units(), 5);
  EXPECT_EQ(price.monthly_rate().nanos(), 250'000'000);
  server_.reset();
  ShutdownLogging();
  EXPECT_THAT(log.str(), HasSubstr("error operation " + PurchaseId(0) +
                                   ": the provider charged caller buyer for " + numbers_[0] +
                                   " 2 USD and 5.25 USD a month, asked for were 2 USD and 1 USD"));
  EXPECT_THAT(log.str(), HasSubstr(" audit refused method=CreateLease reason=SPEND_LIMIT_EXCEEDED "
                                   "scope=caller limit=money_per_day caller=buyer"));
}

}  // namespace
}  // namespace leasegateway
