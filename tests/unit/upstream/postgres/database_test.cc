#include "upstream/postgres/database.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <memory>
#include <optional>

#include "absl/strings/str_join.h"
#include "tests/support/database_fixture.h"
#include "tests/support/tcp_proxy.h"
#include "upstream/postgres/pooled_database.h"

namespace leasegateway::postgres {
namespace {

using std::chrono::milliseconds;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr Statement kInsert{"test_insert",
                            "INSERT INTO item (id, note) VALUES ($1::bigint, $2::text)"};
constexpr Statement kInsertSlowly{
    "test_insert_slowly",
    "INSERT INTO item (id, note) SELECT $1::bigint, $2::text FROM pg_sleep(0.2)"};
constexpr Statement kInsertTransaction{
    "test_insert_transaction",
    "INSERT INTO item (id, note) VALUES ($1::bigint, pg_current_xact_id()::text) "
    "RETURNING note"};
constexpr Statement kCount{"test_count", "SELECT count(*) FROM item"};
constexpr Statement kSleep{"test_sleep", "SELECT 1 FROM pg_sleep(10)"};
constexpr Statement kNap{"test_nap", "SELECT 1 FROM pg_sleep(0.3)"};
constexpr Statement kLongNap{"test_long_nap", "SELECT 1 FROM pg_sleep(1)"};
constexpr Statement kOne{"test_one", "SELECT 1::bigint"};
constexpr Statement kAddTo{"test_add_to",
                           "UPDATE item SET note = note || 'x' WHERE id = $1::bigint"};

std::vector<Query> Queries(std::initializer_list<Query> queries) { return queries; }

class DatabaseTest : public ::testing::Test {
 protected:
  DatabaseTest() { server_.Query(name_, "CREATE TABLE item (id bigint PRIMARY KEY, note text)"); }

  std::unique_ptr<PooledDatabase> Open(DatabaseOptions options) {
    options.first_pause = milliseconds(10);
    options.last_pause = milliseconds(50);
    return std::make_unique<PooledDatabase>(io_.executor(), std::move(options));
  }
  std::unique_ptr<PooledDatabase> Open(int connections = 4) {
    auto options = OptionsFor(server_.Url(name_));
    options.connections = connections;
    return Open(std::move(options));
  }
  DatabaseOptions OptionsThrough(const TcpProxy& proxy) const {
    return OptionsFor("postgresql://lease@127.0.0.1:" + std::to_string(proxy.port()) + "/" + name_);
  }

  absl::StatusOr<std::vector<Rows>> Run(Database& database, std::initializer_list<Query> queries,
                                        std::chrono::steady_clock::time_point deadline = Soon()) {
    return io_.Get(database.Run(Queries(queries), deadline));
  }

  // Until the server takes transactions again.
  void AwaitUp(Database& database) {
    const auto give_up = Soon();
    while (!Run(database, {{&kOne, {}}}).ok() && std::chrono::steady_clock::now() < give_up) {
      std::this_thread::sleep_for(milliseconds(10));
    }
  }

