#include "upstream/cluster/cluster.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <vector>

#include "tests/support/cluster_fixture.h"
#include "tests/support/fake_calls.h"
#include "tests/support/pgbouncer.h"
#include "tests/support/postgres_server.h"
#include "upstream/resilience/guarded_lease_api.h"
#include "upstream/resilience/rate_limiter.h"
#include "upstream/upstream_error.h"

namespace leasegateway {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;
using testing::StartsWith;

constexpr postgres::Statement kOne{"cluster_test_one", "SELECT 1::bigint"};

class ClusterTest : public testing::Test {
 protected:
  std::unique_ptr<Cluster> Open(const ClusterOptions& options) {
    auto opened = Cluster::Open(threads_.executor(), options);
    EXPECT_TRUE(opened.ok()) << opened.status();
    return opened.ok() ? *std::move(opened) : nullptr;
  }
  std::unique_ptr<Cluster> Open() { return Open(options_); }
  std::vector<std::string> Sql(const std::string& sql) { return server_.Query(database_, sql); }
  absl::Status Run(const Cluster& cluster) {
    return RunThrough(threads_, cluster.database(), kOne);
  }
  static bool Sees(const Cluster& cluster, int alive) {
    return Eventually([&] { return cluster.replica()->alive() == alive; });
  }

