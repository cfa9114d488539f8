#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <memory>

#include "tests/support/database_fixture.h"
#include "upstream/postgres/bring_up.h"
#include "upstream/postgres/pooled_database.h"

namespace leasegateway::postgres {
namespace {

using ::testing::HasSubstr;

constexpr Statement kIsEncrypted{"tls_is_encrypted",
                                 "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()"};
constexpr Statement kMuch{"tls_much", "SELECT repeat('x', $1::int) FROM generate_series(1, 5)"};

// A server with a certificate for `localhost` that is its own authority.
class DatabaseTlsTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    folder_ = new std::string(MakeUnprivilegedFolder());
    MakeCertificate("server");
    MakeCertificate("other");
    PostgresServer::Options options;
    options.settings = {"ssl = on", "ssl_cert_file = '" + *folder_ + "/server.pem'",
                        "ssl_key_file = '" + *folder_ + "/server.key'"};
    server_ = new PostgresServer(options);
  }
  static void TearDownTestSuite() {
    delete server_;
    std::filesystem::remove_all(*folder_);
    delete folder_;
  }
  static void MakeCertificate(const std::string& name) {
    const std::string path = *folder_ + "/" + name;
    const std::string command =
        "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 "
        "-subj /CN=localhost -addext subjectAltName=DNS:localhost -keyout " +
        path + ".key -out " + path + ".pem 2>/dev/null";
    if (std::system(command.c_str()) != 0) throw std::runtime_error("no certificate: " + command);
    for (const auto* const end : {".key", ".pem"}) GiveToUnprivileged(path + end);
  }

  std::string Url(const std::string& host, const std::string& authority,
                  const std::string& mode = "verify-full") const {
    return "postgresql://lease@" + host + ":" + std::to_string(server_->port()) +
           "/postgres?sslmode=" + mode + "&sslrootcert=" + authority;
  }
  absl::StatusOr<BroughtUp> Bring(const std::string& url) {
    return io_.Get(BringUp(std::make_shared<Connector>(OptionsFor(url)), {}));
  }
  void ExpectRefused(const std::string& url, const std::string& why) {
    const auto result = Bring(url);
    EXPECT_EQ(result.status().code(), absl::StatusCode::kFailedPrecondition) << result.status();
    EXPECT_THAT(std::string(result.status().message()), HasSubstr(why));
  }

  static std::string* folder_;
  static PostgresServer* server_;
  IoThreads io_;
};

std::string* DatabaseTlsTest::folder_ = nullptr;
PostgresServer* DatabaseTlsTest::server_ = nullptr;

TEST_F(DatabaseTlsTest, AServerThatIsVerifiedIsTalkedToEncrypted) {
  PooledDatabase database(io_.executor(), OptionsFor(Url("localhost", *folder_ + "/server.pem")));
  std::vector<Query> queries(1);
  queries.front().statement = &kIsEncrypted;
  const auto rows = io_.Get(database.Run(queries, Soon()));
  ASSERT_TRUE(rows.ok()) << rows.status();
  EXPECT_TRUE(rows->front().Bool(0, 0));
  // What OpenSSL holds back is not waited for: rows around the size of a record.
  for (const int size : {8'000, 16'300, 16'384, 40'000, 200'000}) {
    queries.front() = {&kMuch, {size}};
    const auto much = io_.Get(database.Run(queries, Soon()));
    ASSERT_TRUE(much.ok()) << size << ": " << much.status();
    EXPECT_EQ(much->front().Bytes(4, 0).size(), static_cast<std::size_t>(size));
  }
}

TEST_F(DatabaseTlsTest, WhoIsNotVerifiedIsRefused) {
  ExpectRefused(Url("localhost", *folder_ + "/other.pem"), "certificate verify failed");
  ExpectRefused(Url("127.0.0.1", *folder_ + "/server.pem"), "does not match host name");
  ExpectRefused(Url("localhost", "system"), "certificate verify failed");
  ExpectRefused(Url("localhost", "/no/such/file.pem"), "/no/such/file.pem");
}

TEST_F(DatabaseTlsTest, WithoutVerificationItIsEncryptedAllTheSame) {
  const auto result = Bring(Url("localhost", *folder_ + "/other.pem", "prefer"));
  EXPECT_TRUE(result.ok()) << result.status();
}

}  // namespace
}  // namespace leasegateway::postgres
