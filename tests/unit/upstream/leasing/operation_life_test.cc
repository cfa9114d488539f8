#include "upstream/leasing/operation_life.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <set>
#include <string>
#include <vector>

#include "tests/support/leasing_fixture.h"
#include "upstream/leasing/operation_rules.h"
#include "upstream/upstream_error.h"

namespace leasegateway {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

TEST_F(RecordedLeaseApiTest, WhatMayChangeIsTriedAnewUnderTheSameId) {
  for (const int status : {401, 403}) provider_->steps.push_back({false, Http(status, true)});
  provider_->steps.push_back({false, Http(429, true, "60")});
  provider_->steps.push_back({false, Unreachable()});
  EXPECT_EQ(Lease()->reason(), "UPSTREAM_CREDENTIALS_REJECTED");
  EXPECT_EQ(Lease()->reason(), "UPSTREAM_FORBIDDEN");
  EXPECT_EQ(Lease()->reason(), "UPSTREAM_RATE_LIMITED");
  EXPECT_EQ(Lease()->reason(), "UPSTREAM_UNREACHABLE");
  EXPECT_EQ(Recorded().settlement(), v1::OPERATION_SETTLEMENT_NOT_SENT);
  ASSERT_TRUE(Lease()->result->ok());
  EXPECT_FALSE(Recorded().has_error());
  EXPECT_EQ(provider_->TotalCharges(), 1);
}

TEST_F(RecordedLeaseApiTest, LeaseThatWasThereBeforeIsNoSuccess) {
  provider_->Give(kNumber, "lsd_77");
  const auto call = Lease();
  EXPECT_EQ(call->reason(), "ALREADY_LEASED");
  EXPECT_EQ(call->result->status().code(), absl::StatusCode::kAlreadyExists);
  EXPECT_EQ(MetadataOf(call->result->status())["lease_id"], "lsd_77");
  const auto detail =
      call->result->status().GetPayload("type.googleapis.com/leasegateway.v1.Lease");
  ASSERT_TRUE(detail);
  v1::Lease lease;
  ASSERT_TRUE(lease.ParseFromString(std::string(*detail)));
  EXPECT_EQ(lease.lease_id(), "lsd_77");
  EXPECT_TRUE(provider_->posts.empty());
  const auto again = Lease();
  EXPECT_EQ(again->reason(), "ALREADY_LEASED");
  EXPECT_TRUE(
      again->result->status().GetPayload("type.googleapis.com/leasegateway.v1.Lease").has_value());
}

TEST_F(RecordedLeaseApiTest, OnlyTheLeaseThatWasSeenIsEnded) {
  provider_->Give(kNumber, "lsd_77");
  EXPECT_EQ(Terminate(kId, "lsd_76")->reason(), "LEASE_CHANGED");
  EXPECT_TRUE(provider_->deletes.empty());
  const auto end = Terminate(kId2, "lsd_77");
  ASSERT_TRUE(end->ended() && end->result->ok());
  EXPECT_EQ(Recorded(kId2).lease_id(), "lsd_77");
  EXPECT_EQ(Terminate("11111111-5c1d-4f7a-8e90-1a2b3c4d5e6f")->reason(), "NOT_LEASED");
}

TEST_F(RecordedLeaseApiTest, LateRequestOfAnEarlierProcessCanNotEndANewerLease) {
  provider_->Give(kNumber, "lsd_78");
  v1::TerminateLeaseRequest request;
  request.set_phone_number(kNumber);
  StopWith(v1::OPERATION_KIND_TERMINATE, v1::OPERATION_STATE_SENT, kNumber, Fingerprint(request),
           "lsd_77");
  Start();
  EXPECT_EQ(Recorded().state(), v1::OPERATION_STATE_SUCCEEDED);
  const auto again = Terminate(kId);
  ASSERT_TRUE(again->ended() && again->result->ok());
  EXPECT_TRUE(provider_->deletes.empty());
}

// Its name was for the lease that it saw first, also where nothing was sent then.
TEST_F(RecordedLeaseApiTest, EndThatIsTriedAnewDoesNotEndANewerLease) {
  provider_->Give(kNumber, "lsd_77");
  auto unreachable = MakeError(absl::StatusCode::kUnavailable, reason::kUpstreamUnreachable,
                               "connection refused", {{"request_sent", "false"}});
  provider_->steps.push_back(Lost(false, unreachable));
  EXPECT_EQ(Terminate(kId)->reason(), "UPSTREAM_UNREACHABLE");
  EXPECT_EQ(Recorded().state(), v1::OPERATION_STATE_FAILED);
  provider_->Give(kNumber, "lsd_78");
  EXPECT_EQ(Terminate(kId)->reason(), "LEASE_CHANGED");
  EXPECT_EQ(provider_->deletes.size(), 1u);
  EXPECT_EQ(provider_->records[kNumber].number.lease().lease_id(), "lsd_78");
}

TEST_F(RecordedLeaseApiTest, EndThatIsTriedAnewEndsTheLeaseThatItSaw) {
  provider_->Give(kNumber, "lsd_77");
  auto unreachable = MakeError(absl::StatusCode::kUnavailable, reason::kUpstreamUnreachable,
                               "connection refused", {{"request_sent", "false"}});
  provider_->steps.push_back(Lost(false, unreachable));
  EXPECT_EQ(Terminate(kId)->reason(), "UPSTREAM_UNREACHABLE");
  const auto again = Terminate(kId);
  ASSERT_TRUE(again->ended() && again->result->ok()) << again->reason();
  EXPECT_EQ((*again->result)->termination().lease_id(), "lsd_77");
}

TEST_F(RecordedLeaseApiTest, PriceThatHasChangedIsRefused) {
  auto request = LeaseRequest(kNumber);
  *request.mutable_expected_price()->mutable_monthly_rate() = Usd(4);
  const auto call = Run(api_->CreateLease(Context(kId, seconds(1)), request));
  EXPECT_EQ(call->reason(), "PRICE_CHANGED");
  EXPECT_NE(std::string(call->result->status().message()).find("4.00 USD"), std::string::npos)
      << call->result->status();
  *request.mutable_expected_price()->mutable_monthly_rate() = Usd(5);
  EXPECT_TRUE(Run(api_->CreateLease(Context(kId2, seconds(1)), request))->result->ok());
}

class LeaseAnyTest : public RecordedLeaseApiTest {
 protected:
  LeaseAnyTest() {
    provider_->Add(kOther, 3);
    provider_->Add(kThird, 9);
  }
  void KeepList() {
    NumberList numbers;
    for (const auto& [phone_number, record] : provider_->records) *numbers.Add() = record.number;
    stale_list_ = Availability::Build(numbers, {}, PinInMemory);
  }
};

TEST_F(LeaseAnyTest, FirstInTheOrderIsLeasedAndTheSameAgain) {
  const auto call = LeaseAny();
  ASSERT_TRUE(call->ended() && call->result->ok()) << call->reason();
  EXPECT_EQ((*call->result)->lease().phone_number(), kOther);
  EXPECT_EQ((*LeaseAny()->result)->lease().phone_number(), kOther);
  Stop();
  Start();
  EXPECT_EQ((*LeaseAny()->result)->lease().phone_number(), kOther);
  EXPECT_EQ(provider_->posts.size(), 1u);
  EXPECT_EQ(Recorded().phone_number(), kOther);
}

TEST_F(LeaseAnyTest, NextIsTriedWhenOneIsGone) {
  KeepList();
  provider_->Take(kOther);
  const auto call = LeaseAny();
  ASSERT_TRUE(call->ended() && call->result->ok()) << call->reason();
  EXPECT_EQ((*call->result)->lease().phone_number(), kNumber);
  EXPECT_EQ(provider_->posts.size(), 1u);
}

TEST_F(LeaseAnyTest, NumberThatWasLeasedAllTheSameIsTheAnswer) {
  provider_->steps.push_back({true, Http(409, true)});
  const auto call = LeaseAny();
  ASSERT_TRUE(call->ended() && call->result->ok()) << call->reason();
  EXPECT_EQ((*call->result)->lease().phone_number(), kOther);
  EXPECT_EQ(provider_->TotalCharges(), 1);
}

TEST_F(LeaseAnyTest, NextIsTriedWhenOneIsRefused) {
  provider_->on_write = [this] {
    provider_->Take(kOther);
    provider_->on_write = nullptr;
  };
  const auto call = LeaseAny();
  ASSERT_TRUE(call->ended() && call->result->ok()) << call->reason();
  EXPECT_EQ((*call->result)->lease().phone_number(), kNumber);
  EXPECT_EQ(provider_->TotalCharges(), 1);
}

// Otherwise a restart would take for its own what another one leases there from now on.
TEST_F(LeaseAnyTest, NumberThatWasRefusedIsLeftInTheJournalBeforeOthersGetIt) {
  provider_->on_write = [this] {
    provider_->Take(kOther);
    provider_->on_write = [this] { provider_->look_time = seconds(1); };
  };
  provider_->look_time = milliseconds(100);
  const auto call = LeaseAny();
  std::vector<v1::OperationState> seen;
  for (int i = 0; i < 20 && !call->ended(); ++i) {
    Advance(milliseconds(50));
    if (provider_->posts == std::vector<std::string>{kOther} && !call->ended()) {
      seen.push_back(Recorded().state());
    }
  }
  // It looks at the next number, and holds the first one no more.
  EXPECT_GT(std::count(seen.begin(), seen.end(), v1::OPERATION_STATE_INTENDED), 0);
  Advance(seconds(5));
  ASSERT_TRUE(call->ended() && call->result->ok()) << call->reason();
  EXPECT_EQ((*call->result)->lease().phone_number(), kNumber);
}

TEST_F(LeaseAnyTest, NumberThatWasRefusedIsKeptWhenTheJournalCanNotSayThatItIsLeft) {
  provider_->on_write = [this] {
    provider_->Take(kOther);
    journal_->fail_updates = 1;
  };
  const auto call = LeaseAny();
  Advance(seconds(10));
  ASSERT_TRUE(call->ended());
  EXPECT_EQ(call->reason(), "JOURNAL_UNAVAILABLE");
  EXPECT_EQ(provider_->posts, std::vector<std::string>{kOther});
  EXPECT_EQ(Recorded().state(), v1::OPERATION_STATE_FAILED);
}

TEST_F(LeaseAnyTest, NoOtherNumberIsTriedWhileARequestMayHaveArrived) {
  options_.may_resend = [] { return false; };
  Stop();
  Start();
  provider_->steps.push_back({true, LostAnswer(true), seconds(3), milliseconds(0)});
  const auto call = LeaseAny();
  Advance(seconds(2));
  EXPECT_FALSE(call->ended());
  Advance(seconds(10));
  ASSERT_TRUE(call->ended() && call->result->ok()) << call->reason();
  EXPECT_EQ((*call->result)->lease().phone_number(), kOther);
  EXPECT_EQ(provider_->posts, std::vector<std::string>{kOther});
}

TEST_F(LeaseAnyTest, CeilingHoldsForThePriceOfNow) {
  KeepList();
  *provider_->records[kOther].number.mutable_pricing()->mutable_monthly_rate() = Usd(50);
  const auto call = LeaseAny(kId, 4);
  EXPECT_EQ(call->reason(), "NO_MATCHING_NUMBER");
  EXPECT_EQ(call->result->status().code(), absl::StatusCode::kNotFound);
  EXPECT_TRUE(provider_->posts.empty());
}

TEST_F(LeaseAnyTest, ManyAtOnceGetDifferentNumbers) {
  for (int i = 0; i < 3; ++i) provider_->steps.push_back({true, {}, milliseconds(0), seconds(1)});
  const auto first = LeaseAny(kId);
  const auto second = LeaseAny(kId2);
  const auto third = LeaseAny("11111111-5c1d-4f7a-8e90-1a2b3c4d5e6f");
  const auto fourth = LeaseAny("22222222-5c1d-4f7a-8e90-1a2b3c4d5e6f");
  Advance(seconds(5));
  std::set<std::string> numbers;
  for (const auto& call : {first, second, third}) {
    ASSERT_TRUE(call->ended() && call->result->ok()) << call->reason();
    numbers.insert((*call->result)->lease().phone_number());
  }
  EXPECT_EQ(numbers.size(), 3u);
  EXPECT_EQ(fourth->reason(), "NO_MATCHING_NUMBER");
  EXPECT_EQ(provider_->TotalCharges(), 3);
}

TEST_F(LeaseAnyTest, RestartSettlesTheNumberThatWasTriedLast) {
  StopWith(v1::OPERATION_KIND_LEASE_ANY, v1::OPERATION_STATE_SENT, kThird,
           Fingerprint(AnyRequest()));
  provider_->Give(kThird, "lsd_5");
  Start();
  EXPECT_EQ(Recorded().state(), v1::OPERATION_STATE_SUCCEEDED);
  EXPECT_EQ((*LeaseAny()->result)->lease().phone_number(), kThird);
  EXPECT_TRUE(provider_->posts.empty());
}

TEST_F(LeaseAnyTest, AfterARestartAnotherNumberCanBeHadUnderTheSameId) {
  StopWith(v1::OPERATION_KIND_LEASE_ANY, v1::OPERATION_STATE_SENT, kThird,
           Fingerprint(AnyRequest()));
  provider_->Take(kThird);
  Start();
  Advance(options_.settle + options_.longest_look);
  EXPECT_EQ(Recorded().state(), v1::OPERATION_STATE_FAILED);
  const auto call = LeaseAny();
  ASSERT_TRUE(call->ended() && call->result->ok()) << call->reason();
  EXPECT_EQ((*call->result)->lease().phone_number(), kOther);
}

}  // namespace
}  // namespace leasegateway