  PostgresServer& server_ = PostgresServer::Shared();
  const std::string database_ = server_.CreateDatabase();
  ClusterOptions options_ = QuickCluster(server_.Url(database_));
  ReplicaThreads threads_;
};

TEST_F(ClusterTest, OpenReplicaIsAliveAndItsDatabaseCanBeUsed) {
  const auto cluster = Open();
  EXPECT_TRUE(Run(*cluster).ok());
  EXPECT_THAT(Sql("SELECT id, version, host, alive_until > clock_timestamp(), "
                  "alive_until <= clock_timestamp() + interval '1500 ms' "
                  "FROM lease_gateway.replica"),
              ElementsAre(std::to_string(cluster->replica()->id()) + "|1.2.3|here|t|t"));
  EXPECT_TRUE(cluster->stats().brought_up);
  EXPECT_TRUE(cluster->stats().up);
  EXPECT_EQ(cluster->stats().transactions.ok, 1U);
}

TEST_F(ClusterTest, HeartbeatGoesOn) {
  const auto cluster = Open();
  const auto later = Sql("SELECT max(alive_until) + interval '1 s' FROM lease_gateway.replica");
  EXPECT_TRUE(Eventually([&] {
    return Sql("SELECT bool_and(alive_until > '" + later[0] + "') FROM lease_gateway.replica") ==
           std::vector<std::string>{"t"};
  }));
  EXPECT_LT(*cluster->stats().heartbeat_age, seconds(1));
  EXPECT_FALSE(cluster->stats().lapsed);
}

TEST_F(ClusterTest, ReplicasSeeEachOther) {
  const auto one = Open();
  const auto two = Open();
  EXPECT_EQ(two->replica()->alive(), 2);  // already when it is opened
  EXPECT_TRUE(Sees(*one, 2));
  EXPECT_NE(one->replica()->id(), two->replica()->id());
}

TEST_F(ClusterTest, DeathIsSeenOnceTheOwnershipIsOver) {
  const auto one = Open();
  {
    ReplicaThreads dying;
    auto opened = Cluster::Open(dying.executor(), [&] {
      ClusterOptions options = options_;
      options.stop_wait = milliseconds(1);
      return options;
    }());
    ASSERT_TRUE(opened.ok()) << opened.status();
    ASSERT_TRUE(Sees(*one, 2));
    dying.Stop();
  }
  EXPECT_TRUE(Sees(*one, 1));
  EXPECT_THAT(Sql("SELECT count(*), bool_or(alive_until <= clock_timestamp()) "
                  "FROM lease_gateway.replica"),
              ElementsAre("2|t"));  // nobody said good-bye
}

TEST_F(ClusterTest, OneThatLeavesIsGoneAtOnce) {
  options_.heartbeat.ownership_time = seconds(60);
  const auto one = Open();
  const auto two = Open();
  ASSERT_TRUE(Sees(*one, 2));
  two->Stop();
  EXPECT_THAT(Sql("SELECT id FROM lease_gateway.replica"),
              ElementsAre(std::to_string(one->replica()->id())));
  EXPECT_TRUE(Sees(*one, 1));
  EXPECT_TRUE(absl::IsUnavailable(Run(*two)));
  EXPECT_FALSE(two->database()->is_up());
}

TEST_F(ClusterTest, RowsOfTheLongDeadAreDeleted) {
  const auto cluster = Open();
  Sql("INSERT INTO lease_gateway.replica (id, alive_until, version, host, started) "
      "SELECT n, clock_timestamp() - n * interval '20 min', '', '', clock_timestamp() "
      "FROM generate_series(1, 5) AS n");
  EXPECT_TRUE(Eventually([&] {
    return Sql("SELECT id FROM lease_gateway.replica WHERE id < 10 ORDER BY id") ==
           std::vector<std::string>{"1", "2"};
  }));
  EXPECT_EQ(cluster->replica()->alive(), 1);
}

TEST_F(ClusterTest, NewsOfOneIsHeardByAll) {
  const auto one = Open();
  const auto two = Open();
  ASSERT_TRUE(Eventually([&] { return one->stats().listening && two->stats().listening; }));
  std::atomic<std::int64_t> here = 0;
  std::atomic<std::int64_t> there = 0;
  const auto hear = one->news()->Subscribe("a", [&here](std::int64_t n) { here = n; });
  const auto heard = two->news()->Subscribe("a", [&there](std::int64_t n) { there = n; });
  one->news()->Tell("a", 7);
  EXPECT_TRUE(Eventually([&] { return here == 7 && there == 7; }));
  two->news()->Tell("a", 8);
  EXPECT_TRUE(Eventually([&] { return here == 8 && there == 8; }));
}

TEST_F(ClusterTest, MuchNewsIsHeardInFull) {
  const auto one = Open();
  const auto two = Open();
  ASSERT_TRUE(Eventually([&] { return two->stats().listening; }));
  constexpr int kTopics = 520;
  std::mutex mutex;
  std::set<int> heard;
  std::vector<News::Subscription> subscriptions;
  // 40 of them are as long as a payload may be, and as one more byte in the first makes it.
  const auto topic = [](int i) {
    const std::string number = std::to_string(i);
    return std::string((i % 80 == 0 ? 198 : 197) - number.size(), 'x') + number;
  };
  for (int i = 0; i < kTopics; ++i) {
    subscriptions.push_back(two->news()->Subscribe(topic(i), [&mutex, &heard, i](std::int64_t) {
      const std::lock_guard lock(mutex);
      heard.insert(i);
    }));
  }
  for (int i = 0; i < kTopics; ++i) one->news()->Tell(topic(i), 1);
  EXPECT_TRUE(Eventually([&] {
    const std::lock_guard lock(mutex);
    return heard.size() == kTopics;
  }));
  EXPECT_EQ(one->stats().news.told.dropped, 0U);
}

TEST_F(ClusterTest, WhatWasToldBeforeStopIsHeard) {
  options_.news.gather = seconds(5);
  const auto one = Open();
  const auto two = Open();
  ASSERT_TRUE(Eventually([&] { return two->stats().listening; }));
  std::atomic<std::int64_t> there = 0;
  const auto heard = two->news()->Subscribe("a", [&there](std::int64_t n) { there = n; });
  one->news()->Tell("a", 7);
  one->Stop();
  EXPECT_TRUE(Eventually([&] { return there == 7; }, seconds(4)));
}

TEST_F(ClusterTest, RateIsSharedByThoseAliveAndA429IsKnownToTheOthers) {
  const auto one = Open();
  const auto two = Open();
  ASSERT_TRUE(Sees(*one, 2));
  ASSERT_TRUE(Eventually([&] { return one->stats().listening && two->stats().listening; }));
  const RateShare mine = one->rate_share("account");
  const RateShare others = two->rate_share("account");
  RateLimiter limiter(100);
  const auto now = std::chrono::steady_clock::now();
  limiter.ShareAmong(now, mine.processes());
  EXPECT_EQ(limiter.rate(now), 50);

  std::mutex mutex;
  std::vector<RateShare::RetryAfter> heard_here;
  std::vector<RateShare::RetryAfter> heard_there;
  const auto hear = [&mutex](std::vector<RateShare::RetryAfter>& heard) {
    return [&mutex, &heard](RateShare::RetryAfter time) {
      const std::lock_guard lock(mutex);
      heard.push_back(time);
    };
  };
  const auto has_heard = [&mutex](const std::vector<RateShare::RetryAfter>& heard) {
    return Eventually([&] {
      const std::lock_guard lock(mutex);
      return !heard.empty();
    });
  };
  const auto here = mine.listen(hear(heard_here));
  const auto there = others.listen(hear(heard_there));
  mine.tell(milliseconds(1'200));
  EXPECT_TRUE(has_heard(heard_there));
  // What it told itself came to it before this does.
  others.tell(milliseconds(700));
  EXPECT_TRUE(has_heard(heard_here));
  {
    const std::lock_guard lock(mutex);
    EXPECT_THAT(heard_there, ElementsAre(milliseconds(1'200)));
    EXPECT_THAT(heard_here, ElementsAre(milliseconds(700)));
  }

  two->Stop();
  ASSERT_TRUE(Sees(*one, 1));
  limiter.ShareAmong(now, mine.processes());
  EXPECT_EQ(limiter.rate(now), 100);
}

TEST_F(ClusterTest, A429AtOneReplicaHoldsCallsOfAnotherBack) {
  const auto one = Open();
  const auto two = Open();
  ASSERT_TRUE(Eventually([&] { return one->stats().listening && two->stats().listening; }));
  const auto guard = [](const Cluster& cluster, FakeProvider::Script* script) {
    GuardOptions options;
    options.share = cluster.rate_share("account");
    return GuardedLeaseApi(std::make_unique<FakeProvider>(script), options, MakeCallEnvironment());
  };
  const auto answer = [](absl::Status status) {
    FakeProvider::Script script;
    script.answer = [status](CallContext, int) -> boost::asio::awaitable<absl::Status> {
      return [](absl::Status answered) -> boost::asio::awaitable<absl::Status> {
        co_return answered;
      }(status);
    };
    return script;
  };
  const auto call = [this](GuardedLeaseApi& api) {
    CallContext context;
    context.deadline = std::chrono::steady_clock::now() + seconds(5);
    context.background = true;  // does not wait for a token
    return boost::asio::co_spawn(boost::asio::make_strand(threads_.executor()),
                                 api.Perform(context, operation::GetNumber{kNumber}),
                                 boost::asio::use_future)
        .get()
        .status();
  };
  auto refusing = answer(Http(429, false, "5"));
  auto serving = answer(absl::OkStatus());
  GuardedLeaseApi refused = guard(*one, &refusing);
  GuardedLeaseApi other = guard(*two, &serving);
  ASSERT_TRUE(call(other).ok());
  EXPECT_EQ(ReasonOf(call(refused)), reason::kUpstreamRateLimited);
  EXPECT_TRUE(Eventually([&] { return other.StatsReader()().rate > 0; }));
  const std::size_t sent = serving.calls.size();
  EXPECT_EQ(ReasonOf(call(other)), reason::kUpstreamRateLimited);
  EXPECT_EQ(serving.calls.size(), sent);
}

TEST_F(ClusterTest, PoolerNeedsAnUrlToListenAt) {
  const Pgbouncer pooler(server_);
  options_ = QuickCluster(pooler.Url(database_));
  const auto deaf = Open();
  options_.listen_url = postgres::ParseDatabaseUrl(server_.Url(database_), false).value();
  const auto hearing = Open();
  ASSERT_TRUE(Eventually([&] { return deaf->stats().listening && hearing->stats().listening; }));
  std::atomic<std::int64_t> heard = 0;
  const auto subscription =
      hearing->news()->Subscribe("a", [&heard](std::int64_t n) { heard = n; });
  deaf->news()->Tell("a", 7);
  EXPECT_TRUE(Eventually([&] { return heard == 7; }));
  EXPECT_TRUE(Sees(*deaf, 2));
  EXPECT_EQ(deaf->stats().news.heard, 0U);
}

TEST_F(ClusterTest, WhatTheOperatorHasToMendFailsInOneLine) {
  options_ = QuickCluster("postgresql://lease:secret@127.0.0.1:" + std::to_string(server_.port()) +
                          "/nowhere");
  const auto opened = Cluster::Open(threads_.executor(), options_);
  EXPECT_EQ(opened.status().code(), absl::StatusCode::kFailedPrecondition);
  const std::string message(opened.status().message());
  EXPECT_THAT(message, StartsWith("database_url: "));
  EXPECT_THAT(message, HasSubstr("nowhere"));
  EXPECT_THAT(message, Not(HasSubstr("\n")));
  EXPECT_THAT(message, Not(HasSubstr("secret")));
}

TEST_F(ClusterTest, WhereToListenIsWrongOnlyIfItIsAnotherDatabase) {
  const std::string other = server_.CreateDatabase();
  options_.listen_url = postgres::ParseDatabaseUrl(server_.Url(other), false).value();
  const auto refused = Cluster::Open(threads_.executor(), options_);
  EXPECT_THAT(std::string(refused.status().message()), StartsWith("database_listen_url: "));
  // One that is full can't be told.
  server_.Query(other,
                "CREATE SCHEMA lease_gateway;"
                "CREATE FUNCTION full_disk() RETURNS bigint LANGUAGE plpgsql AS"
                " $$ BEGIN RAISE SQLSTATE '53100'; END $$;"
                "CREATE VIEW lease_gateway.replica AS SELECT full_disk() AS id");
  const auto cluster = Open();
  ASSERT_TRUE(cluster);
  EXPECT_TRUE(cluster->stats().brought_up);
}

// Over a server of its own, which they stop and freeze.
class DatabaseAwayTest : public testing::Test {
 protected:
  std::unique_ptr<Cluster> Open() {
    auto opened = Cluster::Open(threads_.executor(), options_);
    EXPECT_TRUE(opened.ok()) << opened.status();
    return opened.ok() ? *std::move(opened) : nullptr;
  }
  absl::Status Run(const Cluster& cluster) {
    return RunThrough(threads_, cluster.database(), kOne);
  }

  PostgresServer server_;
  const std::string database_ = server_.CreateDatabase();
  ClusterOptions options_ = QuickCluster(server_.TcpUrl(database_));
  ReplicaThreads threads_;
};

TEST_F(DatabaseAwayTest, RestartIsAGapAndThenAllGoesOn) {
  const auto one = Open();
  const auto two = Open();
  ASSERT_TRUE(Eventually([&] { return one->stats().listening && two->stats().listening; }));
  std::atomic<int> gaps = 0;
  std::atomic<std::int64_t> there = 0;
  const auto missed = two->news()->OnGap([&gaps] { ++gaps; });
  const auto heard = two->news()->Subscribe("a", [&there](std::int64_t n) { there = n; });
  server_.Kill();
  EXPECT_TRUE(Eventually([&] { return !one->database()->is_up(); }));
  one->news()->Tell("a", 1);  // is told later
  server_.Start();
  EXPECT_TRUE(Eventually([&] { return gaps > 0; }));
  EXPECT_TRUE(Eventually([&] { return one->database()->is_up() && Run(*one).ok(); }));
  EXPECT_TRUE(Eventually([&] { return two->stats().listening; }));
  one->news()->Tell("a", 2);
  EXPECT_TRUE(Eventually([&] { return there == 2; }));
  EXPECT_TRUE(Eventually([&] { return one->replica()->alive() == 2 && !one->stats().lapsed; }));
}

TEST_F(DatabaseAwayTest, OneThatIsAwayAtTheStartMayComeLater) {
  server_.Stop();
  const auto begun = std::chrono::steady_clock::now();
  const auto cluster = Open();
  EXPECT_LT(std::chrono::steady_clock::now() - begun, seconds(3));
  EXPECT_TRUE(absl::IsUnavailable(Run(*cluster)));
  EXPECT_FALSE(cluster->database()->is_up());
  EXPECT_FALSE(cluster->stats().brought_up);
  EXPECT_EQ(cluster->replica()->alive(), 1);
  std::atomic<int> heard = 0;
  const auto hear = cluster->news()->Subscribe("a", [&heard](std::int64_t) { ++heard; });
  cluster->news()->Tell("a", 1);
  EXPECT_TRUE(Eventually([&] { return heard == 1; }));
  server_.Start();
  EXPECT_TRUE(Eventually([&] { return cluster->stats().brought_up; }));
  EXPECT_TRUE(Run(*cluster).ok());
  EXPECT_THAT(server_.Query(database_, "SELECT id FROM lease_gateway.replica"),
              ElementsAre(std::to_string(cluster->replica()->id())));
}

TEST_F(DatabaseAwayTest, StopDoesNotWaitForOneThatNeverCame) {
  server_.Stop();
  const auto cluster = Open();
  const auto begun = std::chrono::steady_clock::now();
  cluster->Stop();
  EXPECT_LT(std::chrono::steady_clock::now() - begun, seconds(1));
}

TEST_F(DatabaseAwayTest, FrozenServerMakesThisReplicaLapseUntilItIsBack) {
  options_.heartbeat.ownership_time = milliseconds(900);
  const auto cluster = Open();
  ASSERT_FALSE(cluster->stats().lapsed);
  server_.Freeze();
  EXPECT_TRUE(Eventually([&] { return cluster->stats().lapsed; }));
  EXPECT_GE(*cluster->stats().heartbeat_age, milliseconds(900));
  cluster->news()->Tell("a", 1);
  server_.Resume();
  EXPECT_TRUE(Eventually([&] { return !cluster->stats().lapsed && cluster->database()->is_up(); }));
  EXPECT_TRUE(Eventually([&] { return Run(*cluster).ok(); }));
}

TEST_F(DatabaseAwayTest, FrozenServerDoesNotHoldUpTheStartOrTheStop) {
  options_.start_wait = milliseconds(300);
  options_.stop_wait = milliseconds(300);
  server_.Freeze();
  const auto begun = std::chrono::steady_clock::now();
  const auto cluster = Open();
  EXPECT_LT(std::chrono::steady_clock::now() - begun, seconds(3));
  cluster->Stop();
  EXPECT_LT(std::chrono::steady_clock::now() - begun, seconds(3));
  server_.Resume();
}

}  // namespace
}  // namespace leasegateway
