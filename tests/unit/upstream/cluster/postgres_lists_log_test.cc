// What an account's log in a real database keeps, and what it does not.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "tests/support/database_fixture.h"
#include "tests/support/postgres_journal_fixture.h"
#include "tests/support/postgres_server.h"
#include "upstream/cluster/cluster.h"
#include "upstream/cluster/postgres_lists.h"

namespace leasegateway {
namespace {

using ::testing::ElementsAre;

class PostgresListsLogTest : public ::testing::Test {
 protected:
  // One replica's view. All hear each other at once.
  PostgresLists& Join() {
    ClusterOptions options;
    options.database = postgres::OptionsFor(server_.Url(database_));
    options.database.last_pause = std::chrono::milliseconds(100);
    auto cluster = Cluster::Open(io_.executor(), std::move(options));
    EXPECT_TRUE(cluster.ok()) << cluster.status();
    clusters_.push_back(*std::move(cluster));
    PostgresLists::Options lists;
    lists.account = "default";
    lists.replica = static_cast<std::uint64_t>(clusters_.back()->replica()->id());
    lists_.push_back(
        std::make_unique<PostgresLists>(clusters_.back()->database(), news_, std::move(lists)));
    return *lists_.back();
  }
  // As soon as the database is there.
  LogPage Exchange(PostgresLists& lists, const LogRequest& request) {
    const auto until = std::chrono::steady_clock::now() + std::chrono::seconds(20);
    for (;;) {
      const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(5);
      auto page = io_.Get(lists.Exchange(request, deadline));
      if (page.ok()) return *std::move(page);
      if (std::chrono::steady_clock::now() > until) {
        ADD_FAILURE() << page.status();
        return {};
      }
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
    }
  }
  LogPage Write(PostgresLists& lists, const std::vector<std::uint64_t>& counts) {
    LogRequest request;
    for (const std::uint64_t count : counts) {
      request.writes.push_back({count, "write " + std::to_string(count)});
    }
    return Exchange(lists, request);
  }

  // Nothing is written that no commit waits for.
  PostgresServer server_{PostgresServer::Options{false, {"wal_writer_delay = 10s"}}};
  const std::string database_ = server_.CreateDatabase();
  const std::shared_ptr<LocalNews> news_ = std::make_shared<LocalNews>();
  postgres::IoThreads io_;
  std::vector<std::unique_ptr<Cluster>> clusters_;
  std::vector<std::unique_ptr<PostgresLists>> lists_;
};

TEST_F(PostgresListsLogTest, WritesAreAppendedTogetherInTheirOrderAndOnce) {
  PostgresLists& lists = Join();
  EXPECT_EQ(Write(lists, {1, 2, 3}).sequence, 3U);
  EXPECT_EQ(Write(lists, {2, 3}).sequence, 3U);
  const LogPage after = Write(lists, {2, 4, 3, 5});
  EXPECT_EQ(after.sequence, 5U);
  LogRequest request;
  request.log = after.log;
  const LogPage page = Exchange(lists, request);
  std::vector<std::string> contents;
  for (const LogEntry& entry : page.entries) {
    EXPECT_EQ(entry.sequence, contents.size() + 1);
    EXPECT_EQ(entry.content, "write " + std::to_string(entry.writer_count));
    EXPECT_EQ(entry.writer, lists.writer());
    contents.push_back(entry.content);
  }
  ASSERT_THAT(contents, ElementsAre("write 1", "write 2", "write 3", "write 4", "write 5"));
  EXPECT_EQ(page.entries.back().mark, page.mark);
  EXPECT_NE(page.entries.front().mark, page.mark);
}

TEST_F(PostgresListsLogTest, OnlyOthersAreHeard) {
  PostgresLists& one = Join();
  PostgresLists& other = Join();
  int heard_by_one = 0;
  int heard_by_other = 0;
  const auto first = one.OnNews([&] { ++heard_by_one; });
  const auto second = other.OnNews([&] { ++heard_by_other; });
  Write(one, {1});
  EXPECT_EQ(heard_by_one, 0);
  EXPECT_EQ(heard_by_other, 1);
}

TEST_F(PostgresListsLogTest, ACrashMakesAnotherLogForAll) {
  PostgresLists& one = Join();
  const LogPage before = Write(one, {1});
  ASSERT_EQ(before.sequence, 1U);
  server_.Kill();
  server_.Start();
  // Whoever comes first, the entry that was lost has no number there by which it was known.
  const LogPage elsewhere = Exchange(Join(), {});
  EXPECT_EQ(elsewhere.sequence, 0U);
  EXPECT_NE(elsewhere.log, before.log);
  EXPECT_EQ(elsewhere.key, before.key);
  const LogPage again = Write(one, {1});
  EXPECT_EQ(again.sequence, 1U);
  EXPECT_EQ(again.log, elsewhere.log);
}

TEST_F(PostgresListsLogTest, AnOrderlyRestartKeepsTheLog) {
  PostgresLists& lists = Join();
  const LogPage before = Write(lists, {1});
  server_.Restart();
  const LogPage after = Exchange(lists, {});
  EXPECT_EQ(after.log, before.log);
  EXPECT_EQ(after.sequence, 1U);
}

}  // namespace
}  // namespace leasegateway
