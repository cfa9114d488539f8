#ifndef LEASE_GATEWAY_TESTS_BENCH_SETTINGS_H_
#define LEASE_GATEWAY_TESTS_BENCH_SETTINGS_H_

#include <grpcpp/grpcpp.h>
#include <grpcpp/health_check_service_interface.h>
#include <pthread.h>
#include <signal.h>

#include <cstddef>
#include <memory>
#include <string>

#include "absl/synchronization/mutex.h"

namespace leasegateway::bench {

// What the gateway says of each read that its memory answers; the bare servers say the same, so
// that they send as much.
constexpr char kCacheStatusKey[] = "cache-status";
constexpr char kCacheStatus[] = "lease-gateway; hit; ttl=4";

// Listens without the gateway's guard of connections.
inline void Listen(int port, int* bound, grpc::ServerBuilder* builder,
                   const std::shared_ptr<grpc::ServerCredentials>& credentials =
                       grpc::InsecureServerCredentials()) {
  builder->AddListeningPort("127.0.0.1:" + std::to_string(port), credentials, bound);
}

// The gateway's settings of its gRPC port, service/grpc_port.cc: a bare server has the same.
inline void Configure(grpc::ServerBuilder* builder) {
  grpc::EnableDefaultHealthCheckService(true);
  builder->SetMaxReceiveMessageSize(1 << 20);
  builder->SetMaxSendMessageSize(256 << 20);
  builder->AddChannelArgument(GRPC_ARG_MAX_CONCURRENT_STREAMS, 1'000);
  builder->AddChannelArgument(GRPC_ARG_MAX_METADATA_SIZE, 16 << 10);
  builder->AddChannelArgument(GRPC_ARG_SERVER_HANDSHAKE_TIMEOUT_MS, 10'000);
  builder->AddChannelArgument(GRPC_ARG_TCP_MAX_READ_CHUNK_SIZE, 64 << 10);
  builder->AddChannelArgument(GRPC_ARG_ENABLE_PER_MESSAGE_DECOMPRESSION, 0);
  builder->SetResourceQuota(grpc::ResourceQuota("server").Resize(std::size_t{1} << 30));
  builder->AddChannelArgument("grpc.http2.bdp_probe", 0);
  builder->AddChannelArgument(GRPC_ARG_ENABLE_CHANNELZ, 0);
  builder->AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);
  builder->AddChannelArgument(GRPC_ARG_KEEPALIVE_TIME_MS, 60'000);
  builder->AddChannelArgument(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, 20'000);
  builder->AddChannelArgument(GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS, 10'000);
  builder->AddChannelArgument(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1);
  builder->AddChannelArgument(GRPC_ARG_MAX_CONNECTION_AGE_MS, 600'000);
  builder->AddChannelArgument(GRPC_ARG_MAX_CONNECTION_AGE_GRACE_MS, 30'000);
}

// The gateway's settings of its process, service/main.cc, and the signals that end it blocked;
// called before the first thread starts.
inline sigset_t PrepareProcess() {
  absl::SetMutexDeadlockDetectionMode(absl::OnDeadlockCycle::kIgnore);
  sigset_t signals;
  sigemptyset(&signals);
  for (const int signal : {SIGTERM, SIGINT}) sigaddset(&signals, signal);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  return signals;
}

// Serves until one of the signals comes.
inline void ServeUntil(const sigset_t& signals, grpc::Server* server) {
  int signal = 0;
  sigwait(&signals, &signal);
  server->Shutdown(std::chrono::system_clock::now());
  server->Wait();
}

}  // namespace leasegateway::bench

#endif  // LEASE_GATEWAY_TESTS_BENCH_SETTINGS_H_
