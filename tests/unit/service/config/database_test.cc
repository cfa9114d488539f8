#include "service/config/database.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "tests/support/config_fixture.h"

namespace leasegateway {
namespace {

using ::testing::AllOf;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

constexpr char kUrl[] = "postgresql://gateway@localhost/leases";
constexpr char kPassword[] = "LEASE_GATEWAY_DATABASE_PASSWORD";
constexpr char kUrlVariable[] = "LEASE_GATEWAY_DATABASE_URL";

class DatabaseConfigTest : public ConfigTest {
 protected:
  // One line, and nothing of the password.
  static void ExpectLine(const absl::StatusOr<Invocation>& invocation,
                         const std::vector<std::string>& parts) {
    const std::string message = Message(invocation);
    EXPECT_NE(message, "");
    EXPECT_THAT(message, Not(HasSubstr("hunter2")));
    EXPECT_EQ(std::count(message.begin(), message.end(), '\n'), 0) << message;
    for (const std::string& part : parts) EXPECT_THAT(message, HasSubstr(part));
  }
};

TEST_F(DatabaseConfigTest, PasswordComesFromFileElseVariableElseTheVariablesUrl) {
  EXPECT_EQ(LoadedConfig({"--database-url", kUrl}).database_password, "");
  environment_[kUrlVariable] = "postgresql://gateway:in%20url@localhost/leases";
  EXPECT_EQ(LoadedConfig({}).database_password, "in url");
  environment_[kPassword] = " in variable\n";
  EXPECT_EQ(LoadedConfig({}).database_password, "in variable");
  const std::string file = Write("password", "in file\n");
  EXPECT_EQ(LoadedConfig({"--database-password-file", file}).database_password, "in file");
}

TEST_F(DatabaseConfigTest, PasswordIsTakenOutOfTheUrl) {
  for (const char* url : {"postgresql://gateway:hunter2@h1,h2:5433/leases?connect_timeout=7",
                          "postgresql://gateway@h1,h2:5433/leases?password=hunter2",
                          "host=h1,h2 port=5432,5433 user=gateway dbname=leases "
                          "password='hunter2'"}) {
    environment_[kUrlVariable] = url;
    const Config config = LoadedConfig({});
    EXPECT_EQ(config.database_password, "hunter2");
    EXPECT_THAT(config.database_url, AllOf(HasSubstr("host='h1,h2'"), HasSubstr("port='5432,5433'"),
                                           HasSubstr("user='gateway'"),
                                           HasSubstr("dbname='leases'"), Not(HasSubstr("hunter2"))))
        << url;
    const auto again = ParseDatabaseUrl("database_url", config);
    ASSERT_TRUE(again.ok()) << again.status();
    EXPECT_EQ(again->where, "h1:5432,h2:5433/leases");
    EXPECT_FALSE(again->has_password);
    EXPECT_THAT(Load({"--print-config"})->output,
                AllOf(HasSubstr("database_url: \"" + config.database_url + "\""),
                      HasSubstr("# database_password: REDACTED (set)"), Not(HasSubstr("hunter2"))));
  }
  environment_[kUrlVariable] = "host='a b' user='it''s' password=hunter2 hostaddr=127.0.0.1";
  ExpectLine(Load({}), {});
  environment_[kUrlVariable] = R"(host='/a b' user='it\'s \\' password=hunter2)";
  const auto odd = ParseDatabaseUrl("database_url", LoadedConfig({}));
  ASSERT_TRUE(odd.ok()) << odd.status();
  EXPECT_EQ(odd->user, R"(it's \)");
  EXPECT_EQ(odd->endpoints[0].host, "/a b");
}

TEST_F(DatabaseConfigTest, PasswordIsRefusedInFlagAndFile) {
  constexpr char kRule[] =
      "must have no password here: the database's password comes from "
      "LEASE_GATEWAY_DATABASE_PASSWORD or the file database_password_file";
  for (const std::string url :
       {"postgresql://gateway:hunter2@localhost/leases",
        "postgresql:///leases?host=/run&password=hunter2", "host=/run password=hunter2"}) {
    ExpectLine(Load({"--database-url=" + url}), {"flag --database-url: \"", kRule});
    ExpectLine(LoadYaml("database_url: \"" + url + "\"\n"), {yaml_ + ":1: database_url: ", kRule});
  }
  ExpectLine(LoadYaml("database_password: hunter2\n"),
             {yaml_ + ":1: database_password: cannot be set here: the database's password comes "});
  ExpectLine(Load({"--database-password=hunter2"}),
             {"flag --database-password: cannot be set here: the database's password comes from"});
  environment_["LEASE_GATEWAY_DATABASE_LISTEN_URL"] =
      "postgresql://gateway:hunter2@localhost/leases";
  ExpectLine(
      Load({"--database-url", kUrl}),
      {"environment LEASE_GATEWAY_DATABASE_LISTEN_URL: \"postgresql://***@localhost/leases\": "
       "must have no password: the one of database_url is used"});
}

TEST_F(DatabaseConfigTest, UrlsThatMakeNoSenseAreOneLineWithoutThePassword) {
  for (const std::string url :
       {"postgresql://gateway:hunter2@localhost:port/leases",
        "postgresql://gateway:hunter2@[::1/leases", "postgresql://gateway:hun%ter2@localhost/",
        "postgres://gateway:hunter2@/leases",
        "postgresql://gateway:hunter2@localhost/leases?nonsense=1",
        "host=localhost password=hunter2 nonsense=1", "password=hunter2", "hunter2",
        "host=localhost 'hunter2'", "host=localhost hunter2",
        "mysql://gateway:hunter2@localhost/leases",
        "postgresql://gateway:hunter2@example.org/leases?sslmode=require",
        "postgresql://gateway:hunter2@example.org/leases?sslkey=a&sslpassword=hunter2"}) {
    environment_[kUrlVariable] = url;
    ExpectLine(Load({}), {"environment LEASE_GATEWAY_DATABASE_URL: \""});
    EXPECT_THAT(Message(Load({})), Not(HasSubstr("database_url: "))) << url;
  }
}

TEST_F(DatabaseConfigTest, LessThanVerifiedTlsBeyondLoopbackIsSaidInSoManyWords) {
  const std::vector<std::string> far = {
      "--database-url=postgresql://gateway@example.org/leases?sslmode=require"};
  EXPECT_THAT(Message(Load(far)),
              AllOf(StartsWith("flag --database-url: \"postgresql://***@example.org/leases\": "),
                    HasSubstr("verify-full"), HasSubstr("database_allow_insecure")));
  EXPECT_EQ(Message(Load({far[0], "--database-allow-insecure"})), "");
  EXPECT_EQ(Message(Load({"--database-url=postgresql://gateway@example.org/leases"})), "");
}

TEST_F(DatabaseConfigTest, JournalIsInOnePlace) {
  const std::string message = Message(LoadYaml("journal: a.db\n", {"--database-url", kUrl}));
  EXPECT_EQ(message,
            "flag --database-url: \"postgresql://***@localhost/leases\": cannot be combined with "
            "journal, set by " +
                yaml_ + ":1: journal: the record of purchases is in one of them");
}

// A provider in each process would be another one at each replica.
TEST_F(DatabaseConfigTest, EmbeddedSandboxIsForOneProcess) {
  EXPECT_THAT(Message(Load({"--database-url", kUrl, "--sandbox"})),
              AllOf(StartsWith("flag --database-url: "),
                    HasSubstr("cannot be combined with sandbox, set by flag --sandbox"),
                    EndsWith("start lease-sandbox, and name it with upstream_url")));
}

// Whoever sets them means to share a journal.
TEST_F(DatabaseConfigTest, WhatBelongsToADatabaseNeedsOne) {
  EXPECT_EQ(Message(Load({"--database-password-file=/p"})),
            "flag --database-password-file: \"/p\": needs database_url");
  EXPECT_EQ(Message(Load({"--database-listen-url=host=/run"})),
            "flag --database-listen-url: \"host=/run\": needs database_url");
  environment_[kPassword] = "hunter2";
  ExpectLine(Load({}), {"environment LEASE_GATEWAY_DATABASE_PASSWORD: needs database_url"});
}

TEST_F(DatabaseConfigTest, BadPasswordsAreErrorsThatDoNotShowThem) {
  environment_[kPassword] = " ";
  ExpectLine(Load({"--database-url", kUrl}), {"environment LEASE_GATEWAY_DATABASE_PASSWORD: the "
                                              "database password must not be empty"});
  environment_[kPassword] = "hunter2\x01";
  ExpectLine(Load({"--database-url", kUrl}), {"must have no control characters"});
  const std::string file = Write("password", "hunter2\nhunter2\n");
  ExpectLine(Load({"--database-url", kUrl, "--database-password-file", file}),
             {"flag --database-password-file: \"" + file +
              "\": the database password must have no control characters"});
  ExpectLine(Load({"--database-url", kUrl, "--database-password-file", "/none"}),
             {"\"/none\": cannot be read: No such file or directory"});
}

TEST_F(DatabaseConfigTest, MigratingNeedsTheDatabaseAlone) {
  environment_.clear();
  const auto migrating = Load({"--migrate", "--database-url", kUrl, "--listen=0.0.0.0:1"});
  ASSERT_TRUE(migrating.ok()) << migrating.status();
  EXPECT_EQ(migrating->action, Invocation::Action::kMigrate);
  EXPECT_EQ(Message(Load({"--migrate"})), "flag --migrate: needs database_url");
  EXPECT_EQ(Message(Load({"--migrate", "--database-url", kUrl, "--check-config"})),
            "flag --migrate: cannot be combined with --check-config or --print-config\n"
            "no API key: set CONTIGUITY_API_KEY or CONTIGUITY_TOKEN in the environment, or name a "
            "file that holds it with --upstream-token-file; or use --sandbox, which needs none");
}

}  // namespace
}  // namespace leasegateway
