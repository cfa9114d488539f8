#include "upstream/resilience/guarded_lease_api.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <list>
#include <memory>
#include <vector>

#include "tests/support/fake_calls.h"
#include "upstream/transport/https_connection.h"

namespace leasegateway {
namespace {

namespace asio = boost::asio;
using std::chrono::milliseconds;
using std::chrono::seconds;

class GuardedLeaseApiTest : public testing::Test {
 protected:
  GuardedLeaseApiTest() {
    script_.answer = [this](CallContext, int) { return Next(this); };
    Make({});
  }
  void Make(const GuardOptions& options) {
    api_ = std::make_unique<GuardedLeaseApi>(std::make_unique<FakeProvider>(&script_), options,
                                             time_.environment());
  }
  static asio::awaitable<absl::Status> Next(GuardedLeaseApiTest* test) {
    const auto wakeup = std::make_shared<Wakeup>(co_await asio::this_coro::executor);
    auto waiting = test->provider_time_.wait(wakeup, test->time_.now() + test->answer_time_);
    co_await std::move(waiting);
    co_return test->answer_;
  }

  CallContext Context(milliseconds timeout = seconds(10), bool background = false) {
    CallContext context;
    context.deadline = time_.now() + timeout;
    context.background = background;
    return context;
  }
  FakeCall& Start(CallContext context, const std::string& number = kNumber) {
    FakeCall& call = calls_.emplace_back();
    StartCall(io_, api_->Perform(std::move(context), operation::GetNumber{number}), call);
    return call;
  }
  absl::Status Run(CallContext context, const std::string& number = kNumber) {
    FakeCall& call = Start(std::move(context), number);
    time_.Advance(answer_time_, io_);
    return call.status.value_or(absl::UnknownError("it has not ended"));
  }
  absl::Status Run() { return Run(Context()); }
  template <typename T>
  absl::Status Run(LeaseApiResult<T> result) {
    FakeCall& call = calls_.emplace_back();
    StartCall(io_, std::move(result), call);
    time_.Advance(answer_time_, io_);
    return call.status.value_or(absl::UnknownError("it has not ended"));
  }
  // Each of another number, with so much time.
  void RunMany(int count, milliseconds timeout = seconds(10)) {
    for (int i = 0; i < count; ++i) Run(Context(timeout), Number(i)).IgnoreError();
  }
  static std::string Number(int i) { return "+1305" + std::to_string(1'000'000 + i); }
  // Which circuit refused it; empty: none.
  static std::string CircuitOf(const absl::Status& status) {
    return ReasonOf(status) == reason::kCircuitOpen ? MetadataOf(status)["circuit"] : "";
  }

