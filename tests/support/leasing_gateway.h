#ifndef LEASE_GATEWAY_TESTS_SUPPORT_LEASING_GATEWAY_H_
#define LEASE_GATEWAY_TESTS_SUPPORT_LEASING_GATEWAY_H_

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <string>
#include <thread>
#include <vector>

#include "tests/support/gateway_fixture.h"

namespace leasegateway {

// Leases and terminates, and sees what the journal, the ledger and the provider have of it.
class LeasingTest : public GatewayTest {
 protected:
  static constexpr char kSecondKey[] = "contiguity_sk_second";

  static google::type::Money Usd(std::int64_t units) {
    google::type::Money money;
    money.set_currency_code("USD");
    money.set_units(units);
    return money;
  }

  ~LeasingTest() override {
    server_.reset();
    if (!folder_.empty()) std::filesystem::remove_all(folder_);
  }

  // The journal in a file, so that a gateway that starts again finds it.
  void KeepJournal(Config& config) {
    std::string pattern = testing::TempDir() + "leasing_testXXXXXX";
    folder_ = mkdtemp(pattern.data());
    config.journal = folder_ + "/journal.db";
  }

  grpc::Status LeaseAny(const v1::LeaseAnyNumberRequest& request,
                        v1::LeaseAnyNumberResponse* response) {
    return stub_->LeaseAnyNumber(Context().get(), request, response);
  }

  // The cheapest first, at most `units` dollars a month.
  static v1::LeaseAnyNumberRequest Cheapest(std::int64_t units) {
    v1::LeaseAnyNumberRequest request;
    request.set_request_id(kRequestId);
    request.set_order_by("pricing.monthly_rate");
    *request.mutable_filter()->mutable_max_monthly_rate() = Usd(units);
    *request.mutable_filter()->mutable_max_upfront_fee() = Usd(1'000'000);
    return request;
  }

  // What can be leased, as `request` has it in order.
  std::vector<v1::Number> Candidates(const v1::LeaseAnyNumberRequest& request) {
    v1::ListAvailableNumbersRequest list;
    *list.mutable_filter() = request.filter();
    list.set_order_by(request.order_by());
    v1::ListAvailableNumbersResponse response;
    const auto status = stub_->ListAvailableNumbers(Context().get(), list, &response);
    EXPECT_TRUE(status.ok()) << status.error_message();
    return {response.numbers().begin(), response.numbers().end()};
  }

  v1::Operation OperationOf(const std::string& request_id) {
    v1::GetOperationRequest request;
    request.set_request_id(request_id);
    v1::GetOperationResponse response;
    const auto status = stub_->GetOperation(Context().get(), request, &response);
    EXPECT_TRUE(status.ok()) << status.error_message();
    return response.operation();
  }

  // The operation once it is in `state`; as it is after 20 s, if it never is.
  v1::Operation Eventually(const std::string& request_id, v1::OperationState state) {
    v1::Operation operation = OperationOf(request_id);
    for (int i = 0; i < 400 && operation.state() != state; ++i) {
      std::this_thread::sleep_for(std::chrono::milliseconds(50));
      operation = OperationOf(request_id);
    }
    return operation;
  }

  // The account's lease of the number, as the provider has it now; empty: none.
  std::string LeaseIdNow(const std::string& number) {
    v1::GetNumberResponse response;
    EXPECT_TRUE(Get(number, &response).ok());
    return response.number().lease().lease_id();
  }

  void ExpectOnePurchase(const std::string& number) {
    EXPECT_EQ(CountInLedger("lease", number), 1);
    EXPECT_EQ(CountInLedger("charge", number), 1);
  }

  void Patch(const std::string& number, const std::string& json) {
    const auto reply = sandbox_->Control("POST", "/_sandbox/numbers/" + number, json);
    ASSERT_TRUE(reply.ok()) << reply.status();
  }

  // How many requests the provider got on a route.
  int Asked(const std::string& route) {
    const auto reply = sandbox_->Control("GET", "/_sandbox/requests", "");
    google::protobuf::Struct stats;
    EXPECT_TRUE(google::protobuf::util::JsonStringToMessage(*reply, &stats).ok());
    const auto& routes = stats.fields().at("routes").struct_value().fields();
    const auto found = routes.find(route);
    return found == routes.end() ? 0 : static_cast<int>(found->second.number_value());
  }

  // Has another account of the same provider lease the number.
  void TakeAway(const std::string& number) {
    Config config = config_;
    config.api_key = kSecondKey;
    config.journal = ":memory:";
    const auto other = Server::Start(config);
    ASSERT_TRUE(other.ok()) << other.status();
    const auto stub = v1::LeaseService::NewStub(grpc::CreateChannel(
        "127.0.0.1:" + std::to_string((*other)->port()), grpc::InsecureChannelCredentials()));
    v1::CreateLeaseRequest request;
    request.set_phone_number(number);
    v1::CreateLeaseResponse response;
    const auto status = stub->CreateLease(Context().get(), request, &response);
    ASSERT_TRUE(status.ok()) << status.error_message();
  }

  sandbox::SandboxOptions TwoAccounts() {
    sandbox::SandboxOptions options;
    options.keys = {"contiguity_sk_first", kSecondKey};
    return options;
  }

  std::string folder_;
};

}  // namespace leasegateway

#endif  // LEASE_GATEWAY_TESTS_SUPPORT_LEASING_GATEWAY_H_
