#include "upstream/postgres/options.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <utility>

namespace leasegateway::postgres {
namespace {

using ::testing::AllOf;
using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::Pair;
using ::testing::StartsWith;

std::string WhyNot(const std::string& url, bool allow_insecure = false) {
  const auto parsed = ParseDatabaseUrl(url, allow_insecure);
  if (parsed.ok()) return "";
  EXPECT_EQ(parsed.status().code(), absl::StatusCode::kInvalidArgument);
  const std::string message(parsed.status().message());
  EXPECT_EQ(message.find('\n'), std::string::npos);
  EXPECT_THAT(message, StartsWith("database_url: "));
  return message;
}

DatabaseUrl Parsed(const std::string& url, bool allow_insecure = false) {
  auto parsed = ParseDatabaseUrl(url, allow_insecure);
  EXPECT_TRUE(parsed.ok()) << parsed.status();
  return parsed.ok() ? *std::move(parsed) : DatabaseUrl();
}

TEST(DatabaseUrlTest, SeveralHostsInBothSyntaxes) {
  for (const auto* const url : {"postgresql://lease:secret@one:5433,two/gateway?connect_timeout=7",
                                "host=one,two port=5433,5432 user=lease password=secret "
                                "dbname=gateway connect_timeout=7"}) {
    const auto parsed = Parsed(url);
    ASSERT_EQ(parsed.endpoints.size(), 2U);
    EXPECT_EQ(parsed.endpoints[0].host, "one");
    EXPECT_EQ(parsed.endpoints[0].port, "5433");
    EXPECT_EQ(parsed.endpoints[1].host, "two");
    EXPECT_EQ(parsed.endpoints[1].port, "5432");
    EXPECT_TRUE(parsed.has_password);
    EXPECT_EQ(parsed.password, "secret");
    EXPECT_EQ(parsed.where, "one:5433,two:5432/gateway");
    EXPECT_EQ(parsed.connect_timeout, std::chrono::seconds(7));
    EXPECT_THAT(parsed.settings, Contains(Pair("target_session_attrs", "read-write")));
    EXPECT_THAT(parsed.settings, Not(Contains(Pair("password", "secret"))));
  }
}

TEST(DatabaseUrlTest, TargetSessionAttrsOfTheUrlAreKept) {
  EXPECT_THAT(Parsed("postgresql://localhost/a?target_session_attrs=primary").settings,
              Contains(Pair("target_session_attrs", "primary")));
}

TEST(DatabaseUrlTest, AUrlWithoutAPasswordSaysSo) {
  EXPECT_FALSE(Parsed("postgresql://lease@localhost/a").has_password);
}

TEST(DatabaseUrlTest, BeyondThisMachineTheServerIsVerified) {
  const auto settings = Parsed("postgresql://db.example.com/a").settings;
  EXPECT_THAT(settings, Contains(Pair("sslmode", "verify-full")));
  EXPECT_THAT(settings, Contains(Pair("sslrootcert", "/etc/ssl/certs/ca-certificates.crt")));
  EXPECT_THAT(Parsed("postgresql://db.example.com/a?sslrootcert=/ca.pem").settings,
              Contains(Pair("sslrootcert", "/ca.pem")));
  EXPECT_THAT(Parsed("postgresql://db.example.com/a?sslrootcert=system").settings,
              Contains(Pair("sslrootcert", "/etc/ssl/certs/ca-certificates.crt")));
}

TEST(DatabaseUrlTest, WeakerTlsIsRefusedBeyondThisMachine) {
  for (const auto* const url :
       {"postgresql://db.example.com/a?sslmode=require", "postgresql://db/a?sslmode=disable",
        "postgresql://10.0.0.1/a?sslmode=verify-ca",
        "host=localhost hostaddr=10.0.0.1 sslmode=prefer",
        "postgresql://localhost,db/a?sslmode=prefer"}) {
    EXPECT_THAT(WhyNot(url), AllOf(HasSubstr("verify-full"), HasSubstr("database_allow_insecure")));
    EXPECT_EQ(WhyNot(url, true), "");
  }
  // Allowed is not the same as chosen.
  EXPECT_THAT(Parsed("postgresql://db/a", true).settings, Contains(Pair("sslmode", "verify-full")));
}

TEST(DatabaseUrlTest, OnThisMachineTlsIsNotNeeded) {
  for (const auto* const url :
       {"postgresql://localhost/a", "postgresql://127.0.0.2/a", "postgresql://[::1]/a",
        "postgresql:///a?host=/run/postgresql", "host=db hostaddr=127.0.0.1 dbname=a"}) {
    EXPECT_THAT(Parsed(url).settings, Contains(Pair("sslmode", "prefer"))) << url;
    EXPECT_EQ(WhyNot(std::string(url).find("://") == std::string::npos
                         ? std::string(url) + " sslmode=disable"
                         : url),
              "");
  }
}

TEST(DatabaseUrlTest, BadOnesAreRefusedWithoutThePassword) {
  EXPECT_THAT(WhyNot(""), HasSubstr("names no host"));
  EXPECT_THAT(WhyNot("postgresql:///a"), HasSubstr("names no host"));
  EXPECT_THAT(WhyNot("service=a host=b"), HasSubstr("service"));
  EXPECT_THAT(WhyNot("postgresql://localhost:99999/a"), HasSubstr("99999"));
  EXPECT_THAT(WhyNot("postgresql://localhost:port/a"), HasSubstr("port"));
  EXPECT_THAT(WhyNot("host=a,b port=1,2,3"), HasSubstr("ports"));
  EXPECT_THAT(WhyNot("host=a,b hostaddr=127.0.0.1"), HasSubstr("hostaddr"));
  EXPECT_THAT(WhyNot("host=a hostaddr=b"), HasSubstr("hostaddr"));
  EXPECT_THAT(WhyNot("postgresql://localhost/a?connect_timeout=x"), HasSubstr("connect_timeout"));
  for (const auto* const attrs : {"read-only", "standby"}) {
    EXPECT_THAT(WhyNot(std::string("postgresql://localhost/a?target_session_attrs=") + attrs),
                HasSubstr("no server that takes writes"));
  }
  EXPECT_THAT(WhyNot("host=a nonsense=b"), HasSubstr("nonsense"));
  EXPECT_THAT(WhyNot("mysql://localhost/a"), HasSubstr("can't be parsed"));
  for (const auto* const url :
       {"postgresql://lease:secret%zz@localhost/a",
        "postgresql://lease@localhost/a?password=secret%", "host=localhost password=my secret",
        "host=localhost secret password=a"}) {
    EXPECT_THAT(WhyNot(url), AllOf(HasSubstr("can't be parsed"), Not(HasSubstr("secret")))) << url;
  }
}

TEST(DatabaseUrlTest, TheMessageNamesTheKeyOfTheUrl) {
  const auto parsed = ParseDatabaseUrl("host=", false, "database_listen_url");
  EXPECT_THAT(std::string(parsed.status().message()), StartsWith("database_listen_url: "));
}

}  // namespace
}  // namespace leasegateway::postgres
