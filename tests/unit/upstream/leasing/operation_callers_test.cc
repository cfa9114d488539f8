// Whose operations are whose: several callers of one account, and several accounts.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <memory>
#include <set>
#include <string>
#include <utility>

#include "tests/support/leasing_replicas.h"
#include "upstream/upstream_error.h"

namespace leasegateway {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

class OperationCallersTest : public RecordedLeaseApiTest {
 protected:
  CallContext Of(const std::string& caller, bool sees_all = false, const std::string& id = kId) {
    CallContext context = Context(id, seconds(30));
    context.caller = caller;
    context.identity_kind = v1::IDENTITY_KIND_SPIFFE_ID;
    context.sees_all_operations = sees_all;
    return context;
  }
  auto LeaseAs(const CallContext& context, const std::string& phone_number = kNumber) {
    return Run(api_->CreateLease(context, LeaseRequest(phone_number)));
  }
  template <typename C>
  static void ExpectLease(const C& call, const std::string& lease_id = "lsd_1") {
    ASSERT_TRUE(call->ended() && call->result->ok()) << call->reason();
    EXPECT_EQ((*call->result)->lease().lease_id(), lease_id);
  }
  // That the id is used, and nothing else.
  template <typename C>
  void ExpectReused(const C& call) {
    ASSERT_EQ(call->reason(), "REQUEST_ID_REUSED");
    EXPECT_EQ(call->result->status(), RequestIdReusedError(kId));
    EXPECT_EQ(stats_->settled_at, std::nullopt);
  }
  void AnswerAfter(milliseconds time) {
    provider_->steps.push_back({true, absl::OkStatus(), milliseconds(0), time});
  }
};

TEST_F(OperationCallersTest, CallerAndHowItProvedThatAreWrittenDownWithTheIntent) {
  AnswerAfter(seconds(1));
  LeaseAs(Of("orders"));
  EXPECT_EQ(Recorded().caller(), "orders");
  EXPECT_EQ(Recorded().identity_kind(), v1::IDENTITY_KIND_SPIFFE_ID);
  Advance(seconds(1));
  EXPECT_EQ(Recorded().state(), v1::OPERATION_STATE_SUCCEEDED);
  EXPECT_EQ(Recorded().identity_kind(), v1::IDENTITY_KIND_SPIFFE_ID);
}

TEST_F(OperationCallersTest, ItsCallsToTheProviderWaitInTheTurnsOfItsCallersShare) {
  CallContext context = Of("orders");
  context.share = "orders";
  ExpectLease(LeaseAs(context));
  context = Of("orders", false, kId2);
  context.share = "orders";
  auto terminate = v1::TerminateLeaseRequest();
  terminate.set_phone_number(kNumber);
  ASSERT_TRUE(Run(api_->TerminateLease(context, terminate))->result->ok());
  EXPECT_EQ(provider_->posts.size() + provider_->deletes.size(), 2u);
  EXPECT_EQ(provider_->shares, std::set<std::string>({"orders"}));
}

TEST_F(OperationCallersTest, AnotherCallerNeitherJoinsNorHearsOfIt) {
  AnswerAfter(seconds(1));
  const auto own = LeaseAs(Of("orders"));
  ExpectReused(LeaseAs(Of("billing")));
  const auto again = LeaseAs(Of("orders"));
  Advance(seconds(1));
  ExpectLease(own);
  ExpectLease(again);
  // Settled, and after a restart.
  ExpectReused(LeaseAs(Of("billing")));
  Stop();
  Start();
  ExpectReused(LeaseAs(Of("billing")));
  ExpectLease(LeaseAs(Of("orders")));
  auto terminate = v1::TerminateLeaseRequest();
  terminate.set_phone_number(kNumber);
  ExpectReused(Run(api_->TerminateLease(Of("billing"), terminate)));
  EXPECT_EQ(provider_->posts.size(), 1u);
}

TEST_F(OperationCallersTest, WhatFailedIsNotTriedAnewForAnother) {
  provider_->steps.push_back({false, Http(401, true)});
  EXPECT_EQ(LeaseAs(Of("orders"))->reason(), "UPSTREAM_CREDENTIALS_REJECTED");
  ExpectReused(LeaseAs(Of("billing")));
  EXPECT_EQ(provider_->posts.size(), 1u);
  ExpectLease(LeaseAs(Of("orders")));
}

TEST_F(OperationCallersTest, OneThatSeesAllJoins) {
  AnswerAfter(seconds(1));
  const auto own = LeaseAs(Of("orders"));
  const auto joined = LeaseAs(Of("support", true));
  Advance(seconds(1));
  ExpectLease(own);
  ExpectLease(joined);
  ExpectLease(LeaseAs(Of("support", true)));
  EXPECT_EQ(Recorded().caller(), "orders");
  EXPECT_EQ(provider_->posts.size(), 1u);
}

TEST_F(OperationCallersTest, TrialRunSaysThatTheIdIsUsed) {
  ExpectLease(LeaseAs(Of("orders")));
  auto request = LeaseRequest(kNumber);
  request.set_validate_only(true);
  ExpectReused(Run(api_->CreateLease(Of("billing"), request)));
  auto any = AnyRequest();
  any.set_validate_only(true);
  ExpectReused(Run(api_->LeaseAnyNumber(Of("billing"), any)));
}

TEST_F(OperationCallersTest, OthersOperationsAreNotRead) {
  ExpectLease(LeaseAs(Of("orders")));
  EXPECT_EQ(Run(api_->GetOperation(Of("billing"), kId))->reason(), "OPERATION_NOT_FOUND");
  EXPECT_TRUE(Run(api_->GetOperation(Of("support", true), kId))->result->ok());
  const auto listed = Run(api_->ListOperations(Of("billing"), {}));
  EXPECT_EQ((*listed->result)->operations_size(), 0);
  EXPECT_EQ((*Run(api_->ListOperations(Of("orders"), {}))->result)->operations_size(), 1);
}

// The journal's word takes a second.
class SlowWordTest : public OperationCallersTest {
 protected:
  SlowWordTest() {
    journal_->before_begin = [this] { return SleepBy(&time_, journal_time_); };
  }
  milliseconds journal_time_{0};
};

TEST_F(SlowWordTest, OwnerGetsItsAnswerThoughAnotherCameFirst) {
  ExpectLease(LeaseAs(Of("orders")));
  journal_time_ = seconds(1);
  const auto other = LeaseAs(Of("billing"));
  const auto all = LeaseAs(Of("support", true));
  const auto own = LeaseAs(Of("orders"));
  EXPECT_FALSE(other->ended() || all->ended() || own->ended());
  Advance(seconds(5));
  ASSERT_EQ(other->reason(), "REQUEST_ID_REUSED");
  ExpectLease(all);
  ExpectLease(own);
  EXPECT_EQ(provider_->posts.size(), 1u);
}

TEST_F(SlowWordTest, OneThatSeesAllKeepsNobodyFromItsOwn) {
  provider_->steps.push_back({false, Http(401, true)});
  EXPECT_EQ(LeaseAs(Of("orders"))->reason(), "UPSTREAM_CREDENTIALS_REJECTED");
  journal_time_ = seconds(1);
  AnswerAfter(seconds(5));
  const auto all = LeaseAs(Of("support", true));
  const auto own = LeaseAs(Of("orders"));
  const auto other = LeaseAs(Of("billing"));
  const auto same = LeaseAs(Of("support"));  // of that name, but it may not
  Advance(seconds(1));
  EXPECT_EQ(other->reason(), "REQUEST_ID_REUSED");
  EXPECT_EQ(same->reason(), "REQUEST_ID_REUSED");
  EXPECT_FALSE(all->ended() || own->ended());
  Advance(seconds(5));
  ExpectLease(all);
  ExpectLease(own);
}

TEST_F(SlowWordTest, OfTwoNewOnesTheFirstHasTheId) {
  journal_time_ = seconds(1);
  AnswerAfter(seconds(5));
  const auto first = LeaseAs(Of("orders"));
  const auto second = LeaseAs(Of("billing"));
  EXPECT_FALSE(second->ended());
  Advance(seconds(1));
  EXPECT_EQ(second->reason(), "REQUEST_ID_REUSED");
  Advance(seconds(5));
  ExpectLease(first);
  EXPECT_EQ(Recorded().caller(), "orders");
}

TEST_F(OperationCallersTest, SameIdOfTwoAccountsIsTwoOperations) {
  provider_->Add(kOther);
  AnswerAfter(seconds(1));
  const auto one = LeaseAs(Of("orders"));
  // The other account's stack, on the same journal.
  options_.account = "research";
  auto other_api = std::make_unique<RecordedLeaseApi>(provider_, memory_, journal_, options_,
                                                      io_.get_executor(), time_.environment());
  const auto two = Run(other_api->CreateLease(Of("billing"), LeaseRequest(kOther)));
  ExpectLease(two, "lsd_2");
  Advance(seconds(1));
  ExpectLease(one, "lsd_1");
  EXPECT_EQ(Recorded().account(), "default");
  EXPECT_EQ(Recorded(std::string("research/") + kId).account(), "research");
  EXPECT_EQ(Recorded(std::string("research/") + kId).caller(), "billing");
  // A stack's stop waits for what it has begun, and there is nothing.
  other_api.reset();
}

// --- several processes --------------------------------------------------------------------------

class CallersOfReplicasTest : public ReplicasTest {
 protected:
  auto LeaseAs(int replica, const std::string& caller, bool sees_all = false) {
    CallContext context = Context(kId, seconds(30));
    context.caller = caller;
    context.sees_all_operations = sees_all;
    return Run(replicas_[replica]->CreateLease(context, LeaseRequest(kNumber)));
  }
};

TEST_F(CallersOfReplicasTest, AnotherCallerIsRefusedAtEveryReplica) {
  AnswerAfter(seconds(2));
  const auto own = LeaseAs(0, "orders");
  EXPECT_EQ(LeaseAs(1, "billing")->result->status(), RequestIdReusedError(kId));
  const auto follows = LeaseAs(1, "orders");
  EXPECT_EQ(LeaseAs(1, "billing")->result->status(), RequestIdReusedError(kId)) << "in a flight";
  const auto all = LeaseAs(1, "support", true);
  Advance(seconds(2));
  for (const auto& call : {own, follows, all}) {
    ASSERT_TRUE(call->ended() && call->result->ok()) << call->reason();
    EXPECT_EQ((*call->result)->lease().lease_id(), "lsd_1");
  }
  EXPECT_EQ(LeaseAs(1, "billing")->result->status(), RequestIdReusedError(kId));
  EXPECT_EQ(provider_->posts.size(), 1u);
}

TEST_F(CallersOfReplicasTest, WhatWasAdoptedIsStillItsCallers) {
  AnswerAfter(seconds(1'000));
  LeaseAs(0, "orders");
  provider_->look_time = seconds(5);  // so that it is under way for a while
  Die(0);
  Advance(seconds(2));
  ASSERT_EQ(replicas_[1]->stats().adopted, 1u);
  ASSERT_EQ(replicas_[1]->stats().open, 1u);
  EXPECT_EQ(LeaseAs(1, "billing")->result->status(), RequestIdReusedError(kId));
  const auto own = LeaseAs(1, "orders");
  Advance(seconds(30));
  ASSERT_TRUE(own->ended() && own->result->ok()) << own->reason();
  EXPECT_EQ(Row().caller(), "orders");
}

}  // namespace
}  // namespace leasegateway
