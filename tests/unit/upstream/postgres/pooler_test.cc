#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>

#include "tests/support/database_fixture.h"
#include "tests/support/pgbouncer.h"
#include "upstream/postgres/bring_up.h"
#include "upstream/postgres/pooled_database.h"

namespace leasegateway::postgres {
namespace {

using std::chrono::milliseconds;
using ::testing::HasSubstr;

constexpr Statement kAdd{"pooler_add", "INSERT INTO item (id) VALUES ($1::bigint)"};
constexpr Statement kSleepLong{"pooler_sleep", "SELECT 1 FROM pg_sleep(10)"};

class PoolerTest : public ::testing::Test {
 protected:
  PoolerTest() { server_.Query(name_, "CREATE TABLE item (id bigint PRIMARY KEY)"); }

  // What connections need is awaited on their strand.
  template <typename T>
  T OnStrand(boost::asio::awaitable<T> call) {
    return IoThreads::Get(boost::asio::co_spawn(strand_, std::move(call), boost::asio::use_future));
  }
  std::shared_ptr<Connection> Connect(const std::shared_ptr<Connector>& connector) {
    auto connected = OnStrand(connector->Connect(std::make_shared<Wakeup>(strand_)));
    if (!connected.ok()) throw std::runtime_error(std::string(connected.status().message()));
    return *std::move(connected);
  }
  Outcome Run(Connection& connection, const Statement& statement, std::int64_t value) {
    std::vector<Query> queries(1);
    queries.front() = {&statement, {value}};
    return OnStrand(connection.Run(std::move(queries), Soon()));
  }

  PostgresServer& server_ = PostgresServer::Shared();
  const std::string name_ = server_.CreateDatabase();
  IoThreads io_;
  const boost::asio::strand<boost::asio::any_io_executor> strand_ =
      boost::asio::make_strand(io_.executor());
};

TEST_F(PoolerTest, EverythingWorksThroughItManyTimesOver) {
  const Pgbouncer pooler(server_);
  PooledDatabase database(io_.executor(), OptionsFor(pooler.Url(name_)));
  std::vector<std::future<absl::StatusOr<Rows>>> calls;
  for (int i = 0; i < 200; ++i) {
    calls.push_back(io_.Start(database.RunShared({&kAdd, {i}}, Soon())));
  }
  for (auto& call : calls) {
    const auto rows = IoThreads::Get(std::move(call));
    EXPECT_TRUE(rows.ok()) << rows.status();
  }
  EXPECT_EQ(server_.Query(name_, "SELECT count(*) FROM item").front(), "200");
}

// Two connections and one session; the second makes it forget the first one's names.
TEST_F(PoolerTest, ANameThatIsLostIsDoneWithout) {
  const Pgbouncer pooler(server_, 1, Pgbouncer::WithoutPreparedStatements());
  const auto connector = std::make_shared<Connector>(OptionsFor(pooler.Url(name_)));
  const auto first = Connect(connector);
  ASSERT_EQ(Run(*first, kAdd, 1).fate, Fate::kCommitted);
  const auto second = Connect(connector);
  ASSERT_EQ(OnStrand(second->RunScript("DEALLOCATE ALL", Soon())).fate, Fate::kCommitted);
  const auto outcome = Run(*first, kAdd, 2);
  EXPECT_EQ(outcome.fate, Fate::kCommitted) << Describe(outcome.error);
  EXPECT_FALSE(first->prepares());
  EXPECT_EQ(server_.Query(name_, "SELECT count(*) FROM item").front(), "2");
}

// Two connections and one session, which the first has given its names.
TEST_F(PoolerTest, ANameThatIsThereAlreadyIsDoneWithout) {
  const Pgbouncer pooler(server_, 1, Pgbouncer::WithoutPreparedStatements());
  const auto connector = std::make_shared<Connector>(OptionsFor(pooler.Url(name_)));
  const auto first = Connect(connector);
  ASSERT_EQ(Run(*first, kAdd, 1).fate, Fate::kCommitted);
  const auto second = Connect(connector);
  const auto outcome = Run(*second, kAdd, 2);
  EXPECT_EQ(outcome.fate, Fate::kCommitted) << Describe(outcome.error);
  EXPECT_FALSE(second->prepares());
  EXPECT_EQ(server_.Query(name_, "SELECT count(*) FROM item").front(), "2");
}

TEST_F(PoolerTest, TimeOutsOfTheServerAreSetInEachTransaction) {
  const Pgbouncer pooler(server_);
  auto options = OptionsFor(pooler.Url(name_));
  options.statement_timeout = milliseconds(100);
  PooledDatabase database(io_.executor(), std::move(options));
  std::vector<Query> sleep(1);
  sleep.front() = {&kSleepLong, {}};
  const auto ended = io_.Get(database.Run(std::move(sleep), Soon()));
  EXPECT_EQ(ended.status().code(), absl::StatusCode::kUnavailable) << ended.status();
  EXPECT_THAT(std::string(ended.status().message()), HasSubstr("57014"));
}

TEST_F(PoolerTest, AMissingServerBehindItIsAFailedConnection) {
  PostgresServer server;
  const Pgbouncer pooler(server, 1, "server_login_retry = 1\nquery_wait_timeout = 1");
  // From now on it lets in without asking the server.
  Connect(std::make_shared<Connector>(OptionsFor(pooler.Url("postgres"))));
  server.Stop();
  PooledDatabase database(io_.executor(), OptionsFor(pooler.Url("postgres")));
  std::vector<Query> add(1);
  add.front() = {&kAdd, {1}};
  const auto refused = io_.Get(database.Run(std::move(add), Soon()));
  EXPECT_EQ(refused.status().code(), absl::StatusCode::kUnavailable) << refused.status();
  EXPECT_FALSE(database.is_up());
}

TEST_F(PoolerTest, TheSchemaIsMigratedThroughIt) {
  const Pgbouncer pooler(server_);
  std::vector<Migration> migrations{{1, "0001_a", "CREATE TABLE lease_gateway.a (id int)"}};
  const auto brought_up = io_.Get(
      BringUp(std::make_shared<Connector>(OptionsFor(pooler.Url(name_))), std::move(migrations)));
  ASSERT_TRUE(brought_up.ok()) << brought_up.status();
  EXPECT_EQ(brought_up->schema_version, 1);
}

}  // namespace
}  // namespace leasegateway::postgres
