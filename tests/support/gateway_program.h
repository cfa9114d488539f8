#ifndef LEASE_GATEWAY_TESTS_SUPPORT_GATEWAY_PROGRAM_H_
#define LEASE_GATEWAY_TESTS_SUPPORT_GATEWAY_PROGRAM_H_

#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <chrono>
#include <cstdlib>
#include <functional>
#include <iterator>
#include <memory>
#include <sstream>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "leasegateway/v1/lease_service.grpc.pb.h"
#include "tests/support/gateway_fixture.h"
#include "tests/support/http_client.h"
#include "tests/support/programs.h"

namespace leasegateway {

// The gateway as a process whose provider has a name, kHost; and a gRPC client.
class GatewayProgram : public testing::Test, protected Programs {
 protected:
  using Clock = std::chrono::steady_clock;
  using milliseconds = std::chrono::milliseconds;
  static constexpr char kHost[] = "api.provider.test";
  static constexpr char kKey[] = "contiguity_sk_road";

  // A sandbox that is good for kHost. Its authority is in Path(name + ".pem").
  struct Sandbox {
    pid_t pid = -1;
    std::string address;
    int port = 0;
    int control_port = 0;
  };
  // `port` 0: any free one. Its pid is -1 when it can't have the port.
  Sandbox StartSandbox(const std::string& name, const std::string& address = "127.0.0.1",
                       int port = 0, std::vector<std::string> more = {}) {
    more.insert(more.end(), {"--address", address, "--port", std::to_string(port), "--control-port",
                             "0", "--ca-out", Path(name + ".pem"), "--certificate-host", kHost});
    Sandbox sandbox;
    sandbox.address = address;
    sandbox.pid = Start(name, "lease-sandbox", more, {std::string("LEASE_SANDBOX_KEYS=") + kKey});
    const auto is_up = [&] {
      return ReadAll(Path(name + ".out")).find("key: ") != std::string::npos;
    };
    const auto failed = [&] { return !ReadAll(Path(name + ".err")).empty(); };
    EXPECT_TRUE(Eventually([&] { return is_up() || failed(); }));
    if (!is_up()) return {};
    sandbox.port = PortAfter(name + ".out", "url: ");
    sandbox.control_port = PortAfter(name + ".out", "control: ");
    return sandbox;
  }

  // The provider is kHost at `port`; further arguments count more than these.
  pid_t StartGateway(int port, std::vector<std::string> more) {
    gateway_ = Start("gateway", "lease-gateway", Arguments(port, std::move(more)),
                     {std::string("CONTIGUITY_API_KEY=") + kKey});
    Connect();
    return gateway_;
  }
  std::vector<std::string> Arguments(int port, std::vector<std::string> more) const {
    std::vector<std::string> arguments = {
        "--upstream-url", std::string("https://") + kHost + ":" + std::to_string(port) + "/numbers",
        "--journal",      ":memory:",
        "--listen",       "127.0.0.1:0",
        "--admin-listen", "127.0.0.1:0"};
    std::move(more.begin(), more.end(), std::back_inserter(arguments));
    return arguments;
  }
  // Once it serves.
  void Connect() {
    const std::string port = After("gateway.err", "serves gRPC on port ", " \n");
    admin_port_ = std::atoi(After("gateway.err", "the admin port is ", " \n").c_str());
    stub_ = v1::LeaseService::NewStub(
        grpc::CreateChannel("127.0.0.1:" + port, grpc::InsecureChannelCredentials()));
  }
  std::string Log() const { return ReadAll(Path("gateway.err")); }

  static std::unique_ptr<grpc::ClientContext> Context(milliseconds timeout) {
    auto context = std::make_unique<grpc::ClientContext>();
    context->set_deadline(std::chrono::system_clock::now() + timeout);
    context->set_wait_for_ready(true);
    return context;
  }
  // Past memory.
  grpc::Status Get(const std::string& number, milliseconds timeout = milliseconds(60'000)) {
    v1::GetNumberRequest request;
    request.set_phone_number(number);
    request.mutable_max_staleness();
    v1::GetNumberResponse response;
    return stub_->GetNumber(Context(timeout).get(), request, &response);
  }
  grpc::Status List(v1::ListAvailableNumbersResponse* response = nullptr,
                    milliseconds timeout = milliseconds(60'000)) {
    v1::ListAvailableNumbersRequest request;
    request.mutable_max_staleness();
    v1::ListAvailableNumbersResponse ignored;
    return stub_->ListAvailableNumbers(Context(timeout).get(), request,
                                       response != nullptr ? response : &ignored);
  }
  grpc::Status Lease(const std::string& number, milliseconds timeout = milliseconds(60'000)) {
    v1::CreateLeaseRequest request;
    request.set_phone_number(number);
    v1::CreateLeaseResponse response;
    return stub_->CreateLease(Context(timeout).get(), request, &response);
  }
  std::vector<std::string> Numbers() {
    v1::ListAvailableNumbersResponse response;
    const auto status = List(&response);
    EXPECT_TRUE(status.ok()) << status.error_message();
    std::vector<std::string> numbers;
    for (const auto& number : response.numbers()) numbers.push_back(number.phone_number());
    return numbers;
  }

  // The value of a sample, named with its labels; -1 when there is none.
  double Metric(const std::string& sample) const {
    std::istringstream text(Http(admin_port_, "GET", "/metrics").body);
    for (std::string line; std::getline(text, line);) {
      if (line.starts_with(sample + " ")) return std::stod(line.substr(sample.size()));
    }
    return -1;
  }

  // Until it is so, a minute at most.
  static bool Eventually(const std::function<bool()>& is_so) {
    const auto until = Clock::now() + std::chrono::minutes(1);
    while (!is_so()) {
      if (Clock::now() > until) return false;
      std::this_thread::sleep_for(milliseconds(5));
    }
    return true;
  }

  pid_t gateway_ = -1;
  int admin_port_ = 0;
  std::unique_ptr<v1::LeaseService::Stub> stub_;

 private:
  // Of the URL that follows `mark`.
  int PortAfter(const std::string& file, const std::string& mark) {
    const std::string url = After(file, mark, "\n");
    return std::atoi(url.substr(url.find(':', url.find("//")) + 1).c_str());
  }
};

}  // namespace leasegateway

#endif  // LEASE_GATEWAY_TESTS_SUPPORT_GATEWAY_PROGRAM_H_
