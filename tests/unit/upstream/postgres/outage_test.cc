#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <iterator>
#include <memory>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include "tests/support/database_fixture.h"
#include "tests/support/tcp_proxy.h"
#include "upstream/postgres/pooled_database.h"

namespace leasegateway::postgres {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using ::testing::HasSubstr;

constexpr Statement kPing{"outage_ping", "SELECT 1::bigint"};
constexpr Statement kPort{"outage_port", "SELECT inet_server_port()::bigint"};

// A server that is killed and frozen, so not the one that other tests share.
class OutageTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite() { own_ = new PostgresServer; }
  static void TearDownTestSuite() {
    delete own_;
    own_ = nullptr;
  }

  std::unique_ptr<PooledDatabase> Open(const std::string& url, int connections = 4) {
    auto options = OptionsFor(url);
    options.connections = connections;
    options.first_pause = milliseconds(10);
    options.last_pause = milliseconds(100);
    options.url.connect_timeout = milliseconds(500);
    return std::make_unique<PooledDatabase>(io_.executor(), std::move(options));
  }

  absl::StatusOr<std::vector<Rows>> Run(Database& database, const Statement& statement,
                                        std::chrono::steady_clock::time_point deadline = Soon()) {
    std::vector<Query> queries(1);
    queries.front().statement = &statement;
    return io_.Get(database.Run(std::move(queries), deadline));
  }

  void AwaitUp(const Database& database, bool up) {
    const auto give_up = Soon();
    while (database.is_up() != up) {
      ASSERT_LT(std::chrono::steady_clock::now(), give_up);
      std::this_thread::sleep_for(milliseconds(5));
    }
  }

  static PostgresServer* own_;
  PostgresServer& server_ = *own_;
  IoThreads io_;
};

PostgresServer* OutageTest::own_ = nullptr;

TEST_F(OutageTest, AServerThatWasKilledIsFoundAgainByItself) {
  const auto database = Open(server_.Url("postgres"));
  ASSERT_TRUE(Run(*database, kPing).ok());
  server_.Kill();
  AwaitUp(*database, false);
  // At once, whatever time there is.
  const auto refused = Run(*database, kPing, In(std::chrono::hours(1)));
  EXPECT_EQ(refused.status().code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(refused.status().message()), HasSubstr("no connection to"));
  server_.Start();
  AwaitUp(*database, true);  // nobody asks meanwhile
  EXPECT_TRUE(Run(*database, kPing).ok());
}

TEST_F(OutageTest, AServerThatIsRestartedIsFoundAgain) {
  const auto database = Open(server_.TcpUrl("postgres"));
  ASSERT_TRUE(Run(*database, kPing).ok());
  server_.Restart();
  AwaitUp(*database, true);
  const auto give_up = Soon();
  auto rows = Run(*database, kPing);
  while (!rows.ok() && std::chrono::steady_clock::now() < give_up) rows = Run(*database, kPing);
  EXPECT_TRUE(rows.ok()) << rows.status();
}

TEST_F(OutageTest, AHungServerCostsNoMoreThanTheDeadline) {
  const auto database = Open(server_.TcpUrl("postgres"), 1);
  ASSERT_TRUE(Run(*database, kPing).ok());
  server_.Freeze();
  const auto begin = std::chrono::steady_clock::now();
  const auto hung = Run(*database, kPing, In(milliseconds(200)));
  EXPECT_EQ(hung.status().code(), absl::StatusCode::kUnknown) << hung.status();
  // A connection is accepted by the kernel, and then nothing comes.
  const auto no_greeting = Run(*database, kPing, In(seconds(20)));
  EXPECT_EQ(no_greeting.status().code(), absl::StatusCode::kUnavailable) << no_greeting.status();
  EXPECT_LT(std::chrono::steady_clock::now() - begin, seconds(10));
  EXPECT_FALSE(database->is_up());
  server_.Resume();
  AwaitUp(*database, true);
  EXPECT_TRUE(Run(*database, kPing).ok());
}

