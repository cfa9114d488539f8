#include "upstream/resilience/observed_lease_api.h"

#include <gtest/gtest.h>

#include <list>
#include <utility>
#include <vector>

#include "tests/support/fake_calls.h"
#include "upstream/transport/https_connection.h"

namespace leasegateway {
namespace {

namespace asio = boost::asio;
using std::chrono::milliseconds;

class ObservedLeaseApiTest : public testing::Test {
 protected:
  ObservedLeaseApiTest() {
    script_.answer = [this](CallContext, int) { return Next(this); };
  }
  static asio::awaitable<absl::Status> Next(ObservedLeaseApiTest* test) {
    const auto wakeup = std::make_shared<Wakeup>(co_await asio::this_coro::executor);
    auto waiting = test->provider_time_.wait(wakeup, test->time_.now() + milliseconds(30));
    co_await std::move(waiting);
    co_return test->answer_;
  }
  template <typename T>
  absl::Status Run(LeaseApiResult<T> result) {
    FakeCall& call = calls_.emplace_back();
    StartCall(io_, std::move(result), call);
    time_.Advance(milliseconds(30), io_);
    return call.status.value_or(absl::UnknownError("it has not ended"));
  }
  std::uint64_t Count(UpstreamOperation operation, AttemptOutcome outcome) const {
    return stats_->outcomes[static_cast<std::size_t>(operation)][static_cast<std::size_t>(outcome)];
  }

