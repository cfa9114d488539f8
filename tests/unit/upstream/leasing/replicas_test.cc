// Several processes on one journal: who acts, who waits, who goes on.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <random>
#include <set>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "tests/support/leasing_fixture.h"
#include "tests/support/shared_journal.h"
#include "upstream/leasing/operation_rules.h"
#include "upstream/upstream_error.h"

namespace leasegateway {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

// Two replicas, 0 and 1, of one account, with one provider.
class ReplicasTest : public RecordedLeaseApiTest {
 protected:
  ReplicasTest() {
    Stop();
    options_.adopt_interval = seconds(1);
    StartReplicas([this](int) { return provider_; });
  }
  ~ReplicasTest() override { StopReplicas(); }

  // `provider`: as one of the replicas sees it.
  void StartReplicas(const std::function<std::shared_ptr<LeaseApi>(int)>& provider) {
    for (int i = 0; i < 2; ++i) {
      journals_[i] = std::make_shared<SharedJournal>(records_, i + 1, &time_);
      replicas_[i] = std::make_unique<RecordedLeaseApi>(
          provider(i), memory_, journals_[i], options_, io_.get_executor(), time_.environment());
      std::optional<absl::Status> status;
      boost::asio::co_spawn(boost::asio::make_strand(io_), Recovering(replicas_[i].get(), &status),
                            boost::asio::detached);
      FakeTime::Run(io_);
      EXPECT_TRUE(status && status->ok());
    }
  }
  void StopReplicas() {
    io_.restart();
    auto work = boost::asio::make_work_guard(io_);
    std::thread thread([this] { io_.run(); });
    for (auto& replica : replicas_) replica.reset();
    work.reset();
    io_.stop();
    thread.join();
    io_.restart();
  }

  static boost::asio::awaitable<void> Recovering(RecordedLeaseApi* api,
                                                 std::optional<absl::Status>* status) {
    auto recovering = api->Recover();
    *status = co_await std::move(recovering);
  }
  auto LeaseAt(int replica, const std::string& id = kId, const std::string& number = kNumber,
               milliseconds timeout = seconds(30)) {
    return Run(replicas_[replica]->CreateLease(Context(id, timeout), LeaseRequest(number)));
  }
  auto LeaseAnyAt(int replica, const std::string& id = kId) {
    return Run(replicas_[replica]->LeaseAnyNumber(Context(id, seconds(30)), AnyRequest()));
  }
  // Others take it for dead; it goes on, like one that was frozen and doesn't know.
  void Die(int replica) { records_->alive.erase(replica + 1); }
  const v1::Operation& Row(const std::string& id = kId) {
    return records_->rows.at(id).entry.operation;
  }
  // The next write is done at once and answered later.
  void AnswerAfter(milliseconds time) {
    provider_->steps.push_back({true, absl::OkStatus(), milliseconds(0), time});
  }

  std::shared_ptr<SharedRecords> records_ = std::make_shared<SharedRecords>();
  std::array<std::shared_ptr<SharedJournal>, 2> journals_;
  std::array<std::unique_ptr<RecordedLeaseApi>, 2> replicas_;
};

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

// What one replica sends, for all to see.
class Sender final : public LeaseApi {
 public:
  struct Post {
    std::string request_id;
    int replica = 0;
    CallEnvironment::TimePoint begun;
    CallEnvironment::TimePoint over;  // by an answer, or for its sender by its time-outs
  };
  Sender(std::shared_ptr<LeaseApi> provider, int replica, FakeTime* time, std::vector<Post>* posts)
      : provider_(std::move(provider)), replica_(replica), time_(time), posts_(posts) {}

  boost::asio::awaitable<absl::StatusOr<AnyReply>> Call(CallContext context,
                                                        Operation operation) override {
    const bool is_post = KindOf(operation) == OperationKind::kSpend;
    const std::size_t at = posts_->size();
    if (is_post && time_->now() < context.send_before) {
      posts_->push_back({context.request_id, replica_, time_->now(),
                         time_->now() + SharedJournal::kRequestLimit});
    }
    auto calling = provider_->Call(std::move(context), std::move(operation));
    auto reply = co_await std::move(calling);
    if (is_post && at < posts_->size()) {
      (*posts_)[at].over = std::min((*posts_)[at].over, time_->now());
    }
    co_return reply;
  }

