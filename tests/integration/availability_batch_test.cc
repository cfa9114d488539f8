// Many numbers in one call, through a real gRPC client, the gateway and the sandbox.
#include <future>
#include <string>
#include <utility>

#include "tests/support/availability_fixture.h"

namespace leasegateway {
namespace {

using grpc::StatusCode;
using std::chrono::milliseconds;

TEST_F(AvailabilityTest, BatchAnswersEachNumberInOrder) {
  StartGateway(kLongFresh);
  const auto all = MustList();
  const std::string known = all.numbers(3).phone_number();
  v1::BatchGetNumbersRequest request;
  for (const std::string& number : {known, std::string("+19999999999"), std::string("0123"),
                                    all.numbers(0).phone_number(), known, std::string()}) {
    request.add_phone_numbers(number);
  }
  v1::BatchGetNumbersResponse response;
  const auto status = stub_->BatchGetNumbers(Context().get(), request, &response);
  ASSERT_TRUE(status.ok()) << status.error_message();
  ASSERT_EQ(response.results_size(), 6);
  for (int i = 0; i < 6; ++i) {
    EXPECT_EQ(response.results(i).phone_number(), request.phone_numbers(i));
  }
  for (const int i : {0, 3, 4}) {
    const auto& result = response.results(i);
    EXPECT_EQ(result.number().phone_number(), request.phone_numbers(i));
    EXPECT_EQ(result.metadata().SerializeAsString(), all.metadata().SerializeAsString());
  }
  EXPECT_EQ(response.results(0).number().SerializeAsString(), all.numbers(3).SerializeAsString());
  const auto reason_of = [&](int i) {
    google::rpc::ErrorInfo info;
    for (const auto& detail : response.results(i).error().details()) {
      static_cast<void>(detail.UnpackTo(&info));
    }
    EXPECT_FALSE(response.results(i).has_metadata());
    return std::pair(response.results(i).error().code(), info.reason());
  };
  EXPECT_EQ(reason_of(1),
            std::pair(static_cast<int>(StatusCode::NOT_FOUND), std::string("NUMBER_NOT_FOUND")));
  for (const int i : {2, 5}) {
    const auto& error = response.results(i).error();
    EXPECT_EQ(error.code(), static_cast<int>(StatusCode::INVALID_ARGUMENT)) << i;
    v1::GetNumberRequest alone;
    alone.set_phone_number(request.phone_numbers(i));
    v1::GetNumberResponse ignored;
    EXPECT_EQ(stub_->GetNumber(Context().get(), alone, &ignored).error_message(), error.message());
  }
  EXPECT_EQ(Asked("GET /{number}"), 1);
}

TEST_F(AvailabilityTest, BatchOfAThousandComesFromTheList) {
  StartGateway(kLongFresh);
  const auto all = MustList();
  v1::BatchGetNumbersRequest request;
  for (int i = 0; i < 1000; ++i) request.add_phone_numbers(all.numbers(i % 100).phone_number());
  v1::BatchGetNumbersResponse response;
  ASSERT_TRUE(stub_->BatchGetNumbers(Context().get(), request, &response).ok());
  ASSERT_EQ(response.results_size(), 1000);
  for (int i = 0; i < 1000; ++i) {
    EXPECT_EQ(response.results(i).number().SerializeAsString(),
              all.numbers(i % 100).SerializeAsString());
  }
  EXPECT_EQ(Asked("GET /{number}"), 0);
  EXPECT_EQ(Asked("GET /leases"), 1);
}

TEST_F(AvailabilityTest, ColdBatchAsksForTheListOnce) {
  StartGateway();
  const auto all = MustList();
  StartGateway(kLongFresh);  // with the same numbers, and nothing in memory
  v1::BatchGetNumbersRequest request;
  for (const auto& number : all.numbers()) request.add_phone_numbers(number.phone_number());
  v1::BatchGetNumbersResponse response;
  ASSERT_TRUE(stub_->BatchGetNumbers(Context().get(), request, &response).ok());
  ASSERT_EQ(response.results_size(), 100);
  for (const auto& result : response.results()) EXPECT_TRUE(result.has_number());
  EXPECT_EQ(Asked("GET /leases"), 1);
  EXPECT_EQ(Asked("GET /{number}"), 0);
}

TEST_F(AvailabilityTest, OneNumberOfABatchFailsAlone) {
  StartGateway();
  const auto all = MustList();
  StartGateway();
  const std::string bad = all.numbers(1).phone_number();
  Control("POST", "/_sandbox/numbers/" + bad, R"({"id":7})");
  v1::BatchGetNumbersRequest request;
  for (int i = 0; i < 3; ++i) request.add_phone_numbers(all.numbers(i).phone_number());
  v1::BatchGetNumbersResponse response;
  ASSERT_TRUE(stub_->BatchGetNumbers(Context().get(), request, &response).ok());
  ASSERT_EQ(response.results_size(), 3);
  EXPECT_TRUE(response.results(0).has_number());
  EXPECT_EQ(response.results(1).error().code(), static_cast<int>(StatusCode::INTERNAL));
  EXPECT_TRUE(response.results(2).has_number());
  EXPECT_EQ(Asked("GET /leases"), 0);  // few numbers are not worth a list
}

TEST_F(AvailabilityTest, BatchStopsAskingWhenItsCallerGoesAway) {
  StartGateway();
  const auto all = MustList();
  Fault(R"({"route":"GET /{number}","fraction":1,"kind":"hang"})");
  v1::BatchGetNumbersRequest request;
  request.mutable_max_staleness();  // zero: ask the provider
  for (const auto& number : all.numbers()) request.add_phone_numbers(number.phone_number());
  v1::BatchGetNumbersResponse response;
  const auto context = Context();
  std::promise<grpc::StatusCode> ended;
  stub_->async()->BatchGetNumbers(
      context.get(), &request, &response,
      [&](const grpc::Status& status) { ended.set_value(status.error_code()); });
  ASSERT_TRUE(Eventually([&] { return Asked("GET /{number}") == 16; }));
  context->TryCancel();
  EXPECT_EQ(ended.get_future().get(), StatusCode::CANCELLED);
  // Were there more to come, they would be before this one.
  Control("DELETE", "/_sandbox/faults");
  for (int i = 0; i < 3; ++i) {
    EXPECT_TRUE(Get("+19999999999").error_code() == StatusCode::NOT_FOUND);
  }
  EXPECT_EQ(Asked("GET /{number}"), 16 + 3);
}

TEST_F(AvailabilityTest, BatchAsksForNothingMoreAfterTheDeadline) {
  StartGateway([](Config& config) { config.default_deadline = milliseconds(300); });
  const auto all = MustList();
  Fault(R"({"route":"GET /{number}","fraction":1,"kind":"hang"})");
  v1::BatchGetNumbersRequest request;
  request.mutable_max_staleness();  // zero: ask the provider
  for (const auto& number : all.numbers()) request.add_phone_numbers(number.phone_number());
  v1::BatchGetNumbersResponse response;
  grpc::ClientContext without_deadline;
  const auto status = stub_->BatchGetNumbers(&without_deadline, request, &response);
  ASSERT_TRUE(status.ok()) << status.error_message();
  ASSERT_EQ(response.results_size(), 100);
  for (const auto& result : response.results()) {
    EXPECT_EQ(result.error().code(), static_cast<int>(StatusCode::DEADLINE_EXCEEDED));
  }
  EXPECT_EQ(Asked("GET /{number}"), 16);
}

}  // namespace
}  // namespace leasegateway
