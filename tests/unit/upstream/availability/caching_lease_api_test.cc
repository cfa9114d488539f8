#include "upstream/availability/caching_lease_api.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <deque>
#include <map>
#include <random>
#include <thread>

#include "tests/support/cache_fixture.h"

namespace leasegateway {
namespace {

// --- versions, changes, listener -----------------------------------------------------------------

class AvailabilityChangesTest : public CachingLeaseApiTest {
 protected:
  // The list becomes this one.
  void Become(Reply<NumberList> list) {
    Pass(milliseconds(1));
    script_.available = std::move(list);
    ASSERT_TRUE(StartAvailable(Context(milliseconds(0)))->status().ok());
  }
  std::uint64_t Version() { return cache_->PeekAvailability({})->version; }
  // "-a +b c": gone, come, changed; a bar between versions.
  std::string Changes(std::uint64_t version) {
    const auto changes = cache_->ChangesSince(version);
    if (!changes) return "unknown";
    std::vector<std::string> texts;
    for (const auto& change : *changes) {
      EXPECT_EQ(change.version, ++version);
      std::vector<std::string> words;
      for (const auto& number : *change.numbers) {
        const auto& present = number.after ? number.after : number.before;
        words.push_back(absl::StrCat(!number.before  ? "+"
                                     : !number.after ? "-"
                                                     : "",
                                     present->phone_number().substr(11)));
      }
      texts.push_back(absl::StrJoin(words, " "));
    }
    return absl::StrJoin(texts, " | ");
  }
};

TEST_F(AvailabilityChangesTest, VersionGrowsOnlyWithChanges) {
  EXPECT_EQ(Changes(0), "unknown");
  Become(Numbers({kA}));
  EXPECT_EQ(Version(), 1U);
  Become(Numbers({kA}));
  EXPECT_EQ(Version(), 1U);
  EXPECT_EQ(Changes(1), "");
  Become(Numbers({kA, kB}));
  EXPECT_EQ(Version(), 2U);
}

TEST_F(AvailabilityChangesTest, NumbersThatComeGoAndChange) {
  Become(Numbers({kA, kB}));
  Become(Numbers({LeasableNumber(kB, "other"), LeasableNumber(kC)}));
  Become(Numbers({LeasableNumber(kB, "other")}));
  EXPECT_EQ(Changes(1), "-1 2 +3 | -3");
  EXPECT_EQ(Changes(2), "-3");
  EXPECT_EQ(Changes(3), "");
}

TEST_F(AvailabilityChangesTest, LeasedNumberIsAChange) {
  Become(Numbers({kA, kB}));
  ASSERT_TRUE(Create(kA, "lease_a").ok());
  EXPECT_EQ(Version(), 2U);
  EXPECT_EQ(Changes(1), "-1");
  Become(Numbers({kB}));
  EXPECT_EQ(Version(), 2U);
}

TEST_F(AvailabilityChangesTest, UnknownVersions) {
  EXPECT_EQ(Changes(1), "unknown");
  Become(Numbers({kA}));
  EXPECT_EQ(Changes(0), "unknown");
  EXPECT_EQ(Changes(2), "unknown");
  EXPECT_EQ(Changes(std::numeric_limits<std::uint64_t>::max()), "unknown");
}

TEST_F(AvailabilityChangesTest, SixtyFourChangesAreToldAtATime) {
  Become(Numbers({kA}));
  for (int i = 0; i < 65; ++i) Become(Numbers({LeasableNumber(kA, absl::StrCat(i))}));
  EXPECT_EQ(Version(), 66U);
  EXPECT_EQ(cache_->ChangesSince(1)->size(), 64U);
  EXPECT_EQ(cache_->ChangesSince(1)->front().version, 2U);
  EXPECT_EQ(cache_->ChangesSince(2)->size(), 64U);
  EXPECT_EQ(cache_->ChangesSince(3)->size(), 63U);
}

TEST_F(AvailabilityChangesTest, ChangesAcrossADroppedListAreUnknown) {
  Become(Numbers({kA}));
  Become(Numbers({kB}));
  PassWithTimers(kIdle + kStaleIfError + kFresh);
  Become(Numbers({kC}));
  EXPECT_EQ(Version(), 3U);
  EXPECT_EQ(Changes(2), "unknown");
  EXPECT_EQ(Changes(3), "");
}

TEST_F(AvailabilityChangesTest, AskingForChangesCountsAsReading) {
  Become(Numbers({kA}));
  for (int i = 0; i < 10; ++i) {
    PassWithTimers(milliseconds(100'000));
    EXPECT_EQ(Changes(1), "");
  }
  EXPECT_EQ(ListRequests(), 1 + 1'000'000 / 4'250);
}

TEST_F(AvailabilityChangesTest, ListenerCanReadWhatHasChanged) {
  std::vector<std::string> seen;
  cache_->SetListener([&] {
    const auto answer = cache_->PeekAvailability({});
    ASSERT_TRUE(answer);
    seen.push_back(absl::StrCat(answer->version, ": ", Changes(answer->version - 1)));
  });
  Become(Numbers({kA, kB}));
  Become(Numbers({kA, kB}));
  Become(Numbers({kA, kB, kC}));
  ASSERT_TRUE(Create(kA, "lease_a").ok());
  EXPECT_THAT(seen, ElementsAre("1: unknown", "2: +3", "3: -1"));
}

// --- the interface of the other layers -----------------------------------------------------------

TEST_F(CachingLeaseApiTest, ReadsOfTheInterfaceAreAnsweredFromMemory) {
  script_.available->metadata.set_upstream_request_id("req_numbers");
  script_.leases->metadata.set_upstream_request_id("req_leases");
  Warm();
  const CallContext context = Context();
  const auto numbers =
      Spawn(context.stats, cache_->Perform(context, operation::ListAvailableNumbers()));
  const auto leases = Spawn(context.stats, cache_->Perform(context, operation::ListLeases()));
  const auto number = Spawn(context.stats, cache_->Perform(context, operation::GetNumber{kB}));
  Settle();
  ASSERT_TRUE(numbers->status().ok());
  EXPECT_EQ((*numbers->result)->value.size(), 2);
  EXPECT_EQ((*numbers->result)->metadata.upstream_request_id(), "req_numbers");
  ASSERT_TRUE(leases->status().ok());
  EXPECT_EQ((*leases->result)->value.Get(0).lease_id(), "lease_c");
  EXPECT_EQ((*leases->result)->metadata.upstream_request_id(), "req_leases");
  ASSERT_TRUE(number->status().ok());
  EXPECT_EQ((*number->result)->value.phone_number(), kB);
  EXPECT_EQ((*number->result)->metadata.upstream_request_id(), "req_numbers");
  EXPECT_EQ(ListRequests() + LeasesRequests() + NumberRequests(), 2);
}

TEST_F(CachingLeaseApiTest, LeaseIsTakenFromTheNumber) {
  v1::Number number = LeasableNumber(kC, "leased");
  number.mutable_lease()->set_lease_id("lease_c");
  script_.number = ReplyOf(number);
  const CallContext context = Context();
  const auto lease = Spawn(context.stats, cache_->Perform(context, operation::GetLease{kC}));
  Settle();
  ASSERT_TRUE(lease->status().ok());
  EXPECT_EQ((*lease->result)->value.lease_id(), "lease_c");
  Warm();
  const auto none = Spawn(context.stats, cache_->Perform(context, operation::GetLease{kA}));
  Settle();
  EXPECT_EQ(ReasonOf(none->status()), reason::kNotLeased);
}

// --- many threads --------------------------------------------------------------------------------

// Keeps its own truth, and takes a few turns of the executor before and after it looks at it.
class TruthfulLeaseApi final : public TypedLeaseApi {
 public:
  explicit TruthfulLeaseApi(const std::vector<std::string>& phone_numbers) {
    for (const auto& phone_number : phone_numbers) lease_ids_[phone_number] = "";
  }

  LeaseApiResult<NumberList> ListAvailableNumbers(CallContext) override {
    co_await Turns();
    auto reply = Look<NumberList>([](NumberList& list, const auto& number, const auto& lease_id) {
      if (lease_id.empty()) *list.Add() = LeasableNumber(number);
    });
    co_await Turns();
    co_return reply;
  }
  LeaseApiResult<v1::Number> GetNumber(CallContext, std::string phone_number) override {
    co_await Turns();
    auto reply = Look<v1::Number>([&](v1::Number& found, const auto& number, const auto& lease_id) {
      if (number != phone_number) return;
      found = LeasableNumber(number);
      if (!lease_id.empty()) found.mutable_lease()->set_lease_id(lease_id);
    });
    co_await Turns();
    co_return reply;
  }
  LeaseApiResult<v1::Lease> CreateLease(CallContext, std::string phone_number,
                                        v1::BillingMethod) override {
    co_await Turns();
    auto reply = ReplyOf(LeaseOf(phone_number, ""));
    {
      const std::lock_guard lock(mutex_);
      reply.value.set_lease_id(absl::StrCat("lease_", ++leases_));
      lease_ids_[phone_number] = reply.value.lease_id();
    }
    co_await Turns();
    co_return reply;
  }
  LeaseApiResult<LeaseList> ListLeases(CallContext) override {
    co_await Turns();
    auto reply = Look<LeaseList>([](LeaseList& list, const auto& number, const auto& lease_id) {
      if (!lease_id.empty()) *list.Add() = LeaseOf(number, lease_id);
    });
    co_await Turns();
    co_return reply;
  }
  LeaseApiResult<v1::Termination> TerminateLease(CallContext, std::string phone_number) override {
    co_await Turns();
    Reply<v1::Termination> reply;
    {
      const std::lock_guard lock(mutex_);
      reply.value.set_lease_id(std::exchange(lease_ids_[phone_number], ""));
    }
    co_await Turns();
    co_return reply;
  }
  LeaseApiResult<v1::Lease> GetLease(CallContext, std::string) override {
    co_return absl::UnimplementedError("");
  }
  LeaseApiResult<v1::Failover> ConfigureFailover(CallContext, std::string, v1::Failover) override {
    co_return absl::UnimplementedError("");
  }
  LeaseApiResult<v1::CallForwarding> GetCallForwarding(CallContext, std::string) override {
    co_return absl::UnimplementedError("");
  }
  LeaseApiResult<v1::CallForwarding> EnableCallForwarding(CallContext, std::string,
                                                          std::string) override {
    co_return absl::UnimplementedError("");
  }
  LeaseApiResult<v1::CallForwarding> DisableCallForwarding(CallContext, std::string) override {
    co_return absl::UnimplementedError("");
  }

 private:
  static asio::awaitable<void> Turns() {
    thread_local std::minstd_rand random{std::random_device{}()};
    for (auto turns = random() % 4; turns > 0; --turns) {
      co_await asio::post(asio::use_awaitable);
    }
  }
  template <typename T, typename See>
  Reply<T> Look(const See& see) {
    Reply<T> reply;
    const std::lock_guard lock(mutex_);
    for (const auto& [number, lease_id] : lease_ids_) see(reply.value, number, lease_id);
    return reply;
  }

  std::mutex mutex_;
  std::map<std::string, std::string> lease_ids_;  // by number; empty: not leased
  int leases_ = 0;
};

// Leases and terminates numbers that nobody else touches, and looks whether it sees what it did.
class Worker {
 public:
  Worker(CachingLeaseApi* cache, std::vector<std::string> phone_numbers)
      : cache_(cache), phone_numbers_(std::move(phone_numbers)) {}

  asio::awaitable<void> Run(int rounds) {
    for (int round = 0; round < rounds; ++round) {
      const std::string number =
          phone_numbers_[static_cast<std::size_t>(round) % phone_numbers_.size()];
      auto lease = co_await cache_->Perform(
          Context(), operation::CreateLease{number, v1::BILLING_METHOD_UNSPECIFIED});
      failures += !lease.ok();
      co_await Look(number, true, round);
      auto termination = co_await cache_->Perform(Context(), operation::TerminateLease{number});
      failures += !termination.ok();
      co_await Look(number, false, round);
    }
  }

  int failures = 0;     // of calls
  int outdated = 0;     // answers that did not show a write
  int from_memory = 0;  // answers of Peek

 private:
  static CallContext Context() {
    CallContext context;
    context.deadline = std::chrono::steady_clock::now() + std::chrono::minutes(1);
    return context;
  }
  void See(const AvailabilityAnswer& answer, const std::string& number, bool leased) {
    outdated += answer.numbers->FindNumber(number).has_value() == leased;
  }
  void SeeLeases(const BytesAnswer& answer, const std::string& number, bool leased) {
    const auto list = Parse<v1::ListLeasesResponse>(answer);
    const auto lists =
        std::count_if(list.leases().begin(), list.leases().end(),
                      [&](const v1::Lease& lease) { return lease.phone_number() == number; });
    outdated += lists != (leased ? 1 : 0);
  }
  void SeeNumber(const BytesAnswer& answer, bool leased) {
    outdated += Parse<v1::GetNumberResponse>(answer).number().has_lease() != leased;
  }
  asio::awaitable<void> Look(const std::string& number, bool leased, int round) {
    for (int i = 0; i < 2; ++i) {
      if (const auto answer = cache_->PeekAvailability({})) {
        ++from_memory;
        See(*answer, number, leased);
      }
      if (const auto answer = cache_->PeekLeases({})) SeeLeases(*answer, number, leased);
      if (const auto answer = cache_->PeekNumber(number, {})) SeeNumber(*answer, leased);
      auto context = Context();
      if (round % 8 == 7) context.max_staleness = milliseconds(0);
      auto available = co_await cache_->FindAvailability(context);
      failures += !available.ok();
      if (available.ok()) See(*available, number, leased);
      auto leases = co_await cache_->FindLeases(context);
      failures += !leases.ok();
      if (leases.ok()) SeeLeases(*leases, number, leased);
      auto found = co_await cache_->FindNumber(context, number);
      failures += !found.ok();
      if (found.ok()) SeeNumber(*found, leased);
      cache_->ChangesSince(0);
    }
  }

  CachingLeaseApi* const cache_;
  const std::vector<std::string> phone_numbers_;
};

// How many answers of memory each worker had at least.
int WorkOnFourThreads(const CachePolicy& policy) {
  constexpr int kWorkers = 8;
  constexpr int kRounds = CONCURRENT_CALLS < 1'000 ? 80 : 250;  // fewer with ThreadSanitizer
  std::vector<std::vector<std::string>> owned(kWorkers);
  std::vector<std::string> all;
  for (int i = 0; i < kWorkers * 4; ++i) {
    all.push_back(absl::StrCat("+1305", 1'000'000 + i));
    owned[static_cast<std::size_t>(i) % kWorkers].push_back(all.back());
  }
  asio::io_context asio;
  auto cache =
      std::make_unique<CachingLeaseApi>(std::make_unique<TruthfulLeaseApi>(all), policy,
                                        MakeCacheEnvironment(asio.get_executor(), PinInMemory));
  std::atomic<int> changes = 0;
  cache->SetListener([&] { ++changes; });
  std::deque<Worker> workers;
  std::atomic<int> working = kWorkers;
  for (auto& phone_numbers : owned) {
    auto& worker = workers.emplace_back(cache.get(), std::move(phone_numbers));
    asio::co_spawn(asio::make_strand(asio), worker.Run(kRounds), [&](std::exception_ptr exception) {
      EXPECT_FALSE(exception);
      if (--working == 0) asio.stop();
    });
  }
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) threads.emplace_back([&] { asio.run(); });
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(working, 0);
  // Nothing that it has left on the executor goes on for long.
  cache.reset();
  asio.restart();
  asio.run();
  int from_memory = workers.front().from_memory;
  for (const auto& worker : workers) {
    EXPECT_EQ(worker.failures, 0);
    EXPECT_EQ(worker.outdated, 0);
    from_memory = std::min(from_memory, worker.from_memory);
  }
  EXPECT_GT(changes, 0);
  return from_memory;
}

TEST(CachingLeaseApiThreadsTest, WritersSeeTheirWritesInWhatIsHardlyEverFresh) {
  CachePolicy policy;
  policy.fresh = policy.stale_while_revalidate = milliseconds(1);
  WorkOnFourThreads(policy);  // on a slow machine memory has nothing that is fresh
}

TEST(CachingLeaseApiThreadsTest, WritersSeeTheirWritesInWhatIsStale) {
  CachePolicy policy;
  policy.fresh = milliseconds(1);
  policy.max_numbers = 4;
  EXPECT_GT(WorkOnFourThreads(policy), 0);
}

}  // namespace
}  // namespace leasegateway
