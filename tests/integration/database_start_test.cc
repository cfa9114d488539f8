// --migrate, and what is wrong with a database: one line that names key and cause, and never the
// password.
#include <gmock/gmock.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <memory>
#include <string>
#include <vector>

#include "tests/support/replicas.h"
#include "upstream/sandbox/certificates.h"

namespace leasegateway {
namespace {

using ::testing::AllOf;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

constexpr char kPassword[] = "hunter2-of-the-database";

class DatabaseStartTest : public ReplicasTest {
 protected:
  struct Ended {
    int status = 0;
    std::string out, err;
  };
  Ended Run(const std::string& url, std::vector<std::string> flags,
            std::vector<std::string> environment = {}) {
    flags.insert(flags.end(), {"--database-url", url});
    if (has_password_) {
      environment.push_back(std::string("LEASE_GATEWAY_DATABASE_PASSWORD=") + kPassword);
    }
    environment.emplace_back("CONTIGUITY_API_KEY=key");
    const pid_t pid = programs_.Start("run", "lease-gateway", flags, environment);
    Ended ended;
    ended.status = programs_.Wait(pid);
    ended.out = ReadAll(programs_.Path("run.out"));
    ended.err = ReadAll(programs_.Path("run.err"));
    return ended;
  }
  // The last line of what failed.
  void ExpectLine(const Ended& ended, const std::vector<std::string>& parts,
                  const std::string& key = "database_url") {
    EXPECT_EQ(ended.status, 1);
    EXPECT_THAT(ended.err, AllOf(Not(HasSubstr(kPassword)), EndsWith("\n")));
    std::string line = ended.err.substr(0, ended.err.size() - 1);
    line = line.substr(line.rfind('\n') + 1);
    EXPECT_THAT(line, StartsWith("lease-gateway: " + key + ": ")) << ended.err;
    for (const std::string& part : parts) EXPECT_THAT(line, HasSubstr(part));
  }
  // What waiting can mend; a start waits.
  void ExpectNotMigrated(const std::string& url, const std::vector<std::string>& parts) {
    const Ended ended = Run(url, {"--migrate"});
    ExpectLine(ended, parts);
    EXPECT_EQ(std::count(ended.err.begin(), ended.err.end(), '\n'), 1) << ended.err;
  }
  void ExpectRefused(const std::string& url, const std::vector<std::string>& parts) {
    ExpectNotMigrated(url, parts);
    ExpectLine(Run(url, {"--listen=127.0.0.1:0"}), parts);
  }
  std::string Sql(const std::string& sql) {
    const auto rows = postgres_->Query(database_, sql);
    return rows.empty() ? "" : rows[0];
  }

