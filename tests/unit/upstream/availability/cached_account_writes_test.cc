#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/cache_fixture.h"
#include "upstream/availability/cached_account.h"

namespace leasegateway {
namespace {

// --- writes are seen -----------------------------------------------------------------------------

TEST_F(CachingLeaseApiTest, LeasedNumberIsGoneFromTheListAndItsSearchAndFromMemory) {
  Warm();
  EXPECT_EQ(Number(kA, milliseconds(0)), "available");
  ASSERT_TRUE(Create(kA, "lease_a").ok());
  const auto answer = cache_->PeekAvailability({});
  ASSERT_TRUE(answer);
  EXPECT_THAT(PhoneNumbers(*answer), ElementsAre(kB));
  EXPECT_EQ(answer->numbers->Search({}, {}, 0, 10).total, 1U);
  EXPECT_EQ(NumberInMemory(kA), "nothing");
  script_.number = ReplyOf(LeasableNumber(kA, "leased"));
  EXPECT_EQ(Number(kA), "leased");
  EXPECT_EQ(NumberInMemory(kB), "available");
}

TEST_F(CachingLeaseApiTest, LeaseIsListedWithItsNumber) {
  Warm();
  script_.hold = true;  // the refresh that follows
  script_.lease = ReplyOf(LeaseOf(kA, "lease_a"));
  const CallContext context = Context();
  const auto call =
      Spawn(context.stats,
            cache_->Perform(context, operation::CreateLease{kA, v1::BILLING_METHOD_UNSPECIFIED}));
  Settle();
  Release("CreateLease");
  ASSERT_TRUE(call->status().ok());
  const auto answer = cache_->PeekLeases({});
  ASSERT_TRUE(answer);
  EXPECT_EQ(CacheStatus(answer->outcome), "hit; ttl=4");
  const auto list = Parse<v1::ListLeasesResponse>(*answer);
  ASSERT_THAT(LeaseIds(*answer), ElementsAre("lease_c", "lease_a"));
  EXPECT_EQ(list.total_size(), 2);
  const auto& number = list.leases(1).number();
  EXPECT_EQ(number.phone_number(), kA);
  EXPECT_EQ(number.status(), v1::NUMBER_STATUS_LEASED);
  EXPECT_EQ(number.provider_status(), "leased");
  EXPECT_EQ(number.carrier(), "Carrier");
}

TEST_F(CachingLeaseApiTest, LeasesAreRefreshedAfterALease) {
  Warm();
  script_.leases = Leases({LeaseOf(kC, "lease_c"), LeaseOf(kA, "lease_a")});
  ASSERT_TRUE(Create(kA, "lease_a").ok());
  EXPECT_EQ(LeasesRequests(), 2);
  EXPECT_EQ(ListRequests(), 1);
  EXPECT_THAT(LeasesInMemory(), ElementsAre("lease_c", "lease_a"));
}

TEST_F(CachingLeaseApiTest, RefreshOfTheListThatBeganBeforeALeaseEndsAfterIt) {
  Warm();
  script_.hold = true;
  const auto before = StartAvailable(Context(milliseconds(0)));
  script_.hold = false;
  ASSERT_TRUE(Create(kA, "lease_a").ok());
  Pass(kWindow + milliseconds(1));
  const auto after = StartAvailable();
  EXPECT_EQ(ListRequests(), 2);
  Release("ListAvailableNumbers");
  EXPECT_THAT(PhoneNumbers(**before->result), ElementsAre(kB));
  EXPECT_THAT(PhoneNumbers(**after->result), ElementsAre(kB));
  EXPECT_EQ(after->cache_status(), "fwd=stale; collapsed; stored; ttl=-61");
  EXPECT_THAT(AvailableInMemory(), ElementsAre("nothing"));
}

TEST_F(CachingLeaseApiTest, FirstListThatWasAskedForBeforeALeaseEndsAfterIt) {
  script_.hold = true;
  const auto before = StartAvailable();
  script_.hold = false;
  ASSERT_TRUE(Create(kA, "lease_a").ok());
  const auto after = StartAvailable();
  Release("ListAvailableNumbers");
  EXPECT_EQ(ListRequests(), 1);
  EXPECT_THAT(PhoneNumbers(**before->result), ElementsAre(kB));
  EXPECT_THAT(PhoneNumbers(**after->result), ElementsAre(kB));
  EXPECT_THAT(AvailableInMemory(), ElementsAre(kB));
}

TEST_F(CachingLeaseApiTest, ReaderThatComesAfterALeaseWhileAnOlderListIsBeingPublished) {
  CachePolicy policy;
  policy.fresh = policy.stale_while_revalidate = milliseconds(0);
  Make(policy);
  // The listener runs when the list is in memory, and its flight has not ended.
  std::shared_ptr<Call<AvailabilityAnswer>> after;
  bool leased = false;
  cache_->SetListener([&] {
    if (std::exchange(leased, true)) return;
    Pass(milliseconds(1));
    LeaseMeanwhile(kA, "lease_a");
    const CallContext reader = Context();
    after = Spawn(reader.stats, cache_->FindAvailability(reader));
    asio_.poll();
    EXPECT_FALSE(after->result);
  });
  StartAvailable();
  ASSERT_TRUE(after && after->result);
  EXPECT_THAT(PhoneNumbers(**after->result), ElementsAre(kB));
}

TEST_F(CachingLeaseApiTest, LeaseThatEndsWhileAnotherIsTakenFromTheLists) {
  Warm();
  script_.leases = Outage();
  meanwhile_ = [this] { LeaseMeanwhile(kB, "lease_b"); };
  ASSERT_TRUE(Create(kA, "lease_a").ok());
  EXPECT_THAT(AvailableInMemory(), IsEmpty());
  EXPECT_THAT(LeasesInMemory(), UnorderedElementsAre("lease_a", "lease_b", "lease_c"));
}

TEST_F(CachingLeaseApiTest, LeaseThatEndsWhileAnotherIsPutIntoTheLeases) {
  ASSERT_TRUE(StartLeases()->status().ok());
  script_.leases = Outage();
  meanwhile_ = [this] { LeaseMeanwhile(kB, "lease_b"); };
  ASSERT_TRUE(Create(kA, "lease_a").ok());
  EXPECT_THAT(LeasesInMemory(), UnorderedElementsAre("lease_a", "lease_b", "lease_c"));
}

TEST_F(CachingLeaseApiTest, LeasesThatEndWhileAnOlderListIsBroughtUpToDate) {
  script_.available = Numbers({kA, kB, kC, "+13050000004"});
  script_.hold = true;
  const auto before = StartAvailable();
  script_.hold = false;
  ASSERT_TRUE(Create(kA, "lease_a").ok());
  script_.Release("ListAvailableNumbers");
  // Once for each time that something is prepared: the list as it came, and without each number.
  std::vector<std::string> rest = {kC, "+13050000004", kB};
  std::function<void()> lease_next = [&] {
    if (rest.empty()) return;
    const std::string phone_number = rest.back();
    rest.pop_back();
    LeaseMeanwhile(phone_number, absl::StrCat("lease_", phone_number));
    meanwhile_ = lease_next;
  };
  meanwhile_ = lease_next;
  Settle();
  meanwhile_ = nullptr;
  EXPECT_THAT(rest, IsEmpty());
  EXPECT_THAT(PhoneNumbers(**before->result), IsEmpty());
  EXPECT_THAT(AvailableInMemory(), IsEmpty());
}

TEST_F(CachingLeaseApiTest, RefreshOfLeasesThatBeganBeforeALeaseEndsAfterIt) {
  script_.hold = true;
  const auto before = StartLeases();
  script_.hold = false;
  ASSERT_TRUE(Create(kA, "lease_a").ok());
  const auto after = StartLeases();
  Release("ListLeases");
  EXPECT_EQ(LeasesRequests(), 1);
  EXPECT_THAT(LeaseIds(**before->result), ElementsAre("lease_c", "lease_a"));
  EXPECT_THAT(LeaseIds(**after->result), ElementsAre("lease_c", "lease_a"));
  EXPECT_THAT(LeasesInMemory(), ElementsAre("lease_c", "lease_a"));
}

TEST_F(CachingLeaseApiTest, RefreshOfLeasesThatShowsTheLeaseAlreadyDoesNotShowItTwice) {
  script_.leases = Leases({LeaseOf(kC, "lease_c"), LeaseOf(kA, "lease_a")});
  script_.hold = true;
  StartLeases();
  script_.hold = false;
  ASSERT_TRUE(Create(kA, "lease_a").ok());
  Release("ListLeases");
  EXPECT_THAT(LeasesInMemory(), ElementsAre("lease_c", "lease_a"));
}

TEST_F(CachingLeaseApiTest, LookAtANumberThatBeganBeforeALeaseEndsAfterIt) {
  script_.hold = true;
  const auto before = StartNumber(kA);
  script_.hold = false;
  Pass(milliseconds(1));
  ASSERT_TRUE(Create(kA, "lease_a").ok());
  script_.number = ReplyOf(LeasableNumber(kA, "leased"));
  script_.hold = true;
  const auto after = StartNumber(kA);
  EXPECT_EQ(NumberRequests(), 2);
  Release("GetNumber");
  EXPECT_TRUE(before->status().ok());
  EXPECT_FALSE(after->result);
  EXPECT_EQ(NumberInMemory(kA), "nothing");
  Release("GetNumber");
  EXPECT_EQ(Parse<v1::GetNumberResponse>(**after->result).number().provider_status(), "leased");
  EXPECT_EQ(NumberInMemory(kA), "leased");
}

TEST_F(CachingLeaseApiTest, LookAtANumberThatEndsAfterTheLookThatFollowedALease) {
  script_.hold = true;
  StartNumber(kA);
  script_.hold = false;
  Pass(milliseconds(1));
  ASSERT_TRUE(Create(kA, "lease_a").ok());
  script_.number = ReplyOf(LeasableNumber(kA, "leased"));
  EXPECT_EQ(Number(kA), "leased");
  Release("GetNumber");
  EXPECT_EQ(NumberInMemory(kA), "leased");
}

TEST_F(CachingLeaseApiTest, TerminatedLeaseIsListedNoMore) {
  Warm();
  script_.leases = Outage();
  ASSERT_TRUE(Terminate(kC, "lease_c").ok());
  EXPECT_THAT(LeasesInMemory(), IsEmpty());
}

TEST_F(CachingLeaseApiTest, NewerLeaseOfTheNumberIsNotTheOneThatWasTerminated) {
  script_.leases = Leases({LeaseOf(kC, "lease_c"), LeaseOf(kC, "lease_d")});
  Warm();
  script_.leases = Outage();
  ASSERT_TRUE(Terminate(kC, "lease_c").ok());
  EXPECT_THAT(LeasesInMemory(), ElementsAre("lease_d"));
}

TEST_F(CachingLeaseApiTest, AfterATerminationTheListIsAskedForAnew) {
  Warm();
  script_.available = Numbers({kA, kB, kC});
  ASSERT_TRUE(Terminate(kC, "lease_c").ok());
  EXPECT_EQ(ListRequests(), 2);
  EXPECT_THAT(AvailableInMemory(), ElementsAre(kA, kB, kC));
}

TEST_F(CachingLeaseApiTest, AfterATerminationReadersWaitForTheNewList) {
  Warm();
  script_.hold = true;
  StartAvailable(Context(milliseconds(0)));  // began before: of no use
  script_.hold = false;
  Pass(milliseconds(1));
  script_.leases = Outage();
  script_.termination = ReplyOf(v1::Termination());
  const CallContext context = Context();
  const auto call = Spawn(context.stats, cache_->Perform(context, operation::TerminateLease{kC}));
  script_.available = Numbers({kA, kB, kC});
  Settle();
  ASSERT_TRUE(call->status().ok());
  EXPECT_EQ(ListRequests(), 3);
  EXPECT_THAT(AvailableInMemory(), ElementsAre(kA, kB, kC));
  Release("ListAvailableNumbers");
  EXPECT_THAT(AvailableInMemory(), ElementsAre(kA, kB, kC));
}

// The gateway refuses refreshes before it refuses callers, so their failing is no outage.
TEST_F(CachingLeaseApiTest, RefreshThatYieldsAfterATerminationLeavesReadersToAskThemselves) {
  Warm();
  script_.available_first = {MakeError(absl::StatusCode::kResourceExhausted,
                                       reason::kUpstreamRateLimited, "for callers",
                                       {{"request_sent", "false"}})};
  script_.available = Numbers({kA, kB, kC});
  ASSERT_TRUE(Terminate(kC, "lease_c").ok());
  EXPECT_THAT(AvailableInMemory(), ElementsAre("nothing"));
  EXPECT_THAT(Available(), ElementsAre(kA, kB, kC));
}

TEST_F(CachingLeaseApiTest, ListThatWasAskedForBeforeATerminationIsNotAnsweredAfterIt) {
  script_.hold = true;
  const auto before = StartAvailable();
  script_.hold = false;
  Pass(milliseconds(1));
  ASSERT_TRUE(Terminate(kC, "lease_c").ok());
  script_.hold = true;
  script_.available = Numbers({kA, kB, kC});
  const auto after = StartAvailable();
  EXPECT_EQ(ListRequests(), 2);
  Release("ListAvailableNumbers");
  EXPECT_THAT(PhoneNumbers(**before->result), ElementsAre(kA, kB));
  EXPECT_FALSE(after->result);
  EXPECT_THAT(AvailableInMemory(), ElementsAre("nothing"));
  Release("ListAvailableNumbers");
  EXPECT_THAT(PhoneNumbers(**after->result), ElementsAre(kA, kB, kC));
  EXPECT_EQ(after->cache_status(), "fwd=miss; stored; ttl=5");
}

TEST_F(CachingLeaseApiTest, LeasesThatWereAskedForBeforeATerminationEndAfterIt) {
  script_.hold = true;
  const auto before = StartLeases();
  script_.hold = false;
  ASSERT_TRUE(Terminate(kC, "lease_c").ok());
  const auto after = StartLeases();
  Release("ListLeases");
  EXPECT_THAT(LeaseIds(**before->result), IsEmpty());
  EXPECT_THAT(LeaseIds(**after->result), IsEmpty());
  EXPECT_THAT(LeasesInMemory(), IsEmpty());
}

TEST_F(CachingLeaseApiTest, LookAtANumberThatBeganBeforeATerminationEndsAfterIt) {
  script_.number = ReplyOf(LeasableNumber(kC, "leased"));
  script_.hold = true;
  StartNumber(kC);
  script_.hold = false;
  Pass(milliseconds(1));
  ASSERT_TRUE(Terminate(kC, "lease_c").ok());
  script_.number = ReplyOf(LeasableNumber(kC, "available"));
  EXPECT_EQ(NumberInMemory(kC), "nothing");
  EXPECT_EQ(Number(kC), "available");
  Release("GetNumber");
  EXPECT_EQ(NumberInMemory(kC), "available");
}

TEST_F(CachingLeaseApiTest, WhenTheProviderFailsAfterATerminationTheOldListServes) {
  Warm();
  script_.available = Outage();
  ASSERT_TRUE(Terminate(kC, "lease_c").ok());
  const auto answer = cache_->PeekAvailability({});
  ASSERT_TRUE(answer);
  EXPECT_THAT(PhoneNumbers(*answer), ElementsAre(kA, kB));
  EXPECT_EQ(CacheStatus(answer->outcome), "hit; ttl=4; detail=stale-if-error");
  EXPECT_FALSE(cache_->PeekAvailability(milliseconds(10'000)));
}

TEST_F(CachingLeaseApiTest, AfterAnUnknownOutcomeEverythingIsAskedForAnew) {
  Warm();
  script_.lease = MakeError(absl::StatusCode::kAborted, reason::kOutcomeUnknown, "?");
  script_.hold = true;
  const CallContext context = Context();
  const auto call =
      Spawn(context.stats,
            cache_->Perform(context, operation::CreateLease{kA, v1::BILLING_METHOD_UNSPECIFIED}));
  Settle();
  script_.available = Numbers({kB});
  script_.leases = Leases({LeaseOf(kA, "lease_a")});
  script_.number = ReplyOf(LeasableNumber(kA, "leased"));
  Release("CreateLease");
  EXPECT_EQ(ReasonOf(call->status()), reason::kOutcomeUnknown);
  EXPECT_THAT(AvailableInMemory(), ElementsAre("nothing"));
  EXPECT_THAT(LeasesInMemory(), ElementsAre("nothing"));
  EXPECT_EQ(NumberInMemory(kA), "nothing");
  const auto list = StartAvailable();
  const auto leases = StartLeases();
  EXPECT_EQ(ListRequests(), 2);
  EXPECT_EQ(LeasesRequests(), 2);
  Release("ListAvailableNumbers");
  Release("ListLeases");
  EXPECT_EQ(list->cache_status(), "fwd=stale; collapsed; stored; ttl=5");
  EXPECT_THAT(PhoneNumbers(**list->result), ElementsAre(kB));
  EXPECT_THAT(LeaseIds(**leases->result), ElementsAre("lease_a"));
  script_.hold = false;
  EXPECT_EQ(Number(kA), "leased");
}

TEST_F(CachingLeaseApiTest, NumberOfUnknownOutcomeIsNotReadFromTheOldListWhenForgotten) {
  CachePolicy policy;
  policy.max_numbers = 1;
  Make(policy);
  Warm();
  script_.available = Outage();
  script_.lease = MakeError(absl::StatusCode::kAborted, reason::kOutcomeUnknown, "?");
  EXPECT_EQ(Create(kA).code(), absl::StatusCode::kAborted);
  EXPECT_EQ(NumberInMemory(kA), "nothing");
  for (const auto* phone_number : {kB, kC, "+13050000004"}) StartNumber(phone_number);
  EXPECT_EQ(NumberInMemory(kA), "nothing");
}

TEST_F(CachingLeaseApiTest, NumberThatSomebodyElseHasLeavesTheList) {
  Warm();
  cache_->FoundTaken(kA);
  Settle();
  EXPECT_THAT(AvailableInMemory(), ElementsAre(kB));
  EXPECT_EQ(NumberInMemory(kA), "nothing");
  EXPECT_THAT(LeasesInMemory(), ElementsAre("lease_c"));
  EXPECT_EQ(LeasesRequests(), 1);
}

TEST_F(CachingLeaseApiTest, WritesThatWereNotDoneChangeNothing) {
  Warm();
  for (const auto code :
       {absl::StatusCode::kInvalidArgument, absl::StatusCode::kUnavailable,
        absl::StatusCode::kPermissionDenied, absl::StatusCode::kResourceExhausted}) {
    script_.lease = absl::Status(code, "no");
    script_.termination = absl::Status(code, "no");
    script_.failover = absl::Status(code, "no");
    script_.forwarding = absl::Status(code, "no");
    EXPECT_EQ(Create(kA).code(), code);
    const CallContext context = Context();
    Spawn(context.stats, cache_->Perform(context, operation::TerminateLease{kC}));
    Spawn(context.stats, cache_->Perform(context, operation::ConfigureFailover{kC, {}}));
    Spawn(context.stats, cache_->Perform(context, operation::EnableCallForwarding{kC, kA}));
    Spawn(context.stats, cache_->Perform(context, operation::DisableCallForwarding{kC}));
    Settle();
  }
  EXPECT_THAT(AvailableInMemory(), ElementsAre(kA, kB));
  EXPECT_THAT(LeasesInMemory(), ElementsAre("lease_c"));
  EXPECT_EQ(NumberInMemory(kA), "available");
  EXPECT_EQ(ListRequests() + LeasesRequests() + NumberRequests(), 2);
}

TEST_F(CachingLeaseApiTest, ConfiguredNumberIsAskedForAnew) {
  const auto configure = [this](int operation) {
    const CallContext context = Context();
    script_.failover = Reply<v1::Failover>();
    script_.forwarding = Reply<v1::CallForwarding>();
    bool ok = false;
    if (operation == 0) {
      const auto call =
          Spawn(context.stats, cache_->Perform(context, operation::ConfigureFailover{kC, {}}));
      Settle();
      ok = call->status().ok();
    } else {
      const auto call =
          Spawn(context.stats,
                operation == 1 ? cache_->Perform(context, operation::EnableCallForwarding{kC, kA})
                               : cache_->Perform(context, operation::DisableCallForwarding{kC}));
      Settle();
      ok = call->status().ok();
    }
    return ok;
  };
  Warm();
  for (int operation = 0; operation < 3; ++operation) {
    const std::string text = absl::StrCat("leased ", operation);
    script_.number = ReplyOf(LeasableNumber(kC, text));
    EXPECT_EQ(Number(kC, milliseconds(0)), text);
    script_.leases = Leases({LeaseOf(kC, text)});
    Pass(milliseconds(1));
    EXPECT_TRUE(configure(operation));
    EXPECT_EQ(NumberInMemory(kC), "nothing");
    EXPECT_THAT(LeasesInMemory(), ElementsAre(text));
  }
  EXPECT_EQ(ListRequests(), 1);
}

// Writes bypass memory.
TEST_F(CachingLeaseApiTest, WritesSayThatTheyBypassMemoryAndWhatTheyCost) {
  script_.Refuse(absl::InvalidArgumentError("no"));
  script_.upstream_request_id = "req_1";
  const auto expect_bypass = [this](const auto& operation) {
    const CallContext context = Context();
    const auto call = Spawn(context.stats, operation(context));
    Settle();
    EXPECT_EQ(call->cache_status(), "fwd=bypass");
    EXPECT_EQ(call->stats->attempts, 1);
    EXPECT_EQ(call->stats->upstream_request_id, "req_1");
  };
  expect_bypass([this](const CallContext& context) {
    return cache_->Perform(context, operation::CreateLease{kA, v1::BILLING_METHOD_UNSPECIFIED});
  });
  expect_bypass([this](const CallContext& context) {
    return cache_->Perform(context, operation::TerminateLease{kA});
  });
  expect_bypass([this](const CallContext& context) {
    return cache_->Perform(context, operation::ConfigureFailover{kA, {}});
  });
  expect_bypass([this](const CallContext& context) {
    return cache_->Perform(context, operation::GetCallForwarding{kA});
  });
  expect_bypass([this](const CallContext& context) {
    return cache_->Perform(context, operation::EnableCallForwarding{kA, kB});
  });
  expect_bypass([this](const CallContext& context) {
    return cache_->Perform(context, operation::DisableCallForwarding{kA});
  });
}

}  // namespace
}  // namespace leasegateway
