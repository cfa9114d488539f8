// What gRPC C++ costs used as its tutorial shows: generated messages, copied into each reply and
// serialised for it, over the callback API with the gateway's settings.
#include <CLI/CLI.hpp>
#include <fstream>
#include <iostream>
#include <memory>
#include <string>

#include "leasegateway/v1/lease_service.grpc.pb.h"
#include "tests/bench/settings.h"

namespace {

namespace v1 = leasegateway::v1;
namespace bench = leasegateway::bench;

class Typed final : public v1::LeaseService::CallbackService {
 public:
  v1::GetNumberResponse number;
  v1::ListAvailableNumbersResponse list;

  grpc::ServerUnaryReactor* GetNumber(grpc::CallbackServerContext* context,
                                      const v1::GetNumberRequest*,
                                      v1::GetNumberResponse* response) override {
    return Answer(context, number, response);
  }
  grpc::ServerUnaryReactor* ListAvailableNumbers(
      grpc::CallbackServerContext* context, const v1::ListAvailableNumbersRequest*,
      v1::ListAvailableNumbersResponse* response) override {
    return Answer(context, list, response);
  }

 private:
  template <typename Response>
  static grpc::ServerUnaryReactor* Answer(grpc::CallbackServerContext* context,
                                          const Response& reply, Response* response) {
    context->AddInitialMetadata(bench::kCacheStatusKey, bench::kCacheStatus);
    *response = reply;
    grpc::ServerUnaryReactor* const reactor = context->DefaultReactor();
    reactor->Finish(grpc::Status::OK);
    return reactor;
  }
};

bool Read(const std::string& file, google::protobuf::Message* message) {
  if (file.empty()) return true;
  std::ifstream bytes(file, std::ios::binary);
  if (message->ParseFromIstream(&bytes)) return true;
  std::cerr << "bench_typed: " << file << " is no " << message->GetTypeName() << "\n";
  return false;
}

}  // namespace

int main(int argc, char** argv) {
  std::string number_file, list_file;
  int port = 0;
  CLI::App app("A typed gRPC server that answers with the messages in files.", "bench_typed");
  app.add_option("--get-number", number_file, "serialised GetNumberResponse")
      ->check(CLI::ExistingFile);
  app.add_option("--list", list_file, "serialised ListAvailableNumbersResponse")
      ->check(CLI::ExistingFile);
  app.add_option("--port", port, "of 127.0.0.1; 0: any free one");
  CLI11_PARSE(app, argc, argv);

  const sigset_t signals = bench::PrepareProcess();
  Typed service;
  if (!Read(number_file, &service.number) || !Read(list_file, &service.list)) return 1;
  grpc::ServerBuilder builder;
  bench::Configure(&builder);
  bench::Listen(port, &port, &builder);
  builder.RegisterService(&service);
  const std::unique_ptr<grpc::Server> server = builder.BuildAndStart();
  if (!server || port == 0) {
    std::cerr << "bench_typed: can't listen on the port\n";
    return 1;
  }
  std::cout << "port: " << port << std::endl;
  bench::ServeUntil(signals, server.get());
  return 0;
}
