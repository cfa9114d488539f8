// A database that is away: reads go on, nothing is spent, and all of it comes back by itself.
#include <gmock/gmock.h>

#include <chrono>
#include <string>

#include "tests/support/replicas.h"

namespace leasegateway {
namespace {

using grpc::StatusCode;
using std::chrono::seconds;
using std::chrono::steady_clock;
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
  ExpectNothingIsSpent(number);
  ExpectReadsGoOn();
  set("");
  ExpectAllIsBack(number);
}

TEST_F(DatabaseAwayTest, StopIsNotHeldUp) {
  StartReplicas(1);
  Lease(FirstAvailable()).error_code();
  postgres_->Freeze();
  server_->Drain();
  const auto began = steady_clock::now();
  server_.reset();
  EXPECT_LT(steady_clock::now() - began, seconds(10));
  postgres_->Resume();
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
