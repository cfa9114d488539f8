// Several gateways that share a PostgreSQL: whatever is sent to whichever of them, and whichever of
// them dies, it is bought once, and all tell the same.
#include "tests/support/replicas.h"

#include <gmock/gmock.h>
#include <signal.h>

#include <algorithm>
#include <chrono>
#include <regex>
#include <string>
#include <vector>

#include "service/admin/metric_declarations.h"

namespace leasegateway {
namespace {

using grpc::StatusCode;
using std::chrono::milliseconds;
using std::chrono::seconds;
using ::testing::AnyOf;
using ::testing::ContainsRegex;
using ::testing::HasSubstr;

TEST_F(ReplicasTest, SameRequestToAllAtOnceIsOnePurchase) {
  StartReplicas(3);
  const std::string number = FirstAvailable();
  // So that they meet.
  AnswerPurchaseLate(300);
  v1::CreateLeaseResponse responses[3];
  grpc::Status statuses[3];
  AtOnce(3, [&](std::size_t i) { statuses[i] = LeaseAt(i, number, kRequestId, &responses[i]); });
  for (int i = 0; i < 3; ++i) {
    ASSERT_TRUE(statuses[i].ok()) << i << ": " << statuses[i].error_message();
    EXPECT_EQ(responses[i].lease().SerializeAsString(), responses[0].lease().SerializeAsString());
  }
  ExpectOnePurchase(number);
  // And later, anywhere.
  v1::CreateLeaseResponse again;
  ASSERT_TRUE(LeaseAt(2, number, kRequestId, &again).ok());
  EXPECT_EQ(again.lease().SerializeAsString(), responses[0].lease().SerializeAsString());
  ExpectOnePurchase(number);
}

TEST_F(ReplicasTest, LeaseAnyNumberBuysOneWhereverItIsSent) {
  StartReplicas(2);
  const v1::LeaseAnyNumberRequest request = Cheapest(1'000);
  v1::LeaseAnyNumberResponse responses[2];
  grpc::Status statuses[2];
  AtOnce(2, [&](std::size_t i) {
    statuses[i] = stubs_[i]->LeaseAnyNumber(Context().get(), request, &responses[i]);
  });
  for (const auto& status : statuses) ASSERT_TRUE(status.ok()) << status.error_message();
  EXPECT_EQ(responses[0].lease().SerializeAsString(), responses[1].lease().SerializeAsString());
  ExpectOnePurchase(responses[0].lease().phone_number());
  const auto ledger = sandbox_->Control("GET", "/_sandbox/ledger", "");
  ASSERT_TRUE(ledger.ok());
  EXPECT_EQ(ledger->find("\"charge\""), ledger->rfind("\"charge\"")) << *ledger;
}

TEST_F(ReplicasTest, TwoRequestsForANumberAtTwoReplicasBuyItOnce) {
  StartReplicas(2);
  const std::string number = FirstAvailable();
  v1::CreateLeaseResponse responses[2];
  grpc::Status statuses[2];
  const std::string ids[] = {kRequestId, kOtherId};
  AtOnce(2, [&](std::size_t i) { statuses[i] = LeaseAt(i, number, ids[i], &responses[i]); });
  EXPECT_NE(statuses[0].ok(), statuses[1].ok());
  const auto failure = Explain(statuses[0].ok() ? statuses[1] : statuses[0]);
  EXPECT_THAT(failure.reason, AnyOf("NUMBER_NOT_AVAILABLE", "ALREADY_LEASED"));
  ExpectOnePurchase(number);
}

TEST_F(ReplicasTest, EndedOnceAndToldEverywhere) {
  StartReplicas(2);
  const std::string number = FirstAvailable();
  v1::CreateLeaseResponse leased;
  ASSERT_TRUE(LeaseAt(0, number, kRequestId, &leased).ok());
  v1::TerminateLeaseRequest request;
  request.set_phone_number(number);
  request.set_request_id(kOtherId);
  request.set_lease_id(leased.lease().lease_id());
  v1::TerminateLeaseResponse responses[2];
  grpc::Status statuses[2];
  AtOnce(2, [&](std::size_t i) {
    statuses[i] = stubs_[i]->TerminateLease(Context().get(), request, &responses[i]);
  });
  for (const auto& status : statuses) EXPECT_TRUE(status.ok()) << status.error_message();
  EXPECT_EQ(responses[0].termination().SerializeAsString(),
            responses[1].termination().SerializeAsString());
  EXPECT_EQ(CountInLedger("terminate", number), 1);
}

TEST_F(ReplicasTest, OperationsAreTheSameAtEveryReplica) {
  StartReplicas(2);
  const auto numbers = Available(2);
  v1::CreateLeaseResponse response;
  ASSERT_TRUE(LeaseAt(0, numbers[0], kRequestId, &response).ok());
  ASSERT_TRUE(LeaseAt(1, numbers[1], kOtherId, &response).ok());
  for (const char* id : {kRequestId, kOtherId}) {
    EXPECT_EQ(OperationAt(0, id).SerializeAsString(), OperationAt(1, id).SerializeAsString());
  }
  v1::ListOperationsResponse lists[2];
  for (std::size_t i = 0; i < 2; ++i) {
    ASSERT_TRUE(stubs_[i]->ListOperations(Context().get(), {}, &lists[i]).ok());
    EXPECT_EQ(lists[i].operations_size(), 2);
  }
  EXPECT_EQ(lists[0].operations(0).SerializeAsString(), lists[1].operations(0).SerializeAsString());
  const auto reused = Explain(LeaseAt(1, numbers[1], kRequestId, &response));
  EXPECT_EQ(reused.code, StatusCode::INVALID_ARGUMENT);
  EXPECT_EQ(reused.reason, "REQUEST_ID_REUSED");
}

// It dies after the provider has sold and before it knows.
TEST_F(ReplicasTest, AnotherOneGoesOnAfterAKill) {
  StartReplicas(1);
  const std::string number = FirstAvailable();
  const pid_t victim = StartVictim(20000);
  v1::CreateLeaseResponse ignored;
  grpc::Status status;
  std::thread caller([&] { status = LeaseAt(1, number, kRequestId, &ignored, 30'000); });
  ASSERT_TRUE(Becomes([&] { return CountInLedger("lease", number) == 1; }));
  kill(victim, SIGKILL);
  const auto killed = std::chrono::steady_clock::now();
  caller.join();
  EXPECT_EQ(status.error_code(), StatusCode::UNAVAILABLE);
  EXPECT_EQ(programs_.Wait(victim), -1);

  // Also for a caller who sends it again at once.
  v1::CreateLeaseResponse response;
  const auto again = LeaseAt(0, number, kRequestId, &response, 15'000);
  EXPECT_TRUE(again.ok()) << again.error_message();
  EXPECT_LT(std::chrono::steady_clock::now() - killed, seconds(15));
  const v1::Operation operation = OperationAt(0, kRequestId);
  EXPECT_EQ(operation.state(), v1::OPERATION_STATE_SUCCEEDED);
  EXPECT_EQ(operation.lease_id(), LeaseIdNow(number));
  ExpectOnePurchase(number);
}

TEST_F(ReplicasTest, WhatADeadReplicaLeftIsAdoptedThoughNobodyAsks) {
  StartReplicas(1);
  const std::string number = FirstAvailable();
  const pid_t victim = StartVictim(20000);
  v1::CreateLeaseResponse ignored;
  std::thread caller([&] { LeaseAt(1, number, kRequestId, &ignored, 30'000).error_code(); });
  ASSERT_TRUE(Becomes([&] { return CountInLedger("lease", number) == 1; }));
  kill(victim, SIGKILL);
  caller.join();
  EXPECT_TRUE(
      Becomes([&] { return OperationAt(0, kRequestId).state() == v1::OPERATION_STATE_SUCCEEDED; }));
  EXPECT_EQ(MetricOf(*server_, "lease_gateway_operations_adopted_total{account=\"default\"}"), "1");
  ExpectOnePurchase(number);
}

// Longer than its ownership.
TEST_F(ReplicasTest, FrozenReplicaIsNoMoreTheOwnerWhenItThaws) {
  StartReplicas(1);
  const std::string number = FirstAvailable();
  const pid_t victim = StartVictim(3000);
  v1::CreateLeaseResponse late, response;
  grpc::Status status;
  std::thread caller([&] { status = LeaseAt(1, number, kRequestId, &late, 30'000); });
  ASSERT_TRUE(Becomes([&] { return CountInLedger("lease", number) == 1; }));
  kill(victim, SIGSTOP);
  const auto adopted = LeaseAt(0, number, kRequestId, &response, 15'000);
  EXPECT_TRUE(adopted.ok()) << adopted.error_message();
  kill(victim, SIGCONT);
  caller.join();
  ASSERT_TRUE(status.ok()) << status.error_message();
  EXPECT_EQ(late.lease().lease_id(), response.lease().lease_id());
  EXPECT_EQ(OperationAt(1, kRequestId).SerializeAsString(),
            OperationAt(0, kRequestId).SerializeAsString());
  ExpectOnePurchase(number);
}

TEST_F(ReplicasTest, MetricsAndReadinessTellOfTheDatabase) {
  StartReplicas(2);
  ASSERT_TRUE(Lease(FirstAvailable()).ok());
  const std::string text = Http(server_->admin_port(), "GET", "/metrics").body;
  for (const MetricDeclaration& metric : MetricDeclarations()) {
    if (!std::regex_match(metric.name, std::regex("lease_gateway_(database|replica|news).*"))) {
      continue;
    }
    EXPECT_THAT(text, ContainsRegex("\n" + metric.name + "[ {]"));
  }
  EXPECT_THAT(text, HasSubstr("\nlease_gateway_database_up 1\n"));
  EXPECT_GE(std::stoi(MetricOf(*server_, "lease_gateway_database_connections")), 2);
  EXPECT_EQ(Http(server_->admin_port(), "GET", "/readyz").body, "ready\n");
  EXPECT_THAT(Http(server_->admin_port(), "GET", "/config").body,
              HasSubstr("\ndatabase_url: \"" + config_.database_url + "\"\n"));
}

TEST_F(ReplicasTest, WhoLeavesInGoodOrderIsNotWaitedFor) {
  StartReplicas(2);
  EXPECT_TRUE(Becomes([&] { return MetricOf(*server_, "lease_gateway_replicas") == "2"; }));
  const auto began = std::chrono::steady_clock::now();
  others_.clear();
  EXPECT_LT(std::chrono::steady_clock::now() - began, seconds(5));
  EXPECT_TRUE(Becomes([&] { return MetricOf(*server_, "lease_gateway_replicas") == "1"; }));
  EXPECT_EQ(postgres_->Query(database_, "SELECT count(*) FROM lease_gateway.replica"),
            std::vector<std::string>{"1"});
}

}  // namespace
}  // namespace leasegateway
