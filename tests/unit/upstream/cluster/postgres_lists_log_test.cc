// What an account's log in a real database keeps, and what it does not.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <string>
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
  PostgresLists& Join() { return Join(database_); }
  PostgresLists& Join(const std::string& database) {
    ClusterOptions options;
    options.database = postgres::OptionsFor(server_.Url(database));
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
  LogPage Exchange(PostgresLists& lists, const LogRequest& request) {
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(20);
    auto page = io_.Get(lists.Exchange(request, deadline));
    if (page.ok()) return *std::move(page);
    ADD_FAILURE() << page.status();
    return {};
  }
  LogPage Write(PostgresLists& lists, const std::vector<std::uint64_t>& counts) {
    LogRequest request;
    for (const std::uint64_t count : counts) {
      request.writes.push_back({count, "write " + std::to_string(count)});
    }
    return Exchange(lists, request);
  }

  // One of PostgreSQL's programs, over the socket.
  void RunProgram(const std::string& program, const std::string& arguments) {
    const std::string command = PostgresPrograms() + "/" + program + " " + arguments;
    EXPECT_EQ(std::system(command.c_str()), 0) << command;
  }

  PostgresServer server_;
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

TEST_F(PostgresListsLogTest, ADumpIsRestoredAsAnotherLog) {
  const LogPage before = Write(Join(), {1});
  const std::string file = server_.folder() + "/leases.dump";
  RunProgram("pg_dump", "--format custom --exclude-table-data 'lease_gateway.list_*' --file " +
                            file + " --dbname '" + server_.Url(database_) + "'");
  const std::string restored = server_.CreateDatabase();
  RunProgram("pg_restore", "--exit-on-error --dbname '" + server_.Url(restored) + "' " + file);
  const LogPage after = Exchange(Join(restored), {});
  EXPECT_EQ(after.sequence, 0U);
  EXPECT_NE(after.log, before.log);
  EXPECT_EQ(Write(*lists_.back(), {1}).sequence, 1U);
}

TEST_F(PostgresListsLogTest, ARefreshIsOfTheEntryThatItNames) {
  PostgresLists& lists = Join();
  const LogPage before = Write(lists, {1});
  LogRequest request;
  request.refresh.emplace();
  request.refresh->at = before.sequence;
  request.refresh->mark = before.mark + 1;  // lost since, and another one has its number
  request.refresh->sent = std::chrono::steady_clock::now();
  EXPECT_FALSE(Exchange(lists, request).refreshed);
  request.refresh->delta = "delta";
  EXPECT_FALSE(Exchange(lists, request).refreshed);
  request.refresh->mark = before.mark;
  const LogPage after = Exchange(lists, request);
  EXPECT_TRUE(after.refreshed);
  EXPECT_EQ(after.sequence, before.sequence + 1);
  request.refresh->delta.reset();
  request.refresh->at = after.sequence;
  request.refresh->mark = after.mark;
  request.refresh->sent += std::chrono::seconds(1);
  EXPECT_TRUE(Exchange(lists, request).refreshed);
}

}  // namespace
}  // namespace leasegateway
