// The service config that callers copy, in gRPC's own client: what it tries again and what it does
// not, over servers that answer as scripted, and over a gateway.
#include <gmock/gmock.h>
#include <grpcpp/health_check_service_interface.h>

#include <deque>
#include <mutex>
#include <sstream>

#include "tests/support/gateway_fixture.h"

namespace leasegateway {
namespace {

using grpc::StatusCode;
using ::testing::Each;
using ::testing::SizeIs;

constexpr char kService[] = "leasegateway.v1.LeaseService";

std::string ServiceConfig() {
  std::ifstream file(SOURCE_DIR "/proto/leasegateway/v1/service_config.json");
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

std::unique_ptr<v1::LeaseService::Stub> StubOf(const std::string& target) {
  grpc::ChannelArguments arguments;
  arguments.SetServiceConfigJSON(ServiceConfig());
  return v1::LeaseService::NewStub(
      grpc::CreateCustomChannel(target, grpc::InsecureChannelCredentials(), arguments));
}

// Answers with the codes of its script, then with OK, and keeps the requests.
class ScriptedService final : public v1::LeaseService::Service {
 public:
  explicit ScriptedService(std::deque<StatusCode> script) : script_(std::move(script)) {}

  grpc::Status GetNumber(grpc::ServerContext*, const v1::GetNumberRequest* request,
                         v1::GetNumberResponse*) override {
    return Next(*request);
  }
  grpc::Status CreateLease(grpc::ServerContext*, const v1::CreateLeaseRequest* request,
                           v1::CreateLeaseResponse*) override {
    return Next(*request);
  }
  grpc::Status LeaseAnyNumber(grpc::ServerContext*, const v1::LeaseAnyNumberRequest* request,
                              v1::LeaseAnyNumberResponse*) override {
    return Next(*request);
  }
  grpc::Status TerminateLease(grpc::ServerContext*, const v1::TerminateLeaseRequest* request,
                              v1::TerminateLeaseResponse*) override {
    return Next(*request);
  }
  grpc::Status ConfigureFailover(grpc::ServerContext*, const v1::ConfigureFailoverRequest* request,
                                 v1::ConfigureFailoverResponse*) override {
    return Next(*request);
  }

  std::vector<std::string> requests() const {
    const std::lock_guard lock(mutex_);
    return requests_;
  }

 private:
  grpc::Status Next(const google::protobuf::Message& request) {
    const std::lock_guard lock(mutex_);
    requests_.push_back(request.SerializeAsString());
    if (script_.empty()) return grpc::Status::OK;
    const StatusCode code = script_.front();
    script_.pop_front();
    return code == StatusCode::OK ? grpc::Status::OK : grpc::Status(code, "as scripted");
  }

  mutable std::mutex mutex_;
  std::deque<StatusCode> script_;
  std::vector<std::string> requests_;
};

// A server that does so, and says of itself that it serves.
struct ScriptedServer {
  explicit ScriptedServer(std::deque<StatusCode> script = {}) : service(std::move(script)) {
    grpc::EnableDefaultHealthCheckService(true);
    grpc::ServerBuilder builder;
    builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port);
    builder.RegisterService(&service);
    server = builder.BuildAndStart();
    server->GetHealthCheckService()->SetServingStatus(kService, true);
  }
  std::string address() const { return "127.0.0.1:" + std::to_string(port); }

  ScriptedService service;
  int port = 0;
  std::unique_ptr<grpc::Server> server;
};

grpc::Status CreateLease(v1::LeaseService::Stub& stub, const std::string& number,
                         const std::string& request_id) {
  grpc::ClientContext context;
  v1::CreateLeaseRequest request;
  request.set_phone_number(number);
  request.set_request_id(request_id);
  v1::CreateLeaseResponse response;
  return stub.CreateLease(&context, request, &response);
}

grpc::Status GetNumber(v1::LeaseService::Stub& stub) {
  grpc::ClientContext context;
  v1::GetNumberRequest request;
  request.set_phone_number("+13123614597");
  v1::GetNumberResponse response;
  return stub.GetNumber(&context, request, &response);
}

TEST(ServiceConfigTest, ReadsAreTriedAgain) {
  ScriptedServer server({StatusCode::UNAVAILABLE, StatusCode::RESOURCE_EXHAUSTED});
  EXPECT_EQ(GetNumber(*StubOf(server.address())).error_code(), StatusCode::OK);
  EXPECT_THAT(server.service.requests(), SizeIs(3));
}

TEST(ServiceConfigTest, LeasingIsTriedAgainUnderTheSameRequestId) {
  ScriptedServer server({StatusCode::UNAVAILABLE, StatusCode::RESOURCE_EXHAUSTED});
  EXPECT_EQ(CreateLease(*StubOf(server.address()), "+13123614597", kRequestId).error_code(),
            StatusCode::OK);
  v1::CreateLeaseRequest request;
  request.set_phone_number("+13123614597");
  request.set_request_id(kRequestId);
  const auto requests = server.service.requests();
  EXPECT_THAT(requests, SizeIs(3));
  EXPECT_THAT(requests, Each(request.SerializeAsString()));
}

TEST(ServiceConfigTest, TheOthersThatHaveARequestIdAreTriedAgain) {
  ScriptedServer server({StatusCode::UNAVAILABLE, StatusCode::OK, StatusCode::UNAVAILABLE});
  const auto stub = StubOf(server.address());
  v1::LeaseAnyNumberRequest any;
  v1::LeaseAnyNumberResponse leased;
  grpc::ClientContext leasing;
  EXPECT_EQ(stub->LeaseAnyNumber(&leasing, any, &leased).error_code(), StatusCode::OK);
  v1::TerminateLeaseRequest terminate;
  v1::TerminateLeaseResponse terminated;
  grpc::ClientContext terminating;
  EXPECT_EQ(stub->TerminateLease(&terminating, terminate, &terminated).error_code(),
            StatusCode::OK);
  EXPECT_THAT(server.service.requests(), SizeIs(4));
}

TEST(ServiceConfigTest, WhatMayHaveBeenDoneIsNotTriedAgain) {
  for (const StatusCode code : {StatusCode::ABORTED, StatusCode::DEADLINE_EXCEEDED,
                                StatusCode::INTERNAL, StatusCode::FAILED_PRECONDITION}) {
    ScriptedServer server({code});
    EXPECT_EQ(CreateLease(*StubOf(server.address()), "+13123614597", kRequestId).error_code(),
              code);
    EXPECT_THAT(server.service.requests(), SizeIs(1));
  }
}

TEST(ServiceConfigTest, AWriteWithoutRequestIdIsNotTriedAgain) {
  ScriptedServer server({StatusCode::UNAVAILABLE});
  grpc::ClientContext context;
  v1::ConfigureFailoverResponse response;
  EXPECT_EQ(StubOf(server.address())->ConfigureFailover(&context, {}, &response).error_code(),
            StatusCode::UNAVAILABLE);
  EXPECT_THAT(server.service.requests(), SizeIs(1));
}

TEST(ServiceConfigTest, CallsGoToEachServerThatServes) {
  std::vector<std::unique_ptr<ScriptedServer>> servers;
  std::string target = "ipv4:";
  for (int i = 0; i < 3; ++i) {
    servers.push_back(std::make_unique<ScriptedServer>());
    target += (i > 0 ? "," : "") + servers.back()->address();
  }
  const auto stub = StubOf(target);
  const auto served = [&](int server) { return servers[server]->service.requests().size(); };
  for (int i = 0; i < 1'000 && (served(0) == 0 || served(1) == 0 || served(2) == 0); ++i) {
    EXPECT_EQ(GetNumber(*stub).error_code(), StatusCode::OK);
  }
  EXPECT_GT(served(0), 0u);
  EXPECT_GT(served(1), 0u);
  EXPECT_GT(served(2), 0u);
  // One drains: soon, no call in thirty goes there.
  servers[0]->server->GetHealthCheckService()->SetServingStatus(kService, false);
  std::size_t last = 0;
  int elsewhere = 0;
  for (int i = 0; i < 1'000 && elsewhere < 30; ++i) {
    EXPECT_EQ(GetNumber(*stub).error_code(), StatusCode::OK);
    elsewhere = served(0) == last ? elsewhere + 1 : 0;
    last = served(0);
  }
  EXPECT_EQ(elsewhere, 30);
}

class GatewayServiceConfigTest : public GatewayTest {
 protected:
  // A gateway that says of its first lease that the provider's limit was hit, and a client of it.
  void StartLimited() {
    StartGateway([](Config& config) { config.retry_attempts = 1; });
    number_ = FirstAvailable();
    stub_ = StubOf(target_);
    Fault(R"({"route":"GET /{number}","count":1,"kind":"status","status":429,"retry_after":"0"})");
  }
  std::string number_;
};

TEST_F(GatewayServiceConfigTest, ALeaseGoesThroughAtTheSecondAttempt) {
  StartLimited();
  const auto status = Lease(number_, nullptr, 10'000, kRequestId);
  EXPECT_TRUE(status.ok()) << status.error_message();
  EXPECT_EQ(CountInLedger("lease", number_), 1);
}

TEST_F(GatewayServiceConfigTest, TheClientIsToldNotToRepeatWhatHasNoRequestId) {
  StartLimited();
  EXPECT_EQ(Lease(number_).error_code(), StatusCode::RESOURCE_EXHAUSTED);
  EXPECT_EQ(CountInLedger("lease", number_), 0);
}

TEST_F(GatewayServiceConfigTest, WhatIsRepeatedWithoutRequestIdIsRefused) {
  StartGateway();
  const auto numbers = Available(60);
  // Beside the gateway one that fails each first attempt, as a gateway that dies under it does.
  ScriptedServer dies(std::deque<StatusCode>(1'000, StatusCode::UNAVAILABLE));
  const auto stub = StubOf("ipv4:" + dies.address() + "," + target_);
  std::size_t used = 0;
  // What the second attempt came to, and for which number.
  const auto again = [&](const std::string& request_id, bool validate_only) {
    for (int i = 0; i < 20; ++i) {
      const std::size_t before = dies.service.requests().size();
      v1::CreateLeaseRequest request;
      request.set_phone_number(numbers[used++]);
      request.set_request_id(request_id);
      request.set_validate_only(validate_only);
      v1::CreateLeaseResponse response;
      const auto status = stub->CreateLease(Context().get(), request, &response);
      if (dies.service.requests().size() > before) {
        return std::pair(request.phone_number(), Explain(status));
      }
    }
    ADD_FAILURE() << "no first attempt failed";
    return std::pair(std::string(), Failure());
  };
  const auto [refused, failure] = again("", false);
  EXPECT_EQ(failure.code, StatusCode::ABORTED);
  EXPECT_EQ(failure.reason, "OUTCOME_UNKNOWN");
  EXPECT_EQ(failure.info.metadata().count("request_id"), 0u);
  EXPECT_EQ(CountInLedger("lease", refused), 0);
  EXPECT_EQ(again("", true).second.code, StatusCode::OK);
}

}  // namespace
}  // namespace leasegateway
