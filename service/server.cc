#include "service/server.h"

#include <grpcpp/ext/channelz_service_plugin.h>
#include <grpcpp/ext/proto_server_reflection_plugin.h>
#include <grpcpp/grpcpp.h>
#include <grpcpp/health_check_service_interface.h>
#include <spdlog/spdlog.h>
#include <stdlib.h>
#include <unistd.h>

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <fstream>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "service/lease_service.h"
#include "upstream/lease_api_factory.h"
#include "upstream/sandbox/sandbox.h"

namespace leasegateway {
namespace {

// A file that is gone when this object is.
class TemporaryFile {
 public:
  static absl::StatusOr<std::unique_ptr<TemporaryFile>> Make(const std::string& content) {
    const char* const folder = ::getenv("TMPDIR");
    std::string path = absl::StrCat(folder != nullptr && *folder != '\0' ? folder : "/tmp",
                                    "/lease-gateway-XXXXXX");
    const int handle = ::mkstemp(path.data());
    if (handle < 0) {
      return absl::FailedPreconditionError(absl::StrCat("can't make a temporary file ", path));
    }
    ::close(handle);
    std::ofstream(path) << content;
    return std::unique_ptr<TemporaryFile>(new TemporaryFile(std::move(path)));
  }
  ~TemporaryFile() { ::unlink(path_.c_str()); }
  const std::string& path() const { return path_; }

 private:
  explicit TemporaryFile(std::string path) : path_(std::move(path)) {}
  const std::string path_;
};

UpstreamOptions ToUpstreamOptions(const Config& config) {
  UpstreamOptions options;
  options.url = config.upstream_url;
  options.ca_file = config.upstream_ca_file;
  options.auth_scheme = config.auth_scheme;
  options.api_key = config.api_key;
  options.user_agent = "lease-gateway/" LEASE_GATEWAY_VERSION;
  options.https.resolve_timeout = config.resolve_timeout;
  options.https.connect_timeout = config.connect_timeout;
  options.https.handshake_timeout = config.handshake_timeout;
  options.https.send_timeout = config.send_timeout;
  options.https.response_timeout = config.response_timeout;
  options.https.read_timeout = config.read_timeout;
  options.https.idle_timeout = config.idle_timeout;
  options.https.dns_ttl = config.dns_ttl;
  options.https.max_body_bytes = config.max_body_bytes;
  options.https.max_connections = config.pool_size;
  options.https.max_waiters = config.pool_queue;
  return options;
}

int Milliseconds(std::chrono::milliseconds value) { return static_cast<int>(value.count()); }

}  // namespace

struct Server::Parts {
  Config config;
  boost::asio::io_context io;
  std::optional<boost::asio::executor_work_guard<boost::asio::io_context::executor_type>> work;
  std::vector<std::thread> threads;
  std::unique_ptr<sandbox::Sandbox> sandbox;
  std::unique_ptr<LeaseApi> api;
  CallRuntime runtime;
  std::unique_ptr<v1::LeaseService::CallbackService> service;
  std::unique_ptr<grpc::Server> server;
  int port = 0;
  bool drained = false;

