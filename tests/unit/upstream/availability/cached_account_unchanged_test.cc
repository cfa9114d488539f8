// Lists of which the provider says that they are as they were.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "tests/support/cache_fixture.h"
#include "tests/support/shared_log_fixture.h"

namespace leasegateway {
namespace {

template <typename List>
Reply<List> Tagged(Reply<List> reply, std::string etag, std::int64_t fetched = 1) {
  reply.validators.etag = std::move(etag);
  reply.metadata.set_upstream_request_id("req_1");
  reply.metadata.mutable_fetch_time()->set_seconds(fetched);
  return reply;
}

template <typename List>
Reply<List> Unchanged(std::int64_t fetched) {
  Reply<List> reply;
  reply.is_unchanged = true;
  reply.metadata.mutable_fetch_time()->set_seconds(fetched);
  return reply;
}

absl::Status Malformed() {
  return MakeError(absl::StatusCode::kInternal, reason::kUpstreamMalformed, "what?");
}

// A list's own, whoever between here and there gives it.
absl::Status Refusal(int status) {
  return MakeError(absl::StatusCode::kUnavailable, reason::kUpstreamFailed, "no",
                   {{"http_status", std::to_string(status)}});
}

class UnchangedListTest : public CachingLeaseApiTest {
 protected:
  // A refresh of both; what they were asked for with.
  std::vector<std::string> Refresh() {
    script_.etags.clear();
    Pass(kFresh);
    EXPECT_TRUE(StartAvailable(Context(milliseconds(1)))->status().ok());
    EXPECT_TRUE(StartLeases(Context(milliseconds(1)))->status().ok());
    return script_.etags;
  }
  void Provide(const std::string& etag) {
    script_.available = Tagged(Numbers({kA, kB}), etag);
    script_.leases = Tagged(Leases({LeaseOf(kC, "lease_c")}), etag);
  }
  void ProvideNothingNew(std::int64_t fetched) {
    script_.available = Unchanged<NumberList>(fetched);
    script_.leases = Unchanged<LeaseList>(fetched);
  }
  void Fail(const absl::Status& failure) {
    script_.available = failure;
    script_.leases = failure;
    Pass(kFresh);
    StartAvailable(Context(milliseconds(1)));
    StartLeases(Context(milliseconds(1)));
  }
  std::vector<v1::ResponseMetadata> MetadataInMemory() {
    const auto list = cache_->PeekAvailability({});
    const auto number = cache_->PeekNumber(kA, {});
    const auto leases = cache_->PeekLeases({});
    EXPECT_TRUE(list && number && leases);
    return {
        ParseReply<v1::ListAvailableNumbersResponse>(list->numbers->list_reply()).metadata(),
        list->numbers->metadata(),
        Parse<v1::GetNumberResponse>(*number).metadata(),
        Parse<v1::ListLeasesResponse>(*leases).metadata(),
    };
  }
};

TEST_F(UnchangedListTest, AListIsAskedForWithWhatItCameWith) {
  Provide("\"1\"");
  EXPECT_THAT(Refresh(), ElementsAre("", ""));
  EXPECT_THAT(Refresh(), ElementsAre("\"1\"", "\"1\""));
  Provide("\"2\"");
  EXPECT_THAT(Refresh(), ElementsAre("\"1\"", "\"1\""));
  Provide("");
  EXPECT_THAT(Refresh(), ElementsAre("\"2\"", "\"2\""));
  EXPECT_THAT(Refresh(), ElementsAre("", ""));
}

TEST_F(UnchangedListTest, ItIsAsNewAsTheProvidersWord) {
  Provide("\"1\"");
  Refresh();
  const auto before = cache_->PeekAvailability({});
  ProvideNothingNew(7);
  for (int i = 0; i < 3; ++i) {
    EXPECT_THAT(Refresh(), ElementsAre("\"1\"", "\"1\""));
    EXPECT_THAT(AvailableInMemory(), ElementsAre(kA, kB));
    EXPECT_THAT(LeasesInMemory(), ElementsAre("lease_c"));
    EXPECT_EQ(CacheStatus(cache_->PeekAvailability({})->outcome), "hit; ttl=5");
    EXPECT_EQ(CacheStatus(cache_->PeekLeases({})->outcome), "hit; ttl=5");
    EXPECT_EQ(CacheStatus(cache_->PeekNumber(kA, {})->outcome), "hit; ttl=5");
    for (const auto& metadata : MetadataInMemory()) {
      EXPECT_EQ(metadata.upstream_request_id(), "req_1");
      EXPECT_EQ(metadata.fetch_time().seconds(), 7);
    }
  }
  const auto after = cache_->PeekAvailability({});
  EXPECT_EQ(after->version, before->version);
  EXPECT_EQ(after->numbers->list_reply().bytes, before->numbers->list_reply().bytes);
}

// That the list is as it was before could only be said by a copy on the way that is too old, or by
// validators that do not tell the two apart.
TEST_F(UnchangedListTest, AfterAWriteThatMayHaveChangedItAllOfItIsAskedFor) {
  Provide("\"1\"");
  Refresh();
  // A write asks at once for the lists that it outdates.
  const auto next = [this] {
    const std::vector<std::string> at_once = std::exchange(script_.etags, {});
    const std::vector<std::string> later = Refresh();
    EXPECT_THAT(Refresh(), ElementsAre("\"1\"", "\"1\"")) << "and then no more";
    return absl::StrCat(absl::StrJoin(at_once, "|"), " then ", absl::StrJoin(later, "|"));
  };
  script_.etags.clear();
  ASSERT_TRUE(Create(kA, "lease_a").ok());
  EXPECT_EQ(next(), " then |\"1\"") << "leases at once, numbers later, both without";
  script_.etags.clear();
  ASSERT_TRUE(Terminate(kC, "lease_c").ok());
  EXPECT_EQ(next(), "| then \"1\"|\"1\"") << "both at once";
  script_.etags.clear();
  script_.lease = MakeError(absl::StatusCode::kAborted, reason::kOutcomeUnknown, "?");
  ASSERT_FALSE(Create(kB).ok());
  EXPECT_EQ(next(), "| then \"1\"|\"1\"");
  script_.etags.clear();
  script_.failover = Reply<v1::Failover>();
  const CallContext context = Context();
  Spawn(context.stats, cache_->Perform(context, operation::ConfigureFailover{kC, {}}));
  Settle();
  EXPECT_EQ(next(), " then \"1\"|\"1\"") << "numbers don't show it";
  script_.etags.clear();
  cache_->FoundTaken(kB);
  EXPECT_EQ(next(), " then |\"1\"") << "it is not the account's";
}

// Or what somebody has leased here would be on sale again.
TEST_F(UnchangedListTest, ThatNothingHasChangedIsNotBelievedAfterAWrite) {
  Provide("\"1\"");
  Refresh();
  ASSERT_TRUE(Create(kA, "lease_a").ok());
  script_.available = Tagged(Numbers({kB}), "\"1\"");
  script_.leases = Tagged(Leases({LeaseOf(kC, "lease_c"), LeaseOf(kA, "lease_a")}), "\"1\"");
  EXPECT_THAT(Refresh(), ElementsAre("", "\"1\"")) << "the write has asked for the leases";
  EXPECT_THAT(AvailableInMemory(), ElementsAre(kB));
  ProvideNothingNew(7);
  EXPECT_THAT(Refresh(), ElementsAre("\"1\"", "\"1\""));
  EXPECT_THAT(AvailableInMemory(), ElementsAre(kB));
  EXPECT_THAT(LeasesInMemory(), UnorderedElementsAre("lease_a", "lease_c"));
}

TEST_F(UnchangedListTest, WriteThatEndsMeanwhileIsLaidOverIt) {
  Provide("\"1\"");
  Refresh();
  ProvideNothingNew(7);
  Pass(kFresh);
  script_.hold = true;
  const auto numbers = StartAvailable(Context(milliseconds(1)));
  const auto leases = StartLeases(Context(milliseconds(1)));
  script_.hold = false;
  Provide("\"2\"");  // for the refresh that the write asks for, which comes first
  ASSERT_TRUE(Create(kA, "lease_a").ok());
  Release("ListAvailableNumbers");
  Release("ListLeases");
  EXPECT_THAT(PhoneNumbers(**numbers->result), ElementsAre(kB));
  EXPECT_THAT(LeaseIds(**leases->result), UnorderedElementsAre("lease_a", "lease_c"));
  const auto list = cache_->PeekLeases({});
  EXPECT_EQ(Parse<v1::ListLeasesResponse>(*list).total_size(), 2);
}

TEST_F(UnchangedListTest, AfterAnAnswerThatCanNotBeReadOrARefusalAllIsAskedFor) {
  for (const absl::Status& failure : {Malformed(), Refusal(412), Refusal(400)}) {
    Provide("\"1\"");
    Refresh();
    Fail(failure);
    Provide("\"1\"");
    EXPECT_THAT(Refresh(), ElementsAre("", "")) << failure;
  }
  for (const absl::Status& failure : {Outage(), Refusal(503), Refusal(429)}) {
    Fail(failure);
    Provide("\"1\"");
    EXPECT_THAT(Refresh(), ElementsAre("\"1\"", "\"1\""))
        << "says nothing of the list: " << failure;
  }
}

// Its readers get it all the same. Servers that change the tag for what they compress, but forget
// to in their 304, would otherwise spoil every other refresh.
TEST_F(UnchangedListTest, AnswerThatCanNotBeReadIsFollowedAtOnceByAllOfIt) {
  Provide("\"1\"");
  Refresh();
  script_.available_first = {Malformed()};
  EXPECT_THAT(Refresh(), ElementsAre("\"1\"", "", "\"1\""));
  EXPECT_EQ(cache_->stats().available.failed, 0u);
  // Once, and not when nothing but all of it was asked for.
  script_.available_first = {Malformed(), Malformed()};
  script_.etags.clear();
  Pass(kFresh);
  EXPECT_FALSE(StartAvailable(Context(milliseconds(1)))->status().ok());
  EXPECT_THAT(script_.etags, ElementsAre("\"1\"", ""));
  script_.available_first = {Malformed()};
  EXPECT_FALSE(StartAvailable(Context(milliseconds(1)))->status().ok());
  EXPECT_THAT(script_.etags, ElementsAre("\"1\"", "", ""));
}

TEST_F(UnchangedListTest, ListThatIsForgottenMeanwhileIsKnownToWhoAsksForIt) {
  Provide("\"1\"");
  Refresh();
  ProvideNothingNew(7);
  Pass(kFresh);
  script_.hold = true;
  const auto numbers = StartAvailable(Context(milliseconds(1)));
  const auto leases = StartLeases(Context(milliseconds(1)));
  script_.hold = false;
  // Of others, who take nothing from memory.
  script_.available = Malformed();
  script_.leases = Malformed();
  EXPECT_FALSE(StartAvailable(Context(milliseconds(0)))->status().ok());
  EXPECT_FALSE(StartLeases(Context(milliseconds(0)))->status().ok());
  script_.etags.clear();
  EXPECT_FALSE(StartAvailable(Context(milliseconds(0)))->status().ok());
  EXPECT_THAT(script_.etags, ElementsAre("")) << "it is forgotten";
  ProvideNothingNew(8);
  Release("ListAvailableNumbers");
  Release("ListLeases");
  ASSERT_TRUE(numbers->status().ok() && leases->status().ok());
  EXPECT_THAT(PhoneNumbers(**numbers->result), ElementsAre(kA, kB));
  EXPECT_THAT(LeaseIds(**leases->result), ElementsAre("lease_c"));
  EXPECT_THAT(Refresh(), ElementsAre("\"1\"", "\"1\""));
}

TEST_F(UnchangedListTest, ListThatCanNotBeAskedForSoIsNotKeptBesideWhatIsShown) {
  Provide("");
  Refresh();
  ASSERT_TRUE(Create(kA, "lease_a").ok());
  const auto bytes = [this] {
    const auto leases = cache_->PeekLeases({});
    return cache_->PeekAvailability({})->numbers->MemoryBytes() + leases->reply.size();
  };
  EXPECT_EQ(cache_->stats().bytes, bytes());
  Provide("\"1\"");
  Refresh();
  ASSERT_TRUE(Create(kB, "lease_b").ok());
  EXPECT_GT(cache_->stats().bytes, bytes());
}

TEST_F(UnchangedListTest, IsCounted) {
  Provide("\"1\"");
  Refresh();
  EXPECT_EQ(cache_->stats().available.unchanged, 0u);
  ProvideNothingNew(7);
  Refresh();
  Refresh();
  EXPECT_EQ(cache_->stats().available.unchanged, 2u);
  EXPECT_EQ(cache_->stats().available.ok, 3u);
  EXPECT_EQ(cache_->stats().leases.unchanged, 2u);
  EXPECT_EQ(cache_->stats().leases.ok, 3u);
}

TEST_F(UnchangedListTest, EmptyListIsAskedForAgainWithNothing) {
  Provide("\"1\"");
  Refresh();
  script_.available_first = {Tagged(Numbers(std::initializer_list<std::string>{}), "\"2\"")};
  EXPECT_THAT(Refresh(), ElementsAre("\"1\"", "", "\"1\""));
}

TEST_F(UnchangedListTest, ListThatIsDroppedIsForgotten) {
  Provide("\"1\"");
  Refresh();
  PassWithTimers(kIdle + kStaleIfError + kFresh);
  EXPECT_FALSE(cache_->PeekAvailability(milliseconds(10'000'000)));
  EXPECT_EQ(cache_->stats().bytes, 0u);
  EXPECT_THAT(Refresh(), ElementsAre("", ""));
}

class UnchangedSharedListTest : public CachedAccountLogTest {
 protected:
  UnchangedSharedListTest() {
    script_.available = Tagged(Numbers({kA, kB}), "\"1\"");
    script_.leases = Tagged(Leases({LeaseOf(kC, "lease_c")}), "\"1\"");
  }
  static std::int64_t FetchTime(Replica& replica) {
    return replica.cache->PeekAvailability({})->numbers->metadata().fetch_time().seconds();
  }
};

TEST_F(UnchangedSharedListTest, TheOthersHearThatItIsStillTheSame) {
  EXPECT_THAT(Available(At(0)), ElementsAre(kA, kB));
  EXPECT_THAT(LeasesOf(At(0)), ElementsAre("lease_c"));
  const auto sequence = SequenceOf(At(0));
  const auto bytes = At(1).cache->PeekAvailability({})->numbers->list_reply().bytes;
  script_.available = Unchanged<NumberList>(7);
  script_.leases = Unchanged<LeaseList>(7);
  script_.etags.clear();
  now_ += kFresh + milliseconds(1);
  EXPECT_THAT(Available(At(0), milliseconds(1)), ElementsAre(kA, kB));
  EXPECT_THAT(script_.etags, ElementsAre("\"1\""));
  for (std::size_t i = 0; i < 3; ++i) {
    EXPECT_EQ(FetchTime(At(i)), 7) << i;
    EXPECT_EQ(SequenceOf(At(i)), sequence) << i;
    EXPECT_EQ(CacheStatus(At(i).cache->PeekAvailability({})->outcome), "hit; ttl=5") << i;
  }
  EXPECT_EQ(At(1).cache->PeekAvailability({})->numbers->list_reply().bytes, bytes)
      << "nothing is built anew";
}

TEST_F(UnchangedSharedListTest, ListIsHeldOnce) {
  EXPECT_THAT(Available(At(0)), ElementsAre(kA, kB));
  const auto answer = At(0).cache->PeekAvailability({});
  EXPECT_EQ(At(0).cache->stats().bytes, answer->numbers->MemoryBytes());
  ASSERT_TRUE(Lease(At(0), kA, "lease_a").ok());
  EXPECT_THAT(AvailableInMemory(At(0)), ElementsAre(kB));
  EXPECT_LT(At(0).cache->stats().bytes, answer->numbers->MemoryBytes() * 3 / 2)
      << "what is shown shares nearly all with what was answered";
}

// What memory shows by then may be another one's answer.
TEST_F(UnchangedSharedListTest, AnswerThatComesLateIsKeptAsItWas) {
  EXPECT_THAT(Available(At(1)), ElementsAre(kA, kB));
  now_ += kFresh;
  script_.hold = true;
  const auto late = StartAvailable(At(0), milliseconds(1));
  script_.hold = false;
  script_.available = Tagged(Numbers({kB}), "\"2\"");
  now_ += milliseconds(100);
  EXPECT_THAT(Available(At(1), milliseconds(0)), ElementsAre(kB));
  EXPECT_TRUE(script_.Release("ListAvailableNumbers"));
  Settle();
  ASSERT_TRUE(late->result && late->status().ok());
  EXPECT_THAT(PhoneNumbers(**late->result), ElementsAre(kB)) << "which is newer";
  script_.available = Unchanged<NumberList>(7);
  script_.etags.clear();
  now_ += milliseconds(1);
  EXPECT_THAT(Available(At(0), milliseconds(0)), ElementsAre(kA, kB));
  EXPECT_THAT(script_.etags, ElementsAre("\"1\""));
}

TEST_F(UnchangedSharedListTest, AfterAWriteElsewhereAllOfItIsAskedFor) {
  EXPECT_THAT(Available(At(0)), ElementsAre(kA, kB));
  ASSERT_TRUE(Lease(At(1), kA, "lease_a").ok());
  EXPECT_THAT(AvailableInMemory(At(0)), ElementsAre(kB));
  script_.available = Tagged(Numbers({kB}), "\"1\"");
  script_.etags.clear();
  now_ += milliseconds(1);
  EXPECT_THAT(Available(At(0), milliseconds(0)), ElementsAre(kB));
  EXPECT_THAT(script_.etags, ElementsAre(""));
}

// Each asks with what it has been answered itself.
TEST_F(UnchangedSharedListTest, WhatTheLogHasIsNotMistakenForAnAnswer) {
  EXPECT_THAT(Available(At(0)), ElementsAre(kA, kB));
  script_.available = Tagged(Numbers({kB}), "\"2\"");
  now_ += milliseconds(1);
  EXPECT_THAT(Available(At(1), milliseconds(0)), ElementsAre(kB));
  EXPECT_THAT(AvailableInMemory(At(0)), ElementsAre(kB));
  // The list is what it was when replica 0 asked.
  script_.available = Unchanged<NumberList>(7);
  script_.etags.clear();
  now_ += milliseconds(1);
  EXPECT_THAT(Available(At(0), milliseconds(0)), ElementsAre(kA, kB));
  EXPECT_THAT(script_.etags, ElementsAre("\"1\""));
  for (std::size_t i = 0; i < 3; ++i) EXPECT_THAT(AvailableInMemory(At(i)), ElementsAre(kA, kB));
}

}  // namespace
}  // namespace leasegateway