// Of the second, the server takes a part only.
TEST_F(OutageTest, AtAStopAHungServerIsNotWaitedFor) {
  static constexpr Statement kLength{"outage_length", "SELECT length($1::text)::bigint"};
  for (const std::size_t bytes : {std::size_t{1}, std::size_t{32} << 20}) {
    auto options = OptionsFor(server_.TcpUrl("postgres"));
    options.connections = 1;
    const auto connector = std::make_shared<Connector>(std::move(options));
    PooledDatabase database(io_.executor(), connector);
    ASSERT_TRUE(Run(database, kPing).ok());
    server_.Freeze();
    const std::string text(bytes, 'x');
    std::vector<Query> queries{{&kLength, {text}}};
    auto hung = io_.Start(database.Run(std::move(queries), Soon()));
    std::this_thread::sleep_for(milliseconds(100));
    const auto begin = std::chrono::steady_clock::now();
    connector->Hurry();
    const auto status = IoThreads::Get(std::move(hung)).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kUnknown) << status;
    EXPECT_THAT(std::string(status.message()), HasSubstr("as the gateway stops"));
    EXPECT_LT(std::chrono::steady_clock::now() - begin, seconds(2)) << bytes;
    server_.Resume();
  }
}

// Half a second each would add up.
TEST_F(OutageTest, AtAStopNoOtherHostIsTried) {
  boost::asio::io_context io;
  const boost::asio::ip::tcp::acceptor silent(io, {boost::asio::ip::address_v4::loopback(), 0});
  const std::string host = "127.0.0.1:" + std::to_string(silent.local_endpoint().port());
  std::string hosts = host;
  for (int i = 0; i < 7; ++i) hosts += "," + host;
  auto options = OptionsFor("postgresql://lease@" + hosts + "/postgres");
  options.connections = 1;
  const auto connector = std::make_shared<Connector>(std::move(options));
  PooledDatabase database(io_.executor(), connector);
  auto refused = io_.Start(database.Run({{&kPing, {}}}, Soon()));
  std::this_thread::sleep_for(milliseconds(100));
  const auto begin = std::chrono::steady_clock::now();
  connector->Hurry();
  EXPECT_EQ(IoThreads::Get(std::move(refused)).status().code(), absl::StatusCode::kUnavailable);
  EXPECT_LT(std::chrono::steady_clock::now() - begin, seconds(2));
}

TEST_F(OutageTest, AnIoContextMayGoWhileTheServerHangs) {
  {
    IoThreads io;
    auto options = OptionsFor(server_.TcpUrl("postgres"));
    PooledDatabase database(io.executor(), std::move(options));
    std::vector<Query> queries(1);
    queries.front().statement = &kPing;
    ASSERT_TRUE(io.Get(database.Run(queries, Soon())).ok());
    server_.Freeze();
    auto abandoned = io.Start(database.Run(queries, Soon()));
    io.Abandon();
  }
  server_.Resume();
}

// Who reads after a lost answer must not see what only this server has.
TEST_F(OutageTest, ACommitThatWaitsForAStandbyIsLeftWaiting) {
  PostgresServer::Options synchronous;
  synchronous.settings = {"synchronous_standby_names = 'away'"};
  PostgresServer server(synchronous);
  server.Query("postgres", "SET synchronous_commit = local; CREATE TABLE waits (id bigint)");
  auto options = OptionsFor(server.Url("postgres"));
  options.statement_timeout = milliseconds(100);
  PooledDatabase database(io_.executor(), std::move(options));
  static constexpr Statement kWaits{"outage_waits", "INSERT INTO waits VALUES (1)"};
  const auto waiting = Run(database, kWaits, In(milliseconds(300)));
  EXPECT_EQ(waiting.status().code(), absl::StatusCode::kUnknown) << waiting.status();
  EXPECT_EQ(server
                .Query("postgres",
                       "SELECT FROM pg_stat_activity, pg_sleep(0.3) WHERE wait_event = 'SyncRep'")
                .size(),
            1U);
  EXPECT_EQ(server.Query("postgres", "SELECT count(*) FROM waits").front(), "0");
  server.Query("postgres", "ALTER SYSTEM SET synchronous_standby_names = ''");
  server.Query("postgres", "SELECT pg_reload_conf()");
  const auto give_up = Soon();
  while (server.Query("postgres", "SELECT count(*) FROM waits").front() != "1") {
    ASSERT_LT(std::chrono::steady_clock::now(), give_up);
    std::this_thread::sleep_for(milliseconds(10));
  }
}

TEST_F(OutageTest, NobodyListensIsUnavailable) {
  const auto database =
      Open("postgresql://lease@127.0.0.1:" + std::to_string(FreePortOfLoopback()) + "/postgres");
  EXPECT_TRUE(database->is_up());  // nothing was tried
  const auto refused = Run(*database, kPing);
  EXPECT_EQ(refused.status().code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(refused.status().message()), HasSubstr("Connection refused"));
  EXPECT_FALSE(database->is_up());
}

