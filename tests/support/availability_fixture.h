#ifndef LEASE_GATEWAY_TESTS_SUPPORT_AVAILABILITY_FIXTURE_H_
#define LEASE_GATEWAY_TESTS_SUPPORT_AVAILABILITY_FIXTURE_H_

#include <algorithm>
#include <chrono>
#include <functional>
#include <regex>
#include <string>
#include <thread>

#include "tests/support/gateway_fixture.h"

namespace leasegateway {

// Reads, with what each said of the cache and what the provider was asked.
class AvailabilityTest : public GatewayTest {
 protected:
  static constexpr char kHit[] = "lease-gateway; hit; ttl=-?[0-9]+";
  static constexpr char kStored[] = "lease-gateway; fwd=miss; stored; ttl=[0-9]+";
  static constexpr auto kLongFresh = [](Config& config) {
    config.cache_fresh = std::chrono::milliseconds(60'000);
  };

  using ListRequest = v1::ListAvailableNumbersRequest;
  using ListResponse = v1::ListAvailableNumbersResponse;

  // A full match.
  static bool Matches(const std::string& text, const std::string& regex) {
    return std::regex_match(text, std::regex(regex));
  }

  static std::string CacheStatusOf(const grpc::ClientContext& context) {
    // Of an error it comes at the end, so that clients' retry policies still work.
    for (const auto* metadata :
         {&context.GetServerInitialMetadata(), &context.GetServerTrailingMetadata()}) {
      const auto found = metadata->find("cache-status");
      if (found != metadata->end()) return {found->second.data(), found->second.size()};
    }
    return "";
  }

  // Lists, and leaves what the call said of the cache in `cache_status_`.
  grpc::Status List(const ListRequest& request, ListResponse* response, int timeout_ms = 10'000) {
    const auto context = Context(timeout_ms);
    response->Clear();
    const auto status = stub_->ListAvailableNumbers(context.get(), request, response);
    cache_status_ = CacheStatusOf(*context);
    return status;
  }
  ListResponse MustList(const ListRequest& request = {}) {
    ListResponse response;
    const auto status = List(request, &response);
    EXPECT_TRUE(status.ok()) << status.error_message();
    return response;
  }

  // From memory, if that will do.
  grpc::Status Find(const std::string& number, v1::GetNumberResponse* response) {
    v1::GetNumberRequest request;
    request.set_phone_number(number);
    const auto context = Context();
    response->Clear();
    const auto status = stub_->GetNumber(context.get(), request, response);
    cache_status_ = CacheStatusOf(*context);
    return status;
  }

  v1::ListLeasesResponse Leases() {
    v1::ListLeasesResponse response;
    const auto context = Context();
    const auto status = stub_->ListLeases(context.get(), {}, &response);
    EXPECT_TRUE(status.ok()) << status.error_message();
    cache_status_ = CacheStatusOf(*context);
    return response;
  }

  grpc::Status GetLease(const std::string& number, v1::GetLeaseResponse* response) {
    v1::GetLeaseRequest request;
    request.set_phone_number(number);
    const auto context = Context();
    const auto status = stub_->GetLease(context.get(), request, response);
    cache_status_ = CacheStatusOf(*context);
    return status;
  }

  google::protobuf::Value Control(const std::string& method, const std::string& path,
                                  const std::string& body = "") {
    google::protobuf::Value value;
    const auto reply = sandbox_->Control(method, path, body);
    EXPECT_TRUE(reply.ok()) << reply.status();
    if (reply.ok()) {
      EXPECT_TRUE(google::protobuf::util::JsonStringToMessage(*reply, &value).ok()) << *reply;
    }
    return value;
  }

  // How many requests of a route the provider has had.
  int Asked(const std::string& route) {
    const auto stats = Control("GET", "/_sandbox/requests");
    const auto& routes = stats.struct_value().fields().at("routes").struct_value().fields();
    const auto found = routes.find(route);
    return found == routes.end() ? 0 : static_cast<int>(found->second.number_value());
  }

  // Until it is so, 10 s at most.
  static bool Eventually(const std::function<bool()>& is_so) {
    const auto until = std::chrono::steady_clock::now() + std::chrono::seconds(10);
    while (!is_so()) {
      if (std::chrono::steady_clock::now() > until) return false;
      std::this_thread::sleep_for(std::chrono::milliseconds(2));
    }
    return true;
  }

  static bool Has(const ListResponse& list, const std::string& number) {
    return std::any_of(list.numbers().begin(), list.numbers().end(),
                       [&](const v1::Number& each) { return each.phone_number() == number; });
  }
  static bool Has(const v1::ListLeasesResponse& list, const std::string& number) {
    return std::any_of(list.leases().begin(), list.leases().end(),
                       [&](const v1::Lease& each) { return each.phone_number() == number; });
  }

  static void ExpectBadField(const grpc::Status& status, const std::string& reason,
                             const std::string& field) {
    const auto failure = Explain(status);
    EXPECT_EQ(failure.code, grpc::StatusCode::INVALID_ARGUMENT) << status.error_message();
    EXPECT_EQ(failure.reason, reason);
    ASSERT_EQ(failure.bad_request.field_violations_size(), 1) << status.error_message();
    EXPECT_EQ(failure.bad_request.field_violations(0).field(), field);
  }

  std::string cache_status_;
};

}  // namespace leasegateway

#endif  // LEASE_GATEWAY_TESTS_SUPPORT_AVAILABILITY_FIXTURE_H_