  bool has_password_ = true;
};

TEST_F(DatabaseStartTest, MigratesOnceAndSaysSo) {
  database_ = postgres_->CreateDatabase();
  for (int i = 0; i < 2; ++i) {
    const Ended ended = Run(postgres_->TcpUrl(database_), {"--migrate"});
    EXPECT_EQ(ended.status, 0) << ended.err;
    EXPECT_THAT(ended.err, HasSubstr("schema is version"));
  }
  EXPECT_EQ(Sql("SELECT count(*) > 0 FROM lease_gateway.schema_version"), "t");
  EXPECT_EQ(Sql("SELECT count(*) FROM lease_gateway.operation"), "0");
}

TEST_F(DatabaseStartTest, WhatCanNotBeUsedIsOneLine) {
  UseOwnPostgres();
  database_ = postgres_->CreateDatabase();
  const std::string port = std::to_string(postgres_->port());
  const std::string at = "postgresql://lease@127.0.0.1:" + port + "/";
  ExpectRefused(at + "nowhere", {"nowhere", "does not exist"});
  Sql("CREATE ROLE stranger LOGIN");
  ExpectRefused("postgresql://stranger@127.0.0.1:" + port + "/" + database_, {"permission"});
  Sql("ALTER DATABASE " + database_ + " SET default_transaction_read_only = on");
  ExpectNotMigrated(at + database_ + "?target_session_attrs=any", {"read-only"});
  ExpectNotMigrated(at + database_, {"read-only"});
}

TEST_F(DatabaseStartTest, NewerSchemaIsRefused) {
  database_ = postgres_->CreateDatabase();
  ASSERT_EQ(Run(postgres_->TcpUrl(database_), {"--migrate"}).status, 0);
  Sql("INSERT INTO lease_gateway.schema_version (version, name, oldest_program) "
      "SELECT max(version) + 1, 'next', max(version) + 1 FROM lease_gateway.schema_version");
  ExpectRefused(postgres_->TcpUrl(database_), {"newer"});
}

TEST_F(DatabaseStartTest, DatabaseOfAnotherProgramIsRefused) {
  database_ = postgres_->CreateDatabase();
  Sql("CREATE SCHEMA lease_gateway CREATE TABLE operation (id int)");
  ExpectRefused(postgres_->TcpUrl(database_), {"lease_gateway"});
}

TEST_F(DatabaseStartTest, WrongPasswordIsRefused) {
  UseOwnPostgres();
  database_ = postgres_->CreateDatabase();
  Sql("CREATE ROLE careful LOGIN PASSWORD 'another'");
  const std::string rules = postgres_->data_folder() + "/pg_hba.conf";
  const std::string before = ReadAll(rules);
  std::ofstream(rules) << "host all careful 127.0.0.1/32 scram-sha-256\n" << before;
  postgres_->Query("postgres", "SELECT pg_reload_conf()");
  const std::string url =
      "postgresql://careful@127.0.0.1:" + std::to_string(postgres_->port()) + "/" + database_;
  const std::string wrong = "password authentication failed for user \"careful\"; the password is ";
  ExpectRefused(url, {wrong + "that of the environment"});
  std::ofstream(programs_.Path("password")) << kPassword;
  ExpectLine(Run(url, {"--migrate", "--database-password-file", programs_.Path("password")}),
             {wrong + "that of database_password_file"});
  has_password_ = false;
  ExpectRefused(url, {"no password supplied; the password is not set: give "
                      "LEASE_GATEWAY_DATABASE_PASSWORD or database_password_file"});
}

TEST_F(DatabaseStartTest, CertificateThatIsNotVerifiedIsRefused) {
  const auto certificates = sandbox::MakeCertificates({"localhost"}, 1);
  ASSERT_TRUE(certificates.ok()) << certificates.status();
  const std::string folder = MakeUnprivilegedFolder();
  std::ofstream(folder + "/ca.crt") << certificates->ca;
  std::ofstream(folder + "/server.crt") << certificates->leaf;
  std::ofstream(folder + "/server.key") << certificates->leaf_key;
  std::filesystem::permissions(folder + "/server.key", std::filesystem::perms::owner_read);
  for (const char* file : {"/server.crt", "/server.key"}) GiveToUnprivileged(folder + file);
  PostgresServer::Options options;
  options.settings = {"ssl = on", "ssl_cert_file = '" + folder + "/server.crt'",
                      "ssl_key_file = '" + folder + "/server.key'"};
  own_postgres_ = std::make_unique<PostgresServer>(options);
  postgres_ = own_postgres_.get();
  database_ = postgres_->CreateDatabase();
  const auto url = [&](const std::string& host, const std::string& ca) {
    return "postgresql://lease@" + host + ":" + std::to_string(postgres_->port()) + "/" +
           database_ + "?sslmode=verify-full&sslrootcert=" + ca;
  };
  EXPECT_EQ(Run(url("localhost", folder + "/ca.crt"), {"--migrate"}).status, 0);
  ExpectRefused(url("localhost", "/etc/ssl/certs/ca-certificates.crt"), {"certificate"});
  std::ofstream(folder + "/other.crt") << sandbox::MakeCertificates({"localhost"}, 1)->ca;
  ExpectRefused(url("localhost", folder + "/other.crt"), {"certificate"});
  ExpectRefused(url("localhost", folder + "/missing.crt"), {"missing.crt"});
  std::filesystem::remove_all(folder);
}

TEST_F(DatabaseStartTest, ListeningElsewhereIsRefused) {
  UseOwnPostgres();
  database_ = postgres_->CreateDatabase();
  const auto expect = [&](const std::string& listening, const std::vector<std::string>& parts) {
    ExpectLine(Run(postgres_->TcpUrl(database_),
                   {"--listen=127.0.0.1:0", "--database-listen-url", listening}),
               parts, "database_listen_url");
  };
  expect(postgres_->TcpUrl("nowhere"), {"nowhere", "does not exist"});
  const std::string other = postgres_->CreateDatabase();
  expect(postgres_->TcpUrl(other), {other, "is not the database of database_url"});
  ASSERT_EQ(Run(postgres_->TcpUrl(other), {"--migrate"}).status, 0);
  expect(postgres_->TcpUrl(other), {other, "is not the database of database_url"});
}

// A start goes on, since waiting may mend it.
TEST_F(DatabaseStartTest, OneThatIsAwayIsALineOfTheLog) {
  const std::string port = std::to_string(FreePortOfLoopback());
  for (const std::string& host : {std::string("no-such-host.invalid"), "127.0.0.1:" + port}) {
    const pid_t pid = programs_.Start(
        "run", "lease-gateway",
        {"--listen=127.0.0.1:0", "--database-url", "postgresql://lease@" + host + "/leases"},
        {"CONTIGUITY_API_KEY=key"});
    EXPECT_THAT(programs_.After("run.err", "nothing is leased or ended: ", "\n"),
                StartsWith("database_url: no connection to " + host));
    programs_.After("run.err", "serves gRPC on port ", " ");
    kill(pid, SIGTERM);
    EXPECT_EQ(programs_.Wait(pid), 0);
  }
}

TEST_F(DatabaseStartTest, MigratingNeedsAServerThatAnswers) {
  ExpectNotMigrated("postgresql://lease@127.0.0.1:1/leases", {"127.0.0.1"});
  ExpectNotMigrated("postgresql://lease@no-such-host.invalid/leases", {"no-such-host.invalid"});
}

TEST_F(DatabaseStartTest, JournalBesideADatabaseIsRefused) {
  const Ended ended = Run("postgresql://lease@localhost/leases", {"--journal", "a.db"});
  EXPECT_EQ(ended.status, 2);
  EXPECT_THAT(ended.err, AllOf(HasSubstr("--database-url"), HasSubstr("--journal")));
}

}  // namespace
}  // namespace leasegateway
