// The provider of one account is out of order, and another account's callers see nothing of it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <fstream>
#include <memory>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include "tests/support/callers_fixture.h"
#include "tests/support/http_client.h"
#include "tests/support/spending_callers.h"

namespace leasegateway {
namespace {

using testing::HasSubstr;

constexpr char kOutageCallers[] = R"(
roles: {all: [read, lease, see_operations]}
callers:
  - {name: seller, match: {spiffe: "spiffe://prod/seller"}, roles: {sales: [all]}}
  - {name: helper, match: {spiffe: "spiffe://prod/helper"}, roles: {support: [all]}}
)";

// "support" is at the fixture's sandbox, "sales" at one of its own.
class CallersOutageTest : public CallersTest {
 protected:
  void StartApart(const std::function<void(Config&)>& adjust = nullptr) {
    sandbox::SandboxOptions options;
    options.keys = {kSalesKey};
    auto started = sandbox::Sandbox::Start(options);
    ASSERT_TRUE(started.ok()) << started.status();
    sales_ = *std::move(started);
    StartWithCallers(
        kOutageCallers,
        [&](Config& config) {
          config.admin_listen = "127.0.0.1:0";
          std::ofstream(config.upstream_ca_file, std::ios::app) << sales_->ca_certificate();
          if (adjust) adjust(config);
        },
        ", url: " + sales_->url());
    numbers_ = PricedNumbers(*sandbox_, 30);
  }
  void BreakSales(const std::string& fault) {
    const auto reply = sales_->Control("POST", "/_sandbox/faults", fault);
    ASSERT_TRUE(reply.ok()) << reply.status();
  }
  // Past memory.
  grpc::Status List(const std::string& caller, int timeout_ms = 5'000) {
    v1::ListAvailableNumbersRequest request;
    request.mutable_max_staleness();
    v1::ListAvailableNumbersResponse response;
    return stub_->ListAvailableNumbers(As(caller, timeout_ms).get(), request, &response);
  }
  grpc::Status Get(const std::string& caller, const std::string& number) {
    v1::GetNumberRequest request;
    request.set_phone_number(number);
    request.mutable_max_staleness();
    v1::GetNumberResponse response;
    return stub_->GetNumber(As(caller, 5'000).get(), request, &response);
  }
  grpc::Status BuyNext(const std::string& caller) {
    v1::CreateLeaseRequest request;
    request.set_phone_number(numbers_[next_]);
    request.set_request_id(PurchaseId(next_++));
    v1::CreateLeaseResponse response;
    return stub_->CreateLease(As(caller, 5'000).get(), request, &response);
  }
  // The samples that say of a circuit of the account that it is not closed.
  std::vector<std::string> CircuitsNotClosed(const std::string& account) {
    std::istringstream text(Http(server_->admin_port(), "GET", "/metrics").body);
    std::vector<std::string> found;
    int closed = 0;
    for (std::string line; std::getline(text, line);) {
      if (line.find("breaker_state{account=\"" + account + "\"") == line.npos) continue;
      if (line.find("state=\"closed\"") == line.npos || line.back() != '1') {
        if (line.back() == '1') found.push_back(line);
      } else {
        ++closed;
      }
    }
    EXPECT_GT(closed, 0) << "no metrics of " << account;
    return found;
  }
  void ExpectSupportGoesOn() {
    for (int i = 0; i < 3; ++i) {
      const auto listed = List("helper");
      EXPECT_TRUE(listed.ok()) << listed.error_message();
      const auto bought = BuyNext("helper");
      EXPECT_TRUE(bought.ok()) << bought.error_message();
    }
    EXPECT_THAT(CircuitsNotClosed("support"), testing::IsEmpty());
    EXPECT_EQ(Http(server_->admin_port(), "GET", "/readyz").status, 200);
  }

  std::unique_ptr<sandbox::Sandbox> sales_;
  std::vector<std::string> numbers_;
  int next_ = 0;
};

TEST_F(CallersOutageTest, AnAccountIsItsOwnProviders) {
  StartApart();
  ASSERT_TRUE(List("seller").ok());
  EXPECT_TRUE(BuyNext("seller").ok());
  EXPECT_TRUE(BuyNext("helper").ok());
  EXPECT_EQ(CountAllInLedger(*sales_, "lease"), 1);
  EXPECT_EQ(CountAllInLedger(*sandbox_, "lease"), 1);
}

TEST_F(CallersOutageTest, AProviderThatFailsStopsItsAccountAlone) {
  StartApart();
  BreakSales(R"({"route":"*","fraction":1,"kind":"status","status":503})");
  std::string reason;
  for (int i = 0; i < 200 && reason != "CIRCUIT_OPEN"; ++i) {
    // A failure of one operation, for one number, is nobody's outage.
    reason = Explain(i % 2 == 0 ? List("seller") : Get("seller", numbers_[i % 30])).reason;
  }
  EXPECT_EQ(reason, "CIRCUIT_OPEN");
  EXPECT_THAT(CircuitsNotClosed("sales"), testing::Not(testing::IsEmpty()));
  ExpectSupportGoesOn();
  EXPECT_FALSE(BuyNext("seller").ok());
}

TEST_F(CallersOutageTest, AKeyThatIsRefusedStopsItsAccountAlone) {
  StartApart();
  BreakSales(R"({"route":"*","fraction":1,"kind":"status","status":401})");
  for (int i = 0; i < 10; ++i) {
    EXPECT_EQ(Explain(List("seller")).reason, "UPSTREAM_CREDENTIALS_REJECTED");
  }
  ExpectSupportGoesOn();
  const auto ready = Http(server_->admin_port(), "GET", "/readyz").body;
  EXPECT_THAT(ready, HasSubstr("sales"));
  EXPECT_THAT(ready, testing::Not(HasSubstr("support")));
}

// Its queue is full, and each of its connections waits.
TEST_F(CallersOutageTest, AProviderThatHangsStopsItsAccountAlone) {
  StartApart([](Config& config) {
    config.pool_size = 4;
    config.pool_queue = 8;
    config.response_timeout = std::chrono::seconds(60);
  });
  BreakSales(R"({"route":"*","fraction":1,"kind":"hang","when":"before"})");
  constexpr int kWaiting = 100;
  std::vector<std::unique_ptr<grpc::ClientContext>> contexts;
  for (int i = 0; i < kWaiting; ++i) contexts.push_back(As("seller", 60'000));
  std::vector<v1::GetNumberResponse> responses(kWaiting);
  std::atomic<int> ended{0}, overloaded{0};
  for (int i = 0; i < kWaiting; ++i) {
    v1::GetNumberRequest request;
    request.set_phone_number("+1305555" + std::to_string(1'000 + i));
    request.mutable_max_staleness();
    stub_->async()->GetNumber(contexts[i].get(), &request, &responses[i],
                              [&](const grpc::Status& status) {
                                if (Explain(status).reason == "OVERLOADED") ++overloaded;
                                ++ended;
                              });
  }
  const auto becomes = [](const std::atomic<int>& count, int value) {
    for (int i = 0; i < 2000 && count < value; ++i) {
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
    return count >= value;
  };
  EXPECT_TRUE(becomes(overloaded, kWaiting - 4 - 8));
  ExpectSupportGoesOn();
  // It still hangs; those that wait for their turn may have been given up meanwhile.
  EXPECT_LE(ended, kWaiting - 4);
  for (const auto& context : contexts) context->TryCancel();
  EXPECT_TRUE(becomes(ended, kWaiting));
}

}  // namespace
}  // namespace leasegateway
