#include "upstream/postgres/bring_up.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <memory>

#include "tests/support/database_fixture.h"
#include "tests/support/tcp_proxy.h"

namespace leasegateway::postgres {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

const Migration& First() {
  static const Migration migration{1, "0001_first", "CREATE TABLE lease_gateway.one (id int)"};
  return migration;
}
const Migration& Second() {
  static const Migration migration{
      2, "0002_second",
      "CREATE TABLE lease_gateway.two (id int);\nINSERT INTO lease_gateway.two VALUES (7)"};
  return migration;
}
// The first version's program works with it.
const Migration& Additive() {
  static const Migration migration{2, "0002_additive",
                                   "-- oldest_program: 1\nALTER TABLE lease_gateway.one ADD a int"};
  return migration;
}

class BringUpTest : public ::testing::Test {
 protected:
  absl::StatusOr<BroughtUp> Bring(const std::string& url, std::vector<Migration> migrations,
                                  const std::string& password = "") {
    auto options = OptionsFor(url);
    if (!password.empty()) options.password = [password] { return password; };
    auto result =
        io_.Get(BringUp(std::make_shared<Connector>(std::move(options)), std::move(migrations)));
    EXPECT_EQ(std::string(result.status().message()).find('\n'), std::string::npos);
    return result;
  }
  absl::StatusOr<BroughtUp> Bring(std::vector<Migration> migrations) {
    return Bring(server_.Url(name_), std::move(migrations));
  }
  void ExpectRefused(const absl::StatusOr<BroughtUp>& result, const std::string& why) {
    EXPECT_EQ(result.status().code(), absl::StatusCode::kFailedPrecondition) << result.status();
    EXPECT_THAT(std::string(result.status().message()), HasSubstr(why));
  }
  void ExpectAway(const absl::StatusOr<BroughtUp>& result, const std::string& why) {
    EXPECT_EQ(result.status().code(), absl::StatusCode::kUnavailable) << result.status();
    EXPECT_THAT(std::string(result.status().message()), HasSubstr(why));
  }
  std::string UrlOf(const std::string& role, const std::string& database) const {
    return "postgresql://" + role + "@127.0.0.1:" + std::to_string(server_.port()) + "/" + database;
  }
  // The role exists, whose members do.
  void NeedPasswords() {
    if (server_.Query(name_, "SELECT FROM pg_roles WHERE rolname = 'needs_password'").empty()) {
      server_.Query(name_, "CREATE ROLE needs_password");
    }
  }
  std::vector<std::string> Versions() {
    return server_.Query(name_,
                         "SELECT version, name, oldest_program FROM "
                         "lease_gateway.schema_version ORDER BY version");
  }

