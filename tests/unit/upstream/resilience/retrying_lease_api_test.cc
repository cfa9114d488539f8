#include "upstream/resilience/retrying_lease_api.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/fake_calls.h"

namespace leasegateway {
namespace {

namespace asio = boost::asio;
using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::ElementsAre;

class RetryingLeaseApiTest : public testing::Test {
 protected:
  RetryingLeaseApiTest() {
    script_.answer = [this](CallContext, int call) { return Next(this, call); };
    Make({});
  }
  void Make(const RetryBudget::Options& budget) {
    api_ = std::make_unique<RetryingLeaseApi>(std::make_unique<FakeProvider>(&script_),
                                              RetryPolicy(), std::make_shared<RetryBudget>(budget),
                                              time_.environment());
  }
  // Each attempt takes `attempt_time_`, and ends as `answers_` say; the last is repeated.
  static asio::awaitable<absl::Status> Next(RetryingLeaseApiTest* test, int call) {
    if (test->attempt_time_.count() > 0) {
      const auto wakeup = std::make_shared<Wakeup>(co_await asio::this_coro::executor);
      auto waiting = test->provider_time_.wait(wakeup, test->time_.now() + test->attempt_time_);
      co_await std::move(waiting);
      test->time_.waits.pop_back();
    }
    const auto index = std::min<std::size_t>(static_cast<std::size_t>(call), test->answers_.size());
    co_return test->answers_[index - 1];
  }

  CallContext Context(milliseconds timeout = seconds(10)) {
    CallContext context;
    context.deadline = time_.now() + timeout;
    return context;
  }
  template <typename T>
  absl::Status Run(LeaseApiResult<T> result, milliseconds time = seconds(60)) {
    FakeCall call;
    StartCall(io_, std::move(result), call);
    time_.Advance(time, io_);
    return call.status.value_or(absl::UnknownError("it has not ended"));
  }
  static std::string Meta(const absl::Status& status, const std::string& key) {
    return MetadataOf(status)[key];
  }

