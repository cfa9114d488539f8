// Replicas that share their lists in a real database.

#include "upstream/cluster/postgres_lists.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <random>
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
  ~PostgresListsTest() override {
    StopAll();
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
    return Add(std::make_shared<PostgresLists>(clusters_.back()->database(),
                                               clusters_.back()->news(), std::move(lists)));
  }
  Replica& At(std::size_t i) { return *replicas_[i]; }
  // As a crash: nothing more comes of it.
  void Leave(std::size_t i) { replicas_[i]->cache.reset(); }
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
  ASSERT_TRUE(Load(late));
  EXPECT_THAT(AvailableInMemory(late), ElementsAre(kA, kB));
  EXPECT_THAT(LeasesInMemory(late), ElementsAre("lease_c"));
  EXPECT_EQ(StateOf(late)->sequence, StateOf(At(0))->sequence);
}

}  // namespace
}  // namespace leasegateway
