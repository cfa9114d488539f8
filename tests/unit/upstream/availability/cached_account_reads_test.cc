#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/cache_fixture.h"
#include "upstream/availability/cached_account.h"

namespace leasegateway {
namespace {

INSTANTIATE_TEST_SUITE_P(Kinds, CachedReadTest,
                         testing::Values(Kind::kAvailable, Kind::kLeases, Kind::kNumber), KindName);

TEST_P(CachedReadTest, ColdMissIsStoredAndThenAHit) {
  EXPECT_EQ(Peek(), "nothing");
  EXPECT_EQ(Requests(), 0);
  EXPECT_EQ(Ask(), "v1; fwd=miss; stored; ttl=5");
  Provide("v2");
  EXPECT_EQ(Peek(), "v1; hit; ttl=5");
  Pass(milliseconds(1));
  EXPECT_EQ(Ask(), "v1; hit; ttl=4");
  EXPECT_EQ(Requests(), 1);
}

TEST_P(CachedReadTest, LastMillisecondOfFreshBeginsNoRefresh) {
  Store();
  Pass(kFresh);
  EXPECT_EQ(Peek(), "v1; hit; ttl=0");
  EXPECT_EQ(Ask(), "v1; hit; ttl=0");
  EXPECT_EQ(Requests(), 1);
}

TEST_P(CachedReadTest, StaleIsAnsweredFromMemoryWhileOneRefreshIsUnderWay) {
  Store();
  Pass(kFresh + milliseconds(1));
  Provide("v2");
  script_.hold = true;
  for (int i = 0; i < 50; ++i) {
    EXPECT_EQ(Peek(), "v1; hit; ttl=-1");
    EXPECT_EQ(Ask(), "v1; hit; ttl=-1");
  }
  EXPECT_EQ(Requests(), 2);
  Release(operation());
  EXPECT_EQ(Ask(), "v2; hit; ttl=5");
  EXPECT_EQ(Requests(), 2);
}

TEST_P(CachedReadTest, AfterTheWindowTheProviderIsWaitedFor) {
  Store();
  Pass(kWindow);
  script_.hold = true;
  EXPECT_EQ(Peek(), "v1; hit; ttl=-60");
  Settle();
  script_.hold = false;
  Provide("v2");
  Pass(milliseconds(1));
  EXPECT_EQ(Peek(), "nothing");
  const auto read = Start();
  EXPECT_EQ(Text(*read), "waiting");
  Release(operation());
  EXPECT_EQ(Text(*read), "v1; fwd=stale; collapsed; stored; ttl=4");
  Pass(kWindow + milliseconds(1));
  EXPECT_EQ(Ask(), "v2; fwd=stale; stored; ttl=5");
}

TEST_P(CachedReadTest, FailedRefreshIsAnsweredFromMemoryAndNotTriedAgainUntilThePauseIsOver) {
  Store();
  Pass(kWindow + milliseconds(1));
  Fail(Outage());
  EXPECT_EQ(Ask(), "v1; fwd=stale; ttl=-61; detail=stale-if-error");
  EXPECT_EQ(Requests(), 2);
  Pass(milliseconds(3'749));
  EXPECT_EQ(Peek(), "v1; hit; ttl=-64; detail=stale-if-error");
  EXPECT_EQ(Ask(), "v1; hit; ttl=-64; detail=stale-if-error");
  EXPECT_EQ(Requests(), 2);
  Pass(milliseconds(1));
  EXPECT_EQ(Peek(), "nothing");
  Provide("v2");
  EXPECT_EQ(Ask(), "v2; fwd=stale; stored; ttl=5");
}

TEST_P(CachedReadTest, StaleIfErrorEnds) {
  Store();
  Fail(Outage());
  Pass(kStaleIfError);
  EXPECT_EQ(Ask(), "v1; fwd=stale; ttl=-895; detail=stale-if-error");
  Pass(milliseconds(1));
  EXPECT_EQ(Peek(), "nothing");
  const auto read = Start();
  EXPECT_EQ(Text(*read), "UNAVAILABLE; fwd=stale; ttl=-896");
  EXPECT_EQ(ReasonOf(read->status()), reason::kUpstreamUnreachable);
}

TEST_P(CachedReadTest, OutagesAreAnsweredFromMemory) {
  for (const auto code : {absl::StatusCode::kUnavailable, absl::StatusCode::kDeadlineExceeded,
                          absl::StatusCode::kResourceExhausted, absl::StatusCode::kInternal}) {
    Make({});
    Provide("v1");
    Store();
    Pass(kWindow + milliseconds(1));
    Fail(absl::Status(code, "no"));
    EXPECT_EQ(Ask(), "v1; fwd=stale; ttl=-61; detail=stale-if-error") << code;
    EXPECT_EQ(Peek(), "v1; hit; ttl=-61; detail=stale-if-error") << code;
  }
}

// Whose the key is, is no reader's fault: the answer says that it comes from memory.
TEST_P(CachedReadTest, WhileTheKeyIsRefusedMemoryAnswersUpToStaleIfError) {
  for (const auto& refusal :
       {MakeError(absl::StatusCode::kFailedPrecondition, reason::kUpstreamCredentialsRejected,
                  "no"),
        MakeError(absl::StatusCode::kPermissionDenied, reason::kUpstreamForbidden, "no"),
        MakeError(absl::StatusCode::kFailedPrecondition, reason::kAgreementRequired, "no")}) {
    Make({});
    Provide("v1");
    Store();
    Pass(kWindow + milliseconds(1));
    Fail(refusal);
    EXPECT_EQ(Ask(), "v1; fwd=stale; ttl=-61; detail=stale-if-error");
    EXPECT_EQ(Peek(), "v1; hit; ttl=-61; detail=stale-if-error");
    EXPECT_EQ(Start(Context(milliseconds(0)))->status(), refusal);
    Pass(milliseconds(900'000));
    EXPECT_EQ(Start()->status(), refusal);
    Make({});
    Fail(refusal);
    EXPECT_EQ(Start()->status(), refusal) << "memory has nothing";
  }
}

TEST_P(CachedReadTest, OtherErrorsAreGivenToEveryCaller) {
  for (const auto code :
       {absl::StatusCode::kPermissionDenied, absl::StatusCode::kFailedPrecondition,
        absl::StatusCode::kUnauthenticated, absl::StatusCode::kInvalidArgument}) {
    Make({});
    Provide("v1");
    Store();
    Pass(kWindow + milliseconds(1));
    Fail(absl::Status(code, "no"));
    const std::string error = absl::StatusCodeToString(code) + "; fwd=stale; ttl=-61";
    EXPECT_EQ(Ask(), error);
    EXPECT_EQ(Peek(), "nothing") << code;
    EXPECT_EQ(Ask(), error);
  }
}

TEST_P(CachedReadTest, ErrorsAreNotRemembered) {
  for (const auto& status : {Outage(), absl::PermissionDeniedError("no")}) {
    Make({});
    Fail(status);
    const std::string error = absl::StatusCodeToString(status.code()) + "; fwd=miss";
    const int before = Requests();
    EXPECT_EQ(Ask(), error);
    EXPECT_EQ(Ask(), error);
    EXPECT_EQ(Requests(), before + 2);
    Provide("v1");
    EXPECT_EQ(Ask(), "v1; fwd=miss; stored; ttl=5");
  }
}

TEST_P(CachedReadTest, ZeroMaxStalenessAsksTheProviderAlthoughMemoryIsFresh) {
  Store();
  Provide("v2");
  EXPECT_EQ(Peek(milliseconds(0)), "nothing");
  EXPECT_EQ(Ask(milliseconds(0)), "v2; fwd=request; stored; ttl=5");
  EXPECT_EQ(Ask(), "v2; hit; ttl=5");
}

TEST_P(CachedReadTest, LargeMaxStalenessTakesWhatIsOlderThanTheWindowsAndRefreshesIt) {
  Store();
  Provide("v2");
  Pass(milliseconds(1'000'000));
  EXPECT_EQ(Ask(milliseconds(1'000'000)), "v1; hit; ttl=-995");
  EXPECT_EQ(Requests(), 2);
  EXPECT_EQ(Ask(milliseconds(1'000'000)), "v2; hit; ttl=5");
}

TEST_P(CachedReadTest, MaxStalenessIsComparedWithTheAge) {
  Store();
  Provide("v2");
  Pass(milliseconds(3'000));
  EXPECT_EQ(Peek(milliseconds(3'000)), "v1; hit; ttl=2");
  EXPECT_EQ(Peek(milliseconds(2'999)), "nothing");
  EXPECT_EQ(Ask(milliseconds(2'999)), "v2; fwd=request; stored; ttl=5");
}

TEST_P(CachedReadTest, WithMaxStalenessAnOutageIsGivenToTheCaller) {
  Store();
  Pass(milliseconds(100));
  Fail(Outage());
  for (int i = 0; i < 2; ++i) {
    EXPECT_EQ(Ask(milliseconds(0)), "UNAVAILABLE; fwd=request; ttl=4");
    EXPECT_EQ(Ask(milliseconds(99)), "UNAVAILABLE; fwd=request; ttl=4");
    EXPECT_EQ(Peek(milliseconds(99)), "nothing");
  }
  EXPECT_EQ(Requests(), 5);
}

TEST_P(CachedReadTest, MaxStalenessJoinsOnlyAFlightThatIsNewEnough) {
  script_.hold = true;
  const auto first = Start();
  Pass(milliseconds(1'000));
  const auto joins = Start(Context(milliseconds(1'000)));
  EXPECT_EQ(Requests(), 1);
  Provide("v2");
  const auto asks = Start(Context(milliseconds(999)));
  EXPECT_EQ(Requests(), 2);
  Provide("v3");
  const auto zero = Start(Context(milliseconds(0)));
  EXPECT_EQ(Requests(), 3);
  Release(operation());
  EXPECT_EQ(Text(*first), "v1; fwd=miss; stored; ttl=4");
  EXPECT_EQ(Text(*joins), "v1; fwd=miss; collapsed; stored; ttl=4");
  EXPECT_EQ(Text(*asks), "waiting");
  Release(operation());
  EXPECT_EQ(Text(*asks), "v2; fwd=miss; stored; ttl=5");
  EXPECT_EQ(Text(*zero), "waiting");
  Release(operation());
  EXPECT_EQ(Text(*zero), "v3; fwd=miss; stored; ttl=5");
}

TEST_P(CachedReadTest, OlderFlightThatEndsLastDoesNotReplaceTheNewerAnswer) {
  script_.hold = true;
  const auto older = Start();
  Pass(milliseconds(1));
  Provide("v2");
  script_.hold = false;
  EXPECT_EQ(Ask(milliseconds(0)), "v2; fwd=miss; stored; ttl=5");
  Release(operation());
  EXPECT_EQ(Peek(), "v2; hit; ttl=5");
  EXPECT_NE(Text(*older), "waiting");
}

// --- one request for all -------------------------------------------------------------------------

TEST_P(CachedReadTest, TenThousandReadersMakeOneRequest) {
  script_.hold = true;
  std::vector<std::shared_ptr<Read>> reads;
  for (int i = 0; i < 10'000; ++i) reads.push_back(StartLater());
  Settle();
  EXPECT_EQ(Requests(), 1);
  Release(operation());
  int leaders = 0;
  int followers = 0;
  for (const auto& read : reads) {
    leaders += Text(*read) == "v1; fwd=miss; stored; ttl=5";
    followers += Text(*read) == "v1; fwd=miss; collapsed; stored; ttl=5";
  }
  EXPECT_EQ(leaders, 1);
  EXPECT_EQ(followers, 9'999);
}

TEST_P(CachedReadTest, ReadWaitsInTheTurnsOfItsCallersShare) {
  script_.hold = true;
  CallContext context = Context(milliseconds(0));
  context.share = "orders";
  const auto read = Start(context);
  ASSERT_EQ(script_.held.size(), 1U);
  EXPECT_EQ(script_.held.front()->share, "orders");
}

TEST_P(CachedReadTest, ListThatAllMayJoinWaitsInNobodysTurn) {
  script_.hold = true;
  CallContext context = Context();
  context.share = "orders";
  const auto read = Start(context);
  ASSERT_EQ(script_.held.size(), 1U);
  EXPECT_EQ(script_.held.front()->share, operation() == "GetNumber" ? "orders" : "");
}

TEST_P(CachedReadTest, CancelledCallerDoesNotEndTheFlightForOthers) {
  script_.hold = true;
  const auto leader = Start();
  const auto follower = Start();
  leader->Cancel();
  Settle();
  EXPECT_EQ(leader->status().code(), absl::StatusCode::kCancelled);
  EXPECT_EQ(ReasonOf(leader->status()), reason::kCancelled);
  EXPECT_EQ(Text(*follower), "waiting");
  Release(operation());
  EXPECT_EQ(Text(*follower), "v1; fwd=miss; collapsed; stored; ttl=5");
}

TEST_P(CachedReadTest, LastCallerThatGoesAwayEndsTheFlight) {
  script_.hold = true;
  const auto leader = Start();
  const auto follower = Start();
  ASSERT_EQ(script_.held.size(), 1U);
  const auto held = script_.held.front();
  leader->Cancel();
  Settle();
  EXPECT_FALSE(held->cancelled);
  follower->Cancel();
  Settle();
  EXPECT_TRUE(held->cancelled);
  EXPECT_EQ(ReasonOf(follower->status()), reason::kCancelled);
  script_.hold = false;
  EXPECT_EQ(Ask(), "v1; fwd=miss; stored; ttl=5");
  EXPECT_EQ(Requests(), 2);
}

TEST_P(CachedReadTest, NobodyJoinsAFlightWhoseLastCallerHasLeft) {
  script_.hold = true;
  const auto gone = Start();
  const auto held = script_.held.front();
  gone->Cancel();
  asio_.restart();
  while (!gone->result) ASSERT_EQ(asio_.poll_one(), 1U);
  // The provider has not yet been told.
  ASSERT_FALSE(held->cancelled);
  const auto next = Start();
  EXPECT_TRUE(held->cancelled);
  EXPECT_EQ(Text(*next), "waiting");
  EXPECT_EQ(Requests(), 2);
  Release(operation());
  EXPECT_EQ(Text(*next), "v1; fwd=miss; stored; ttl=5");
}

TEST_P(CachedReadTest, FlightThatWasAbandonedIsNoFailure) {
  Store();
  Pass(kFresh + milliseconds(1));
  script_.hold = true;
  const auto read = Start(Context(milliseconds(0)));
  read->Cancel();
  Settle();
  EXPECT_THAT(script_.held, IsEmpty());
  script_.hold = false;
  Provide("v2");
  // After a failure, memory would not be refreshed for a while.
  EXPECT_EQ(Ask(), "v1; hit; ttl=-1");
  Settle();
  EXPECT_EQ(Requests(), 3);
  EXPECT_EQ(Ask(), "v2; hit; ttl=5");
}

TEST_P(CachedReadTest, RefreshGoesOnWhenTheCallerThatJoinedItGoesAway) {
  Store();
  Pass(kWindow);
  Provide("v2");
  script_.hold = true;
  EXPECT_EQ(Peek(), "v1; hit; ttl=-60");
  Pass(milliseconds(1));
  const auto read = Start();
  EXPECT_EQ(Text(*read), "waiting");
  EXPECT_EQ(Requests(), 2);
  read->Cancel();
  Settle();
  Release(operation());
  EXPECT_EQ(Ask(), "v2; hit; ttl=4");
}

TEST_P(CachedReadTest, FlightOfACallerGoesOnWhereMemoryIsRefreshedByIt) {
  Store();
  Pass(kFresh + milliseconds(1));
  Provide("v2");
  script_.hold = true;
  const auto read = Start(Context(milliseconds(1)));
  EXPECT_EQ(Peek(), "v1; hit; ttl=-1");
  EXPECT_EQ(Requests(), 2);
  read->Cancel();
  Settle();
  Release(operation());
  EXPECT_EQ(Ask(), "v2; hit; ttl=5");
}

// What is done for a caller alone is bounded by its deadline, so that the layers below can refuse
// what comes too late. What memory keeps is not.
TEST_P(CachedReadTest, OnlyCallersWhoTakeNothingFromMemoryBoundTheirFlights) {
  script_.hold = true;
  auto context = Context(milliseconds(0));
  context.deadline = std::chrono::steady_clock::now() + std::chrono::seconds(5);
  Start(context);
  EXPECT_EQ(script_.held.back()->deadline, context.deadline);
  context.max_staleness = milliseconds(1);
  Pass(milliseconds(2));
  Start(context);
  EXPECT_EQ(Requests(), 2);
  EXPECT_GT(script_.held.back()->deadline, context.deadline + std::chrono::seconds(20));
}

TEST_P(CachedReadTest, OnlyWhoEndsNoLaterJoinsAFlightThatEndsWithItsCaller) {
  script_.hold = true;
  auto context = Context(milliseconds(0));
  context.deadline = std::chrono::steady_clock::now() + std::chrono::seconds(5);
  const auto bounded = Start(context);
  auto no_later = Context();
  no_later.deadline = context.deadline;
  const auto joins = Start(no_later);
  EXPECT_EQ(Requests(), 1);
  auto a_little_later = Context();
  a_little_later.deadline = context.deadline + milliseconds(1);
  const auto later = Start(a_little_later);
  EXPECT_EQ(Requests(), 2);
  Release(operation());
  EXPECT_EQ(Text(*bounded), "v1; fwd=miss; stored; ttl=5");
  EXPECT_EQ(Text(*joins), "v1; fwd=miss; collapsed; stored; ttl=5");
  EXPECT_EQ(Text(*later), "waiting");
}

TEST_P(CachedReadTest, RefreshDoesNotRelyOnAFlightThatEndsWithItsCaller) {
  Store();
  Pass(kFresh + milliseconds(1));
  Provide("v2");
  script_.hold = true;
  auto context = Context(milliseconds(0));
  context.deadline = std::chrono::steady_clock::now() + std::chrono::seconds(5);
  Start(context);
  EXPECT_EQ(Requests(), 2);
  EXPECT_EQ(Peek(), "v1; hit; ttl=-1");
  Settle();
  EXPECT_EQ(Requests(), 3);
}

TEST_P(CachedReadTest, DeadlineOfACallerIsNoFailureOfTheProvider) {
  Store();
  Pass(kFresh + milliseconds(1));
  for (const auto& [code, why] :
       {std::pair(absl::StatusCode::kDeadlineExceeded, reason::kDeadline),
        std::pair(absl::StatusCode::kResourceExhausted, reason::kOverloaded)}) {
    Fail(MakeError(code, why, "late"));
    auto context = Context(milliseconds(0));
    context.deadline = std::chrono::steady_clock::now() + std::chrono::seconds(5);
    EXPECT_EQ(Start(context)->status().code(), code);
  }
  Provide("v2");
  // After a failure, memory would not be refreshed for a while.
  EXPECT_EQ(Ask(), "v1; hit; ttl=-1");
  Settle();
  EXPECT_EQ(Ask(), "v2; hit; ttl=5");
}

TEST_P(CachedReadTest, CallerPastItsDeadlineDoesNotEndTheFlightForOthers) {
  script_.hold = true;
  const auto leader = Start(Expired());
  EXPECT_EQ(Text(*leader), "DEADLINE_EXCEEDED; fwd=miss");
  EXPECT_EQ(ReasonOf(leader->status()), reason::kDeadline);
  const auto follower = Start();
  EXPECT_EQ(Text(*follower), "waiting");
  Release(operation());
  EXPECT_EQ(Text(*follower), "v1; fwd=miss; collapsed; stored; ttl=5");
  EXPECT_EQ(Requests(), 1);
}

TEST_P(CachedReadTest, CallerWhoseDeadlineNearsGetsStaleData) {
  Store();
  Pass(kWindow + milliseconds(1));
  Provide("v2");
  script_.hold = true;
  EXPECT_EQ(Text(*Start(Expired())), "v1; fwd=stale; ttl=-61; detail=stale-if-error");
  Release(operation());
  EXPECT_EQ(Ask(), "v2; hit; ttl=5");
}

TEST_P(CachedReadTest, CallerWithMaxStalenessGetsNoStaleDataAtItsDeadline) {
  Store();
  Pass(milliseconds(1));
  script_.hold = true;
  auto context = Expired();
  context.max_staleness = milliseconds(0);
  EXPECT_EQ(Text(*Start(context)), "DEADLINE_EXCEEDED; fwd=request; ttl=4");
}

TEST_P(CachedReadTest, CancelledCallerGetsNoStaleData) {
  Store();
  Pass(kWindow + milliseconds(1));
  script_.hold = true;
  const auto read = Start();
  read->Cancel();
  Settle();
  EXPECT_EQ(read->status().code(), absl::StatusCode::kCancelled);
}

TEST_P(CachedReadTest, OnlyTheLeaderIsChargedForTheRequest) {
  script_.hold = true;
  script_.upstream_request_id = "req_1";
  const auto leader = Start();
  const auto follower = Start();
  Release(operation());
  const auto later = Start();
  EXPECT_EQ(leader->stats->attempts, 1);
  EXPECT_EQ(leader->stats->upstream_request_id, "req_1");
  for (const auto& read : {follower, later}) {
    EXPECT_EQ(read->stats->attempts, 0);
    EXPECT_EQ(read->stats->upstream_request_id, "");
  }
}

TEST_P(CachedReadTest, LeaderPastItsDeadlineIsChargedForTheAttempt) {
  script_.hold = true;
  EXPECT_EQ(Start(Expired())->stats->attempts, 1);
}

// --- destruction ---------------------------------------------------------------------------------

TEST_P(CachedReadTest, DestructionCancelsFlightsWhichKeepTheProviderUntilTheyEnd) {
  Store();
  Pass(kFresh + milliseconds(1));
  script_.hold = true;
  EXPECT_EQ(Peek(), "v1; hit; ttl=-1");
  Settle();
  ASSERT_EQ(script_.held.size(), 1U);
  const auto held = script_.held.front();
  cache_.reset();
  EXPECT_EQ(script_.alive, 1);
  EXPECT_FALSE(held->cancelled);
  Settle();
  EXPECT_TRUE(held->cancelled);
  EXPECT_EQ(script_.alive, 0);
}

TEST_P(CachedReadTest, DestructionEndsARefreshThatHasNotBegun) {
  Store();
  Pass(kFresh + milliseconds(1));
  script_.hold = true;
  EXPECT_EQ(Peek(), "v1; hit; ttl=-1");
  cache_.reset();
  Settle();
  EXPECT_EQ(script_.alive, 0);
  EXPECT_THAT(script_.held, IsEmpty());
}

TEST_P(CachedReadTest, NothingHappensAfterDestruction) {
  Store();
  cache_.reset();
  PassWithTimers(kIdle + kStaleIfError);
  EXPECT_EQ(Requests(), 1);
  EXPECT_EQ(script_.alive, 0);
  Settle();
}

}  // namespace
}  // namespace leasegateway
