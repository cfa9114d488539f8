#include "service/process/connection_drain.h"

#include <dlfcn.h>
#include <grpc/byte_buffer.h>
#include <grpc/slice.h>
#include <grpcpp/grpcpp.h>
#include <netinet/in.h>
#include <spdlog/spdlog.h>
#include <sys/socket.h>

#include <boost/asio/ip/tcp.hpp>
#include <filesystem>
#include <string>
#include <system_error>
#include <thread>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"

namespace leasegateway {
namespace {

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

// Calls visit(descriptor) for the TCP sockets of this process that are bound to `port`.
template <class Visit>
void ForEachSocket(int port, Visit visit) {
  std::error_code error;
  for (std::filesystem::directory_iterator entry("/proc/self/fd", error), end;
       !error && entry != end; entry.increment(error)) {
    int descriptor = -1;
    if (!absl::SimpleAtoi(entry->path().filename().string(), &descriptor)) continue;
    int protocol = 0;
    socklen_t size = sizeof(protocol);
    if (getsockopt(descriptor, SOL_SOCKET, SO_PROTOCOL, &protocol, &size) != 0 ||
        protocol != IPPROTO_TCP) {
      continue;
    }
    boost::asio::ip::tcp::endpoint local;
    size = static_cast<socklen_t>(local.capacity());
    if (getsockname(descriptor, local.data(), &size) == 0 && local.port() == port) {
      visit(descriptor);
    }
  }
}

// The kernel refuses connections from now on, and resets those that gRPC has not accepted yet;
// their clients have sent no call, as they wait for the server's SETTINGS. gRPC logs that its
// accept4 fails and listens no more.
void StopListening(int port) {
  ForEachSocket(port, [](int descriptor) {
    int listens = 0;
    socklen_t size = sizeof(listens);
    getsockopt(descriptor, SOL_SOCKET, SO_ACCEPTCONN, &listens, &size);
    if (listens != 0) shutdown(descriptor, SHUT_RDWR);
  });
}

// Those in their TLS handshake count.
int CountConnections(int port) {
  int count = 0;
  ForEachSocket(port, [&count](int descriptor) {
    sockaddr_storage peer;
    socklen_t size = sizeof(peer);
    if (getpeername(descriptor, reinterpret_cast<sockaddr*>(&peer), &size) == 0) ++count;
  });
  return count;
}

}  // namespace

void DrainConnections(grpc::Server& server, int port,
                      std::chrono::steady_clock::time_point deadline) {
  const SendGoaways send = FindSendGoaways();
  if (send == nullptr) {
    spdlog::warn("gRPC {} has no GOAWAY before its shutdown: calls that arrive then are cancelled",
                 grpc::Version());
    return;
  }
  StopListening(port);
  while (CountConnections(port) > 0 && std::chrono::steady_clock::now() < deadline) {
    // Each time, for those that were in their handshake the time before.
    SendToEach(send, server.c_server());
    std::this_thread::sleep_for(kPoll);
  }
}

}  // namespace leasegateway