 private:
  const std::shared_ptr<LeaseApi> provider_;
  const int replica_;
  FakeTime* const time_;
  std::vector<Post>* const posts_;
};

// Everything at random, of a seed.
class RandomReplicasTest : public ReplicasTest, public testing::WithParamInterface<int> {
 protected:
  RandomReplicasTest() : random_(static_cast<unsigned>(GetParam())) {
    provider_->Add(kOther);
    options_.settle = seconds(8);
    StopReplicas();
    StartReplicas([this](int replica) {
      return std::make_shared<Sender>(provider_, replica, &time_, &posts_);
    });
  }

  int Roll(int below) { return static_cast<int>(random_() % static_cast<unsigned>(below)); }
  void LeaseSomewhere() {
    const std::string id = Roll(2) == 0 ? kId : kId2;
    const milliseconds timeout(500 + Roll(20'000));
    if (id == kId2) {
      calls_.push_back(Run(replicas_[Roll(2)]->LeaseAnyNumber(Context(id, timeout), AnyRequest())));
    } else {
      leases_.push_back(LeaseAt(Roll(2), id, kNumber, timeout));
    }
  }
  void DoSomething() {
    const int replica = Roll(2);
    switch (Roll(9)) {
      case 0:
        return Die(replica);
      case 1:
        records_->alive.insert(replica + 1);
        return;
      case 2:
        journals_[replica]->frozen = time_.now() + milliseconds(Roll(30'000));
        return;
      case 3:
        journals_[replica]->failure =
            MakeError(absl::StatusCode::kFailedPrecondition, reason::kJournalUnavailable, "away");
        return;
      case 4:
        journals_[replica]->failure = absl::OkStatus();
        return;
      case 5:
        provider_->steps.push_back(
            {Roll(2) == 0, LostAnswer(true), milliseconds(Roll(4'000)), milliseconds(Roll(5'000))});
        return;
      case 6:
        provider_->steps.push_back(
            {true, absl::OkStatus(), milliseconds(Roll(3'000)), milliseconds(3'000 + Roll(1'900))});
        return;
      default:
        LeaseSomewhere();
    }
  }
  void CalmDown() {
    for (int i = 0; i < 2; ++i) {
      records_->alive.insert(i + 1);
      journals_[i]->failure = absl::OkStatus();
      journals_[i]->frozen = {};
    }
    provider_->steps.clear();
    Advance(seconds(200));
  }

  std::mt19937 random_;
  std::vector<Sender::Post> posts_;
  std::vector<std::shared_ptr<Call<v1::CreateLeaseResponse>>> leases_;
  std::vector<std::shared_ptr<Call<v1::LeaseAnyNumberResponse>>> calls_;
};

TEST_P(RandomReplicasTest, NothingIsBoughtTwiceAndEveryAnswerIsTrue) {
  for (int i = 0; i < 60; ++i) {
    DoSomething();
    Advance(milliseconds(Roll(2'000)));
  }
  CalmDown();
  for (const auto& [phone_number, record] : provider_->records) {
    EXPECT_LE(record.charges, 1) << phone_number;
  }
  std::set<std::string> leased;
  for (const auto& [id, row] : records_->rows) {
    const v1::Operation& operation = row.entry.operation;
    if (operation.state() == v1::OPERATION_STATE_SUCCEEDED) {
      EXPECT_TRUE(leased.insert(operation.phone_number()).second) << operation.phone_number();
      EXPECT_EQ(operation.lease_id(),
                provider_->records.at(operation.phone_number()).number.lease().lease_id());
    } else {
      EXPECT_EQ(operation.state(), v1::OPERATION_STATE_FAILED) << id;
    }
  }
  EXPECT_EQ(static_cast<int>(leased.size()), provider_->TotalCharges());
  const auto check = [this](const auto& call, const std::string& id) {
    ASSERT_TRUE(call->ended());
    if (!call->result->ok()) return;
    EXPECT_EQ((*call->result)->lease().lease_id(), Row(id).lease_id());
  };
  for (const auto& call : leases_) check(call, kId);
  for (const auto& call : calls_) check(call, kId2);
  for (const auto& one : posts_) {
    for (const auto& other : posts_) {
      if (one.request_id != other.request_id || one.replica >= other.replica) continue;
      EXPECT_TRUE(one.over <= other.begun || other.over <= one.begun) << one.request_id;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Seeds, RandomReplicasTest, testing::Range(0, 60));

}  // namespace
}  // namespace leasegateway
