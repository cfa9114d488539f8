#include "service/grpc_port.h"

#include <grpcpp/ext/channelz_service_plugin.h>
#include <grpcpp/ext/proto_server_reflection_plugin.h>
#include <grpcpp/health_check_service_interface.h>

#include <algorithm>
#include <cstddef>
#include <mutex>
#include <utility>

#include "absl/strings/str_cat.h"
#include "leasegateway/v1/lease_service.grpc.pb.h"
#include "service/process/connection_drain.h"

namespace leasegateway {
namespace {

// What gRPC may hold in buffers for all connections together; then it reads more slowly.
constexpr std::size_t kMaxTransportBytes = 1 << 30;

// Beside the names that callers ask health for: SERVING from start to end, so that a gateway that
// drains is not taken for one that hangs.
constexpr char kLiveness[] = "liveness";

// How long a stop waits for connections to end by themselves. gRPC's clients that have no call
// under way look at theirs every 5 s. Calls have until the end of `grace`.
constexpr std::chrono::seconds kGoodbye{7};

// From a connection's beginning until TLS and the first frame of HTTP/2 have to be there.
constexpr std::chrono::seconds kHandshakeTimeout{10};

// For calls of reflection and channelz, each of which has a thread to its end; more are refused.
constexpr int kMaxThreadsOfOwnServices = 64;

// What is read from a connection at once. gRPC's 4 MiB would let one that sends much hold as much,
// and keep its thread from the others meanwhile.
constexpr int kMaxReadBytes = 64 << 10;

int Milliseconds(std::chrono::milliseconds value) { return static_cast<int>(value.count()); }

// What bounds one connection's share of memory. Those of HTTP/2 (streams, metadata) are settings:
// gRPC 1.51 holds a peer to them once it has acknowledged them, so they bind only who means well;
// against the others there is the guard.
void SetLimits(const Config& config, grpc::ServerBuilder& builder) {
  builder.SetMaxReceiveMessageSize(config.max_request_bytes);
  builder.SetMaxSendMessageSize(config.max_response_bytes);
  builder.AddChannelArgument(GRPC_ARG_MAX_CONCURRENT_STREAMS, config.max_streams);
  builder.AddChannelArgument(GRPC_ARG_MAX_METADATA_SIZE, config.max_metadata_bytes);
#ifdef GRPC_ARG_ABSOLUTE_MAX_METADATA_SIZE  // later than 1.51, where the first one is the limit
  builder.AddChannelArgument(GRPC_ARG_ABSOLUTE_MAX_METADATA_SIZE, config.max_metadata_bytes);
#endif
  builder.AddChannelArgument(GRPC_ARG_SERVER_HANDSHAKE_TIMEOUT_MS, Milliseconds(kHandshakeTimeout));
  builder.AddChannelArgument(GRPC_ARG_TCP_MAX_READ_CHUNK_SIZE, kMaxReadBytes);
  // It has no limit: service/rpc/compressed_request.h inflates.
  builder.AddChannelArgument(GRPC_ARG_ENABLE_PER_MESSAGE_DECOMPRESSION, 0);
  grpc::ResourceQuota quota("lease-gateway");
  quota.Resize(kMaxTransportBytes).SetMaxThreads(kMaxThreadsOfOwnServices);
  builder.SetResourceQuota(quota);
}

void SetOptions(const Config& config, grpc::ServerBuilder& builder) {
  SetLimits(config, builder);
  builder.AddChannelArgument(GRPC_ARG_ENABLE_CHANNELZ, config.channelz ? 1 : 0);
  // Pings that measure the bandwidth would cost hits a tenth of their throughput.
  builder.AddChannelArgument(GRPC_ARG_HTTP2_BDP_PROBE, 0);
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
}

}  // namespace

absl::StatusOr<std::unique_ptr<GrpcPort>> GrpcPort::Listen(
    const Config& config, const std::shared_ptr<grpc::ServerCredentials>& credentials,
    grpc::Service& service, std::function<bool()> has_served) {
  static std::once_flag plugins;
  std::call_once(plugins, [&config] {
    grpc::EnableDefaultHealthCheckService(true);
    if (config.reflection) grpc::reflection::InitProtoReflectionServerBuilderPlugin();
    if (config.channelz) grpc::channelz::experimental::InitChannelzService();
  });
  auto networks = Networks::Parse(config.trusted_proxies);
  if (!networks.ok()) return networks.status();
  ConnectionGuard::Options options;
  options.peers = {
      .max_connections = static_cast<std::size_t>(config.max_connections),
      .max_connections_per_peer = static_cast<std::size_t>(config.max_connections_per_peer),
      .trusted_proxies = *std::move(networks)};
  options.max_memory = static_cast<std::uint64_t>(config.max_memory);
  options.max_streams = static_cast<std::uint32_t>(config.max_streams);
  options.max_metadata_bytes = static_cast<std::uint32_t>(config.max_metadata_bytes);
  options.max_request_bytes = static_cast<std::uint64_t>(config.max_request_bytes);
  options.tls = !config.tls_cert_file.empty();
  options.user_timeout = config.keepalive_timeout;
  options.has_served = std::move(has_served);
  auto guard = ConnectionGuard::Listen(config.listen, options);
  if (!guard.ok()) return guard.status();
  grpc::ServerBuilder builder;
  auto acceptor = builder.experimental().AddExternalConnectionAcceptor(
      grpc::ServerBuilder::experimental_type::ExternalConnectionType::FROM_FD, credentials);
  builder.RegisterService(&service);
  SetOptions(config, builder);
  std::unique_ptr<grpc::Server> server = builder.BuildAndStart();
  if (!server) return absl::FailedPreconditionError("gRPC's server could not be started");
  auto* const health = server->GetHealthCheckService();
  health->SetServingStatus(v1::LeaseService::service_full_name(), true);
  health->SetServingStatus(kLiveness, true);
  health->SetServingStatus("", true);
  (*guard)->Start([raw = acceptor.get()](int descriptor) {
    Acceptor::NewConnectionParameters connection;
    connection.fd = descriptor;
    raw->HandleNewConnection(&connection);
  });
  return std::unique_ptr<GrpcPort>(
      new GrpcPort(*std::move(guard), std::move(acceptor), std::move(server)));
}

GrpcPort::GrpcPort(std::unique_ptr<ConnectionGuard> guard, std::unique_ptr<Acceptor> acceptor,
                   std::unique_ptr<grpc::Server> server)
    : guard_(std::move(guard)), acceptor_(std::move(acceptor)), server_(std::move(server)) {}

// gRPC's acceptor takes none any more when its server stops, and would leave open what it is
// handed.
GrpcPort::~GrpcPort() { guard_->StopListening(); }

void GrpcPort::SayNotServing() {
  auto* const health = server_->GetHealthCheckService();
  health->SetServingStatus(v1::LeaseService::service_full_name(), false);
  health->SetServingStatus("", false);
}

void GrpcPort::Close(std::chrono::milliseconds grace) {
  const auto end_of_grace = std::chrono::system_clock::now() + grace;
  guard_->StopListening();
  DrainConnections(
      *server_, [this] { return guard_->stats().connections; },
      std::chrono::steady_clock::now() + std::min<std::chrono::milliseconds>(grace, kGoodbye));
  server_->Shutdown(end_of_grace);
}

}  // namespace leasegateway