  asio::io_context io_;
  FakeTime time_;
  const CallEnvironment provider_time_ = time_.environment();
  absl::Status answer_;
  FakeProvider::Script script_;
  std::shared_ptr<AttemptStats> stats_ = std::make_shared<AttemptStats>();
  ObservedLeaseApi api_{std::make_unique<FakeProvider>(&script_), stats_, time_.environment()};
  std::list<FakeCall> calls_;
};

TEST_F(ObservedLeaseApiTest, CountsEachOperationAsItself) {
  EXPECT_TRUE(Run(api_.Perform({}, operation::ListAvailableNumbers())).ok());
  EXPECT_TRUE(Run(api_.Perform({}, operation::GetNumber{kNumber})).ok());
  EXPECT_TRUE(
      Run(api_.Perform({}, operation::CreateLease{kNumber, v1::BILLING_METHOD_UNSPECIFIED})).ok());
  EXPECT_TRUE(Run(api_.Perform({}, operation::ListLeases())).ok());
  EXPECT_TRUE(Run(api_.Perform({}, operation::GetLease{kNumber})).ok());
  EXPECT_TRUE(Run(api_.Perform({}, operation::TerminateLease{kNumber})).ok());
  EXPECT_TRUE(Run(api_.Perform({}, operation::ConfigureFailover{kNumber, {}})).ok());
  EXPECT_TRUE(Run(api_.Perform({}, operation::GetCallForwarding{kNumber})).ok());
  EXPECT_TRUE(Run(api_.Perform({}, operation::EnableCallForwarding{kNumber, "+1"})).ok());
  EXPECT_TRUE(Run(api_.Perform({}, operation::DisableCallForwarding{kNumber})).ok());
  EXPECT_EQ(script_.calls,
            (std::vector<std::string>{"ListAvailableNumbers", "GetNumber", "CreateLease",
                                      "ListLeases", "GetLease", "TerminateLease",
                                      "ConfigureFailover", "GetCallForwarding",
                                      "EnableCallForwarding", "DisableCallForwarding"}));
  for (std::size_t i = 0; i < kUpstreamOperationNames.size(); ++i) {
    EXPECT_EQ(Count(static_cast<UpstreamOperation>(i), AttemptOutcome::kOk), 1U) << i;
    const auto times = stats_->times[i].snapshot();
    EXPECT_EQ(times.count(), 1U) << i;
    EXPECT_EQ(times.sum, milliseconds(30)) << i;
  }
}

TEST_F(ObservedLeaseApiTest, TellsOutcomesApart) {
  const auto tls =
      FromTransport("GET /x", "expired", reason::kUpstreamTls, RequestState::kNotSent, false);
  const auto proxy =
      FromTransport("a tunnel", "407", reason::kUpstreamProxy, RequestState::kNotSent, false);
  const auto malformed =
      MakeError(absl::StatusCode::kInternal, reason::kUpstreamMalformed, "no JSON");
  const std::vector<std::pair<absl::Status, AttemptOutcome>> cases = {
      {absl::OkStatus(), AttemptOutcome::kOk},
      {Http(400, false), AttemptOutcome::kRejected},
      {Http(403, false), AttemptOutcome::kRejected},
      {Http(401, false), AttemptOutcome::kCredentialsRejected},
      {Http(429, false), AttemptOutcome::kRateLimited},
      {Http(503, false), AttemptOutcome::kFailed},
      {MiddlemansHttp(401, false), AttemptOutcome::kIntermediary},
      {MiddlemansHttp(403, true), AttemptOutcome::kIntermediary},
      {malformed, AttemptOutcome::kMalformed},
      {Unreachable(), AttemptOutcome::kUnreachable},
      {proxy, AttemptOutcome::kProxy},
      {tls, AttemptOutcome::kTls},
      {LostAnswer(true), AttemptOutcome::kUnknown},
      {MakeError(absl::StatusCode::kUnavailable, reason::kNotApplied, "x"),
       AttemptOutcome::kTooLate},
      {DeadlineError("x"), AttemptOutcome::kDeadline},
      {CancelledError("x"), AttemptOutcome::kCancelled},
      {absl::UnknownError("x"), AttemptOutcome::kOther},
  };
  for (const auto& [status, outcome] : cases) {
    answer_ = status;
    const std::uint64_t before = Count(UpstreamOperation::kGetNumber, outcome);
    EXPECT_EQ(Run(api_.Perform({}, operation::GetNumber{kNumber})), status);
    EXPECT_EQ(Count(UpstreamOperation::kGetNumber, outcome), before + 1) << status;
  }
}

TEST_F(ObservedLeaseApiTest, RemembersWhetherTheKeyIsTaken) {
  EXPECT_FALSE(stats_->credentials_rejected);
  answer_ = Http(401, false);
  EXPECT_FALSE(Run(api_.Perform({}, operation::GetNumber{kNumber})).ok());
  EXPECT_TRUE(stats_->credentials_rejected);
  EXPECT_TRUE(stats_->is_key_refused());
  for (const absl::Status& status :
       {Unreachable(), MiddlemansHttp(400, false), MiddlemansHttp(403, false)}) {
    answer_ = status;  // says nothing of the key
    EXPECT_FALSE(Run(api_.Perform({}, operation::GetNumber{kNumber})).ok());
    EXPECT_TRUE(stats_->credentials_rejected);
  }
  answer_ = absl::OkStatus();
  EXPECT_TRUE(Run(api_.Perform({}, operation::GetNumber{kNumber})).ok());
  EXPECT_FALSE(stats_->credentials_rejected);
  answer_ = MiddlemansHttp(401, false);
  EXPECT_FALSE(Run(api_.Perform({}, operation::ListLeases())).ok());
  EXPECT_FALSE(stats_->is_key_refused());
}

TEST_F(ObservedLeaseApiTest, RemembersWhichListsAreForbiddenToTheKey) {
  answer_ = Http(403, false);
  EXPECT_FALSE(Run(api_.Perform({}, operation::GetNumber{kNumber})).ok());
  EXPECT_FALSE(
      Run(api_.Perform({}, operation::CreateLease{kNumber, v1::BILLING_METHOD_UNSPECIFIED})).ok());
  EXPECT_FALSE(stats_->is_key_refused()) << "a number may be forbidden by itself";
  EXPECT_FALSE(Run(api_.Perform({}, operation::ListLeases())).ok());
  EXPECT_FALSE(Run(api_.Perform({}, operation::ListAvailableNumbers())).ok());
  EXPECT_TRUE(stats_->is_key_refused());
  EXPECT_FALSE(stats_->credentials_rejected);
  answer_ = absl::OkStatus();
  EXPECT_TRUE(Run(api_.Perform({}, operation::GetNumber{kNumber})).ok());
  EXPECT_TRUE(Run(api_.Perform({}, operation::ListAvailableNumbers())).ok());
  EXPECT_TRUE(stats_->is_key_refused()) << "the leases still are";
  answer_ = MiddlemansHttp(403, false);
  EXPECT_FALSE(Run(api_.Perform({}, operation::ListLeases())).ok());
  EXPECT_TRUE(stats_->is_key_refused());
  answer_ = absl::OkStatus();
  EXPECT_TRUE(Run(api_.Perform({}, operation::ListLeases())).ok());
  EXPECT_FALSE(stats_->is_key_refused());
}

}  // namespace
}  // namespace leasegateway