  std::string CountItems() { return server_.Query(name_, "SELECT count(*) FROM item").front(); }
  // Until a session of this database waits in the state, such as "state = 'active'".
  void AwaitSession(const std::string& condition) {
    const auto give_up = Soon();
    while (server_
               .Query("postgres", "SELECT FROM pg_stat_activity WHERE datname = '" + name_ +
                                      "' AND " + condition)
               .empty()) {
      ASSERT_LT(std::chrono::steady_clock::now(), give_up) << condition;
      std::this_thread::sleep_for(milliseconds(5));
    }
  }
  void TerminateSessions() {
    server_.Query(
        "postgres",
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '" + name_ + "'");
  }

  PostgresServer& server_ = PostgresServer::Shared();
  const std::string name_ = server_.CreateDatabase();
  IoThreads io_;
};

TEST_F(DatabaseTest, ParametersAndRowsKeepTheirValues) {
  static constexpr Statement kEcho{
      "test_echo", "SELECT $1::bigint, $2::text, $3::bytea, $4::text, $1::bigint > 0"};
  const auto database = Open();
  for (int i = 0; i < 2; ++i) {  // also once it is prepared
    const auto rows =
        Run(*database, {{&kEcho,
                         {std::int64_t{-5'000'000'000}, "o'clock",
                          Parameter::Bytes(std::string_view("\0a", 2)), Parameter::Null()}}});
    ASSERT_TRUE(rows.ok()) << rows.status();
    ASSERT_EQ(rows->size(), 1U);
    EXPECT_EQ(rows->front().size(), 1);
    EXPECT_EQ(rows->front().Int(0, 0), -5'000'000'000);
    EXPECT_EQ(rows->front().Bytes(0, 1), "o'clock");
    EXPECT_EQ(rows->front().Bytes(0, 2), std::string_view("\0a", 2));
    EXPECT_TRUE(rows->front().IsNull(0, 3));
    EXPECT_FALSE(rows->front().Bool(0, 4));
  }
}

TEST_F(DatabaseTest, ATextWithAZeroByteIsRefusedNotCut) {
  const auto database = Open();
  const auto rows = Run(*database, {{&kInsert, {1, std::string("a\0b", 3)}}});
  EXPECT_EQ(rows.status().code(), absl::StatusCode::kInternal);
  EXPECT_EQ(CountItems(), "0");
}

TEST_F(DatabaseTest, LongRowsArrive) {
  static constexpr Statement kLong{"test_long", "SELECT repeat('x', $1::int), $2::text"};
  auto options = OptionsFor(server_.TcpUrl(name_));
  const auto database = Open(std::move(options));
  const std::string sent(20'000'000, 'y');
  const auto rows = Run(*database, {{&kLong, {10'000'000, sent}}});
  ASSERT_TRUE(rows.ok()) << rows.status();
  EXPECT_EQ(rows->front().Bytes(0, 0).size(), 10'000'000U);
  EXPECT_EQ(rows->front().Bytes(0, 1), sent);
}

TEST_F(DatabaseTest, ATransactionIsAllOrNothing) {
  const auto database = Open();
  ASSERT_TRUE(Run(*database, {{&kInsert, {1, "a"}}, {&kInsert, {2, "b"}}}).ok());
  EXPECT_EQ(CountItems(), "2");
  const auto failed = Run(*database, {{&kInsert, {3, "secret"}}, {&kInsert, {1, "secret"}}});
  EXPECT_EQ(failed.status().code(), absl::StatusCode::kAlreadyExists);
  EXPECT_THAT(std::string(failed.status().message()), HasSubstr("item_pkey"));
  EXPECT_THAT(std::string(failed.status().message()), Not(HasSubstr("secret")));
  EXPECT_EQ(CountItems(), "2");
}

TEST_F(DatabaseTest, AnErrorOfSqlLeavesValuesOutOfTheMessage) {
  static constexpr Statement kParse{"test_parse", "SELECT $1::text::bigint"};
  const auto database = Open();
  const auto failed = Run(*database, {{&kParse, {"secret"}}});
  EXPECT_EQ(failed.status().code(), absl::StatusCode::kInternal);
  EXPECT_THAT(std::string(failed.status().message()), HasSubstr("22P02"));
  EXPECT_THAT(std::string(failed.status().message()), Not(HasSubstr("secret")));
  EXPECT_TRUE(Run(*database, {{&kOne, {}}}).ok());
}

TEST_F(DatabaseTest, AFailureAtCommitChangesNothing) {
  server_.Query(name_, "ALTER TABLE item ADD UNIQUE (note) DEFERRABLE INITIALLY DEFERRED");
  const auto database = Open();
  const auto failed = Run(*database, {{&kInsert, {1, "a"}}, {&kInsert, {2, "a"}}});
  EXPECT_EQ(failed.status().code(), absl::StatusCode::kAlreadyExists);
  EXPECT_EQ(CountItems(), "0");
  EXPECT_TRUE(Run(*database, {{&kInsert, {1, "a"}}}).ok());
}

TEST_F(DatabaseTest, AStatementIsPreparedOnceAndSoAfterAFailedTransaction) {
  const auto database = Open(1);
  ASSERT_FALSE(Run(*database, {{&kInsert, {1, "a"}}, {&kInsert, {1, "a"}}}).ok());
  ASSERT_TRUE(Run(*database, {{&kInsert, {1, "a"}}}).ok());
  static constexpr Statement kPrepared{
      "test_prepared", "SELECT count(*) FROM pg_prepared_statements WHERE name LIKE 'lg\\_%'"};
  const auto rows = Run(*database, {{&kPrepared, {}}});
  ASSERT_TRUE(rows.ok());
  EXPECT_EQ(rows->front().Int(0, 0), 3);  // with the probe and this one
}

TEST_F(DatabaseTest, WhatWaitsTogetherIsCommittedTogether) {
  const auto database = Open(1);
  auto nap = io_.Start(database->Run(Queries({{&kNap, {}}}), Soon()));
  AwaitSession("state = 'active' AND query LIKE '%pg_sleep%'");
  std::vector<std::future<absl::StatusOr<Rows>>> inserts;
  for (int i = 0; i < 100; ++i) {
    inserts.push_back(io_.Start(database->RunShared({&kInsertTransaction, {i}}, Soon())));
  }
  for (auto& insert : inserts) {
    const auto rows = IoThreads::Get(std::move(insert));
    ASSERT_TRUE(rows.ok()) << rows.status();
    EXPECT_EQ(rows->size(), 1);
  }
  ASSERT_TRUE(IoThreads::Get(std::move(nap)).ok());
  // 64 at most.
  EXPECT_THAT(server_.Query(name_, "SELECT count(*) FROM item GROUP BY note ORDER BY 1"),
              ElementsAre("36", "64"));
}

TEST_F(DatabaseTest, HalfOfTheConnectionsShareAtOnceAndTheRestServesOthers) {
  const auto database = Open(4);
  std::vector<std::future<absl::StatusOr<Rows>>> naps;
  for (int i = 1; i <= 2; ++i) {
    naps.push_back(io_.Start(database->RunShared({&kLongNap, {}}, Soon())));
    while (server_.Query("postgres", "SELECT count(*) FROM pg_stat_activity WHERE datname = '" +
                                         name_ + "' AND wait_event = 'PgSleep'") !=
           std::vector{std::to_string(i)}) {
      std::this_thread::sleep_for(milliseconds(5));
    }
  }
  std::vector<std::future<absl::StatusOr<Rows>>> inserts;
  for (int i = 0; i < 5; ++i) {
    inserts.push_back(io_.Start(database->RunShared({&kInsertTransaction, {i}}, Soon())));
  }
  ASSERT_TRUE(Run(*database, {{&kOne, {}}}).ok());
  EXPECT_EQ(CountItems(), "0");
  for (auto& insert : inserts) ASSERT_TRUE(IoThreads::Get(std::move(insert)).ok());
  for (auto& nap : naps) ASSERT_TRUE(IoThreads::Get(std::move(nap)).ok());
  EXPECT_EQ(server_.Query(name_, "SELECT count(DISTINCT note) FROM item").front(), "1");
}

TEST_F(DatabaseTest, WhoFailsInASharedTransactionFailsAlone) {
  const auto database = Open(1);
  auto nap = io_.Start(database->Run(Queries({{&kNap, {}}}), Soon()));
  AwaitSession("state = 'active' AND query LIKE '%pg_sleep%'");
  std::vector<std::future<absl::StatusOr<Rows>>> inserts;
  for (const int id : {1, 2, 1, 3}) {
    inserts.push_back(io_.Start(database->RunShared({&kInsertTransaction, {id}}, Soon())));
  }
  int refused = 0;
  for (auto& insert : inserts) {
    const auto rows = IoThreads::Get(std::move(insert));
    if (!rows.ok()) {
      EXPECT_EQ(rows.status().code(), absl::StatusCode::kAlreadyExists);
      ++refused;
    }
  }
  EXPECT_EQ(refused, 1);
  EXPECT_EQ(CountItems(), "3");
  EXPECT_TRUE(IoThreads::Get(std::move(nap)).ok());
}

TEST_F(DatabaseTest, ADeadlockIsRepeated) {
  server_.Query("postgres", "ALTER DATABASE " + name_ + " SET deadlock_timeout = '20ms'");
  server_.Query(name_, "INSERT INTO item VALUES (1, ''), (2, '')");
  static constexpr Statement kWait{"test_wait", "SELECT 1 FROM pg_sleep(0.1)"};
  const auto database = Open(2);
  auto one =
      io_.Start(database->Run(Queries({{&kAddTo, {1}}, {&kWait, {}}, {&kAddTo, {2}}}), Soon()));
  auto other =
      io_.Start(database->Run(Queries({{&kAddTo, {2}}, {&kWait, {}}, {&kAddTo, {1}}}), Soon()));
  const auto first = IoThreads::Get(std::move(one));
  const auto second = IoThreads::Get(std::move(other));
  EXPECT_TRUE(first.ok()) << first.status();
  EXPECT_TRUE(second.ok()) << second.status();
  EXPECT_THAT(server_.Query(name_, "SELECT note FROM item"), ElementsAre("xx", "xx"));
  EXPECT_TRUE(server_.HasLogged("@" + name_ + " ERROR:  deadlock detected"));
}

TEST_F(DatabaseTest, AFullQueueTurnsAway) {
  auto options = OptionsFor(server_.Url(name_));
  options.connections = 1;
  options.queue_limit = 2;
  const auto database = Open(std::move(options));
  auto nap = io_.Start(database->Run(Queries({{&kNap, {}}}), Soon()));
  AwaitSession("state = 'active' AND query LIKE '%pg_sleep%'");
  auto one = io_.Start(database->Run(Queries({{&kOne, {}}}), Soon()));
  auto other = io_.Start(database->Run(Queries({{&kOne, {}}}), Soon()));
  // Both may be on their way still; one of three is turned away.
  auto third = io_.Start(database->Run(Queries({{&kOne, {}}}), Soon()));
  int turned_away = 0;
  for (auto* call : {&one, &other, &third}) {
    const auto rows = IoThreads::Get(std::move(*call));
    if (rows.status().code() == absl::StatusCode::kResourceExhausted) ++turned_away;
  }
  EXPECT_EQ(turned_away, 1);
  EXPECT_TRUE(IoThreads::Get(std::move(nap)).ok());
}

TEST_F(DatabaseTest, OutOfTimeBeforeItWasSentChangesNothing) {
  const auto database = Open(1);
  auto sleep = io_.Start(database->Run(Queries({{&kNap, {}}}), Soon()));
  AwaitSession("state = 'active' AND query LIKE '%pg_sleep%'");
  const auto late = Run(*database, {{&kInsert, {1, "a"}}}, In(milliseconds(50)));
  EXPECT_EQ(late.status().code(), absl::StatusCode::kUnavailable);
  EXPECT_TRUE(IoThreads::Get(std::move(sleep)).ok());
  EXPECT_TRUE(Run(*database, {{&kOne, {}}}).ok());
  EXPECT_EQ(CountItems(), "0");
}

TEST_F(DatabaseTest, OutOfTimeIsUnknownAndTheServerEndsTheStatement) {
  auto options = OptionsFor(server_.Url(name_));
  options.connections = 1;
  options.statement_timeout = milliseconds(500);
  const auto database = Open(std::move(options));
  const auto late = Run(*database, {{&kSleep, {}}}, In(milliseconds(200)));
  EXPECT_EQ(late.status().code(), absl::StatusCode::kUnknown);
  EXPECT_TRUE(Run(*database, {{&kOne, {}}}).ok());
  const auto give_up = In(std::chrono::seconds(5));  // the statement takes ten
  while (!server_
              .Query("postgres", "SELECT FROM pg_stat_activity WHERE datname = '" + name_ +
                                     "' AND state = 'active' AND query LIKE '%pg_sleep(10)%'")
              .empty()) {
    ASSERT_LT(std::chrono::steady_clock::now(), give_up);
    std::this_thread::sleep_for(milliseconds(10));
  }
}

TEST_F(DatabaseTest, AStatementThatTakesTooLongIsEndedByTheServer) {
  auto options = OptionsFor(server_.Url(name_));
  options.statement_timeout = milliseconds(100);
  const auto database = Open(std::move(options));
  const auto ended = Run(*database, {{&kSleep, {}}});
  EXPECT_EQ(ended.status().code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(ended.status().message()), HasSubstr("57014"));
}

TEST_F(DatabaseTest, ACancelledCallerStillHearsTheAnswer) {
  const auto database = Open(1);
  boost::asio::cancellation_signal cancel;
  const auto strand = boost::asio::make_strand(io_.executor());
  auto call = boost::asio::co_spawn(
      strand, database->Run(Queries({{&kInsertSlowly, {1, "a"}}}), Soon()),
      boost::asio::bind_cancellation_slot(cancel.slot(), boost::asio::use_future));
  AwaitSession("state = 'active' AND query LIKE '%pg_sleep%'");
  boost::asio::post(strand, [&] { cancel.emit(boost::asio::cancellation_type::all); });
  const auto rows = IoThreads::Get(std::move(call));
  EXPECT_TRUE(rows.ok()) << rows.status();
  EXPECT_EQ(CountItems(), "1");
}

TEST_F(DatabaseTest, ALostIdleConnectionIsMadeAnewUnnoticed) {
  const auto database = Open(1);  // with more, one could be lost while it is being made
  ASSERT_TRUE(Run(*database, {{&kOne, {}}}).ok());
  for (int i = 0; i < 5; ++i) {
    const auto pids = server_.Query(
        "postgres", "SELECT pid FROM pg_stat_activity WHERE datname = '" + name_ + "'");
    TerminateSessions();
    // It comes back by itself.
    AwaitSession("state = 'idle' AND pid NOT IN (" + absl::StrJoin(pids, ", ") + ")");
    const auto rows = Run(*database, {{&kOne, {}}});
    EXPECT_TRUE(rows.ok()) << rows.status();
  }
  EXPECT_TRUE(database->is_up());
}

TEST_F(DatabaseTest, ASessionThatIsEndedBeforeItsCommitChangesNothing) {
  const auto database = Open(1);
  auto call = io_.Start(database->Run(Queries({{&kInsert, {1, "a"}}, {&kSleep, {}}}), Soon()));
  AwaitSession("state = 'active' AND query LIKE '%pg_sleep%'");
  TerminateSessions();
  const auto rows = IoThreads::Get(std::move(call));
  EXPECT_EQ(rows.status().code(), absl::StatusCode::kUnavailable) << rows.status();
  EXPECT_EQ(CountItems(), "0");
  AwaitUp(*database);
}

TEST_F(DatabaseTest, AnAnswerThatIsLostIsUnknown) {
  TcpProxy proxy(server_.port());
  auto options = OptionsThrough(proxy);
  options.connections = 1;
  const auto database = Open(std::move(options));
  ASSERT_TRUE(Run(*database, {{&kOne, {}}}).ok());
  proxy.CutAtAnswer();
  const auto lost = Run(*database, {{&kInsert, {1, "a"}}});
  EXPECT_EQ(lost.status().code(), absl::StatusCode::kUnknown) << lost.status();
  EXPECT_EQ(CountItems(), "1");
  proxy.Heal();
  AwaitUp(*database);
  EXPECT_TRUE(Run(*database, {{&kInsert, {2, "a"}}}).ok());
}

TEST_F(DatabaseTest, AnAnswerThatNeverComesIsUnknownAtTheDeadline) {
  TcpProxy proxy(server_.port());
  auto options = OptionsThrough(proxy);
  options.connections = 1;
  const auto database = Open(std::move(options));
  ASSERT_TRUE(Run(*database, {{&kOne, {}}}).ok());
  proxy.SwallowAnswers();
  const auto shared = io_.Get(database->RunShared({&kInsert, {1, "a"}}, In(milliseconds(300))));
  EXPECT_EQ(shared.status().code(), absl::StatusCode::kUnknown) << shared.status();
  EXPECT_EQ(CountItems(), "1");
}

TEST_F(DatabaseTest, AnswersInPiecesAreTheSame) {
  TcpProxy proxy(server_.port());
  proxy.CutInPieces(3);
  const auto database = Open(OptionsThrough(proxy));
  for (int i = 0; i < 10; ++i) {
    ASSERT_TRUE(Run(*database, {{&kInsert, {i, "a"}}, {&kCount, {}}}).ok());
  }
  EXPECT_EQ(CountItems(), "10");
}

TEST_F(DatabaseTest, AReadOnlyServerIsUnavailableAndConnectedToAnew) {
  auto options = OptionsFor(server_.Url(name_) + "&target_session_attrs=any");
  options.connections = 1;
  const auto database = Open(std::move(options));
  ASSERT_TRUE(Run(*database, {{&kInsert, {1, "a"}}}).ok());
  static constexpr Statement kTurn{
      "test_turn", "SELECT set_config('default_transaction_read_only', $1::text, false)"};
  ASSERT_TRUE(Run(*database, {{&kTurn, {"on"}}}).ok());
  const auto refused = Run(*database, {{&kInsert, {2, "a"}}});
  EXPECT_EQ(refused.status().code(), absl::StatusCode::kUnavailable) << refused.status();
  EXPECT_THAT(std::string(refused.status().message()), HasSubstr("25006"));
  // The setting was that of the session.
  EXPECT_TRUE(Run(*database, {{&kInsert, {2, "a"}}}).ok());
}

TEST_F(DatabaseTest, WhatIsThereAtTheEndIsAnsweredAndClosed) {
  auto database = Open(1);
  auto running = io_.Start(database->Run(Queries({{&kInsertSlowly, {1, "a"}}}), Soon()));
  AwaitSession("state = 'active' AND query LIKE '%pg_sleep%'");
  auto waiting = io_.Start(database->Run(Queries({{&kInsert, {2, "a"}}}), Soon()));
  database->Stop();
  EXPECT_TRUE(IoThreads::Get(std::move(running)).ok());
  EXPECT_EQ(IoThreads::Get(std::move(waiting)).status().code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(Run(*database, {{&kOne, {}}}).status().code(), absl::StatusCode::kUnavailable);
}

}  // namespace
}  // namespace leasegateway::postgres