  absl::Status StartUpstream();
  absl::Status StartGrpc();
};

absl::Status Server::Parts::StartUpstream() {
  UpstreamOptions options = ToUpstreamOptions(config);
  std::unique_ptr<TemporaryFile> ca_file;  // read while the stack is made
  if (config.sandbox) {
    sandbox::SandboxOptions sandbox_options;
    sandbox_options.numbers = config.sandbox_numbers;
    sandbox_options.seed = config.sandbox_seed;
    sandbox_options.control_port = config.sandbox_control_port;
    auto started = sandbox::Sandbox::Start(sandbox_options);
    if (!started.ok()) return started.status();
    sandbox = *std::move(started);
    auto made = TemporaryFile::Make(sandbox->ca_certificate());
    if (!made.ok()) return made.status();
    ca_file = *std::move(made);
    options.url = sandbox->url();
    options.ca_file = ca_file->path();
    options.api_key = sandbox->key();
  }
  auto made = MakeLeaseApi(io.get_executor(), std::move(options));
  if (!made.ok()) return made.status();
  api = *std::move(made);
  work.emplace(io.get_executor());
  for (int i = 0; i < config.threads; ++i) {
    threads.emplace_back([this] { io.run(); });
  }
  return absl::OkStatus();
}

absl::Status Server::Parts::StartGrpc() {
  static std::once_flag plugins;
  std::call_once(plugins, [this] {
    grpc::EnableDefaultHealthCheckService(true);
    if (config.reflection) grpc::reflection::InitProtoReflectionServerBuilderPlugin();
    if (config.channelz) grpc::channelz::experimental::InitChannelzService();
  });
  runtime.executor = io.get_executor();
  runtime.default_deadline = config.default_deadline;
  service = MakeLeaseService(runtime, *api);

  grpc::ServerBuilder builder;
  builder.AddListeningPort(config.listen, grpc::InsecureServerCredentials(), &port);
  builder.RegisterService(service.get());
  builder.SetMaxReceiveMessageSize(config.max_request_bytes);
  builder.SetMaxSendMessageSize(config.max_response_bytes);
  // Otherwise a second gateway on the same port would start and take a share of the calls.
  builder.AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);
  builder.AddChannelArgument(GRPC_ARG_ENABLE_CHANNELZ, config.channelz ? 1 : 0);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIME_MS, Milliseconds(config.keepalive_time));
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, Milliseconds(config.keepalive_timeout));
  // Clients behind load balancers ping idle connections; 10 s is the least that gRPC recommends.
  builder.AddChannelArgument(GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS, 10'000);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1);
  if (config.max_connection_age.count() > 0) {
    builder.AddChannelArgument(GRPC_ARG_MAX_CONNECTION_AGE_MS,
                               Milliseconds(config.max_connection_age));
    builder.AddChannelArgument(GRPC_ARG_MAX_CONNECTION_AGE_GRACE_MS,
                               Milliseconds(config.max_connection_age_grace));
  }
  server = builder.BuildAndStart();
  if (!server || port == 0) {
    return absl::FailedPreconditionError(
        absl::StrCat("listen: \"", config.listen, "\": can't listen there: is the port taken?"));
  }
  auto* const health = server->GetHealthCheckService();
  health->SetServingStatus(v1::LeaseService::service_full_name(), true);
  health->SetServingStatus(true);
  return absl::OkStatus();
}

absl::StatusOr<std::unique_ptr<Server>> Server::Start(const Config& config) {
  auto parts = std::make_unique<Parts>();
  parts->config = config;
  absl::Status status = parts->StartUpstream();
  if (status.ok()) status = parts->StartGrpc();
  std::unique_ptr<Server> server(new Server(std::move(parts)));
  if (!status.ok()) return status;
  return server;
}

Server::Server(std::unique_ptr<Parts> parts) : parts_(std::move(parts)) {}

int Server::port() const { return parts_->port; }

std::string Server::sandbox_control_url() const {
  return parts_->sandbox ? parts_->sandbox->control_url() : "";
}

void Server::Drain() {
  Parts& parts = *parts_;
  parts.drained = true;
  if (!parts.server) return;
  parts.server->GetHealthCheckService()->SetServingStatus(false);
  spdlog::info("draining: NOT_SERVING for {} ms, then {} ms for calls in flight",
               parts.config.drain_wait.count(), parts.config.grace.count());
  std::this_thread::sleep_for(parts.config.drain_wait);
  parts.server->Shutdown(std::chrono::system_clock::now() + parts.config.grace);
}

Server::~Server() {
  Parts& parts = *parts_;
  if (!parts.drained) {
    parts.config.drain_wait = parts.config.grace = std::chrono::milliseconds(0);
    Drain();
  }
  // Every call has ended: Shutdown waits for the reactors. What is left is good-byes to the
  // provider, which end by themselves within a second.
  if (parts.server) parts.server->Wait();
  parts.server.reset();
  parts.api.reset();
  parts.work.reset();
  for (auto& thread : parts.threads) thread.join();
}

}  // namespace leasegateway
