// Whom a fault of the provider's is held against: a number, an operation or the provider.
#include <gtest/gtest.h>

#include <future>

#include "absl/strings/str_cat.h"
#include "tests/support/gateway_fixture.h"

namespace leasegateway {
namespace {

class CircuitTest : public GatewayTest {
 protected:
  void Start() {
    StartGateway([](Config& config) { config.retry_attempts = 1; });
    numbers_ = Available(25);
    ASSERT_EQ(numbers_.size(), 25U);
  }
  static grpc::Status List(v1::LeaseService::Stub& stub) {
    v1::ListAvailableNumbersRequest request;
    request.mutable_max_staleness()->set_seconds(0);
    v1::ListAvailableNumbersResponse response;
    return stub.ListAvailableNumbers(Context().get(), request, &response);
  }
  static grpc::Status ListLeases(v1::LeaseService::Stub& stub) {
    v1::ListLeasesRequest request;
    request.mutable_max_staleness()->set_seconds(0);
    v1::ListLeasesResponse response;
    return stub.ListLeases(Context().get(), request, &response);
  }
  static grpc::Status GetForwarding(v1::LeaseService::Stub& stub, const std::string& number,
                                    int timeout_ms = 10'000) {
    v1::GetCallForwardingRequest request;
    request.set_phone_number(number);
    v1::GetCallForwardingResponse response;
    return stub.GetCallForwarding(Context(timeout_ms).get(), request, &response);
  }
  // Empty when no circuit refused it.
  static std::string CircuitOf(const grpc::Status& status) {
    const auto failure = Explain(status);
    return failure.reason == "CIRCUIT_OPEN" ? failure.info.metadata().at("circuit") : "";
  }

  std::vector<std::string> numbers_;
};

struct KindRow {
  const char* name;
  const char* kind;
  const char* reason;
};
void PrintTo(const KindRow& row, std::ostream* out) { *out << row.name; }

class OneNumber : public CircuitTest, public testing::WithParamInterface<KindRow> {};

TEST_P(OneNumber, ThatAlwaysFailsIsNobodysOutage) {
  Start();
  const std::string& poison = numbers_[0];
  Fault(absl::StrCat(R"({"route":"GET /{number}","number":")", poison, R"(","fraction":1,)",
                     GetParam().kind, "}"));
  for (int i = 0; i < 60; ++i) {
    EXPECT_EQ(Explain(Get(poison)).reason, GetParam().reason) << i;
    if (i % 4 == 0) {
      const auto status = Get(numbers_[1 + static_cast<std::size_t>(i) / 4]);
      EXPECT_TRUE(status.ok()) << i << ": " << status.error_message();
    }
  }
  EXPECT_TRUE(List(*stub_).ok());
  EXPECT_TRUE(ListLeases(*stub_).ok());
  EXPECT_TRUE(Lease(numbers_[1]).ok());
  EXPECT_EQ(CountInLedger("lease", numbers_[1]), 1);
}

constexpr KindRow kKinds[] = {{"Garbage", R"("kind":"garbage")", "UPSTREAM_MALFORMED"},
                              {"Failed", R"("kind":"status","status":500)", "UPSTREAM_FAILED"},
                              {"Page", R"("kind":"html","status":403)", "UPSTREAM_INTERMEDIARY"},
                              {"Closed", R"("kind":"close")", "UPSTREAM_UNREACHABLE"}};
INSTANTIATE_TEST_SUITE_P(Kinds, OneNumber, testing::ValuesIn(kKinds),
                         [](const auto& row) { return row.param.name; });

TEST_F(CircuitTest, ProviderThatFailsAtAllIsNotAsked) {
  Start();
  Fault(R"({"route":"*","fraction":1,"kind":"status","status":503})");
  std::string circuit;
  for (std::size_t i = 0; i < 100 && circuit != "provider"; ++i) {
    Get(numbers_[i % 25]);
    List(*stub_);
    circuit = CircuitOf(ListLeases(*stub_));
  }
  EXPECT_EQ(circuit, "provider");
  // Nobody has asked for it before.
  EXPECT_EQ(CircuitOf(GetForwarding(*stub_, numbers_[0])), "provider");
}

TEST_F(CircuitTest, HastyCallersOfASlowOperationHurtNobody) {
  Start();
  ASSERT_TRUE(Lease(numbers_[0]).ok());
  Fault(R"({"route":"GET /lease/{number}/call_forwarding","fraction":1,"kind":"delay",
            "delay_ms":700})");
  EXPECT_TRUE(GetForwarding(*stub_, numbers_[0]).ok());  // shows how long it takes
  std::vector<std::future<grpc::Status>> hasty;
  for (const std::string& number : numbers_) {
    hasty.push_back(std::async(
        std::launch::async, [&, stub = stub_.get()] { return GetForwarding(*stub, number, 600); }));
  }
  EXPECT_TRUE(List(*stub_).ok());
  for (auto& status : hasty) {
    EXPECT_EQ(status.get().error_code(), grpc::StatusCode::DEADLINE_EXCEEDED);
  }
  EXPECT_TRUE(ListLeases(*stub_).ok());
  EXPECT_TRUE(Get(numbers_[1]).ok());
  EXPECT_TRUE(GetForwarding(*stub_, numbers_[0]).ok());
}

}  // namespace
}  // namespace leasegateway
