#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/cache_fixture.h"
#include "upstream/availability/cached_account.h"

namespace leasegateway {
namespace {

// --- refreshing in the background ----------------------------------------------------------------

class CachedListTest : public CachedReadTest {
 protected:
  std::vector<milliseconds> DelaysOfRefreshes(int count) {
    std::vector<milliseconds> delays;
    for (int i = 0; i < count; ++i) {
      delays.push_back(LastDelay());
      PassWithTimers(delays.back());
    }
    return delays;
  }
};

INSTANTIATE_TEST_SUITE_P(Lists, CachedListTest, testing::Values(Kind::kAvailable, Kind::kLeases),
                         KindName);

TEST_P(CachedListTest, IsRefreshedBeforeItGoesStaleAndNotInStep) {
  random_ = 0;
  Store();
  EXPECT_EQ(LastDelay(), milliseconds(3'750));
  random_ = 0.999'999;
  Make({});
  Store();
  EXPECT_EQ(LastDelay(), milliseconds(4'749));
  EXPECT_EQ(timers_.size(), 2U);
}

TEST_P(CachedListTest, ReadListNeverGoesStale) {
  Store();
  for (int i = 0; i < 600; ++i) {
    PassWithTimers(milliseconds(1'000));
    EXPECT_THAT(Peek(), testing::MatchesRegex("v1; hit; ttl=[0-5]"));
  }
  EXPECT_EQ(Requests(), 1 + 600'000 / 4'250);
}

TEST_P(CachedListTest, ReadThroughFindCountsAsRead) {
  Store();
  for (int i = 0; i < 10; ++i) {
    PassWithTimers(milliseconds(100'000));
    EXPECT_THAT(Ask(), testing::MatchesRegex("v1; hit; ttl=[0-5]"));
  }
}

TEST_P(CachedListTest, UnreadListIsNoLongerRefreshedAndThenDropped) {
  Store();
  const int refreshes = 300'000 / 4'250;
  PassWithTimers(milliseconds((refreshes + 1) * 4'250));
  EXPECT_EQ(Requests(), 1 + refreshes);
  PassWithTimers(kStaleIfError - milliseconds(1));
  EXPECT_NE(Peek(milliseconds(10'000'000)), "nothing");
}

TEST_P(CachedListTest, DroppedListIsAMiss) {
  Store();
  PassWithTimers(kIdle + kStaleIfError + kFresh);
  EXPECT_EQ(Peek(milliseconds(10'000'000)), "nothing");
  EXPECT_EQ(Ask(), "v1; fwd=miss; stored; ttl=5");
  EXPECT_GT(LastDelay(), milliseconds(0));
}

TEST_P(CachedListTest, ListReadAgainAfterItWasIdleIsKeptAsLongAsOthers) {
  Store();
  PassWithTimers(kIdle + kFresh);
  const int before = Requests();
  EXPECT_THAT(Peek(), testing::StartsWith("v1; hit"));
  Settle();
  EXPECT_EQ(Requests(), before + 1);
  // The first time that it was found idle is longer ago than the second.
  PassWithTimers(kStaleIfError);
  EXPECT_THAT(Peek(milliseconds(10'000'000)), testing::StartsWith("v1; hit"));
}

TEST_P(CachedListTest, PausesGrowWhileTheProviderFails) {
  Store();
  Fail(Outage());
  EXPECT_THAT(DelaysOfRefreshes(7),
              ElementsAre(milliseconds(4'250), milliseconds(3'750), milliseconds(7'500),
                          milliseconds(15'000), milliseconds(30'000), milliseconds(45'000),
                          milliseconds(45'000)));
  EXPECT_EQ(Requests(), 8);
  Provide("v2");
  EXPECT_THAT(DelaysOfRefreshes(2), ElementsAre(milliseconds(45'000), milliseconds(4'250)));
  EXPECT_EQ(Peek(), "v2; hit; ttl=5");
}

TEST_P(CachedListTest, HalfOfAPauseIsLeftToChance) {
  Store();
  Fail(Outage());
  random_ = 0;
  PassWithTimers(LastDelay());
  EXPECT_EQ(LastDelay(), milliseconds(2'500));
  random_ = 0.999'999;
  PassWithTimers(LastDelay());
  EXPECT_EQ(LastDelay(), milliseconds(9'999));
}

TEST_P(CachedListTest, ReaderDuringAPauseBeginsNoRefresh) {
  Store();
  Fail(Outage());
  PassWithTimers(LastDelay());
  Pass(milliseconds(2'000));
  EXPECT_EQ(Peek(), "v1; hit; ttl=-2");
  EXPECT_EQ(Ask(), "v1; hit; ttl=-2");
  EXPECT_EQ(Requests(), 2);
}

TEST_P(CachedListTest, RefreshThatIsDueInAPauseWaitsForItsEnd) {
  Store();
  PassWithTimers(milliseconds(4'000));
  Fail(Outage());
  EXPECT_EQ(Ask(milliseconds(0)), "UNAVAILABLE; fwd=request; ttl=1");
  PassWithTimers(milliseconds(3'749));
  EXPECT_EQ(Requests(), 2);
  PassWithTimers(milliseconds(1));
  EXPECT_EQ(Requests(), 3);
}

TEST_P(CachedListTest, ListThatIsNeverFreshIsNotRefreshed) {
  CachePolicy policy;
  policy.fresh = milliseconds(0);
  Make(policy);
  EXPECT_EQ(Ask(), "v1; fwd=miss; stored; ttl=0");
  EXPECT_THAT(timers_, IsEmpty());
}

TEST_F(CachingLeaseApiTest, SingleNumbersAreNotRefreshedInTheBackground) {
  EXPECT_EQ(Number(kA), "available");
  EXPECT_THAT(timers_, IsEmpty());
}

// --- lists that shrink to nothing, lists that can't be read --------------------------------------

TEST_F(CachingLeaseApiTest, RefreshThatIsDueDoesNotWaitForAFlightThatEndsWithItsCaller) {
  Warm();
  script_.hold = true;
  auto context = Context(milliseconds(0));
  context.deadline = std::chrono::steady_clock::now() + std::chrono::seconds(5);
  StartAvailable(context);
  EXPECT_EQ(ListRequests(), 2);
  PassWithTimers(kFresh);
  EXPECT_EQ(ListRequests(), 3);
}

TEST_F(CachingLeaseApiTest, RefreshThatIsDueIsTheFlightThatIsUnderWay) {
  Warm();
  script_.available = Numbers({kC});
  script_.hold = true;
  Pass(milliseconds(1));
  const auto call = StartAvailable(Context(milliseconds(1)));
  EXPECT_EQ(ListRequests(), 2);
  PassWithTimers(kFresh);
  EXPECT_EQ(ListRequests(), 2);
  call->Cancel();
  Settle();
  Release("ListAvailableNumbers");
  EXPECT_THAT(AvailableInMemory(), ElementsAre(kC));
}

TEST_F(CachingLeaseApiTest, EmptyListIsAskedForAgain) {
  Warm();
  script_.available_first = {Reply<NumberList>()};
  script_.available = Numbers({kB});
  EXPECT_TRUE(StartAvailable(Context(milliseconds(0)))->status().ok());
  EXPECT_THAT(AvailableInMemory(), ElementsAre(kB));
  EXPECT_EQ(ListRequests(), 3);
}

TEST_F(CachingLeaseApiTest, EmptyListIsAcceptedWhenConfirmed) {
  Warm();
  script_.available = Reply<NumberList>();
  EXPECT_TRUE(StartAvailable(Context(milliseconds(0)))->status().ok());
  EXPECT_THAT(AvailableInMemory(), IsEmpty());
  EXPECT_EQ(ListRequests(), 3);
  EXPECT_TRUE(StartAvailable(Context(milliseconds(0)))->status().ok());
  EXPECT_EQ(ListRequests(), 4);
}

TEST_F(CachingLeaseApiTest, EmptyListThatIsNotConfirmedIsAFailedRefresh) {
  Warm();
  script_.available_first = {Reply<NumberList>()};
  script_.available = Outage();
  EXPECT_EQ(StartAvailable(Context(milliseconds(0)))->status(), Outage());
  EXPECT_THAT(AvailableInMemory(), ElementsAre(kA, kB));
}

TEST_F(CachingLeaseApiTest, FirstListMayBeEmpty) {
  script_.available = Reply<NumberList>();
  EXPECT_THAT(Available(), IsEmpty());
  EXPECT_EQ(ListRequests(), 1);
}

TEST_F(CachingLeaseApiTest, EmptyListOfLeasesIsAskedForAgainAndAcceptedWhenConfirmed) {
  Warm();
  EXPECT_EQ(LeasesRequests(), 1);
  script_.leases = Reply<LeaseList>();
  EXPECT_TRUE(StartLeases(Context(milliseconds(0)))->status().ok());
  EXPECT_EQ(LeasesRequests(), 3);
  EXPECT_THAT(LeasesInMemory(), IsEmpty());
  EXPECT_TRUE(StartLeases(Context(milliseconds(0)))->status().ok());
  EXPECT_EQ(LeasesRequests(), 4);
}

TEST_F(CachingLeaseApiTest, MalformedListKeepsTheOldOne) {
  Warm();
  Pass(kWindow + milliseconds(1));
  script_.available =
      MakeError(absl::StatusCode::kInternal, reason::kUpstreamMalformed, "not an array");
  EXPECT_THAT(Available(), ElementsAre(kA, kB));
  EXPECT_THAT(AvailableInMemory(), ElementsAre(kA, kB));
}

// --- numbers that the provider does not know -----------------------------------------------------

absl::Status NotFound() {
  return MakeError(absl::StatusCode::kNotFound, reason::kNumberNotFound, "no such number");
}

TEST_F(CachingLeaseApiTest, UnknownNumberIsRememberedForAWhile) {
  script_.number = NotFound();
  const auto first = StartNumber(kA);
  EXPECT_EQ(first->status(), NotFound());
  EXPECT_EQ(first->cache_status(), "fwd=miss; stored; ttl=2");
  Pass(milliseconds(2'000));
  const auto second = StartNumber(kA);
  EXPECT_EQ(second->status(), NotFound());
  EXPECT_EQ(second->cache_status(), "hit; ttl=0");
  EXPECT_FALSE(cache_->PeekNumber(kA, {}));  // which has no errors
  EXPECT_EQ(NumberRequests(), 1);
}

TEST_F(CachingLeaseApiTest, UnknownNumberIsAskedForAgainWithoutAStaleWindow) {
  script_.number = NotFound();
  StartNumber(kA);
  Pass(milliseconds(2'001));
  script_.number = ReplyOf(LeasableNumber(kA));
  const auto read = StartNumber(kA);
  EXPECT_TRUE(read->status().ok());
  EXPECT_EQ(read->cache_status(), "fwd=stale; stored; ttl=5");
}

TEST_F(CachingLeaseApiTest, UnknownNumberIsNotWhatAnOutageIsAnsweredWith) {
  script_.number = NotFound();
  StartNumber(kA);
  Pass(milliseconds(2'001));
  script_.number = Outage();
  EXPECT_EQ(StartNumber(kA)->status(), Outage());
  EXPECT_EQ(StartNumber(kA)->status(), Outage());
}

TEST_F(CachingLeaseApiTest, OnlyTheReasonMakesANumberUnknown) {
  script_.number = absl::NotFoundError("another");
  StartNumber(kA);
  EXPECT_EQ(StartNumber(kA)->status(), absl::NotFoundError("another"));
  EXPECT_EQ(NumberRequests(), 2);
}

// --- single numbers and the list -----------------------------------------------------------------

TEST_F(CachingLeaseApiTest, NumberIsAnsweredFromTheList) {
  Warm();
  EXPECT_EQ(NumberInMemory(kA), "available");
  const auto read = StartNumber(kB);
  ASSERT_TRUE(read->status().ok());
  EXPECT_EQ(read->cache_status(), "hit; ttl=4");
  EXPECT_EQ(Parse<v1::GetNumberResponse>(**read->result).number().phone_number(), kB);
  EXPECT_EQ(NumberRequests(), 0);
}

TEST_F(CachingLeaseApiTest, NewerAnswerOfANumberBeatsAnOlderListAndTheOtherWayRound) {
  Warm();
  script_.number = ReplyOf(LeasableNumber(kA, "newer"));
  EXPECT_EQ(Number(kA, milliseconds(0)), "newer");
  EXPECT_EQ(NumberInMemory(kA), "newer");
  EXPECT_EQ(Number(kA), "newer");
  Pass(milliseconds(1));
  script_.available = Numbers({LeasableNumber(kA, "newest")});
  StartAvailable(Context(milliseconds(0)));
  EXPECT_EQ(NumberInMemory(kA), "newest");
  EXPECT_EQ(Number(kA), "newest");
  EXPECT_EQ(NumberRequests(), 1);
}

TEST_F(CachingLeaseApiTest, LeasableNumberThatANewerListLacksIsAskedForAgain) {
  EXPECT_EQ(Number(kA), "available");
  Pass(milliseconds(1));
  script_.available = Numbers({kB});
  StartAvailable();
  EXPECT_EQ(NumberInMemory(kA), "nothing");
  script_.number = ReplyOf(LeasableNumber(kA, "leased"));
  EXPECT_EQ(Number(kA), "leased");
}

TEST_F(CachingLeaseApiTest, NumberThatCannotBeLeasedIsNotExpectedInTheList) {
  v1::Number number = LeasableNumber(kC, "leased");
  number.mutable_lease()->set_lease_id("lease_c");
  script_.number = ReplyOf(number);
  EXPECT_EQ(Number(kC), "leased");
  Pass(milliseconds(1));
  StartAvailable();
  EXPECT_EQ(NumberInMemory(kC), "leased");
  EXPECT_EQ(Number(kC), "leased");
  EXPECT_EQ(NumberRequests(), 1);
}

TEST_F(CachingLeaseApiTest, NumbersReadFromAStaleListDoNotDisturbAProviderThatFails) {
  Warm();
  Pass(kFresh);
  script_.available = Outage();
  EXPECT_EQ(NumberInMemory(kA), "available");
  Settle();
  EXPECT_EQ(ListRequests(), 2);
  for (int i = 0; i < 5; ++i) {
    EXPECT_EQ(NumberInMemory(kA), "available");
    EXPECT_EQ(Number(kA), "available");
  }
  EXPECT_EQ(ListRequests(), 2);
  EXPECT_EQ(NumberRequests(), 0);
}

TEST_F(CachingLeaseApiTest, NumbersReadFromAListKeepItRefreshed) {
  Warm();
  for (int i = 0; i < 10; ++i) {
    PassWithTimers(milliseconds(100'000));
    const auto read = StartNumber(kA);
    EXPECT_THAT(read->cache_status(), testing::MatchesRegex("hit; ttl=[0-5]"));
  }
}

TEST_F(CachingLeaseApiTest, NumberOfAnOldListIsAnsweredAtOnceUntilThePauseIsOver) {
  Warm();
  Pass(kWindow);
  script_.number = Outage();
  EXPECT_EQ(Number(kA), "available");
  EXPECT_EQ(NumberRequests(), 1);
  EXPECT_EQ(NumberInMemory(kA), "available");
  EXPECT_EQ(Number(kA), "available");
  EXPECT_EQ(NumberRequests(), 1);
}

TEST_F(CachingLeaseApiTest, NumbersThatAreReadAreKeptAndTheOthersForgotten) {
  CachePolicy policy;
  policy.max_numbers = 2;
  Make(policy);
  for (const auto* phone_number : {kA, kB, kC}) {
    script_.number = ReplyOf(LeasableNumber(phone_number, phone_number));
    EXPECT_EQ(Number(phone_number), phone_number);
  }
  EXPECT_EQ(NumberInMemory(kA), kA);
  script_.number = ReplyOf(LeasableNumber("+13050000004"));
  EXPECT_EQ(Number("+13050000004"), "available");
  EXPECT_EQ(NumberInMemory(kA), kA);
  EXPECT_EQ(NumberInMemory(kB), "nothing");
  EXPECT_EQ(NumberInMemory(kC), kC);
}

}  // namespace
}  // namespace leasegateway