TEST_F(OutageTest, WhileItIsAwayNobodyWaitsForTheNextTry) {
  auto options = OptionsFor("postgresql://lease@127.0.0.1:" + std::to_string(FreePortOfLoopback()) +
                            "/postgres");
  options.first_pause = options.last_pause = std::chrono::hours(1);
  PooledDatabase database(io_.executor(), std::move(options));
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(Run(database, kPing, In(std::chrono::hours(1))).status().code(),
              absl::StatusCode::kUnavailable);
  }
}

TEST_F(OutageTest, TooManyConnectionsAreUnavailableAndTheOthersServe) {
  server_.Query("postgres", "CREATE ROLE few LOGIN CONNECTION LIMIT 1");
  const auto database =
      Open("postgresql://few@127.0.0.1:" + std::to_string(server_.port()) + "/postgres", 3);
  ASSERT_TRUE(Run(*database, kPing).ok());
  std::vector<std::future<absl::StatusOr<Rows>>> calls;
  for (int i = 0; i < 50; ++i) {
    calls.push_back(io_.Start(database->RunShared({&kPing, {}}, Soon())));
  }
  for (auto& call : calls) EXPECT_TRUE(IoThreads::Get(std::move(call)).ok());
  EXPECT_TRUE(database->is_up());
}

// The first host refuses, the second is read-only, the third never answers, the fourth takes
// writes.
TEST_F(OutageTest, OfSeveralHostsTheOneThatTakesWritesIsFound) {
  PostgresServer::Options read_only;
  read_only.settings = {"default_transaction_read_only = on"};
  PostgresServer standby(read_only);
  boost::asio::io_context io;
  const boost::asio::ip::tcp::acceptor silent(io, {boost::asio::ip::address_v4::loopback(), 0});
  std::string hosts;
  for (const int port : {FreePortOfLoopback(), standby.port(),
                         static_cast<int>(silent.local_endpoint().port()), server_.port()}) {
    hosts += (hosts.empty() ? "localhost:" : ",localhost:") + std::to_string(port);
  }
  const auto database = Open("postgresql://lease@" + hosts + "/postgres");
  const auto rows = Run(*database, kPort);
  ASSERT_TRUE(rows.ok()) << rows.status();
  EXPECT_EQ(rows->front().Int(0, 0), server_.port());
}

TEST_F(OutageTest, AStandbyThatIsPromotedIsFound) {
  PostgresServer::Options read_only;
  read_only.settings = {"default_transaction_read_only = on"};
  PostgresServer standby(read_only);
  const auto database = Open("postgresql://lease@127.0.0.1:" + std::to_string(server_.port()) +
                             ",127.0.0.1:" + std::to_string(standby.port()) + "/postgres");
  ASSERT_EQ(Run(*database, kPort)->front().Int(0, 0), server_.port());
  server_.Kill();
  AwaitUp(*database, false);
  EXPECT_THAT(std::string(Run(*database, kPort).status().message()), HasSubstr("read-only"));
  standby.Query("postgres", "ALTER SYSTEM SET default_transaction_read_only = off");
  standby.Query("postgres", "SELECT pg_reload_conf()");
  AwaitUp(*database, true);
  EXPECT_EQ(Run(*database, kPort)->front().Int(0, 0), standby.port());
  server_.Start();
}

// Of the server itself: whoever runs thousands of tests on a machine would have no more to give.
TEST(PostgresServerTest, KilledOneLeavesNoSharedMemory) {
  PostgresServer server;
  std::string process;
  std::getline(std::ifstream(server.data_folder() + "/postmaster.pid"), process);
  const auto segments = [&process] {
    std::ifstream table("/proc/sysvipc/shm");
    int count = 0;
    for (std::string line; std::getline(table, line);) {
      std::istringstream fields(line);
      std::vector<std::string> row{std::istream_iterator<std::string>(fields), {}};
      count += row.at(4) == process ? 1 : 0;  // "cpid", who made it
    }
    return count;
  };
  EXPECT_GT(segments(), 0);
  server.Kill();
  EXPECT_EQ(segments(), 0);
}

}  // namespace
}  // namespace leasegateway::postgres
