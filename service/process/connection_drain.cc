#include "service/process/connection_drain.h"

#include <dlfcn.h>
#include <grpc/byte_buffer.h>
#include <grpc/slice.h>
#include <grpcpp/grpcpp.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <thread>

#include "absl/strings/match.h"

namespace leasegateway {
namespace {

// Whether all connections have ended.
constexpr std::chrono::milliseconds kPoll{10};

// grpc_core::Server::SendGoaways(), which Debian's libgrpc exports, though no header has it. The C
// API's grpc_server is the address of its object.
using SendGoaways = void (*)(grpc_server*);

SendGoaways FindSendGoaways() {
  if (!absl::StartsWith(grpc::Version(), "1.51.")) return nullptr;
  return reinterpret_cast<SendGoaways>(dlsym(RTLD_DEFAULT, "_ZN9grpc_core6Server11SendGoawaysEv"));
}

// Idempotent: a connection that has had its GOAWAY gets no second one.
void SendToEach(SendGoaways send, grpc_server* server) {
  struct Call {
    SendGoaways send;
    grpc_server* server;
  } call{send, server};
  // gRPC's core needs an ExecCtx on the stack, which no header has either. The end of a buffer
  // makes one, frees the slices that nobody else holds, and then runs what that has left to be
  // done.
  grpc_slice slice = grpc_slice_new_with_user_data(
      &call, sizeof(call),
      [](void* data) {
        const auto* const what = static_cast<Call*>(data);
        what->send(what->server);
      },
      &call);
  grpc_byte_buffer* const buffer = grpc_raw_byte_buffer_create(&slice, 1);
  grpc_slice_unref(slice);
  grpc_byte_buffer_destroy(buffer);
}

}  // namespace

std::chrono::milliseconds UntilNextGoaway(std::chrono::steady_clock::duration since_first) {
  constexpr std::chrono::milliseconds kHandshakes{100};
  return std::chrono::milliseconds(since_first < kHandshakes ? 10 : 250);
}

void DrainConnections(grpc::Server& server, const std::function<std::uint64_t()>& connections,
                      std::chrono::steady_clock::time_point deadline) {
  const SendGoaways send = FindSendGoaways();
  if (send == nullptr) {
    spdlog::warn("gRPC {} has no GOAWAY before its shutdown: calls that arrive then are cancelled",
                 grpc::Version());
    return;
  }
  using Clock = std::chrono::steady_clock;
  const Clock::time_point start = Clock::now();
  for (auto now = start; connections() > 0 && now < deadline; now = Clock::now()) {
    // Each time, for those that were in their handshake the time before.
    SendToEach(send, server.c_server());
    const Clock::time_point next = now + UntilNextGoaway(now - start);
    while (Clock::now() < std::min(next, deadline) && connections() > 0) {
      std::this_thread::sleep_for(kPoll);
    }
  }
}

}  // namespace leasegateway
