// Two processes on one journal, with everything at random.

#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <memory>
#include <random>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "tests/support/leasing_replicas.h"
#include "tests/support/spending_entries.h"
#include "upstream/upstream_error.h"

namespace leasegateway {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

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
    if (is_limited()) rules_ = Rules({.of_account = Count({}, 1)});
    StopReplicas();
    StartReplicas([this](int replica) {
      return std::make_shared<Sender>(provider_, replica, &time_, &posts_);
    });
  }

  // To one lease in all.
  static bool is_limited() { return GetParam() % 3 == 2; }
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
  if (is_limited()) {
    EXPECT_LE(provider_->TotalCharges(), 1);
  }
  // What was bought is counted, and nothing else is any more.
  EXPECT_EQ(static_cast<int>(records_->spending.rows.size()), provider_->TotalCharges());
  for (const auto& row : records_->spending.rows) {
    EXPECT_FALSE(row.open) << row.request_id;
    EXPECT_TRUE(leased.contains(row.phone_number)) << row.phone_number;
  }
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
