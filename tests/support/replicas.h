#ifndef LEASE_GATEWAY_TESTS_SUPPORT_REPLICAS_H_
#define LEASE_GATEWAY_TESTS_SUPPORT_REPLICAS_H_

#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "tests/support/http_client.h"
#include "tests/support/leasing_gateway.h"
#include "tests/support/postgres_server.h"
#include "tests/support/programs.h"

namespace leasegateway {

// One sandbox, one database, and gateways before them: servers in this process, of which
// `server_` is the first, or programs.
class ReplicasTest : public LeasingTest {
 protected:
  ReplicasTest() : postgres_(&PostgresServer::Shared()) {}
  ~ReplicasTest() override {
    stubs_.clear();
    others_.clear();
    server_.reset();
  }

  // A server of this test's own, which it may stop.
  void UseOwnPostgres() {
    own_postgres_ = std::make_unique<PostgresServer>();
    postgres_ = own_postgres_.get();
  }

  void Share(Config& config) {
    if (database_.empty()) database_ = postgres_->CreateDatabase();
    config.journal.clear();
    config.database_url = postgres_->TcpUrl(database_);
    config.ownership_time = std::chrono::seconds(2);
    config.admin_listen = "127.0.0.1:0";
  }

  void StartReplicas(int count, const std::function<void(Config&)>& adjust = nullptr,
                     const sandbox::SandboxOptions& options = {}) {
    StartGateway(
        [&](Config& config) {
          Share(config);
          if (adjust) adjust(config);
        },
        options);
    ASSERT_TRUE(server_);
    AddStub(server_->port());
    for (int i = 1; i < count; ++i) StartAnother();
  }
  void StartAnother() {
    auto server = Server::Start(config_);
    ASSERT_TRUE(server.ok()) << server.status();
    AddStub((*server)->port());
    others_.push_back(*std::move(server));
  }
  void AddStub(int port) {
    stubs_.push_back(v1::LeaseService::NewStub(grpc::CreateChannel(
        "127.0.0.1:" + std::to_string(port), grpc::InsecureChannelCredentials())));
  }
  // The server at this index, 0 being `server_`.
  Server& At(std::size_t index) { return index == 0 ? *server_ : *others_[index - 1]; }

  grpc::Status LeaseAt(std::size_t index, const std::string& number, const std::string& request_id,
                       v1::CreateLeaseResponse* response, int timeout_ms = 10'000) {
    v1::CreateLeaseRequest request;
    request.set_phone_number(number);
    request.set_request_id(request_id);
    return stubs_[index]->CreateLease(Context(timeout_ms).get(), request, response);
  }
  v1::Operation OperationAt(std::size_t index, const std::string& request_id) {
    v1::GetOperationRequest request;
    request.set_request_id(request_id);
    v1::GetOperationResponse response;
    const auto status = stubs_[index]->GetOperation(Context().get(), request, &response);
    EXPECT_TRUE(status.ok()) << status.error_message();
    return response.operation();
  }

  // Each index's call at the same time, on a thread of its own.
  static void AtOnce(std::size_t count, const std::function<void(std::size_t)>& call) {
    std::vector<std::thread> threads;
    for (std::size_t i = 0; i < count; ++i) threads.emplace_back(call, i);
    for (std::thread& thread : threads) thread.join();
  }

  // Whether it becomes true within 30 s.
  static bool Becomes(const std::function<bool()>& condition) {
    for (int i = 0; i < 600; ++i) {
      if (condition()) return true;
      std::this_thread::sleep_for(std::chrono::milliseconds(50));
    }
    return false;
  }

  // A sample, named with its labels, as the text has it; empty: none.
  static std::string MetricOf(const Server& server, const std::string& name) {
    const std::string text = Http(server.admin_port(), "GET", "/metrics").body;
    const auto at = text.find("\n" + name + " ");
    if (at == text.npos) return "";
    const auto begin = at + name.size() + 2;
    return text.substr(begin, text.find('\n', begin) - begin);
  }

  // Starts the program with what `config_` says of provider and database.
  pid_t StartProgram(const std::string& name, std::vector<std::string> flags = {}) {
    const std::vector<std::string> all = {
        "--listen=127.0.0.1:0", "--upstream-url=" + config_.upstream_url,
        "--upstream-ca-file=" + config_.upstream_ca_file, "--database-url=" + config_.database_url,
        "--ownership-time=2s"};
    flags.insert(flags.begin(), all.begin(), all.end());
    return programs_.Start(name, "lease-gateway", flags, {"CONTIGUITY_API_KEY=" + config_.api_key});
  }
  // The program "victim", stub 1, which gets the answer to its next purchase so late.
  pid_t StartVictim(int late_ms) {
    const pid_t victim = StartProgram("victim");
    AddStub(PortOf("victim"));
    AnswerPurchaseLate(late_ms);
    return victim;
  }
  // The provider does the next purchase at once, and says so later.
  void AnswerPurchaseLate(int late_ms) {
    Fault(R"({"route":"POST /lease/{number}","count":1,"kind":"delay","when":"after","delay_ms":)" +
          std::to_string(late_ms) + "}");
  }
  int PortOf(const std::string& name) {
    return std::stoi(programs_.After(name + ".err", "serves gRPC on port ", " \n"));
  }

  PostgresServer* postgres_;
  std::unique_ptr<PostgresServer> own_postgres_;
  std::string database_;
  Programs programs_;
  std::vector<std::unique_ptr<Server>> others_;
  std::vector<std::unique_ptr<v1::LeaseService::Stub>> stubs_;
};

}  // namespace leasegateway

#endif  // LEASE_GATEWAY_TESTS_SUPPORT_REPLICAS_H_
