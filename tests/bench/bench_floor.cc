// The least that gRPC C++ costs: a bare server that answers GetNumber and ListAvailableNumbers with
// the same bytes each time, one slice shared by all replies, with the gateway's settings. What the
// gateway serves from memory is measured against it. With --guard the gateway's guard of
// connections stands before it, so that this can be measured alone.
#include <CLI/CLI.hpp>
#include <fstream>
#include <iostream>
#include <memory>
#include <optional>
#include <sstream>
#include <string>

#include "leasegateway/v1/lease_service.grpc.pb.h"
#include "service/guard/connection_guard.h"
#include "tests/bench/settings.h"

namespace {

namespace v1 = leasegateway::v1;
namespace bench = leasegateway::bench;
using Acceptor = grpc::experimental::ExternalConnectionAcceptor;
using grpc::ByteBuffer;
using Service = v1::LeaseService::WithRawCallbackMethod_GetNumber<
    v1::LeaseService::WithRawCallbackMethod_ListAvailableNumbers<v1::LeaseService::Service>>;

std::string ReadAll(const std::string& file) {
  std::ostringstream bytes;
  if (!file.empty()) bytes << std::ifstream(file, std::ios::binary).rdbuf();
  return bytes.str();
}

ByteBuffer ReadReply(const std::string& file) {
  const grpc::Slice slice(ReadAll(file));
  return ByteBuffer(&slice, 1);
}

class Floor final : public Service {
 public:
  Floor(const std::string& number_file, const std::string& list_file, bool metadata)
      : number_(ReadReply(number_file)), list_(ReadReply(list_file)), metadata_(metadata) {}

  grpc::ServerUnaryReactor* GetNumber(grpc::CallbackServerContext* context, const ByteBuffer*,
                                      ByteBuffer* response) override {
    return Answer(context, number_, response);
  }
  grpc::ServerUnaryReactor* ListAvailableNumbers(grpc::CallbackServerContext* context,
                                                 const ByteBuffer*, ByteBuffer* response) override {
    return Answer(context, list_, response);
  }

 private:
  grpc::ServerUnaryReactor* Answer(grpc::CallbackServerContext* context, const ByteBuffer& reply,
                                   ByteBuffer* response) const {
    if (metadata_) context->AddInitialMetadata(bench::kCacheStatusKey, bench::kCacheStatus);
    *response = reply;
    grpc::ServerUnaryReactor* const reactor = context->DefaultReactor();
    reactor->Finish(grpc::Status::OK);
    return reactor;
  }

  const ByteBuffer number_;
  const ByteBuffer list_;
  const bool metadata_;
};

// As service/grpc_port.cc has it, for as many connections as h2load opens from one address.
std::unique_ptr<leasegateway::ConnectionGuard> Guard(int port, bool tls) {
  leasegateway::ConnectionGuard::Options options;
  options.peers.max_connections_per_peer = options.peers.max_connections;
  options.peers.connects_at_once = 1'000'000;
  options.tls = tls;
  auto guard = leasegateway::ConnectionGuard::Listen("127.0.0.1:" + std::to_string(port), options);
  return guard.ok() ? *std::move(guard) : nullptr;
}

void HandOver(Acceptor& acceptor, int descriptor) {
  Acceptor::NewConnectionParameters connection;
  connection.fd = descriptor;
  acceptor.HandleNewConnection(&connection);
}

}  // namespace

int main(int argc, char** argv) {
  std::string number_file, list_file, cert_file, key_file;
  int port = 0;
  bool no_metadata = false;
  bool guarded = false;
  CLI::App app("A bare gRPC server that answers with the bytes of files.", "bench_floor");
  app.add_option("--get-number", number_file, "serialised GetNumberResponse")
      ->check(CLI::ExistingFile);
  app.add_option("--list", list_file, "serialised ListAvailableNumbersResponse")
      ->check(CLI::ExistingFile);
  app.add_option("--port", port, "of 127.0.0.1; 0: any free one");
  app.add_flag("--no-metadata", no_metadata, "leave out cache-status");
  app.add_flag("--guard", guarded, "have the guard of connections before it");
  auto* const cert = app.add_option("--tls-cert-file", cert_file, "PEM; serve TLS with it")
                         ->check(CLI::ExistingFile);
  auto* const key =
      app.add_option("--tls-key-file", key_file, "PEM")->check(CLI::ExistingFile)->needs(cert);
  cert->needs(key);
  CLI11_PARSE(app, argc, argv);

  const sigset_t signals = bench::PrepareProcess();
  Floor service(number_file, list_file, !no_metadata);
  grpc::ServerBuilder builder;
  auto credentials = grpc::InsecureServerCredentials();
  if (!cert_file.empty()) {
    grpc::SslServerCredentialsOptions tls;
    tls.pem_key_cert_pairs = {{ReadAll(key_file), ReadAll(cert_file)}};
    credentials = grpc::SslServerCredentials(tls);
  }
  bench::Configure(&builder);
  std::unique_ptr<leasegateway::ConnectionGuard> guard;  // ends after the server
  std::unique_ptr<Acceptor> acceptor;
  if (guarded) {
    guard = Guard(port, !cert_file.empty());
    if (guard) port = guard->port();
    acceptor = builder.experimental().AddExternalConnectionAcceptor(
        grpc::ServerBuilder::experimental_type::ExternalConnectionType::FROM_FD, credentials);
  } else {
    bench::Listen(port, &port, &builder, credentials);
  }
  builder.RegisterService(&service);
  const std::unique_ptr<grpc::Server> server = builder.BuildAndStart();
  if (!server || port == 0 || guarded != (guard != nullptr)) {
    std::cerr << "bench_floor: can't listen on the port\n";
    return 1;
  }
  if (guard) guard->Start([&acceptor](int descriptor) { HandOver(*acceptor, descriptor); });
  std::cout << "port: " << port << std::endl;
  bench::ServeUntil(signals, server.get());
  return 0;
}