  PostgresServer& server_ = PostgresServer::Shared();
  const std::string name_ = server_.CreateDatabase();
  IoThreads io_;
};

TEST_F(BringUpTest, MigrationsAreAppliedOnceAndInOrder) {
  const auto first = Bring({First()});
  ASSERT_TRUE(first.ok()) << first.status();
  EXPECT_EQ(first->schema_version, 1);
  EXPECT_GE(first->server_version, 130'000);
  const auto second = Bring({First(), Second()});
  ASSERT_TRUE(second.ok()) << second.status();
  EXPECT_EQ(second->schema_version, 2);
  ASSERT_TRUE(Bring({First(), Second()}).ok());
  EXPECT_THAT(Versions(), ElementsAre("1|0001_first|1", "2|0002_second|2"));
  EXPECT_THAT(server_.Query(name_, "SELECT id FROM lease_gateway.two"), ElementsAre("7"));
}

TEST_F(BringUpTest, TheProgramsOwnMigrationsApply) {
  const auto result = Bring(ProgramMigrations());
  ASSERT_TRUE(result.ok()) << result.status();
  for (std::size_t i = 0; i < ProgramMigrations().size(); ++i) {
    EXPECT_EQ(ProgramMigrations()[i].version, static_cast<int>(i) + 1);
  }
}

TEST_F(BringUpTest, ManyReplicasMigrateAtOnce) {
  std::vector<std::future<absl::StatusOr<BroughtUp>>> replicas;
  for (int i = 0; i < 8; ++i) {
    std::vector<Migration> migrations{First(), Second()};
    replicas.push_back(io_.Start(BringUp(
        std::make_shared<Connector>(OptionsFor(server_.Url(name_))), std::move(migrations))));
  }
  for (auto& replica : replicas) {
    const auto result = IoThreads::Get(std::move(replica));
    EXPECT_TRUE(result.ok()) << result.status();
  }
  EXPECT_THAT(Versions(), ElementsAre("1|0001_first|1", "2|0002_second|2"));
}

TEST_F(BringUpTest, AWrongMigrationChangesNothing) {
  ASSERT_TRUE(Bring({First()}).ok());
  const Migration wrong{3, "0003_wrong", "SELECT nonsense"};
  const auto result = Bring({First(), Second(), wrong});
  EXPECT_EQ(result.status().code(), absl::StatusCode::kInternal);
  EXPECT_THAT(std::string(result.status().message()), HasSubstr("nonsense"));
  EXPECT_THAT(Versions(), ElementsAre("1|0001_first|1"));
  EXPECT_TRUE(Bring({First(), Second()}).ok());
}

TEST_F(BringUpTest, ANewerSchemaIsRefusedUnlessItSaysOtherwise) {
  ASSERT_TRUE(Bring({First(), Second()}).ok());
  ExpectRefused(Bring({First()}), "has version 2, this program knows 1");
}

TEST_F(BringUpTest, TheVersionBeforeRunsBesideANewOneThatSaysSo) {
  ASSERT_TRUE(Bring({First(), Additive()}).ok());
  const auto result = Bring({First()});
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(result->schema_version, 2);
  // What any later one needs counts as well.
  const Migration third{3, "0003_third", "DROP TABLE lease_gateway.one"};
  ASSERT_TRUE(Bring({First(), Additive(), third}).ok());
  ExpectRefused(Bring({First()}), "has version 3");
}

TEST_F(BringUpTest, ASchemaOfAnotherProgramIsRefused) {
  server_.Query(name_, "CREATE SCHEMA lease_gateway CREATE TABLE customer (id int)");
  ExpectRefused(Bring({First()}), "another program's");
  server_.Query(name_, "CREATE TABLE lease_gateway.schema_version (v int)");
  ExpectRefused(Bring({First()}), "another program's");
}

TEST_F(BringUpTest, AnEmptySchemaOfTheRoleIsTaken) {
  server_.Query(name_, "CREATE ROLE owner_of_schema LOGIN");
  server_.Query(name_, "CREATE SCHEMA lease_gateway AUTHORIZATION owner_of_schema");
  const auto result = Bring(UrlOf("owner_of_schema", name_), {First()});
  EXPECT_TRUE(result.ok()) << result.status();
}

TEST_F(BringUpTest, MissingRightsAreNamed) {
  server_.Query(name_, "CREATE ROLE stranger LOGIN");
  ExpectRefused(Bring(UrlOf("stranger", name_), {First()}), "--migrate");
  ASSERT_TRUE(Bring({First()}).ok());
  ExpectRefused(Bring(UrlOf("stranger", name_), {First()}), "GRANT USAGE");
  server_.Query(name_, "GRANT USAGE ON SCHEMA lease_gateway TO stranger");
  server_.Query(name_, "GRANT SELECT ON ALL TABLES IN SCHEMA lease_gateway TO stranger");
  ExpectRefused(Bring(UrlOf("stranger", name_), {First()}),
                "the role stranger may not read and write all of one");
  server_.Query(name_, "GRANT ALL ON lease_gateway.one TO stranger");
  EXPECT_TRUE(Bring(UrlOf("stranger", name_), {First()}).ok());
}

TEST_F(BringUpTest, AWrongPasswordIsAMistakeAndNotShown) {
  NeedPasswords();
  server_.Query(name_,
                "CREATE ROLE careful SUPERUSER LOGIN PASSWORD 'right' IN ROLE needs_password");
  ExpectRefused(Bring(UrlOf("careful", name_), {First()}), "no password supplied");
  const auto wrong = Bring(UrlOf("careful", name_), {First()}, "mistaken");
  ExpectRefused(wrong, "password authentication failed");
  EXPECT_THAT(std::string(wrong.status().message()), Not(HasSubstr("mistaken")));
  EXPECT_TRUE(Bring(UrlOf("careful", name_), {First()}, "right").ok());
}

TEST_F(BringUpTest, ThePasswordIsAskedForAtEachConnect) {
  NeedPasswords();
  server_.Query(name_,
                "CREATE ROLE changing SUPERUSER LOGIN PASSWORD 'second' IN ROLE needs_password");
  std::string password = "first";
  auto options = OptionsFor(UrlOf("changing", name_));
  options.password = [&] { return password; };
  const auto connector = std::make_shared<Connector>(std::move(options));
  EXPECT_FALSE(io_.Get(BringUp(connector, {})).ok());
  password = "second";
  EXPECT_TRUE(io_.Get(BringUp(connector, {})).ok());
}

TEST_F(BringUpTest, MistakesAreToldFromAServerThatIsAway) {
  ExpectRefused(Bring(server_.Url("no_such_database"), {}), "no_such_database");
  ExpectRefused(Bring(UrlOf("no_such_role", name_), {}), "no_such_role");
  ExpectRefused(Bring(server_.TcpUrl(name_) + "?sslmode=require", {}), "does not support SSL");
  for (const auto* const mistake :
       {"target_session_attrs=rw", "keepalives_idle=soon", "options=-c%20no_such_setting%3D1",
        "options=-c%20work_mem%3Dlots", "options=-c%20port%3D1"}) {
    ExpectRefused(Bring(server_.TcpUrl(name_) + "?" + mistake, {}), "no connection to");
  }
  ExpectAway(Bring("postgresql://127.0.0.1:" + std::to_string(FreePortOfLoopback()) + "/a", {}),
             "Connection refused");
  ExpectAway(Bring("postgresql:///a?host=/no/such/folder", {}), "/no/such/folder");
  ExpectAway(Bring("postgresql://no-such-host.invalid/a", {}), "no-such-host.invalid");
  server_.Query("postgres", "ALTER DATABASE " + name_ + " SET default_transaction_read_only = on");
  ExpectAway(Bring({First()}), "read-only");
  ExpectAway(Bring(server_.Url(name_) + "&target_session_attrs=any", {First()}), "read-only");
}

// The real server, but for the version that it says: Debian has none that is so old.
TEST_F(BringUpTest, AServerOlderThan13IsRefused) {
  const std::string mark = std::string("server_version") + '\0';
  for (const std::string version : {"12", "13"}) {
    TcpProxy older(server_.port());
    older.Edit([&](char* begin, char* end) {
      char* const at = std::search(begin, end, mark.begin(), mark.end());
      if (end - at > static_cast<std::ptrdiff_t>(mark.size() + version.size())) {
        std::copy(version.begin(), version.end(), at + mark.size());
      }
    });
    const auto result = Bring(
        "postgresql://lease@127.0.0.1:" + std::to_string(older.port()) + "/" + name_, {First()});
    if (version == "13") {
      EXPECT_TRUE(result.ok()) << result.status();
    } else {
      ExpectRefused(result, "the server is PostgreSQL 12, 13 is the oldest that will do");
      EXPECT_THAT(server_.Query(name_, "SELECT to_regnamespace('lease_gateway')"), ElementsAre(""));
    }
  }
}

TEST_F(BringUpTest, AnotherEncodingIsRefused) {
  server_.Query("postgres",
                "CREATE DATABASE latin ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0");
  ExpectRefused(Bring(server_.Url("latin"), {First()}), "LATIN1");
}

TEST_F(BringUpTest, WhatTheServerPromisesLessOfIsSaid) {
  server_.Query("postgres", "ALTER DATABASE " + name_ + " SET synchronous_commit = off");
  const auto result = Bring({First()});
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_THAT(result->warnings, Contains(HasSubstr("synchronous_commit is off")));
  EXPECT_THAT(result->warnings, Contains(HasSubstr("fsync is off")));  // as tests run it
}

TEST_F(BringUpTest, AnAsynchronousStandbyIsSaid) {
  PostgresServer::Options safe;
  safe.fsync = true;
  PostgresServer primary(safe);
  const auto alone = Bring(primary.Url("postgres"), {});
  ASSERT_TRUE(alone.ok()) << alone.status();
  EXPECT_THAT(alone->warnings, IsEmpty());
  // Whoever receives the log is a standby to the server.
  const int standby =
      StartUnprivileged({PostgresPrograms() + "/pg_receivewal", "--directory=" + primary.folder(),
                         "--dbname=" + primary.Url("postgres")},
                        primary.folder() + "/standby.log");
  const auto give_up = Soon();
  while (primary.Query("postgres", "SELECT FROM pg_stat_replication WHERE state = 'streaming'")
             .empty()) {
    ASSERT_LT(std::chrono::steady_clock::now(), give_up);
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  const auto followed = Bring(primary.Url("postgres"), {});
  ASSERT_TRUE(followed.ok()) << followed.status();
  EXPECT_THAT(followed->warnings, ElementsAre(HasSubstr("no standby is waited for")));
  // Only who may read statistics sees which one is waited for.
  primary.Query("postgres",
                "CREATE ROLE serves LOGIN;"
                "GRANT USAGE ON SCHEMA lease_gateway TO serves;"
                "GRANT SELECT ON lease_gateway.schema_version TO serves");
  primary.Query("postgres", "ALTER SYSTEM SET synchronous_standby_names = 'another'");
  primary.Query("postgres", "SELECT pg_reload_conf()");
  const auto as_role = [&] {
    return Bring("postgresql://serves@127.0.0.1:" + std::to_string(primary.port()) + "/postgres",
                 {});
  };
  const auto hidden = as_role();
  ASSERT_TRUE(hidden.ok()) << hidden.status();
  EXPECT_THAT(hidden->warnings, ElementsAre(HasSubstr("hidden from this role: GRANT it")));
  primary.Query("postgres", "SET synchronous_commit = off; GRANT pg_read_all_stats TO serves");
  const auto shown = as_role();
  ASSERT_TRUE(shown.ok()) << shown.status();
  EXPECT_THAT(shown->warnings, ElementsAre(HasSubstr("a standby is asynchronous")));
  kill(standby, SIGKILL);
  waitpid(standby, nullptr, 0);
}

}  // namespace
}  // namespace leasegateway::postgres
