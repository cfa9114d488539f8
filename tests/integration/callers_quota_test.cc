// Quotas of callers, as a caller meets them, and what it is told of itself.

#include <gmock/gmock.h>
#include <google/rpc/error_details.pb.h>
#include <google/rpc/status.pb.h>
#include <gtest/gtest.h>

#include <chrono>
#include <cstdint>
#include <functional>
#include <future>
#include <map>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "tests/support/callers_fixture.h"

namespace leasegateway {
namespace {

// Rates so low that none comes back while a test runs.
constexpr char kQuotaCallers[] = R"(
roles:
  all: [read, watch, lease, see_operations]
callers:
  - name: few
    match: {spiffe: spiffe://prod/few}
    roles: {sales: [all]}
    quotas: {reads_per_second: 0.001, reads_burst: 3, writes_per_second: 0.001, writes_burst: 1}
  - name: rows
    match: {spiffe: spiffe://prod/rows}
    roles: {sales: [all]}
    quotas: {rows_per_minute: 5}
  - name: watch
    match: {spiffe: spiffe://prod/watch}
    roles: {sales: [all]}
    quotas: {watchers: 1}
  - name: one
    match: {spiffe: spiffe://prod/one}
    roles: {sales: [all]}
    quotas: {calls_in_flight: 1}
  - name: busy
    match: {spiffe: spiffe://prod/busy}
    roles: {sales: [all]}
  - name: free
    match: {spiffe: spiffe://prod/free}
    roles: {sales: [all]}
)";

class CallersQuotaTest : public CallersTest {
 protected:
  grpc::Status List(const std::string& caller) {
    v1::ListAvailableNumbersResponse response;
    return stub_->ListAvailableNumbers(As(caller).get(), {}, &response);
  }
  // Past memory; `last`: a digit, as equal reads would share one request.
  grpc::Status Get(const std::string& caller, int last, int timeout_ms = 10'000) {
    v1::GetNumberRequest request;
    request.set_phone_number("+1305555010" + std::to_string(last));
    request.mutable_max_staleness();
    v1::GetNumberResponse response;
    return stub_->GetNumber(As(caller, timeout_ms).get(), request, &response);
  }
  bool HasRoom(const std::string& caller) {
    v1::WhoAmIResponse who;
    return stub_->WhoAmI(As(caller).get(), {}, &who).ok();
  }
  // Whether it is so within some seconds: the server hears of the end of a call a moment later.
  static bool Becomes(const std::function<bool()>& is_so) {
    for (int i = 0; i < 1'000; ++i) {
      if (is_so()) return true;
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
    return false;
  }
  static void ExpectQuota(const grpc::Status& status, const std::string& limit) {
    const Failure failure = Explain(status);
    EXPECT_EQ(failure.code, grpc::StatusCode::RESOURCE_EXHAUSTED) << status.error_message();
    EXPECT_EQ(failure.reason, "QUOTA_EXCEEDED");
    EXPECT_EQ(failure.info.metadata().at("limit"), limit);
    EXPECT_EQ(failure.detail_types.count("QuotaFailure"), 1U);
    EXPECT_EQ(failure.detail_types.count("RetryInfo"), 1U);
  }
};

TEST_F(CallersQuotaTest, ReadsAndWritesAreCountedApart) {
  StartWithCallers(kQuotaCallers);
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(List("few").ok()) << i;
  ExpectQuota(List("few"), "reads_per_second");
  v1::CreateLeaseRequest request;
  request.set_validate_only(true);
  request.set_phone_number("+13059478667");
  request.set_request_id(kRequestId);
  v1::CreateLeaseResponse response;
  EXPECT_NE(Explain(stub_->CreateLease(As("few").get(), request, &response)).reason,
            "QUOTA_EXCEEDED");
  ExpectQuota(stub_->CreateLease(As("few").get(), request, &response), "writes_per_second");
  EXPECT_TRUE(List("free").ok());
}

// A hit and a miss both count their rows.
TEST_F(CallersQuotaTest, RowsOfListsAreCounted) {
  StartWithCallers(kQuotaCallers);
  EXPECT_TRUE(List("rows").ok());  // 100 rows: owed
  ExpectQuota(List("rows"), "rows_per_minute");
  v1::ListLeasesResponse response;
  ExpectQuota(stub_->ListLeases(As("rows").get(), {}, &response), "rows_per_minute");
  EXPECT_TRUE(List("free").ok());
  EXPECT_TRUE(List("free").ok());
}

TEST_F(CallersQuotaTest, WatchersAreCountedAndGiveTheirPlaceBack) {
  StartWithCallers(kQuotaCallers);
  const auto first = As("watch");
  auto watching = stub_->WatchAvailability(first.get(), {});
  v1::WatchAvailabilityResponse message;
  ASSERT_TRUE(watching->Read(&message));
  const auto second = As("watch");
  auto refused = stub_->WatchAvailability(second.get(), {});
  EXPECT_FALSE(refused->Read(&message));
  ExpectQuota(refused->Finish(), "watchers");
  first->TryCancel();
  watching->Finish();
  // The server hears of the end a moment later.
  for (int i = 0; i < 1000; ++i) {
    const auto again = As("watch");
    auto third = stub_->WatchAvailability(again.get(), {});
    if (third->Read(&message)) return;
    third->Finish();
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  FAIL() << "the place never came back";
}

TEST_F(CallersQuotaTest, CallsInFlightAreCountedAndGiveTheirPlaceBack) {
  StartWithCallers(kQuotaCallers);
  Fault(R"({"route":"GET /{number}","count":2,"kind":"hang"})");
  auto other = std::async(std::launch::async, [this] { return Get("one", 1, 1'000); });
  grpc::Status first = Get("one", 2, 1'000);
  grpc::Status second = other.get();
  if (Explain(first).reason != "QUOTA_EXCEEDED") std::swap(first, second);
  ExpectQuota(first, "calls_in_flight");
  EXPECT_EQ(second.error_code(), grpc::StatusCode::DEADLINE_EXCEEDED);
  EXPECT_TRUE(Becomes([this] { return HasRoom("one"); }));
}

// Of four places it has two, and the others are for others.
TEST_F(CallersQuotaTest, NobodyHasMoreCallsUnderWayThanItLeavesFree) {
  StartWithCallers(kQuotaCallers, [](Config& config) { config.max_calls = 4; });
  Fault(R"({"route":"GET /{number}","count":10,"kind":"hang"})");
  std::vector<std::future<grpc::Status>> hanging;
  for (int i = 0; i < 2; ++i) {
    hanging.push_back(std::async(std::launch::async, [this, i] {
      grpc::Status status;
      // While it is looked whether there is room, there may be none for a moment.
      do status = Get("busy", i, 5'000);
      while (Explain(status).reason == "OVERLOADED");
      return status;
    }));
  }
  ASSERT_TRUE(Becomes([this] { return !HasRoom("busy"); }));
  EXPECT_EQ(Explain(Get("busy", 2)).reason, "OVERLOADED");
  EXPECT_TRUE(HasRoom("free"));
  EXPECT_NE(Explain(Get("free", 3, 500)).reason, "OVERLOADED");
  for (auto& each : hanging) {
    EXPECT_EQ(each.get().error_code(), grpc::StatusCode::DEADLINE_EXCEEDED);
  }
  EXPECT_TRUE(Becomes([this] { return HasRoom("busy"); }));
}

TEST_F(CallersQuotaTest, WhoAmITellsRightsAndWhatIsLeft) {
  StartWithCallers(kQuotaCallers);
  ASSERT_TRUE(List("few").ok());
  v1::WhoAmIResponse who;
  const auto status = stub_->WhoAmI(As("few").get(), {}, &who);
  ASSERT_TRUE(status.ok()) << status.error_message();
  EXPECT_EQ(who.caller(), "few");
  EXPECT_EQ(who.identity(), "spiffe://prod/few");
  EXPECT_EQ(who.identity_kind(), v1::IDENTITY_KIND_SPIFFE_ID);
  ASSERT_EQ(who.accounts_size(), 1);
  EXPECT_EQ(who.accounts(0).account(), "sales");
  EXPECT_THAT(who.accounts(0).rights(),
              testing::ElementsAre("read", "watch", "lease", "see_operations"));
  std::map<std::string, std::int64_t> left;
  for (const auto& limit : who.limits()) left[limit.name()] = limit.left().count();
  EXPECT_EQ(left.at("reads_burst"), 1);  // of 3: the list and this
  EXPECT_EQ(left.at("writes_burst"), 1);
}

TEST_F(CallersQuotaTest, NobodyIsToldThatItIsNobody) {
  StartWithCallers(kQuotaCallers);
  v1::WhoAmIResponse who;
  ASSERT_TRUE(stub_->WhoAmI(As("").get(), {}, &who).ok());
  EXPECT_EQ(who.caller(), "anonymous");
  EXPECT_EQ(who.identity_kind(), v1::IDENTITY_KIND_ANONYMOUS);
  EXPECT_EQ(who.accounts_size(), 0);
}

// The file is read anew; what is wrong leaves the old one in force.
TEST_F(CallersQuotaTest, AChangedFileCountsAndABadOneDoesNot) {
  StartWithCallers(kQuotaCallers);
  EXPECT_TRUE(List("free").ok());
  WriteCallers(
      "roles: {none: [see_operations]}\ncallers:\n"
      "  - {name: free, match: {spiffe: spiffe://prod/free}, roles: {sales: [none]}}\n");
  bool refused = false;
  for (int i = 0; i < 1000 && !refused; ++i) {
    refused = Explain(List("free")).reason == "NOT_ALLOWED";
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  EXPECT_TRUE(refused);
  Write("callers.yaml", "callers: [\n");
  std::this_thread::sleep_for(std::chrono::milliseconds(200));
  EXPECT_EQ(Explain(List("free")).reason, "NOT_ALLOWED");
  WriteCallers(kQuotaCallers);
  bool let_in = false;
  for (int i = 0; i < 1000 && !let_in; ++i) {
    let_in = List("free").ok();
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  EXPECT_TRUE(let_in);
}

}  // namespace
}  // namespace leasegateway
