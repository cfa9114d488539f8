#include "upstream/leasing/recorded_lease_api.h"

#include <gtest/gtest.h>

#include <chrono>

#include "tests/support/leasing_fixture.h"
#include "upstream/leasing/operation_rules.h"
#include "upstream/upstream_error.h"

namespace leasegateway {
namespace {

using std::chrono::seconds;

TEST_F(RecordedLeaseApiTest, IntentIsWrittenDownBeforeTheRequestGoesOut) {
  v1::OperationState at_send = v1::OPERATION_STATE_UNSPECIFIED;
  provider_->on_write = [&] { at_send = Recorded().state(); };
  const auto call = Lease();
  ASSERT_TRUE(call->ended() && call->result->ok()) << call->result->status();
  EXPECT_EQ(at_send, v1::OPERATION_STATE_SENT);
  EXPECT_EQ((*call->result)->lease().lease_id(), "lsd_1");
  EXPECT_EQ((*call->result)->request_id(), kId);
  const v1::Operation& recorded = Recorded();
  EXPECT_EQ(recorded.state(), v1::OPERATION_STATE_SUCCEEDED);
  EXPECT_EQ(recorded.settlement(), v1::OPERATION_SETTLEMENT_ANSWERED);
  EXPECT_EQ(recorded.lease_id(), "lsd_1");
  EXPECT_EQ(recorded.lease().lease_id(), "lsd_1");
  EXPECT_EQ(recorded.caller(), "ipv4:127.0.0.1:1");
  EXPECT_EQ(recorded.account(), "default");
  EXPECT_EQ(recorded.price().monthly_rate().units(), 5);
}

TEST_F(RecordedLeaseApiTest, SameRequestGetsTheSameAnswerAlsoAfterARestart) {
  ASSERT_TRUE(Lease()->result->ok());
  const auto again = Lease();
  ASSERT_TRUE(again->ended() && again->result->ok());
  EXPECT_EQ((*again->result)->lease().lease_id(), "lsd_1");
  Stop();
  Start();
  const auto after = Lease();
  ASSERT_TRUE(after->ended() && after->result->ok());
  EXPECT_EQ((*after->result)->lease().lease_id(), "lsd_1");
  EXPECT_EQ(provider_->posts.size(), 1u);
}

TEST_F(RecordedLeaseApiTest, IntentThatWasNeverSentIsClosedAtTheNextStart) {
  StopWith(v1::OPERATION_KIND_LEASE, v1::OPERATION_STATE_INTENDED, kNumber,
           Fingerprint(LeaseRequest(kNumber)));
  Start();
  EXPECT_EQ(Recorded().state(), v1::OPERATION_STATE_FAILED);
  EXPECT_EQ(Recorded().settlement(), v1::OPERATION_SETTLEMENT_NOT_SENT);
  EXPECT_EQ(provider_->looks, 0);
  EXPECT_TRUE(Lease()->result->ok());
}

TEST_F(RecordedLeaseApiTest, NothingIsSpentWithoutTheJournal) {
  journal_->failure =
      MakeError(absl::StatusCode::kFailedPrecondition, reason::kJournalUnavailable, "disk full");
  EXPECT_EQ(Lease()->reason(), "JOURNAL_UNAVAILABLE");
  EXPECT_EQ(provider_->looks, 0);
  journal_->failure = absl::OkStatus();
  journal_->fail_updates = 1;  // that it goes out
  EXPECT_EQ(Lease()->reason(), "JOURNAL_UNAVAILABLE");
  EXPECT_TRUE(provider_->posts.empty());
  EXPECT_TRUE(Lease()->result->ok());
}

TEST_F(RecordedLeaseApiTest, OutcomeThatCanNotBeWrittenDownIsToldAndWrittenLater) {
  provider_->on_write = [this] { journal_->fail_updates = 3; };
  const auto call = Lease();
  ASSERT_TRUE(call->ended() && call->result->ok());
  EXPECT_EQ(Recorded().state(), v1::OPERATION_STATE_SENT);
  EXPECT_EQ((*Lease()->result)->lease().lease_id(), "lsd_1") << "meanwhile";
  Advance(seconds(10));
  EXPECT_EQ(Recorded().state(), v1::OPERATION_STATE_SUCCEEDED);
  EXPECT_EQ(api_->stats().open, 0u);
}

TEST_F(RecordedLeaseApiTest, TrialRunSpendsNothingAndWritesNothing) {
  auto request = LeaseRequest(kNumber);
  request.set_validate_only(true);
  const auto call = Run(api_->CreateLease(Context(kId, seconds(1)), request));
  ASSERT_TRUE(call->result->ok());
  EXPECT_EQ((*call->result)->lease().lease_id(), "");
  EXPECT_EQ((*call->result)->lease().phone_number(), kNumber);
  EXPECT_EQ((*call->result)->lease().billing().price().monthly_rate().units(), 5);
  auto any = AnyRequest();
  any.set_validate_only(true);
  const auto any_call = Run(api_->LeaseAnyNumber(Context(kId, seconds(1)), any));
  ASSERT_TRUE(any_call->result->ok());
  EXPECT_EQ((*any_call->result)->lease().phone_number(), kNumber);
  EXPECT_TRUE(provider_->posts.empty());
  EXPECT_TRUE(journal_->entries.empty());
  provider_->Take(kNumber);
  EXPECT_EQ(Run(api_->CreateLease(Context(kId, seconds(1)), request))->reason(),
            "NUMBER_NOT_AVAILABLE");
  EXPECT_EQ(Run(api_->LeaseAnyNumber(Context(kId, seconds(1)), any))->reason(),
            "NO_MATCHING_NUMBER");
}

}  // namespace
}  // namespace leasegateway
