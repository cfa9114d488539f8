// A database that is away: reads go on, nothing is spent, and all of it comes back by itself.
#include <gmock/gmock.h>
#include <signal.h>

#include <atomic>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <chrono>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "tests/support/replicas.h"
#include "tests/support/tcp_proxy.h"

namespace leasegateway {
namespace {

namespace asio = boost::asio;

using grpc::StatusCode;
using std::chrono::seconds;
using std::chrono::steady_clock;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

class DatabaseAwayTest : public ReplicasTest {
 protected:
  DatabaseAwayTest() { UseOwnPostgres(); }

  void ExpectNothingIsSpent(const std::string& number) {
    const auto began = steady_clock::now();
    const grpc::Status status = Lease(number);
    EXPECT_LT(steady_clock::now() - began, seconds(11));
    const auto failure = Explain(status);
    EXPECT_EQ(failure.code, StatusCode::FAILED_PRECONDITION) << status.error_message();
    EXPECT_EQ(failure.reason, "JOURNAL_UNAVAILABLE");
    EXPECT_TRUE(failure.detail_types.contains("RetryInfo"));
    EXPECT_EQ(CountInLedger("lease", number), 0);
  }
  void ExpectReadsGoOn() {
    EXPECT_FALSE(FirstAvailable().empty());
    v1::ListLeasesResponse leases;
    const auto status = stub_->ListLeases(Context().get(), {}, &leases);
    EXPECT_TRUE(status.ok()) << status.error_message();
    const auto ready = Http(server_->admin_port(), "GET", "/readyz");
    EXPECT_EQ(ready.status, 200);
    EXPECT_THAT(ready.body, HasSubstr("purchases can't be written down: "));
    EXPECT_EQ(MetricOf(*server_, "lease_gateway_database_up"), "0");
  }
  void ExpectStopsSoon() {
    const auto began = steady_clock::now();
    server_.reset();
    EXPECT_LT(steady_clock::now() - began, seconds(2));
  }
  void ExpectAllIsBack(const std::string& number) {
    EXPECT_TRUE(Becomes([&] { return Lease(number).ok(); }));
    ExpectOnePurchase(number);
    EXPECT_TRUE(Becomes([&] { return MetricOf(*server_, "lease_gateway_database_up") == "1"; }));
    EXPECT_THAT(Http(server_->admin_port(), "GET", "/readyz").body, Not(HasSubstr("purchases")));
  }
};

TEST_F(DatabaseAwayTest, StoppedAndBackAgain) {
  StartReplicas(1);
  const std::string number = FirstAvailable();
  postgres_->Stop();
  ExpectNothingIsSpent(number);
  ExpectReadsGoOn();
  postgres_->Start();
  ExpectAllIsBack(number);
}

TEST_F(DatabaseAwayTest, FrozenAndBackAgain) {
  StartReplicas(1);
  const std::string number = FirstAvailable();
  postgres_->Freeze();
  ExpectNothingIsSpent(number);
  EXPECT_TRUE(Becomes([&] { return MetricOf(*server_, "lease_gateway_database_up") == "0"; }));
  ExpectReadsGoOn();
  postgres_->Resume();
  ExpectAllIsBack(number);
}

TEST_F(DatabaseAwayTest, ReadOnlyAndBackAgain) {
  StartReplicas(1);
  const std::string number = FirstAvailable();
  const auto set = [&](const std::string& value) {
    postgres_->Query(database_, "ALTER SYSTEM SET default_transaction_read_only = " + value);
    postgres_->Query("postgres", "SELECT pg_reload_conf()");
  };
  set("on");
  EXPECT_TRUE(Becomes([&] { return MetricOf(*server_, "lease_gateway_database_up") == "0"; }));
  ExpectNothingIsSpent(number);
  ExpectReadsGoOn();
  set("off");
  ExpectAllIsBack(number);
}

// It is there, it can be read, and no commit ends.
TEST_F(DatabaseAwayTest, StandbyThatIsWaitedForGoneAndBackAgain) {
  StartReplicas(1);
  const std::string number = FirstAvailable();
  const auto set = [&](const std::string& names) {
    postgres_->Query(database_, "ALTER SYSTEM SET synchronous_standby_names = '" + names + "'");
    postgres_->Query("postgres", "SELECT pg_reload_conf()");
  };
  set("nobody");
  // The server reads its settings in its own time: until a commit waits.
  std::atomic<bool> is_seen{false};
  std::thread committing([&] {
    while (!is_seen) {
      postgres_->Query("postgres", "SELECT pg_logical_emit_message(true, '', '')");
    }
  });
  const std::string waiting =
      "SELECT count(*) > 0 FROM pg_stat_activity WHERE wait_event = 'SyncRep'";
  EXPECT_TRUE(Becomes([&] { return postgres_->Query("postgres", waiting).front() == "t"; }));
  is_seen = true;
  ExpectNothingIsSpent(number);
  ExpectReadsGoOn();
  set("");
  committing.join();
  ExpectAllIsBack(number);
}

TEST_F(DatabaseAwayTest, StopIsNotHeldUpByOneThatFroze) {
  StartReplicas(1);
  Lease(FirstAvailable()).error_code();
  postgres_->Freeze();
  server_->Drain();
  ExpectStopsSoon();
  postgres_->Resume();
}

TEST_F(DatabaseAwayTest, StopIsNotHeldUpByAWriteThatNobodyWaitsForAnyMore) {
  StartReplicas(1);
  const std::string number = FirstAvailable();
  Fault(
      R"({"route":"POST /lease/{number}","count":1,"kind":"delay","delay_ms":1000,"when":"after"})");
  EXPECT_EQ(Lease(number, nullptr, 700).error_code(), StatusCode::ABORTED);
  postgres_->Freeze();
  std::this_thread::sleep_for(std::chrono::milliseconds(600));  // its outcome is on its way there
  ExpectStopsSoon();
  postgres_->Resume();
}

TEST_F(DatabaseAwayTest, StopIsNotHeldUpByOneThatNeverAnswered) {
  TcpProxy proxy(postgres_->port());
  proxy.SwallowAnswers();
  StartReplicas(1, [&](Config& config) {
    config.database_url = "postgresql://lease@127.0.0.1:" + std::to_string(proxy.port()) + "/a";
  });
  EXPECT_TRUE(Becomes([&] { return proxy.accepted() > 0; }));
  ExpectStopsSoon();
}

// A host that drops what it is sent: its backlog is full.
TEST_F(DatabaseAwayTest, StopIsNotHeldUpByOneThatCanNotBeReached) {
  asio::io_context io;
  asio::ip::tcp::acceptor full(io, asio::ip::tcp::v4());
  full.bind({asio::ip::address_v4::loopback(), 0});
  full.listen(0);
  std::vector<asio::ip::tcp::socket> waiting;
  for (int i = 0; i < 4; ++i) {
    waiting.emplace_back(io).async_connect(full.local_endpoint(),
                                           [](const boost::system::error_code&) {});
  }
  const std::string host = "127.0.0.1:" + std::to_string(full.local_endpoint().port());
  StartReplicas(1, [&](Config& config) {
    config.database_url =
        "postgresql://lease@" + host + "," + host + "," + host + "/a?connect_timeout=30";
  });
  ExpectStopsSoon();
}

// Another replica applies it, which may take long.
TEST_F(DatabaseAwayTest, StopIsNotHeldUpByAMigration) {
  database_ = postgres_->CreateDatabase();
  std::thread holding([this] {
    try {
      postgres_->Query(database_,
                       "SELECT pg_advisory_xact_lock(435510634341); SELECT pg_sleep(60)");
    } catch (const std::runtime_error&) {  // ended below
    }
  });
  const auto waits = [this](const std::string& event, std::size_t count) {
    return Becomes([&] {
      const auto rows = postgres_->Query(
          database_, "SELECT 1 FROM pg_stat_activity WHERE wait_event = '" + event + "'");
      return rows.size() == count;
    });
  };
  EXPECT_TRUE(waits("PgSleep", 1));
  StartReplicas(1);
  EXPECT_TRUE(waits("advisory", 1));
  ExpectStopsSoon();
  const pid_t pid = programs_.Start("migrate", "lease-gateway",
                                    {"--migrate", "--database-url", config_.database_url},
                                    {"CONTIGUITY_API_KEY=key"});
  EXPECT_TRUE(waits("advisory", 2)) << "the server has not noticed that the first one left";
  const auto began = steady_clock::now();
  kill(pid, SIGTERM);
  EXPECT_EQ(programs_.Wait(pid), 1) << ReadAll(programs_.Path("migrate.err"));
  EXPECT_LT(steady_clock::now() - began, seconds(2));
  EXPECT_THAT(ReadAll(programs_.Path("migrate.err")),
              AllOf(HasSubstr("database_url: "), HasSubstr("as the gateway stops")));
  postgres_->Query(
      database_,
      "SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE wait_event = 'PgSleep'");
  holding.join();
}

TEST_F(DatabaseAwayTest, GatewayStartsWithoutItAndFindsIt) {
  database_ = postgres_->CreateDatabase();
  postgres_->Stop();
  const auto began = steady_clock::now();
  StartReplicas(1);
  EXPECT_LT(steady_clock::now() - began, seconds(10));
  const std::string number = FirstAvailable();
  ExpectNothingIsSpent(number);
  ExpectReadsGoOn();
  postgres_->Start();
  ExpectAllIsBack(number);
}

}  // namespace
}  // namespace leasegateway
