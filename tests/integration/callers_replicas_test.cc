// Callers of several gateways that share a PostgreSQL: limits of spending hold for all of them
// together, whoever dies, and a request_id is its caller's at each.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>

#include <atomic>
#include <chrono>
#include <fstream>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "tests/support/replicas.h"
#include "tests/support/spending_callers.h"

namespace leasegateway {
namespace {

using testing::HasSubstr;
using testing::Not;

class CallersReplicasTest : public ReplicasTest {
 protected:
  // Each caller may do all on the account "sales".
  void StartReplicasWith(int count, const std::string& limits,
                         const std::function<void(Config&)>& adjust = nullptr) {
    sandbox::SandboxOptions options;
    options.keys = {"contiguity_sk_sales"};
    std::ofstream(programs_.Path("sales.key")) << options.keys[0];
    std::ofstream(programs_.Path("callers.yaml"))
        << "accounts:\n  - {name: sales, key_file: " << programs_.Path("sales.key")
        << "}\nroles: {all: [read, lease, terminate, see_operations]}\ncallers:\n"
        << "  - {name: trader, match: {spiffe: \"spiffe://prod/trader\"}, roles: {sales: [all]}, "
        << limits << "}\n"
        << "  - {name: other, match: {spiffe: \"spiffe://prod/other\"}, roles: {sales: [all]}}\n";
    StartReplicas(
        count,
        [&](Config& config) {
          config.callers_file = programs_.Path("callers.yaml");
          if (adjust) adjust(config);
        },
        options);
    numbers_ = PricedNumbers(*sandbox_, 30);
  }
  static std::unique_ptr<grpc::ClientContext> As(const std::string& name, int timeout_ms) {
    auto context = Context(timeout_ms);
    context->AddMetadata("x-forwarded-client-cert", "URI=spiffe://prod/" + name);
    return context;
  }
  grpc::Status BuyAt(std::size_t index, int purchase, const std::string& caller = "trader",
                     int timeout_ms = 20'000) {
    v1::CreateLeaseRequest request;
    request.set_phone_number(numbers_[purchase]);
    request.set_request_id(PurchaseId(purchase));
    v1::CreateLeaseResponse response;
    return stubs_[index]->CreateLease(As(caller, timeout_ms).get(), request, &response);
  }
  grpc::Status FindAt(std::size_t index, int purchase, const std::string& caller,
                      v1::Operation* operation) {
    v1::GetOperationRequest request;
    request.set_request_id(PurchaseId(purchase));
    v1::GetOperationResponse response;
    const auto status = stubs_[index]->GetOperation(As(caller, 10'000).get(), request, &response);
    *operation = response.operation();
    return status;
  }
  std::string UsedAt(std::size_t index, const std::string& limit) {
    v1::WhoAmIResponse who;
    const auto status = stubs_[index]->WhoAmI(As("trader", 10'000).get(), {}, &who);
    EXPECT_TRUE(status.ok()) << status.error_message();
    return ShowLimit(who, v1::LIMIT_SCOPE_CALLER, limit);
  }
  // Purchases [first, first + 20) at once, at the replicas in turn; how many were made. The others
  // are refused by `limit`.
  int Race(int first, std::size_t replicas, const std::string& limit) {
    std::atomic<int> bought{0};
    AtOnce(20, [&](std::size_t i) {
      const std::string shown = ShowRefusal(BuyAt(i % replicas, first + static_cast<int>(i)));
      if (shown == "OK") {
        ++bought;
      } else {
        EXPECT_THAT(shown, HasSubstr("caller " + limit));
      }
    });
    return bought;
  }

  std::vector<std::string> numbers_;
};

TEST_F(CallersReplicasTest, TwentyThatRaceAtTwoReplicasForThreeBuyThree) {
  StartReplicasWith(2, "spending: {live_leases: 3}");
  EXPECT_EQ(Race(0, 2, "live_leases: 3, 3 used"), 3);
  EXPECT_EQ(CountAllInLedger(*sandbox_, "lease"), 3);
  for (const std::size_t replica : {0, 1}) {
    EXPECT_EQ(UsedAt(replica, "live_leases"), "3: 3 used, 0 left");
  }
}

TEST_F(CallersReplicasTest, TheSumOfMoneyHoldsAtTwoReplicas) {
  StartReplicasWith(2, "spending: {currencies: {USD: {money_per_day: 11}}}");
  EXPECT_EQ(Race(0, 2, "money_per_day: 11, 9 used, 3 asked"), 3);
  EXPECT_EQ(CountAllInLedger(*sandbox_, "charge"), 3);
  EXPECT_EQ(UsedAt(1, "money_per_day"), "11 USD: 9 USD used, 2 USD left");
}

// It dies after the provider has sold and before it knows: what it had reserved stays taken.
TEST_F(CallersReplicasTest, WhatADeadReplicaReservedStaysTaken) {
  StartReplicasWith(1, "spending: {live_leases: 3}");
  const pid_t victim = StartProgram("victim", {"--callers-file=" + programs_.Path("callers.yaml")});
  AddStub(PortOf("victim"));
  AnswerPurchaseLate(20'000);
  grpc::Status status;
  std::thread caller([&] { status = BuyAt(1, 0, "trader", 30'000); });
  ASSERT_TRUE(Becomes([&] { return CountInLedger("lease", numbers_[0]) == 1; }));
  kill(victim, SIGKILL);
  caller.join();
  EXPECT_EQ(status.error_code(), grpc::StatusCode::UNAVAILABLE);
  EXPECT_EQ(programs_.Wait(victim), -1);
  EXPECT_EQ(Race(1, 1, "live_leases: 3, 3 used"), 2);
  EXPECT_TRUE(Becomes([&] {
    v1::Operation operation;
    return FindAt(0, 0, "trader", &operation).ok() &&
           operation.state() == v1::OPERATION_STATE_SUCCEEDED;
  }));
  EXPECT_EQ(UsedAt(0, "live_leases"), "3: 3 used, 0 left");
  EXPECT_EQ(CountAllInLedger(*sandbox_, "lease"), 3);
  EXPECT_EQ(ShowRefusal(BuyAt(0, 25)), "caller live_leases: 3, 3 used, 1 asked");
}

// It dies when its request is out, of which the provider has done nothing.
TEST_F(CallersReplicasTest, WhatADeadReplicaReservedInVainIsNotLost) {
  // So that what it may have sent can't be on its way for long, by its caller's deadline as well.
  StartReplicasWith(1, "spending: {live_leases: 3}", [](Config& config) {
    config.connect_timeout = config.handshake_timeout = config.send_timeout =
        config.response_timeout = config.read_timeout = config.settle_time =
            std::chrono::milliseconds(1'000);
  });
  const pid_t victim =
      StartProgram("victim", {"--callers-file=" + programs_.Path("callers.yaml"),
                              "--connect-timeout=1s", "--handshake-timeout=1s", "--send-timeout=1s",
                              "--response-timeout=1s", "--read-timeout=1s", "--settle-time=1s"});
  AddStub(PortOf("victim"));
  Fault(R"({"route":"POST /lease/{number}","count":1,"kind":"hang","when":"before"})");
  grpc::Status status;
  std::thread caller([&] { status = BuyAt(1, 0, "trader", 4'000); });
  ASSERT_TRUE(Becomes([&] { return Asked("POST /lease/{number}") == 1; }));
  kill(victim, SIGKILL);
  caller.join();
  EXPECT_EQ(programs_.Wait(victim), -1);
  EXPECT_EQ(Race(1, 1, "live_leases: 3, 3 used"), 2);
  v1::Operation operation;
  EXPECT_TRUE(Becomes([&] {
    return FindAt(0, 0, "trader", &operation).ok() &&
           (operation.state() == v1::OPERATION_STATE_SUCCEEDED ||
            operation.state() == v1::OPERATION_STATE_FAILED);
  }));
  const bool was_bought = operation.state() == v1::OPERATION_STATE_SUCCEEDED;
  EXPECT_EQ(CountAllInLedger(*sandbox_, "lease"), was_bought ? 3 : 2);
  EXPECT_EQ(UsedAt(0, "live_leases"), was_bought ? "3: 3 used, 0 left" : "3: 2 used, 1 left");
  EXPECT_EQ(ShowRefusal(BuyAt(0, 0)), "OK");
  EXPECT_EQ(ShowRefusal(BuyAt(0, 25)), "caller live_leases: 3, 3 used, 1 asked");
  EXPECT_EQ(CountAllInLedger(*sandbox_, "lease"), 3);
}

TEST_F(CallersReplicasTest, ARequestIdIsItsCallersAtEachReplica) {
  StartReplicasWith(2, "quotas: {watchers: 1}");
  ASSERT_EQ(ShowRefusal(BuyAt(0, 0)), "OK");
  for (const std::size_t replica : {0, 1}) {
    const auto status = BuyAt(replica, 0, "other");
    EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
    EXPECT_EQ(Explain(status).reason, "REQUEST_ID_REUSED");
    EXPECT_THAT(status.error_message() + status.error_details(), Not(HasSubstr("trader")));
    EXPECT_THAT(status.error_message() + status.error_details(), Not(HasSubstr(numbers_[0])));
    v1::Operation operation;
    EXPECT_EQ(Explain(FindAt(replica, 0, "other", &operation)).reason, "OPERATION_NOT_FOUND");
    ASSERT_TRUE(FindAt(replica, 0, "trader", &operation).ok());
    EXPECT_EQ(operation.caller(), "trader");
    EXPECT_EQ(ShowRefusal(BuyAt(replica, 0)), "OK");
  }
  ExpectOnePurchase(numbers_[0]);
}

// While it is under way at another replica.
TEST_F(CallersReplicasTest, ARequestIdUnderWayIsItsCallersAtEachReplica) {
  StartReplicasWith(2, "quotas: {watchers: 1}");
  AnswerPurchaseLate(2'000);
  grpc::Status bought;
  std::thread caller([&] { bought = BuyAt(0, 0); });
  EXPECT_TRUE(Becomes([&] { return CountInLedger("lease", numbers_[0]) == 1; }));
  for (const std::size_t replica : {1, 0}) {
    const auto status = BuyAt(replica, 0, "other");
    EXPECT_EQ(Explain(status).reason, "REQUEST_ID_REUSED") << replica << status.error_message();
    EXPECT_THAT(status.error_message() + status.error_details(), Not(HasSubstr(numbers_[0])));
  }
  caller.join();
  EXPECT_EQ(ShowRefusal(bought), "OK");
  ExpectOnePurchase(numbers_[0]);
}

}  // namespace
}  // namespace leasegateway
