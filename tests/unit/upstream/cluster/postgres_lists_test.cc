// Replicas that share their lists in a real database.

#include "upstream/cluster/postgres_lists.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <boost/asio/detached.hpp>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <functional>
#include <map>
#include <memory>
#include <random>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "tests/support/database_fixture.h"
#include "tests/support/postgres_server.h"
#include "tests/support/shared_cache_fixture.h"
#include "upstream/availability/cache_environment.h"
#include "upstream/cluster/cluster.h"
#include "upstream/cluster/compressed.h"

namespace leasegateway {
namespace {

using std::chrono::seconds;
using Clock = std::chrono::steady_clock;

class PostgresListsTest : public SharedCacheTest {
 protected:
  PostgresListsTest() {
    policy_.fresh = milliseconds(60'000);
    database_ = server().CreateDatabase();
  }
  ~PostgresListsTest() override { End(); }

  // What is under way ends before what it uses.
  void End() {
    StopAll();
    asio_.restart();
    asio_.run_for(seconds(10));
    replicas_.clear();
    clusters_.clear();
  }
  virtual PostgresServer& server() { return PostgresServer::Shared(); }

  CacheEnvironment EnvironmentOf(Replica& /*replica*/) override {
    return MakeCacheEnvironment(asio_.get_executor(), PinInMemory);
  }
  void Await(const std::function<bool()>& done) override {
    const auto until = Clock::now() + seconds(20);
    for (;;) {
      Settle();
      if (done() || Clock::now() >= until) return;
      asio_.restart();
      asio_.run_one_for(milliseconds(2));
    }
  }
  // One more replica, with connections of its own.
  Replica& Join(const std::string& account = "default") {
    ClusterOptions options;
    options.database = postgres::OptionsFor(server().Url(database_));
    options.database.last_pause = milliseconds(300);
    auto cluster = Cluster::Open(threads_.executor(), std::move(options));
    EXPECT_TRUE(cluster.ok()) << cluster.status();
    clusters_.push_back(*std::move(cluster));
    PostgresLists::Options lists;
    lists.account = account;
    lists.replica = static_cast<std::uint64_t>(clusters_.back()->replica()->id());
    lists.claim_time = claim_time_;
    Replica& replica = Add(std::make_shared<PostgresLists>(
        clusters_.back()->database(), clusters_.back()->news(), std::move(lists)));
    EXPECT_TRUE(Load(replica));
    return replica;
  }
  Replica& At(int i) { return *replicas_[static_cast<std::size_t>(i)]; }
  // As a crash: nothing more comes of it.
  void Leave(std::size_t i) { replicas_[i]->cache.reset(); }
  // Begins to read, and does not wait.
  void StartLater(Replica& replica, MaxStaleness max_staleness = std::nullopt) {
    asio::co_spawn(asio::make_strand(asio_),
                   replica.cache->FindAvailability(Context(max_staleness)), asio::detached);
  }
  bool Load(Replica& replica) {
    return Do(replica.cache->account().Load(Clock::now() + seconds(10))).value_or(false);
  }
  std::vector<std::string> Rows(const std::string& sql) const {
    return PostgresServer::Shared().Query(database_, sql);
  }
  void AwaitEqual(std::uint64_t sequence) {
    Await([&] {
      return std::all_of(replicas_.begin(), replicas_.end(), [&](const auto& replica) {
        return !replica->cache || SequenceOf(*replica) >= sequence;
      });
    });
  }

  std::string database_;
  milliseconds claim_time_{10'000};
  postgres::IoThreads threads_;
  std::vector<std::unique_ptr<Cluster>> clusters_;
};

TEST_F(PostgresListsTest, OneReplicaAsksForAll) {
  for (int i = 0; i < 4; ++i) Join();
  for (int i = 0; i < 4; ++i) {
    EXPECT_THAT(Available(At(i)), ElementsAre(kA, kB)) << i;
    EXPECT_THAT(LeasesOf(At(i)), ElementsAre("lease_c")) << i;
  }
  EXPECT_EQ(AvailableRequests(), 1);
  EXPECT_EQ(LeasesRequests(), 1);
}

TEST_F(PostgresListsTest, AWriteIsSeenByAll) {
  for (int i = 0; i < 4; ++i) {
    Join();
    Available(At(i));
    LeasesOf(At(i));
  }
  ASSERT_TRUE(Lease(At(1), kA, "lease_a").ok());
  EXPECT_THAT(AvailableInMemory(At(1)), ElementsAre(kB));
  Await([&] {
    for (int i = 0; i < 4; ++i) {
      if (AvailableInMemory(At(i)) != std::vector<std::string>{kB}) return false;
    }
    return true;
  });
  for (int i = 0; i < 4; ++i) EXPECT_THAT(AvailableInMemory(At(i)), ElementsAre(kB)) << i;
}

TEST_F(PostgresListsTest, ANewReplicaAnswersBeforeTheProvider) {
  Join();
  Available(At(0));
  LeasesOf(At(0));
  script_.Refuse(Outage());
  Replica& late = Join();
  EXPECT_THAT(AvailableInMemory(late), ElementsAre(kA, kB));
  EXPECT_THAT(LeasesInMemory(late), ElementsAre("lease_c"));
  EXPECT_EQ(StateOf(late)->sequence, StateOf(At(0))->sequence);
}

TEST_F(PostgresListsTest, RefreshesOfFourAreThoseOfOne) {
  policy_.fresh = milliseconds(400);
  for (int i = 0; i < 4; ++i) Join();
  const auto begun = Clock::now();
  Await([&] {
    for (int i = 0; i < 4; ++i) {
      if (!At(i).cache->PeekAvailability({})) StartLater(At(i));
    }
    return Clock::now() - begun > seconds(4);
  });
  // One process asks each 300 to 380 ms.
  std::printf("list calls of 4 replicas in 4 s, fresh for 400 ms: %d (one makes 11 to 14)\n",
              AvailableRequests());
  EXPECT_LE(AvailableRequests(), 15);
  EXPECT_GE(AvailableRequests(), 4);
}

TEST_F(PostgresListsTest, AClaimantThatDiesIsReplaced) {
  claim_time_ = milliseconds(300);
  Join();
  Join();
  script_.hold = true;
  StartLater(At(0));
  Await([&] { return AvailableRequests() == 1; });
  script_.hold = false;
  EXPECT_THAT(Available(At(1)), ElementsAre(kA, kB));
  EXPECT_EQ(AvailableRequests(), 2);
}

TEST_F(PostgresListsTest, EntriesAreTheSameAtAllReplicasAndAfterARestart) {
  for (int i = 0; i < 2; ++i) {
    Join();
    Available(At(i));
  }
  const auto entry = StateOf(At(0));
  ASSERT_TRUE(entry);
  ASSERT_TRUE(Lease(At(0), kA, "lease_a").ok());
  AwaitEqual(entry->sequence + 1);
  const std::string key = At(0).cache->account().SharedKey();
  Leave(0);
  Leave(1);
  Replica& late = Join();
  EXPECT_EQ(late.cache->account().SharedKey(), key);
  EXPECT_EQ(key.size(), 32U);
  EXPECT_THAT(AvailableInMemory(late), ElementsAre(kB));
  const auto numbers = Do(late.cache->account().NumbersAt(*entry, Clock::now() + seconds(5)));
  ASSERT_TRUE(numbers && *numbers);
  EXPECT_EQ((*numbers)->size(), 2U);
}

TEST_F(PostgresListsTest, AccountsHaveLogsOfTheirOwn) {
  Join("one");
  Join("two");
  Available(At(0));
  script_.available = Numbers({kC});
  EXPECT_THAT(Available(At(1)), ElementsAre(kC));
  EXPECT_THAT(AvailableInMemory(At(0)), ElementsAre(kA, kB));
  EXPECT_NE(StateOf(At(0))->log, StateOf(At(1))->log);
}

TEST_F(PostgresListsTest, WhoAsksForAWriteGetsIt) {
  for (int i = 0; i < 2; ++i) {
    Join();
    Available(At(i));
  }
  ASSERT_TRUE(Lease(At(0), kA, "lease_a").ok());
  const auto seen = Do(At(0).cache->account().SeenNow(Clock::now() + seconds(5)));
  ASSERT_TRUE(seen);
  EXPECT_TRUE(*Do(At(1).cache->account().CatchUp(*seen, Clock::now() + seconds(5))));
  EXPECT_THAT(AvailableInMemory(At(1)), ElementsAre(kB));
}

TEST_F(PostgresListsTest, ABrokenRowIsReadAroundAndNeverACrash) {
  Join();
  Available(At(0));
  script_.available = Numbers({kA});
  Available(At(0), milliseconds(0));
  Rows("UPDATE lease_gateway.list_entry SET content = 'garbage' WHERE content IS NOT NULL");
  Rows("UPDATE lease_gateway.list_whole SET content = 'garbage'");
  Replica& late = Join();
  EXPECT_THAT(AvailableInMemory(late), ElementsAre("nothing"));
  EXPECT_THAT(Available(late), ElementsAre(kA));
  EXPECT_EQ(AvailableRequests(), 3);
  // It is whole again for the next.
  Replica& later = Join();
  EXPECT_THAT(AvailableInMemory(later), ElementsAre(kA));
}

TEST_F(PostgresListsTest, ANewerFormatIsLikeABrokenRow) {
  Join();
  Available(At(0));
  Rows("UPDATE lease_gateway.list_whole SET format = 2");
  Replica& late = Join();
  EXPECT_THAT(AvailableInMemory(late), ElementsAre("nothing"));
}

TEST_F(PostgresListsTest, OldEntriesAreRemoved) {
  Join();
  Available(At(0));
  for (int i = 0; i < 5; ++i) {
    script_.available = i % 2 == 0 ? Numbers({kC}) : Numbers({kA, kB});
    Available(At(0), milliseconds(0));
  }
  Rows("UPDATE lease_gateway.list_whole SET made_at = made_at - interval '1 hour'");
  Join();
  Available(At(1), milliseconds(0));  // another replica, which has not cleaned up yet
  EXPECT_THAT(Rows("SELECT count(*) FROM lease_gateway.list_whole WHERE list = 0"),
              ElementsAre("1"));
  EXPECT_THAT(Rows("SELECT count(*) FROM lease_gateway.list_entry"), ElementsAre("1"));
}

TEST_F(PostgresListsTest, AClockThatWasSetBackStopsNoRefresh) {
  Join();
  Available(At(0));
  Rows(
      "UPDATE lease_gateway.list_fetch SET fetch_time = fetch_time + interval '1 day'"
      " WHERE list = 0");
  Replica& late = Join();
  Available(late);  // it is not known how old it is
  Await([&] { return AvailableRequests() == 2; });
  EXPECT_EQ(AvailableRequests(), 2);
  const char kBack[] =
      "SELECT 1 FROM lease_gateway.list_fetch WHERE list = 0 AND fetch_time <= clock_timestamp()";
  Await([&] { return !Rows(kBack).empty(); });
  EXPECT_THAT(Rows(kBack), ElementsAre("1"));
  script_.available = Numbers({kC});
  EXPECT_THAT(Available(late, milliseconds(0)), ElementsAre(kC));
  AwaitEqual(SequenceOf(late));
  EXPECT_THAT(AvailableInMemory(At(0)), ElementsAre(kC));
  EXPECT_THAT(Available(At(0), milliseconds(0)), ElementsAre(kC));
  EXPECT_EQ(AvailableRequests(), 4);
}

TEST_F(PostgresListsTest, AListThatNobodyReadsKeepsNoEntries) {
  Join();
  LeasesOf(At(0));
  Available(At(0));
  for (int i = 0; i < 5; ++i) {
    script_.available = i % 2 == 0 ? Numbers({kC}) : Numbers({kA, kB});
    Available(At(0), milliseconds(0));
  }
  Rows("UPDATE lease_gateway.list_whole SET made_at = made_at - interval '1 hour'");
  Rows(
      "UPDATE lease_gateway.list_fetch SET fetch_time = fetch_time - interval '61 minutes'"
      " WHERE list = 1");
  Join();
  Available(At(1), milliseconds(0));
  EXPECT_THAT(Rows("SELECT count(*) FROM lease_gateway.list_whole WHERE list = 0"),
              ElementsAre("1"));
  EXPECT_THAT(Rows("SELECT count(*) FROM lease_gateway.list_entry"), ElementsAre("1"));
  EXPECT_THAT(Rows("SELECT whole_at, whole_bytes, delta_bytes FROM lease_gateway.list_fetch"
                   " WHERE list = 1"),
              ElementsAre("0|0|0"));
  EXPECT_THAT(Rows("SELECT count(*) FROM lease_gateway.list_whole WHERE list = 1"),
              ElementsAre("0"));
  // A new replica has to ask for it, and all have it again.
  Replica& late = Join();
  EXPECT_THAT(AvailableInMemory(late), ElementsAre(kC));
  EXPECT_THAT(LeasesInMemory(late), ElementsAre("nothing"));
  EXPECT_THAT(LeasesOf(late), ElementsAre("lease_c"));
  EXPECT_THAT(LeasesInMemory(Join()), ElementsAre("lease_c"));
}

class PostgresListsAwayTest : public PostgresListsTest {
 protected:
  PostgresListsAwayTest() { database_ = own_.CreateDatabase(); }
  ~PostgresListsAwayTest() override { End(); }
  PostgresServer& server() override { return own_; }

  PostgresServer own_;
};

TEST_F(PostgresListsAwayTest, EachAsksForItselfAndCatchesUp) {
  for (int i = 0; i < 2; ++i) {
    Join();
    Available(At(i));
    LeasesOf(At(i));
  }
  own_.Kill();
  ASSERT_TRUE(Lease(At(0), kA, "lease_a").ok());
  EXPECT_THAT(AvailableInMemory(At(0)), ElementsAre(kB));
  EXPECT_THAT(AvailableInMemory(At(1)), ElementsAre(kA, kB));
  script_.available = Numbers({kB});
  EXPECT_THAT(Available(At(1), milliseconds(0)), ElementsAre(kB));
  own_.Start();
  Await([&] {
    return At(0).cache->stats().shared->pending == 0 && At(1).cache->stats().shared->is_up &&
           SequenceOf(At(1)) == SequenceOf(At(0));
  });
  EXPECT_EQ(At(0).cache->stats().shared->pending, 0U);
  Available(At(0), milliseconds(0));
  Await([&] { return StateOf(At(1)) && StateOf(At(1))->sequence == StateOf(At(0))->sequence; });
  EXPECT_THAT(AvailableInMemory(At(0)), ElementsAre(kB));
  EXPECT_THAT(AvailableInMemory(At(1)), ElementsAre(kB));
}

// --- what a refresh costs ---

class PostgresListsCostTest : public PostgresListsTest {
 protected:
  // As the provider has them: much is alike, some is not.
  static v1::Number MadeUp(int i, std::uint64_t random) {
    v1::Number number;
    number.set_phone_number("+1305" + std::to_string(1'000'000 + i));
    number.set_status(v1::NUMBER_STATUS_AVAILABLE);
    number.set_provider_status("available");
    number.set_carrier("Carrier " + std::to_string(random % 7));
    number.mutable_location()->set_country("US");
    number.mutable_location()->set_region("FL");
    number.mutable_location()->set_city("City " + std::to_string(random % 50));
    number.mutable_pricing()->mutable_monthly_rate()->set_currency_code("USD");
    number.mutable_pricing()->mutable_monthly_rate()->set_units(static_cast<int>(random % 5));
    number.mutable_health()->set_reputation(static_cast<double>(random >> 20) / 1e12);
    number.mutable_create_time()->set_seconds(1'700'000'000 + static_cast<int>(random % 9'999'999));
    return number;
  }
  // Of one refresh, without what else goes on in the server.
  std::int64_t WalOf(const std::function<void()>& refresh) {
    const auto place = [&] {
      return std::stoll(Rows("SELECT (pg_current_wal_insert_lsn() - '0/0')::bigint")[0]);
    };
    const auto before = place();
    refresh();
    return place() - before;
  }
};

TEST_F(PostgresListsCostTest, WalOfARefresh) {
  constexpr int kNumbers = 10'000;
  std::mt19937_64 random(15);
  Reply<NumberList> list;
  for (int i = 0; i < kNumbers; ++i) *list.value.Add() = MadeUp(i, random());
  const auto compressed = [&] {
    v1::ListAvailableNumbersResponse reply;
    *reply.mutable_numbers() = list.value;
    return static_cast<std::int64_t>(Compress(reply.SerializeAsString()).size());
  };
  Join();
  script_.available = list;
  const auto refresh = [&] {
    ASSERT_EQ(Available(At(0), milliseconds(0)).size(), static_cast<std::size_t>(kNumbers));
  };
  refresh();
  refresh();  // pages that a checkpoint of the server makes whole are written now
  // Without the heartbeat and the like, which come in between now and then.
  std::int64_t unchanged = INT64_MAX;
  for (int i = 0; i < 5; ++i) unchanged = std::min(unchanged, WalOf(refresh));
  for (int i = 0; i < kNumbers / 100; ++i) {
    *list.value.Mutable(i * 100) = MadeUp(i * 100, random());
  }
  script_.available = list;
  const std::int64_t some = WalOf(refresh);
  for (int i = 0; i < kNumbers; ++i) *list.value.Mutable(i) = MadeUp(i, random());
  script_.available = list;
  const std::int64_t all = WalOf(refresh);
  const std::int64_t size = compressed();
  std::printf(
      "10,000 numbers, %lld bytes compressed; bytes of WAL: unchanged %lld, 1 %% changed "
      "%lld (%.3f), all changed %lld (%.2f)\n",
      static_cast<long long>(size), static_cast<long long>(unchanged), static_cast<long long>(some),
      static_cast<double>(some) / static_cast<double>(size), static_cast<long long>(all),
      static_cast<double>(all) / static_cast<double>(size));
  EXPECT_LE(unchanged, 1'024);
  EXPECT_LE(some, size / 10);
  EXPECT_LE(all, size * 3 / 2);
}

// --- everything at random ---

class PostgresListsModelTest : public PostgresListsTest,
                               public testing::WithParamInterface<unsigned> {};

TEST_P(PostgresListsModelTest, EqualContentAtEqualEntries) {
  std::mt19937 random(GetParam());
  std::set<std::string> available;
  std::map<std::string, std::string> leased;
  for (int i = 10; i < 30; ++i) available.insert("+130500000" + std::to_string(i));
  std::map<std::uint64_t, std::vector<std::string>> states;
  const auto provide = [&] {
    script_.available = Reply<NumberList>();
    script_.leases = Reply<LeaseList>();
    for (const auto& number : available) *script_.available->value.Add() = LeasableNumber(number);
    for (const auto& [number, id] : leased) *script_.leases->value.Add() = LeaseOf(number, id);
  };
  const auto check = [&] {
    for (const auto& replica : replicas_) {
      const auto entry = StateOf(*replica);
      if (!entry) continue;
      const auto numbers = AvailableInMemory(*replica);
      const auto [known, is_new] = states.try_emplace(entry->sequence, numbers);
      EXPECT_EQ(known->second, numbers) << "at entry " << entry->sequence;
    }
  };
  provide();
  for (int i = 0; i < 3; ++i) Join();
  for (int step = 0; step < 60; ++step) {
    Replica& replica = At(static_cast<int>(random() % 3));
    switch (random() % 4) {
      case 0:
        StartLater(replica, milliseconds(0));
        break;
      case 1:
        if (!available.empty()) {
          const std::string number = *available.begin();
          available.erase(number);
          leased[number] = "lease_" + number;
          provide();
          ASSERT_TRUE(Lease(replica, number, leased[number]).ok());
        }
        break;
      case 2:
        if (!leased.empty()) {
          const auto [number, id] = *leased.begin();
          leased.erase(number);
          available.insert(number);
          provide();
          ASSERT_TRUE(Terminate(replica, number, id).ok());
        }
        break;
      default:
        available.insert("+130500001" + std::to_string(random() % 100));
        provide();
        StartLater(replica);
    }
    asio_.restart();
    asio_.run_for(milliseconds(random() % 5));
    check();
  }
  const auto is_quiet = [&] {
    for (int i = 0; i < 3; ++i) {
      if (At(i).cache->stats().shared->pending > 0 || SequenceOf(At(i)) != SequenceOf(At(0))) {
        return false;
      }
    }
    return true;
  };
  // An answer shows what whoever asks for it knows to be written by then.
  Await(is_quiet);
  Available(At(0), milliseconds(0));
  Await([&] { return is_quiet() && StateOf(At(0)) && StateOf(At(1)) && StateOf(At(2)); });
  check();
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(AvailableInMemory(At(i)), std::vector(available.begin(), available.end())) << i;
  }
}

INSTANTIATE_TEST_SUITE_P(Seeds, PostgresListsModelTest, testing::Range(1U, 5U));

}  // namespace
}  // namespace leasegateway