  asio::io_context io_;
  FakeTime time_;
  const CallEnvironment provider_time_ = time_.environment();
  milliseconds answer_time_{10};
  absl::Status answer_;
  FakeProvider::Script script_;
  std::unique_ptr<GuardedLeaseApi> api_;
  std::list<FakeCall> calls_;
};

TEST_F(GuardedLeaseApiTest, AllOperationsPass) {
  answer_time_ = milliseconds(0);
  const auto run = [&](auto result) {
    FakeCall& call = calls_.emplace_back();
    StartCall(io_, std::move(result), call);
    EXPECT_TRUE(call.status && call.status->ok());
  };
  run(api_->Perform(Context(), operation::ListAvailableNumbers()));
  run(api_->Perform(Context(), operation::GetNumber{kNumber}));
  run(api_->Perform(Context(), operation::CreateLease{kNumber, v1::BILLING_METHOD_UNSPECIFIED}));
  run(api_->Perform(Context(), operation::ListLeases()));
  run(api_->Perform(Context(), operation::GetLease{kNumber}));
  run(api_->Perform(Context(), operation::TerminateLease{kNumber}));
  run(api_->Perform(Context(), operation::ConfigureFailover{kNumber, {}}));
  run(api_->Perform(Context(), operation::GetCallForwarding{kNumber}));
  run(api_->Perform(Context(), operation::EnableCallForwarding{kNumber, "+1"}));
  run(api_->Perform(Context(), operation::DisableCallForwarding{kNumber}));
  EXPECT_EQ(script_.calls,
            (std::vector<std::string>{"ListAvailableNumbers", "GetNumber", "CreateLease",
                                      "ListLeases", "GetLease", "TerminateLease",
                                      "ConfigureFailover", "GetCallForwarding",
                                      "EnableCallForwarding", "DisableCallForwarding"}));
}

TEST_F(GuardedLeaseApiTest, FailuresOpenTheCircuitAndProbesCloseIt) {
  answer_ = Unreachable();
  for (int i = 0; i < 20; ++i) EXPECT_EQ(ReasonOf(Run()), reason::kUpstreamUnreachable);
  const auto refused = Run();
  EXPECT_EQ(refused.code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(ReasonOf(refused), reason::kCircuitOpen);
  EXPECT_EQ(MetadataOf(refused)["request_sent"], "false");
  EXPECT_EQ(MetadataOf(refused)["circuit"], "provider");
  EXPECT_TRUE(RetryDelayOf(refused));
  EXPECT_EQ(CircuitOf(Run(api_->Perform(Context(), operation::ListLeases()))), "provider");
  EXPECT_EQ(script_.calls.size(), 20U);
  answer_ = absl::OkStatus();
  time_.Advance(seconds(1), io_);
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(Run().ok());
  EXPECT_EQ(script_.calls.size(), 23U);
}

// Attempts of many numbers.
TEST_F(GuardedLeaseApiTest, WhatCountsAsAFailureAndOfWhat) {
  const auto tls = [](RequestState state) {
    return FromTransport("GET /x", "alert", reason::kUpstreamTls, state, false);
  };
  struct Row {
    const char* what;
    absl::Status answer;
    const char* opens;
  };
  const Row rows[] = {
      {"refused connection", Unreachable(), "provider"},
      {"no tunnel through the proxy",
       FromTransport("a tunnel", "407", reason::kUpstreamProxy, RequestState::kNotSent, false),
       "provider"},
      {"refused certificate", tls(RequestState::kNotSent), "provider"},
      {"alert after the request", tls(RequestState::kSent), "provider"},
      {"503", Http(503, false), "get_number"},
      {"lost answer of a read", LostAnswer(false), "get_number"},
      {"lost answer of a write", LostAnswer(true), "get_number"},
      {"302", Http(302, false), "get_number"},
      {"a middleman's 403", MiddlemansHttp(403, false), "get_number"},
      {"a middleman's 407 to a write", MiddlemansHttp(407, true), "get_number"},
      {"deadline", DeadlineError("GET /x"), "get_number"},
      {"400", Http(400, false), ""},
      {"404", Http(404, false), ""},
      {"401", Http(401, false), ""},
      {"went away", CancelledError("GET /x"), ""},
      {"no connection in time",
       MakeError(absl::StatusCode::kResourceExhausted, reason::kOverloaded, "?"), ""},
  };
  for (const Row& row : rows) {
    Make({});
    answer_ = row.answer;
    RunMany(40);
    EXPECT_EQ(CircuitOf(Run()), row.opens) << row.what;
    answer_ = absl::OkStatus();
    EXPECT_EQ(Run(api_->Perform(Context(), operation::ListLeases())).ok(),
              std::string(row.opens) != "provider")
        << row.what;
  }
}

TEST_F(GuardedLeaseApiTest, WriteThatCameTooLateSaysNothingOfTheProvider) {
  answer_ = MakeError(absl::StatusCode::kUnavailable, reason::kNotApplied, "its time was over",
                      {{"request_sent", "false"}});
  RunMany(30);
  EXPECT_EQ(ReasonOf(Run()), reason::kNotApplied);
}

TEST_F(GuardedLeaseApiTest, OneNumberThatFailsIsRefusedToNobody) {
  for (const absl::Status& answer : {Http(503, false), LostAnswer(false), Http(302, false),
                                     LostAnswer(true), DeadlineError("GET /x")}) {
    Make({});
    answer_ = answer;
    for (int i = 0; i < 100; ++i) EXPECT_EQ(Run(), answer);
  }
}

TEST_F(GuardedLeaseApiTest, EachOperationHasItsCircuit) {
  using Call = std::function<absl::Status(const std::string&)>;
  const std::pair<const char*, Call> calls[] = {
      {"get_number",
       [&](const auto& number) {
         return Run(api_->Perform(Context(), operation::GetNumber{number}));
       }},
      {"create_lease",
       [&](const auto& number) {
         return Run(api_->Perform(Context(),
                                  operation::CreateLease{number, v1::BILLING_METHOD_UNSPECIFIED}));
       }},
      {"get_lease",
       [&](const auto& number) {
         return Run(api_->Perform(Context(), operation::GetLease{number}));
       }},
      {"terminate_lease",
       [&](const auto& number) {
         return Run(api_->Perform(Context(), operation::TerminateLease{number}));
       }},
      {"configure_failover",
       [&](const auto& number) {
         return Run(api_->Perform(Context(), operation::ConfigureFailover{number, {}}));
       }},
      {"get_call_forwarding",
       [&](const auto& number) {
         return Run(api_->Perform(Context(), operation::GetCallForwarding{number}));
       }},
      {"enable_call_forwarding",
       [&](const auto& number) {
         return Run(api_->Perform(Context(), operation::EnableCallForwarding{number, "+1"}));
       }},
      {"disable_call_forwarding",
       [&](const auto& number) {
         return Run(api_->Perform(Context(), operation::DisableCallForwarding{number}));
       }},
  };
  EXPECT_TRUE(Run(api_->Perform(Context(), operation::ListLeases())).ok());
  for (const auto& [name, call] : calls) {
    answer_ = Http(503, false);
    for (int i = 0; i < 20; ++i) EXPECT_EQ(CircuitOf(call(Number(i))), "") << name;
    const auto refused = call(kNumber);
    EXPECT_EQ(CircuitOf(refused), name);
    EXPECT_NE(refused.message().find(name), std::string::npos) << refused;
    EXPECT_TRUE(RetryDelayOf(refused));
    answer_ = absl::OkStatus();
    EXPECT_TRUE(Run(api_->Perform(Context(), operation::ListLeases())).ok());
  }
}

TEST_F(GuardedLeaseApiTest, ListIsOneResource) {
  answer_ = Http(503, false);
  for (int i = 0; i < 40; ++i) {
    EXPECT_EQ(Run(api_->Perform(Context(), operation::ListLeases())), answer_);
    EXPECT_EQ(Run(api_->Perform(Context(), operation::ListAvailableNumbers())), answer_);
  }
  EXPECT_EQ(Run(), answer_);  // the third
  EXPECT_EQ(CircuitOf(Run(api_->Perform(Context(), operation::ListLeases()))), "provider");
}

TEST_F(GuardedLeaseApiTest, StatsTellOfEachCircuit) {
  answer_ = Http(503, false);
  RunMany(20);
  using State = CircuitBreaker::State;
  const auto state_of = [&](UpstreamOperation operation) {
    return api_->StatsReader()().operation_breakers[static_cast<std::size_t>(operation)];
  };
  EXPECT_EQ(api_->StatsReader()().breaker, State::kClosed);
  EXPECT_EQ(state_of(UpstreamOperation::kGetNumber), State::kOpen);
  EXPECT_EQ(state_of(UpstreamOperation::kGetLease), State::kClosed);
  Run(api_->Perform(Context(), operation::ListLeases())).IgnoreError();
  EXPECT_EQ(api_->StatsReader()().breaker, State::kOpen);
  time_.Advance(seconds(1), io_);
  EXPECT_EQ(api_->StatsReader()().breaker, State::kHalfOpen);
  EXPECT_EQ(state_of(UpstreamOperation::kGetNumber), State::kHalfOpen);
}

TEST_F(GuardedLeaseApiTest, DeadlinesTooShortForAnyAnswerDoNotOpenTheCircuit) {
  EXPECT_TRUE(Run().ok());  // takes 10 ms
  answer_ = DeadlineError("GET /x");
  RunMany(40, milliseconds(99));
  EXPECT_EQ(ReasonOf(Run()), reason::kDeadline);
  RunMany(40, milliseconds(100));
  EXPECT_EQ(CircuitOf(Run()), "get_number");
}

TEST_F(GuardedLeaseApiTest, CallerWhoLeavesAfterPatienceCountsAsADeadline) {
  EXPECT_TRUE(Run().ok());  // takes 10 ms
  answer_ = CancelledError("GET /x");
  answer_time_ = milliseconds(99);
  RunMany(40);
  EXPECT_EQ(ReasonOf(Run()), reason::kCancelled);
  answer_time_ = milliseconds(100);
  RunMany(40);
  EXPECT_EQ(CircuitOf(Run()), "get_number");
}

TEST_F(GuardedLeaseApiTest, WhileNobodyKnowsHowLongItTakesASecondIsPatience) {
  answer_ = DeadlineError("GET /x");
  RunMany(40, milliseconds(999));
  EXPECT_EQ(ReasonOf(Run()), reason::kDeadline);
  RunMany(40, milliseconds(1'000));
  EXPECT_EQ(CircuitOf(Run()), "get_number");
}

TEST_F(GuardedLeaseApiTest, HastyCallersOfASlowOperationDoNotOpenTheCircuit) {
  answer_time_ = seconds(2);
  EXPECT_TRUE(Run().ok());
  answer_time_ = milliseconds(10);
  EXPECT_TRUE(Run(api_->Perform(Context(), operation::GetCallForwarding{kNumber})).ok());
  EXPECT_TRUE(Run(api_->Perform(Context(), operation::ListLeases())).ok());
  answer_ = DeadlineError("GET /x");
  RunMany(40, milliseconds(3'999));
  EXPECT_EQ(ReasonOf(Run()), reason::kDeadline);
  // The usual time is the operation's own.
  for (int i = 0; i < 20; ++i) {
    Run(api_->Perform(Context(milliseconds(100)), operation::GetCallForwarding{Number(i)}))
        .IgnoreError();
  }
  EXPECT_EQ(CircuitOf(Run(api_->Perform(Context(), operation::GetCallForwarding{kNumber}))),
            "get_call_forwarding");
  EXPECT_EQ(ReasonOf(Run()), reason::kDeadline);
  RunMany(20, milliseconds(4'000));
  EXPECT_EQ(CircuitOf(Run()), "get_number");
}

TEST_F(GuardedLeaseApiTest, CancelledProbeGivesItsPlaceBack) {
  answer_ = Unreachable();
  for (int i = 0; i < 20; ++i) Run().IgnoreError();
  time_.Advance(seconds(1), io_);
  answer_ = CancelledError("GET /x");
  for (int i = 0; i < 10; ++i) EXPECT_EQ(ReasonOf(Run()), reason::kCancelled);
}

TEST_F(GuardedLeaseApiTest, RateIsKept) {
  GuardOptions options;
  options.rate = 10;
  Make(options);
  for (int i = 0; i < 30; ++i) Start(Context());
  time_.Advance(seconds(10), io_);
  int ok = 0;
  for (const FakeCall& call : calls_) {
    ASSERT_TRUE(call.status);
    if (call.status->ok()) {
      ++ok;
      continue;
    }
    EXPECT_EQ(call.status->code(), absl::StatusCode::kResourceExhausted);
    EXPECT_EQ(ReasonOf(*call.status), reason::kUpstreamRateLimited);
    EXPECT_TRUE(RetryDelayOf(*call.status));
    EXPECT_EQ(MetadataOf(*call.status)["request_sent"], "false");
  }
  EXPECT_EQ(ok, 11);  // one at once, ten in the second that a call may wait
}

TEST_F(GuardedLeaseApiTest, TokenPastTheDeadlineIsRefusedAtOnce) {
  GuardOptions options;
  options.rate = 2;
  Make(options);
  EXPECT_TRUE(Run().ok());
  const FakeCall& call = Start(Context(milliseconds(400)));
  ASSERT_TRUE(call.status);
  EXPECT_EQ(ReasonOf(*call.status), reason::kUpstreamRateLimited);
}

TEST_F(GuardedLeaseApiTest, BackgroundCallDoesNotWaitForAToken) {
  GuardOptions options;
  options.rate = 2;
  Make(options);
  EXPECT_TRUE(Run().ok());
  const FakeCall& call = Start(Context(seconds(10), true));
  ASSERT_TRUE(call.status);
  EXPECT_EQ(ReasonOf(*call.status), reason::kUpstreamRateLimited);
}

TEST_F(GuardedLeaseApiTest, CancelWhileWaitingForAToken) {
  GuardOptions options;
  options.rate = 2;
  Make(options);
  EXPECT_TRUE(Run().ok());
  FakeCall& call = Start(Context());
  EXPECT_FALSE(call.status);
  call.cancellation.emit(asio::cancellation_type::terminal);
  FakeTime::Run(io_);
  ASSERT_TRUE(call.status);
  EXPECT_EQ(ReasonOf(*call.status), reason::kCancelled);
  EXPECT_EQ(script_.calls.size(), 1U);
}

TEST_F(GuardedLeaseApiTest, RetryAfterOfA429HoldsCallsBack) {
  answer_ = Http(429, false, "3");
  EXPECT_EQ(ReasonOf(Run()), reason::kUpstreamRateLimited);
  answer_ = absl::OkStatus();
  EXPECT_EQ(ReasonOf(Run()), reason::kUpstreamRateLimited);
  EXPECT_EQ(script_.calls.size(), 1U);
  time_.Advance(milliseconds(3'200), io_);
  EXPECT_TRUE(Run().ok());
}

TEST_F(GuardedLeaseApiTest, SharesTakeTurnsForTheRate) {
  GuardOptions options;
  options.rate = 10;
  Make(options);
  CallContext greedy = Context();
  greedy.share = "a";
  for (int i = 0; i < 100; ++i) Start(greedy);
  EXPECT_EQ(api_->StatsReader()().rate_limited, 89u);  // one was sent at once, ten wait
  CallContext modest = Context();
  modest.share = "b";
  FakeCall& call = Start(modest);
  time_.Advance(milliseconds(211), io_);
  EXPECT_TRUE(call.status && call.status->ok());
  EXPECT_EQ(script_.calls.size(), 3u);
  time_.Advance(seconds(3), io_);
}

TEST_F(GuardedLeaseApiTest, SharesTakeTurnsForConnections) {
  GuardOptions options;
  options.admission.max_in_flight = 2;
  Make(options);
  CallContext greedy = Context();
  greedy.share = "a";
  for (int i = 0; i < 100; ++i) Start(greedy);
  CallContext modest = Context();
  modest.share = "b";
  FakeCall& call = Start(modest);
  EXPECT_FALSE(call.status);
  time_.Advance(2 * answer_time_, io_);
  EXPECT_TRUE(call.status && call.status->ok());
  EXPECT_EQ(script_.calls.size(), 6u);
  time_.Advance(seconds(3), io_);
}

// Who limits the rate on the way will go on doing so.
TEST_F(GuardedLeaseApiTest, RetryAfterOfAMiddlemans429HoldsCallsBackToo) {
  for (const bool is_write : {false, true}) {
    Make({});
    answer_ = MiddlemansHttp(429, is_write, "3");
    EXPECT_EQ(Run(), answer_);
    answer_ = absl::OkStatus();
    EXPECT_EQ(ReasonOf(Run()), reason::kUpstreamRateLimited);
    time_.Advance(milliseconds(3'200), io_);
    EXPECT_TRUE(Run().ok());
  }
  Make({});
  answer_ = MiddlemansHttp(503, false, "3");
  EXPECT_EQ(Run(), answer_);
  answer_ = absl::OkStatus();
  EXPECT_TRUE(Run().ok());
}

TEST_F(GuardedLeaseApiTest, RateIsSharedByAsManyAsThereAreNow) {
  int processes = 5;
  GuardOptions options;
  options.rate = 10;
  options.share.processes = [&processes] { return processes; };
  Make(options);
  const auto sent_of_30 = [this] {
    const std::size_t before = script_.calls.size();
    for (int i = 0; i < 30; ++i) Start(Context());
    time_.Advance(seconds(10), io_);
    return script_.calls.size() - before;
  };
  EXPECT_EQ(sent_of_30(), 3U);  // one at once, two in the second that a call may wait
  processes = 1;
  EXPECT_EQ(sent_of_30(), 11U);
  processes = 2;
  EXPECT_EQ(api_->StatsReader()().rate, 5);
}

TEST_F(GuardedLeaseApiTest, TellsOthersOfA429OnlyWhatIsNew) {
  std::vector<RateShare::RetryAfter> told;
  GuardOptions options;
  options.share.tell = [&told](RateShare::RetryAfter retry_after) { told.push_back(retry_after); };
  Make(options);
  Start(Context());
  Start(Context());
  answer_ = Http(429, false, "3");
  time_.Advance(answer_time_, io_);
  EXPECT_THAT(told, testing::ElementsAre(RateShare::RetryAfter(seconds(3))));
  answer_ = absl::OkStatus();
  time_.Advance(seconds(4), io_);
  EXPECT_TRUE(Run().ok());
  EXPECT_EQ(told.size(), 1U);
}

TEST_F(GuardedLeaseApiTest, A429AtAnotherHoldsCallsBackAndIsNotTold) {
  std::function<void(RateShare::RetryAfter)> heard;
  int told = 0;
  GuardOptions options;
  options.share.tell = [&told](RateShare::RetryAfter) { ++told; };
  options.share.listen = [&heard](std::function<void(RateShare::RetryAfter)> hear) {
    heard = std::move(hear);
    return std::make_shared<int>();
  };
  Make(options);
  ASSERT_TRUE(heard);
  heard(seconds(3));
  EXPECT_EQ(ReasonOf(Run()), reason::kUpstreamRateLimited);
  EXPECT_TRUE(script_.calls.empty());
  time_.Advance(milliseconds(3'200), io_);
  EXPECT_TRUE(Run().ok());
  EXPECT_EQ(told, 0);
  api_.reset();
  heard(seconds(3));  // nobody is there any more
}

TEST_F(GuardedLeaseApiTest, ExpiredCallIsNotSent) {
  const FakeCall& call = Start(Context(milliseconds(0)));
  ASSERT_TRUE(call.status);
  EXPECT_EQ(ReasonOf(*call.status), reason::kDeadline);
  EXPECT_TRUE(script_.calls.empty());
}

// Ten times what 8 connections of 50 ms a call can carry, for three seconds.
TEST_F(GuardedLeaseApiTest, OverloadIsShedAndAcceptedCallsStayFast) {
  GuardOptions options;
  options.admission.max_in_flight = 8;
  Make(options);
  answer_time_ = milliseconds(50);
  EXPECT_TRUE(Run().ok());
  struct Timed {
    FakeCall* call;
    FakeTime::TimePoint started;
    milliseconds took{-1};
  };
  std::vector<Timed> timed;
  for (int step = 0; step < 4000; ++step) {
    for (int i = 0; i < (step % 10 < 6 ? 2 : 1) && step < 3000; ++i) {
      timed.push_back({&Start(Context()), time_.now()});
    }
    for (Timed& each : timed) {
      if (each.took.count() < 0 && each.call->status) {
        each.took = std::chrono::duration_cast<milliseconds>(time_.now() - each.started);
      }
    }
    time_.Advance(milliseconds(1), io_);
  }
  std::vector<milliseconds> accepted;
  for (const Timed& each : timed) {
    ASSERT_TRUE(each.call->status);
    if (each.call->status->ok()) {
      accepted.push_back(each.took);
    } else {
      EXPECT_EQ(ReasonOf(*each.call->status), reason::kOverloaded);
      EXPECT_EQ(each.took.count(), 0);
    }
  }
  std::sort(accepted.begin(), accepted.end());
  EXPECT_GE(accepted.size(), 440U);  // of the 480 that the connections can carry
  EXPECT_LE(accepted[accepted.size() * 99 / 100], milliseconds(150));
}

}  // namespace
}  // namespace leasegateway
