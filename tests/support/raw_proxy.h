#ifndef LEASE_GATEWAY_TESTS_SUPPORT_RAW_PROXY_H_
#define LEASE_GATEWAY_TESTS_SUPPORT_RAW_PROXY_H_

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <cstdint>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

namespace leasegateway {

// A proxy that answers each request with bytes of the test's choice, and makes a tunnel to one port
// of loopback afterwards, if it is told to. One connection at a time.
class RawProxy {
 public:
  enum class Then {
    kTunnel,
    kHang,  // until the client goes away
    kEnd,
    kReset,
  };
  struct Answer {
    std::string bytes = "HTTP/1.1 200 Connection established\r\n\r\n";
    Then then = Then::kTunnel;
  };

  explicit RawProxy(int target_port, const std::string& address = "127.0.0.1")
      : target_port_(target_port) {
    signal(SIGPIPE, SIG_IGN);
    listener_ = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in name{};
    name.sin_family = AF_INET;
    inet_pton(AF_INET, address.c_str(), &name.sin_addr);
    EXPECT_EQ(bind(listener_, reinterpret_cast<sockaddr*>(&name), sizeof(name)), 0);
    EXPECT_EQ(listen(listener_, 64), 0);
    socklen_t size = sizeof(name);
    getsockname(listener_, reinterpret_cast<sockaddr*>(&name), &size);
    port_ = ntohs(name.sin_port);
    thread_ = std::thread([this] { Run(); });
  }
  ~RawProxy() {
    stopped_ = true;
    thread_.join();
    close(listener_);
  }
  RawProxy(const RawProxy&) = delete;
  RawProxy& operator=(const RawProxy&) = delete;

  std::uint16_t port() const { return port_; }
  // To the connections from now on.
  void Say(Answer answer) {
    const std::lock_guard lock(mutex_);
    answer_ = std::move(answer);
  }
  // The headers of all requests so far.
  std::vector<std::string> requests() const {
    const std::lock_guard lock(mutex_);
    return requests_;
  }

 private:
  bool IsReadable(int handle) const {
    pollfd waiting{handle, POLLIN, 0};
    while (!stopped_) {
      if (poll(&waiting, 1, 20) == 1) return true;
    }
    return false;
  }

  void Run() {
    while (IsReadable(listener_)) {
      const int client = accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
      Serve(client);
      close(client);
    }
  }

  void Serve(int client) {
    std::string request;
    char byte = 0;
    while (request.find("\r\n\r\n") == request.npos) {
      if (!IsReadable(client) || read(client, &byte, 1) != 1) return;
      request += byte;
    }
    Answer answer;
    {
      const std::lock_guard lock(mutex_);
      requests_.push_back(request);
      answer = answer_;
    }
    if (!Send(client, answer.bytes)) return;
    if (answer.then == Then::kTunnel) Relay(client);
    if (answer.then == Then::kHang) {
      char ignored[1024];
      while (IsReadable(client) && read(client, ignored, sizeof(ignored)) > 0) {
      }
    }
    if (answer.then == Then::kReset) {
      const linger now{1, 0};
      setsockopt(client, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
    }
  }

  void Relay(int client) {
    const int server = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in name{};
    name.sin_family = AF_INET;
    name.sin_port = htons(static_cast<std::uint16_t>(target_port_));
    name.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    EXPECT_EQ(connect(server, reinterpret_cast<sockaddr*>(&name), sizeof(name)), 0);
    pollfd both[] = {{client, POLLIN, 0}, {server, POLLIN, 0}};
    bool open = true;
    while (open && !stopped_) {
      if (poll(both, 2, 20) <= 0) continue;
      for (int i = 0; i < 2 && open; ++i) {
        if (both[i].revents == 0) continue;
        char buffer[1 << 14];
        const ssize_t got = read(both[i].fd, buffer, sizeof(buffer));
        open = got > 0 && Send(both[1 - i].fd, std::string(buffer, static_cast<std::size_t>(got)));
      }
    }
    close(server);
  }

  static bool Send(int handle, const std::string& bytes) {
    for (std::size_t at = 0; at < bytes.size();) {
      const ssize_t sent = write(handle, bytes.data() + at, bytes.size() - at);
      if (sent <= 0) return false;
      at += static_cast<std::size_t>(sent);
    }
    return true;
  }

  const int target_port_;
  int listener_ = -1;
  std::uint16_t port_ = 0;
  std::atomic<bool> stopped_{false};
  mutable std::mutex mutex_;
  Answer answer_;
  std::vector<std::string> requests_;
  std::thread thread_;
};

}  // namespace leasegateway

#endif  // LEASE_GATEWAY_TESTS_SUPPORT_RAW_PROXY_H_
