// Several processes on one journal: who acts, who waits, who goes on.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>

#include "tests/support/leasing_replicas.h"
#include "upstream/leasing/operation_requests.h"
#include "upstream/leasing/operation_rules.h"
#include "upstream/upstream_error.h"

namespace leasegateway {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

TEST_F(ReplicasTest, CallersOfOneIdAtSeveralReplicasGetOneLease) {
  AnswerAfter(seconds(2));
  const auto first = LeaseAt(0);
  const auto second = LeaseAt(1);
  EXPECT_FALSE(first->ended() || second->ended());
  Advance(seconds(2));
  ASSERT_TRUE(first->ended() && first->result->ok()) << first->reason();
  ASSERT_TRUE(second->ended() && second->result->ok()) << second->reason();
  EXPECT_EQ((*second->result)->lease().lease_id(), "lsd_1");
  EXPECT_EQ(provider_->posts.size(), 1u);
  EXPECT_EQ(replicas_[1]->stats().joined, 1u);
  EXPECT_THAT(found_, testing::ElementsAre("lsd_1")) << "the memory of the one that waited";
  EXPECT_EQ(replicas_[1]->stats().open, 0u);
  EXPECT_FALSE(stats_->settled_at) << "its memory has it";
}

TEST_F(ReplicasTest, OutcomeIsFoundWhereNobodyTellsOfIt) {
  journals_[1]->hears = false;
  AnswerAfter(seconds(2));
  LeaseAt(0);
  const auto second = LeaseAt(1);
  Advance(seconds(2) + SharedJournal::kPoll);
  ASSERT_TRUE(second->ended() && second->result->ok()) << second->reason();
}

TEST_F(ReplicasTest, SettledIsAnsweredAtEveryReplica) {
  ASSERT_TRUE(LeaseAt(0)->result->ok());
  const auto again = LeaseAt(1);
  ASSERT_TRUE(again->ended() && again->result->ok());
  EXPECT_EQ((*again->result)->lease().lease_id(), "lsd_1");
  EXPECT_TRUE(stats_->settled_at) << "nobody says that its memory has it";
  EXPECT_EQ(LeaseAt(1, kId, kOther)->reason(), "REQUEST_ID_REUSED");
}

TEST_F(ReplicasTest, RefusalIsTheAnswerAtEveryReplica) {
  provider_->Take(kNumber);
  EXPECT_EQ(LeaseAt(0)->reason(), "NUMBER_NOT_AVAILABLE");
  const int looks = provider_->looks;
  EXPECT_EQ(LeaseAt(1)->reason(), "NUMBER_NOT_AVAILABLE");
  EXPECT_EQ(provider_->looks, looks);
}

TEST_F(ReplicasTest, WhoeverWaitsGoesOnWhenTheOtherCallerHasLeft) {
  provider_->look_time = seconds(2);
  const auto first = LeaseAt(0, kId, kNumber, seconds(1));
  const auto second = LeaseAt(1);
  Advance(seconds(1));
  EXPECT_EQ(first->reason(), "DEADLINE");
  Advance(seconds(5));
  ASSERT_TRUE(second->ended() && second->result->ok()) << second->reason();
  EXPECT_EQ(provider_->posts.size(), 1u);
}

TEST_F(ReplicasTest, CallerWhoLeavesWhileAnotherReplicaWorksDoesNotKnow) {
  AnswerAfter(seconds(5));
  LeaseAt(0);
  const auto second = LeaseAt(1, kId, kNumber, seconds(1));
  Advance(seconds(1));
  EXPECT_EQ(second->reason(), "OUTCOME_UNKNOWN");
  Advance(seconds(2));
  EXPECT_EQ(replicas_[1]->stats().open, 0u) << "it follows for nobody";
}

TEST_F(ReplicasTest, ErrorThatMayPassIsNotTriedAnewByThoseWhoWaited) {
  provider_->steps.push_back({false, Http(401, true), milliseconds(0), seconds(1)});
  const auto first = LeaseAt(0);
  const auto second = LeaseAt(1);
  Advance(seconds(3));
  EXPECT_EQ(first->reason(), "UPSTREAM_CREDENTIALS_REJECTED");
  EXPECT_EQ(second->reason(), "UPSTREAM_CREDENTIALS_REJECTED");
  EXPECT_EQ(provider_->posts.size(), 1u);
}

TEST_F(ReplicasTest, WhatWasSettledSinceItWasSeenIsNotWrittenOver) {
  provider_->steps.push_back({false, Http(401, true), milliseconds(0), milliseconds(0)});
  EXPECT_EQ(LeaseAt(0)->reason(), "UPSTREAM_CREDENTIALS_REJECTED");
  // The other one has seen that it may be tried anew, and is slow.
  journals_[1]->before_take = [&] {
    journals_[1]->before_take = nullptr;
    auto& row = records_->rows.at(kId);
    v1::Operation& operation = row.entry.operation;
    operation.set_state(v1::OPERATION_STATE_SUCCEEDED);
    operation.clear_error();
    operation.mutable_lease()->set_lease_id("lsd_7");
    operation.mutable_lease()->set_phone_number(kNumber);
    ++row.revision;
  };
  const auto second = LeaseAt(1);
  ASSERT_TRUE(second->ended() && second->result->ok()) << second->reason();
  EXPECT_EQ((*second->result)->lease().lease_id(), "lsd_7");
  EXPECT_EQ(Row().state(), v1::OPERATION_STATE_SUCCEEDED);
  EXPECT_EQ(provider_->posts.size(), 1u);
}

TEST_F(ReplicasTest, OperationOfADeadReplicaIsAdoptedAndSettled) {
  AnswerAfter(seconds(1'000));
  const auto call = LeaseAt(0, kId, kNumber, seconds(2'000));
  Die(0);
  Advance(seconds(2));
  EXPECT_EQ(Row().state(), v1::OPERATION_STATE_SUCCEEDED);
  EXPECT_EQ(Row().settlement(), v1::OPERATION_SETTLEMENT_RECONCILED);
  EXPECT_EQ(replicas_[1]->stats().adopted, 1u);
  EXPECT_FALSE(call->ended());
  // It thaws, and finds that the other one has the answer.
  Advance(seconds(1'000));
  ASSERT_TRUE(call->ended() && call->result->ok()) << call->reason();
  EXPECT_EQ((*call->result)->lease().lease_id(), "lsd_1");
  EXPECT_EQ(replicas_[0]->stats().ownership_lost, 1u);
  EXPECT_EQ(provider_->posts.size(), 1u);
}

TEST_F(ReplicasTest, WhoeverWaitsTakesOverFromADeadReplica) {
  AnswerAfter(seconds(1'000));
  LeaseAt(0, kId, kNumber, seconds(2'000));
  const auto second = LeaseAt(1);
  Die(0);
  Advance(seconds(2));
  ASSERT_TRUE(second->ended() && second->result->ok()) << second->reason();
  EXPECT_EQ(provider_->posts.size(), 1u);
}

TEST_F(ReplicasTest, NothingIsSentWhileTheDeadMayHaveSomethingOnItsWay) {
  // The first request is lost on its way, as far as the second replica can see.
  provider_->steps.push_back({false, LostAnswer(true), milliseconds(0), seconds(1'000)});
  LeaseAt(0, kId, kNumber, seconds(20));
  const auto second = LeaseAt(1, kId, kNumber, seconds(60));
  Die(0);
  const auto quiet = seconds(20) + SharedJournal::kRequestLimit;
  Advance(quiet - milliseconds(1));
  EXPECT_EQ(provider_->posts.size(), 1u);
  EXPECT_FALSE(second->ended());
  Advance(options_.longest_look + seconds(1));
  ASSERT_TRUE(second->ended() && second->result->ok()) << second->reason();
  EXPECT_EQ(provider_->posts.size(), 2u);
  EXPECT_EQ(provider_->TotalCharges(), 1);
}

TEST_F(ReplicasTest, ReplicaThatWasFrozenBeforeItSentSendsNothing) {
  journals_[0]->after_update = [this](v1::OperationState state) {
    if (state == v1::OPERATION_STATE_SENT) journals_[0]->frozen = time_.now() + seconds(100);
  };
  const auto first = LeaseAt(0, kId, kNumber, seconds(200));
  Die(0);
  Advance(seconds(1));
  EXPECT_TRUE(provider_->posts.empty());
  journals_[0]->after_update = nullptr;
  // Another one with a caller goes on, once what the first may have sent is over.
  const auto second = LeaseAt(1, kId, kNumber, seconds(200));
  Advance(kLongestWindow + SharedJournal::kRequestLimit + options_.longest_look);
  ASSERT_TRUE(second->ended() && second->result->ok()) << second->reason();
  Advance(seconds(100));
  ASSERT_TRUE(first->ended() && first->result->ok()) << first->reason();
  EXPECT_EQ(provider_->posts.size(), 1u);
}

TEST_F(ReplicasTest, ConnectionThatComesTooLateSendsNothing) {
  provider_->connect_time = kLongestWindow;
  const auto call = LeaseAt(0, kId, kNumber, seconds(200));
  Advance(kLongestWindow);
  EXPECT_EQ(call->reason(), "NOT_APPLIED");
  EXPECT_TRUE(provider_->posts.empty());
}

TEST_F(ReplicasTest, RequestThatGoesOutAgainLateIsWrittenDownAgain) {
  options_.settle = seconds(60);
  StopReplicas();
  StartReplicas([this](int) { return provider_; });
  provider_->steps.push_back(Lost(false));
  provider_->on_write = [this] { provider_->all_looks_fail = Unreachable(); };
  const auto call = LeaseAt(0, kId, kNumber, seconds(200));
  Advance(kLongestWindow + seconds(1));
  provider_->all_looks_fail = absl::OkStatus();
  Advance(options_.longest_look + seconds(1));
  ASSERT_TRUE(call->ended() && call->result->ok()) << call->reason();
  EXPECT_EQ(provider_->posts.size(), 2u);
}

// Otherwise a third one could not know until when to wait for what the second has sent.
TEST_F(ReplicasTest, RequestThatANewOwnerSendsAgainIsWrittenDownFirst) {
  provider_->steps.push_back({false, LostAnswer(true), milliseconds(0), seconds(1'000)});
  LeaseAt(0, kId, kNumber, seconds(5));
  Die(0);
  const auto second = LeaseAt(1, kId, kNumber, seconds(60));
  bool is_ahead = false;
  provider_->on_write = [&] { is_ahead = records_->rows.at(kId).send_until > time_.now(); };
  Advance(seconds(5) + SharedJournal::kRequestLimit + options_.longest_look + seconds(1));
  ASSERT_TRUE(second->ended() && second->result->ok()) << second->reason();
  EXPECT_EQ(provider_->posts.size(), 2u);
  EXPECT_TRUE(is_ahead);
}

TEST_F(ReplicasTest, WhatTheDeadMayHaveSentIsNotSaidToBeUnsent) {
  AnswerAfter(seconds(1'000));
  LeaseAt(0, kId, kNumber, seconds(2'000));
  Die(0);
  journals_[1]->fail_take_overs = true;
  EXPECT_EQ(LeaseAt(1)->reason(), "OUTCOME_UNKNOWN");
}

TEST_F(ReplicasTest, WhatCanNotBeBegunAnewIsLeftAsFailed) {
  provider_->steps.push_back({false, Http(401, true)});
  EXPECT_EQ(LeaseAt(0)->reason(), "UPSTREAM_CREDENTIALS_REJECTED");
  journals_[0]->fail_updates = 1;
  EXPECT_EQ(LeaseAt(0)->reason(), "JOURNAL_UNAVAILABLE");
  EXPECT_EQ(provider_->posts.size(), 1u);
  journals_[0]->fail_updates = 3;
  EXPECT_EQ(LeaseAt(0)->reason(), "OUTCOME_UNKNOWN");
  Advance(seconds(10));
  EXPECT_EQ(records_->rows.at(kId).owner, 0);
  EXPECT_TRUE(LeaseAt(1)->result->ok());
}

TEST_F(ReplicasTest, IntentOfADeadReplicaIsClosedUnlessSomebodyWaits) {
  provider_->look_time = seconds(500);
  LeaseAt(0, kId, kNumber, seconds(1'000));
  Die(0);
  Advance(seconds(2));
  EXPECT_EQ(Row().state(), v1::OPERATION_STATE_FAILED);
  provider_->look_time = milliseconds(0);
  const auto again = LeaseAt(1);
  ASSERT_TRUE(again->ended() && again->result->ok()) << again->reason();
}

TEST_F(ReplicasTest, NumberIsForOneOperationAtATimeAtAllReplicas) {
  AnswerAfter(seconds(2));
  const auto first = LeaseAt(0, kId);
  const auto second = LeaseAt(1, kId2);
  EXPECT_EQ(provider_->looks, 1);
  Advance(seconds(2));
  ASSERT_TRUE(first->ended() && first->result->ok());
  Advance(seconds(1));
  EXPECT_EQ(second->reason(), "NUMBER_NOT_AVAILABLE") << "overtaken";
  EXPECT_EQ(provider_->posts.size(), 1u);
}

TEST_F(ReplicasTest, NumberIsKeptFromOthersUntilItsSettleTimeIsOver) {
  provider_->steps.push_back(Lost(true));
  ASSERT_TRUE(LeaseAt(0)->result->ok());
  v1::TerminateLeaseRequest request;
  request.set_phone_number(kNumber);
  const auto end = Run(replicas_[1]->TerminateLease(Context(kId2, seconds(60)), request));
  Advance(options_.settle - seconds(1));
  EXPECT_FALSE(end->ended());
  Advance(seconds(2));
  ASSERT_TRUE(end->ended() && end->result->ok()) << end->reason();
}

TEST_F(ReplicasTest, AnyNumberOfTwoReplicasAreTwo) {
  provider_->Add(kOther);
  AnswerAfter(seconds(1));
  AnswerAfter(seconds(1));
  const auto first = LeaseAnyAt(0, kId);
  const auto second = LeaseAnyAt(1, kId2);
  Advance(seconds(3));
  ASSERT_TRUE(first->ended() && first->result->ok()) << first->reason();
  ASSERT_TRUE(second->ended() && second->result->ok()) << second->reason();
  EXPECT_NE((*first->result)->lease().phone_number(), (*second->result)->lease().phone_number());
  EXPECT_EQ(provider_->TotalCharges(), 2);
}

TEST_F(ReplicasTest, AnyNumberUnderOneIdIsOne) {
  provider_->Add(kOther);
  AnswerAfter(seconds(1));
  const auto first = LeaseAnyAt(0);
  const auto second = LeaseAnyAt(1);
  Advance(seconds(3));
  ASSERT_TRUE(first->ended() && first->result->ok()) << first->reason();
  ASSERT_TRUE(second->ended() && second->result->ok()) << second->reason();
  EXPECT_EQ((*first->result)->lease().phone_number(), (*second->result)->lease().phone_number());
  EXPECT_EQ(provider_->TotalCharges(), 1);
}

TEST_F(ReplicasTest, WhatNobodyWorksOnIsFoundAgainByItsOwner) {
  // As when the answer to an Adopt got lost.
  auto& row = records_->rows[kId];
  row.owner = 1;
  row.written = time_.now();
  row.entry.fingerprint = Fingerprint(LeaseRequest(kNumber));
  row.entry.operation.set_request_id(kId);
  row.entry.operation.set_kind(v1::OPERATION_KIND_LEASE);
  row.entry.operation.set_state(v1::OPERATION_STATE_SENT);
  row.entry.operation.set_phone_number(kNumber);
  provider_->Give(kNumber, "lsd_9");
  Advance(SharedJournal::kOwnAge + 10 * options_.adopt_interval + seconds(1));
  EXPECT_EQ(Row().state(), v1::OPERATION_STATE_SUCCEEDED);
}

TEST_F(ReplicasTest, WhatAFlightThatEndsDoesNotGoOnWithIsResumedWithTheNextLook) {
  AnswerAfter(seconds(1'000));
  LeaseAt(0, kId, kNumber, seconds(2'000));
  // It takes the operation for another's while that is adopted, until its callers leave.
  const auto second = LeaseAt(1, kId, kNumber, milliseconds(1'500));
  journals_[1]->blind = true;
  Die(0);
  Advance(seconds(2));
  EXPECT_EQ(second->reason(), "OUTCOME_UNKNOWN");
  Advance(seconds(2));
  EXPECT_EQ(Row().state(), v1::OPERATION_STATE_SUCCEEDED);
}

TEST_F(ReplicasTest, DatabaseThatIsAwayStopsLeasingAndNothingElse) {
  for (const auto& journal : journals_) {
    journal->failure = MakeError(absl::StatusCode::kFailedPrecondition, reason::kJournalUnavailable,
                                 "the database is away");
  }
  EXPECT_EQ(LeaseAt(0)->reason(), "JOURNAL_UNAVAILABLE");
  EXPECT_EQ(provider_->looks, 0);
  Advance(seconds(5));
  for (const auto& journal : journals_) journal->failure = absl::OkStatus();
  EXPECT_TRUE(LeaseAt(0)->result->ok());
}

TEST_F(ReplicasTest, WhatWasSentIsWrittenDownOnceTheDatabaseIsBack) {
  provider_->on_write = [this] {
    journals_[0]->failure =
        MakeError(absl::StatusCode::kFailedPrecondition, reason::kJournalUnavailable, "away");
  };
  const auto call = LeaseAt(0);
  ASSERT_TRUE(call->ended() && call->result->ok()) << call->reason();
  EXPECT_EQ(Row().state(), v1::OPERATION_STATE_SENT);
  Advance(seconds(30));
  journals_[0]->failure = absl::OkStatus();
  Advance(seconds(5));
  EXPECT_EQ(Row().state(), v1::OPERATION_STATE_SUCCEEDED);
  EXPECT_EQ(Row().settlement(), v1::OPERATION_SETTLEMENT_ANSWERED);
}

}  // namespace
}  // namespace leasegateway
