#ifndef LEASE_GATEWAY_TESTS_SUPPORT_GATEWAY_FIXTURE_H_
#define LEASE_GATEWAY_TESTS_SUPPORT_GATEWAY_FIXTURE_H_

#include <google/protobuf/util/json_util.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "google/protobuf/struct.pb.h"
#include "google/rpc/error_details.pb.h"
#include "google/rpc/status.pb.h"
#include "leasegateway/v1/lease_service.grpc.pb.h"
#include "service/server.h"
#include "upstream/sandbox/sandbox.h"

namespace leasegateway {

inline constexpr char kRequestId[] = "9b2f6a3e-5c1d-4f7a-8e90-1a2b3c4d5e6f";
inline constexpr char kOtherId[] = "1c0e7a52-88d3-4b1f-9f6e-2b7d0a4c9e11";

// What a caller learns from a failed call.
struct Failure {
  grpc::StatusCode code;
  std::string reason;
  google::rpc::ErrorInfo info;
  google::rpc::BadRequest bad_request;
  google::rpc::Help help;
  std::set<std::string> detail_types;
};

inline Failure Explain(const grpc::Status& status) {
  Failure failure;
  failure.code = status.error_code();
  google::rpc::Status details;
  EXPECT_TRUE(details.ParseFromString(status.error_details()));
  for (const auto& detail : details.details()) {
    failure.detail_types.insert(detail.type_url().substr(detail.type_url().rfind('.') + 1));
    // At most one of them it is.
    static_cast<void>(detail.UnpackTo(&failure.info) || detail.UnpackTo(&failure.bad_request) ||
                      detail.UnpackTo(&failure.help));
  }
  failure.reason = failure.info.reason();
  return failure;
}

// A sandbox and a gateway in front of it, talking over verified TLS, and a real gRPC client.
class GatewayTest : public testing::Test {
 protected:
  void TearDown() override {
    if (!ca_file_.empty()) std::filesystem::remove(ca_file_);
  }

  // `adjust` may change the configuration before the gateway starts.
  void StartGateway(const std::function<void(Config&)>& adjust = nullptr,
                    sandbox::SandboxOptions options = {}) {
    // Debian's spdlog makes its registry at first use. Were that on another thread, then
    // ThreadSanitizer, which does not see into the library, would take each later use for a race.
    spdlog::default_logger_raw();
    auto sandbox = sandbox::Sandbox::Start(options);
    ASSERT_TRUE(sandbox.ok()) << sandbox.status();
    sandbox_ = *std::move(sandbox);
    ca_file_ = testing::TempDir() + "/lease-gateway-ca-" + std::to_string(getpid()) + ".pem";
    std::ofstream(ca_file_) << sandbox_->ca_certificate();
    Config config;
    config.listen = "127.0.0.1:0";
    config.upstream_url = sandbox_->url();
    config.upstream_ca_file = ca_file_;
    config.api_key = sandbox_->key();
    config.grace = std::chrono::milliseconds(5000);
    config.journal = ":memory:";
    if (adjust) adjust(config);
    config_ = config;
    Serve();
  }

  // Starts the gateway, after the end of the one that ran before.
  void Serve() {
    server_.reset();
    auto server = Server::Start(config_);
    ASSERT_TRUE(server.ok()) << server.status();
    server_ = *std::move(server);
    target_ = "127.0.0.1:" + std::to_string(server_->port());
    channel_ = grpc::CreateChannel(target_, grpc::InsecureChannelCredentials());
    stub_ = v1::LeaseService::NewStub(channel_);
  }

  static std::unique_ptr<grpc::ClientContext> Context(int timeout_ms = 10'000) {
    auto context = std::make_unique<grpc::ClientContext>();
    context->set_deadline(std::chrono::system_clock::now() + std::chrono::milliseconds(timeout_ms));
    return context;
  }

  std::string FirstAvailable() {
    v1::ListAvailableNumbersResponse response;
    const auto status = stub_->ListAvailableNumbers(Context().get(), {}, &response);
    EXPECT_TRUE(status.ok()) << status.error_message();
    return response.numbers_size() > 0 ? response.numbers(0).phone_number() : "";
  }

  // The first `count` of the available numbers.
  std::vector<std::string> Available(int count) {
    v1::ListAvailableNumbersResponse response;
    const auto status = stub_->ListAvailableNumbers(Context().get(), {}, &response);
    EXPECT_TRUE(status.ok()) << status.error_message();
    EXPECT_GE(response.numbers_size(), count);
    std::vector<std::string> numbers;
    for (int i = 0; i < std::min(count, response.numbers_size()); ++i) {
      numbers.push_back(response.numbers(i).phone_number());
    }
    return numbers;
  }

  // Asks the provider, whatever memory has.
  grpc::Status Get(const std::string& number, v1::GetNumberResponse* response = nullptr,
                   int timeout_ms = 10'000) {
    v1::GetNumberRequest request;
    request.set_phone_number(number);
    request.mutable_max_staleness()->set_seconds(0);
    v1::GetNumberResponse ignored;
    return stub_->GetNumber(Context(timeout_ms).get(), request, response ? response : &ignored);
  }

  // Without a `request_id` the gateway makes one.
  grpc::Status Lease(const std::string& number, v1::CreateLeaseResponse* response = nullptr,
                     int timeout_ms = 10'000, const std::string& request_id = "") {
    v1::CreateLeaseRequest request;
    request.set_phone_number(number);
    request.set_request_id(request_id);
    v1::CreateLeaseResponse ignored;
    return stub_->CreateLease(Context(timeout_ms).get(), request, response ? response : &ignored);
  }

  grpc::Status Terminate(const std::string& number, v1::TerminateLeaseResponse* response = nullptr,
                         const std::string& request_id = "") {
    v1::TerminateLeaseRequest request;
    request.set_phone_number(number);
    request.set_request_id(request_id);
    v1::TerminateLeaseResponse ignored;
    return stub_->TerminateLease(Context().get(), request, response ? response : &ignored);
  }

  void Fault(const std::string& json) {
    const auto reply = sandbox_->Control("POST", "/_sandbox/faults", json);
    ASSERT_TRUE(reply.ok()) << reply.status();
  }

  // The ledger's entries of a kind for a number: what was really bought.
  int CountInLedger(const std::string& kind, const std::string& number) {
    const auto reply = sandbox_->Control("GET", "/_sandbox/ledger", "");
    EXPECT_TRUE(reply.ok()) << reply.status();
    google::protobuf::Value value;
    EXPECT_TRUE(google::protobuf::util::JsonStringToMessage(*reply, &value).ok()) << *reply;
    const auto& list = value.has_list_value()
                           ? value.list_value()
                           : value.struct_value().fields().begin()->second.list_value();
    int count = 0;
    for (const auto& entry : list.values()) {
      const auto& fields = entry.struct_value().fields();
      count +=
          fields.at("kind").string_value() == kind && fields.at("number").string_value() == number;
    }
    return count;
  }

  std::unique_ptr<sandbox::Sandbox> sandbox_;
  std::string ca_file_;
  Config config_;
  std::unique_ptr<Server> server_;
  std::string target_;
  std::shared_ptr<grpc::Channel> channel_;
  std::unique_ptr<v1::LeaseService::Stub> stub_;
};

}  // namespace leasegateway

#endif  // LEASE_GATEWAY_TESTS_SUPPORT_GATEWAY_FIXTURE_H_