  asio::io_context io_;
  FakeTime time_;
  const CallEnvironment provider_time_ = time_.environment();
  milliseconds attempt_time_{0};
  std::vector<absl::Status> answers_;
  FakeProvider::Script script_;
  std::unique_ptr<RetryingLeaseApi> api_;
};

TEST_F(RetryingLeaseApiTest, SuccessIsOneAttempt) {
  answers_ = {absl::OkStatus()};
  EXPECT_TRUE(Run(api_->Perform(Context(), operation::GetNumber{kNumber})).ok());
  EXPECT_EQ(script_.calls.size(), 1U);
}

TEST_F(RetryingLeaseApiTest, TransientThenSuccess) {
  answers_ = {Http(503, false), LostAnswer(false), absl::OkStatus()};
  EXPECT_TRUE(Run(api_->Perform(Context(), operation::GetNumber{kNumber})).ok());
  EXPECT_EQ(script_.calls.size(), 3U);
  EXPECT_THAT(time_.waits, ElementsAre(milliseconds(25), milliseconds(50)));
}

TEST_F(RetryingLeaseApiTest, TransientForeverIsExhausted) {
  answers_ = {Http(503, false)};
  const auto status = Run(api_->Perform(Context(), operation::ListLeases()));
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(ReasonOf(status), reason::kUpstreamFailed);
  EXPECT_EQ(status.message(), "the provider answered 503 to GET /x: no (after 3 attempts)");
  EXPECT_EQ(Meta(status, "attempts"), "3");
  EXPECT_EQ(Meta(status, "retry_stopped"), "exhausted");
  EXPECT_TRUE(RetryDelayOf(status));
}

TEST_F(RetryingLeaseApiTest, PermanentIsOneAttempt) {
  answers_ = {Http(400, false)};
  const auto status = Run(api_->Perform(Context(), operation::GetNumber{kNumber}));
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(ReasonOf(status), reason::kUpstreamRejected);
  EXPECT_EQ(Meta(status, "attempts"), "1");
  EXPECT_EQ(Meta(status, "retry_stopped"), "permanent");
  EXPECT_EQ(script_.calls.size(), 1U);
}

// Always idempotent: every read. Conditionally: a write that was not sent, and configuring that was
// refused by a 429. Never: a write that was sent.
TEST_F(RetryingLeaseApiTest, EveryOperationByItsKind) {
  const auto run_all = [&] {
    script_.calls.clear();
    std::vector<std::string> attempts;
    const auto run = [&](auto result) {
      script_.calls.clear();
      Run(std::move(result)).IgnoreError();
      attempts.push_back(script_.calls.at(0) + " " + std::to_string(script_.calls.size()));
    };
    run(api_->Perform(Context(), operation::ListAvailableNumbers()));
    run(api_->Perform(Context(), operation::GetNumber{kNumber}));
    run(api_->Perform(Context(), operation::ListLeases()));
    run(api_->Perform(Context(), operation::GetLease{kNumber}));
    run(api_->Perform(Context(), operation::GetCallForwarding{kNumber}));
    run(api_->Perform(Context(), operation::CreateLease{kNumber, v1::BILLING_METHOD_UNSPECIFIED}));
    run(api_->Perform(Context(), operation::TerminateLease{kNumber}));
    run(api_->Perform(Context(), operation::ConfigureFailover{kNumber, {}}));
    run(api_->Perform(Context(), operation::EnableCallForwarding{kNumber, "+1"}));
    run(api_->Perform(Context(), operation::DisableCallForwarding{kNumber}));
    return attempts;
  };
  const auto all = [](int reads, int writes) {
    std::vector<std::string> expected;
    for (const char* name :
         {"ListAvailableNumbers", "GetNumber", "ListLeases", "GetLease", "GetCallForwarding"}) {
      expected.push_back(std::string(name) + " " + std::to_string(reads));
    }
    for (const char* name : {"CreateLease", "TerminateLease", "ConfigureFailover",
                             "EnableCallForwarding", "DisableCallForwarding"}) {
      expected.push_back(std::string(name) + " " + std::to_string(writes));
    }
    return expected;
  };
  answers_ = {Unreachable()};
  EXPECT_EQ(run_all(), all(3, 3));
  answers_ = {Http(429, true)};
  auto limited = all(3, 3);
  limited[5] = "CreateLease 1";
  limited[6] = "TerminateLease 1";
  EXPECT_EQ(run_all(), limited);
  answers_ = {LostAnswer(false)};  // UNAVAILABLE, sent: as a write it would be ABORTED
  EXPECT_EQ(run_all(), all(3, 1));
  answers_ = {LostAnswer(true)};
  EXPECT_EQ(run_all(), all(1, 1));
}

// Scenarios in the way that published conformance sets have them: GCS (operations that are always,
// conditionally or never idempotent), AWS standard mode (attempts, backoff, quota), gRFC A6
// (pushback). Waits with a random number of 1/2.
TEST_F(RetryingLeaseApiTest, Scenarios) {
  const auto ok = absl::OkStatus();
  const auto ms = [](int value) { return FakeTime::Duration(milliseconds(value)); };
  struct Scenario {
    const char* name;
    OperationKind kind;
    std::vector<absl::Status> answers;
    int floor;  // of the budget
    std::vector<FakeTime::Duration> waits;
    std::string stopped;  // empty: it succeeds
  };
  const Scenario scenarios[] = {
      {"always idempotent: two 503",
       OperationKind::kRead,
       {Http(503, false), Http(503, false), ok},
       5,
       {ms(25), ms(50)},
       ""},
      {"always idempotent: reset, then 502",
       OperationKind::kRead,
       {LostAnswer(false), Http(502, false), ok},
       5,
       {ms(25), ms(50)},
       ""},
      {"always idempotent: 404", OperationKind::kRead, {Http(404, false)}, 5, {}, "permanent"},
      {"always idempotent: 503, then 400",
       OperationKind::kRead,
       {Http(503, false), Http(400, false)},
       5,
       {ms(25)},
       "permanent"},
      {"conditionally: two refused connections",
       OperationKind::kSpend,
       {Unreachable(), Unreachable(), ok},
       5,
       {ms(25), ms(50)},
       ""},
      {"conditionally: 429", OperationKind::kConfigure, {Http(429, true), ok}, 5, {ms(25)}, ""},
      {"never: ending, 429", OperationKind::kEnd, {Http(429, true), ok}, 5, {}, "unsafe"},
      {"conditionally: refused, then 503",
       OperationKind::kSpend,
       {Unreachable(), Http(503, true)},
       5,
       {ms(25)},
       "unsafe"},
      {"never: 503", OperationKind::kSpend, {Http(503, true), ok}, 5, {}, "unsafe"},
      {"never: reset", OperationKind::kEnd, {LostAnswer(true), ok}, 5, {}, "unsafe"},
      {"never: configuring, 500",
       OperationKind::kConfigure,
       {Http(500, true), ok},
       5,
       {},
       "unsafe"},
      {"standard mode: all attempts fail",
       OperationKind::kRead,
       {Http(500, false)},
       5,
       {ms(25), ms(50)},
       "exhausted"},
      {"standard mode: quota for one retry",
       OperationKind::kRead,
       {Http(500, false)},
       1,
       {ms(25)},
       "budget"},
      {"standard mode: no quota", OperationKind::kRead, {Http(500, false), ok}, 0, {}, "budget"},
      {"pushback: seconds", OperationKind::kRead, {Http(503, false, "1"), ok}, 5, {ms(1025)}, ""},
      {"pushback: zero", OperationKind::kRead, {Http(503, false, "0"), ok}, 5, {ms(25)}, ""},
      {"pushback: not a number",
       OperationKind::kRead,
       {Http(503, false, "soon"), ok},
       5,
       {ms(25)},
       ""},
      {"pushback: a date that has passed",
       OperationKind::kRead,
       {Http(503, false, "Sun, 06 Nov 1994 08:49:37 GMT"), ok},
       5,
       {ms(25)},
       ""},
      {"pushback: past the deadline",
       OperationKind::kRead,
       {Http(503, false, "11"), ok},
       5,
       {},
       "deadline"},
      {"pushback: does not make a write safe",
       OperationKind::kSpend,
       {Http(503, true, "1"), ok},
       5,
       {},
       "unsafe"},
      {"pushback: then backoff goes on doubling",
       OperationKind::kRead,
       {Http(503, false, "1"), Http(503, false), ok},
       5,
       {ms(1025), ms(50)},
       ""},
  };
  for (const Scenario& scenario : scenarios) {
    SCOPED_TRACE(scenario.name);
    Make({.percent = 0, .floor = scenario.floor});
    answers_ = scenario.answers;
    script_.calls.clear();
    time_.waits.clear();
    absl::Status status;
    switch (scenario.kind) {
      case OperationKind::kRead:
        status = Run(api_->Perform(Context(), operation::GetNumber{kNumber}));
        break;
      case OperationKind::kSpend:
        status = Run(api_->Perform(
            Context(), operation::CreateLease{kNumber, v1::BILLING_METHOD_UNSPECIFIED}));
        break;
      case OperationKind::kEnd:
        status = Run(api_->Perform(Context(), operation::TerminateLease{kNumber}));
        break;
      case OperationKind::kConfigure:
        status = Run(api_->Perform(Context(), operation::ConfigureFailover{kNumber, {}}));
        break;
    }
    EXPECT_EQ(Meta(status, "retry_stopped"), scenario.stopped);
    EXPECT_EQ(status.ok(), scenario.stopped.empty()) << status;
    EXPECT_EQ(time_.waits, scenario.waits);
    EXPECT_EQ(script_.calls.size(), scenario.waits.size() + 1);
  }
}

TEST_F(RetryingLeaseApiTest, SentPurchaseIsNeverSentAgain) {
  answers_ = {Unreachable(), LostAnswer(true), absl::OkStatus()};
  const auto status = Run(
      api_->Perform(Context(), operation::CreateLease{kNumber, v1::BILLING_METHOD_UNSPECIFIED}));
  EXPECT_EQ(status.code(), absl::StatusCode::kAborted);
  EXPECT_EQ(ReasonOf(status), reason::kOutcomeUnknown);
  EXPECT_EQ(Meta(status, "attempts"), "2");
  EXPECT_EQ(Meta(status, "retry_stopped"), "unsafe");
  EXPECT_EQ(script_.calls.size(), 2U);
}

TEST_F(RetryingLeaseApiTest, RetryAfterIsWaitedFor) {
  answers_ = {Http(429, false, "3"), absl::OkStatus()};
  EXPECT_TRUE(Run(api_->Perform(Context(), operation::GetNumber{kNumber})).ok());
  EXPECT_THAT(time_.waits, ElementsAre(milliseconds(3025)));
}

TEST_F(RetryingLeaseApiTest, RetryAfterPastTheDeadlineEndsAtOnce) {
  answers_ = {Http(429, false, "30")};
  const auto status = Run(api_->Perform(Context(), operation::GetNumber{kNumber}), milliseconds(0));
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(ReasonOf(status), reason::kUpstreamRateLimited);
  EXPECT_EQ(Meta(status, "retry_stopped"), "deadline");
  EXPECT_EQ(RetryDelayOf(status), seconds(30));
}

TEST_F(RetryingLeaseApiTest, AttemptThatCannotFinishIsNotStarted) {
  attempt_time_ = milliseconds(400);
  answers_ = {absl::OkStatus()};
  EXPECT_TRUE(Run(api_->Perform(Context(), operation::GetNumber{kNumber}))
                  .ok());  // shows how long one takes
  answers_ = {Unreachable()};
  script_.calls.clear();
  const auto status =
      Run(api_->Perform(Context(milliseconds(1'000)), operation::GetNumber{kNumber}));
  EXPECT_EQ(script_.calls.size(), 2U);
  EXPECT_EQ(Meta(status, "retry_stopped"), "deadline");
}

TEST_F(RetryingLeaseApiTest, UsualTimeIsTheOperationsOwn) {
  answers_ = {absl::OkStatus()};
  attempt_time_ = seconds(2);
  EXPECT_TRUE(Run(api_->Perform(Context(), operation::ListLeases())).ok());
  attempt_time_ = milliseconds(10);
  EXPECT_TRUE(Run(api_->Perform(Context(), operation::GetNumber{kNumber})).ok());
  answers_ = {Unreachable()};
  EXPECT_EQ(
      Meta(Run(api_->Perform(Context(seconds(1)), operation::GetNumber{kNumber})), "attempts"),
      "3");
  EXPECT_EQ(Meta(Run(api_->Perform(Context(seconds(1)), operation::ListLeases())), "retry_stopped"),
            "deadline");
}

TEST_F(RetryingLeaseApiTest, BudgetIsSharedByAllCalls) {
  Make({.percent = 10, .floor = 0});
  answers_ = {Unreachable()};
  absl::Status status;
  for (int i = 0; i < 100; ++i)
    status = Run(api_->Perform(Context(), operation::GetNumber{kNumber}));
  EXPECT_EQ(script_.calls.size(), 110U);
  EXPECT_EQ(Meta(status, "attempts"), "2");  // the hundredth earned the tenth retry
  status = Run(api_->Perform(Context(), operation::GetNumber{kNumber}));
  EXPECT_EQ(Meta(status, "attempts"), "1");
  EXPECT_EQ(Meta(status, "retry_stopped"), "budget");
}

TEST_F(RetryingLeaseApiTest, BackgroundCallDoesNotUseTheFloor) {
  answers_ = {Unreachable()};
  auto context = Context();
  context.background = true;
  EXPECT_EQ(Meta(Run(api_->Perform(context, operation::ListLeases())), "retry_stopped"), "budget");
  EXPECT_EQ(script_.calls.size(), 1U);
}

TEST_F(RetryingLeaseApiTest, CancelDuringBackoff) {
  answers_ = {Unreachable()};
  FakeCall call;
  StartCall(
      io_,
      api_->Perform(Context(), operation::CreateLease{kNumber, v1::BILLING_METHOD_UNSPECIFIED}),
      call);
  EXPECT_FALSE(call.status);
  call.cancellation.emit(asio::cancellation_type::terminal);
  FakeTime::Run(io_);
  ASSERT_TRUE(call.status);
  EXPECT_EQ(call.status->code(), absl::StatusCode::kCancelled);
  EXPECT_EQ(ReasonOf(*call.status), reason::kCancelled);
  EXPECT_EQ(Meta(*call.status, "attempts"), "1");
  EXPECT_EQ(Meta(*call.status, "request_sent"), "false");
  EXPECT_EQ(script_.calls.size(), 1U);
}

TEST_F(RetryingLeaseApiTest, RefusalsOfTheGuardAreFinal) {
  for (const auto& [code, why] :
       {std::pair(absl::StatusCode::kUnavailable, reason::kCircuitOpen),
        std::pair(absl::StatusCode::kResourceExhausted, reason::kOverloaded),
        std::pair(absl::StatusCode::kResourceExhausted, reason::kUpstreamRateLimited)}) {
    script_.calls.clear();
    answers_ = {MakeError(code, why, "no", {{"request_sent", "false"}})};
    const auto status = Run(api_->Perform(Context(), operation::GetNumber{kNumber}));
    EXPECT_EQ(ReasonOf(status), why);
    EXPECT_EQ(Meta(status, "retry_stopped"), "permanent");
    EXPECT_EQ(script_.calls.size(), 1U);
  }
}

}  // namespace
}  // namespace leasegateway
