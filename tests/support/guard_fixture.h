#ifndef LEASE_GATEWAY_TESTS_SUPPORT_GUARD_FIXTURE_H_
#define LEASE_GATEWAY_TESTS_SUPPORT_GUARD_FIXTURE_H_

#include <arpa/inet.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <deque>
#include <memory>
#include <mutex>
#include <string>
#include <thread>

#include "service/guard/connection_guard.h"

namespace leasegateway {

inline std::size_t IndexOf(CutReason reason) { return static_cast<std::size_t>(reason); }

// As gRPC reads.
inline ssize_t Receive(int descriptor, std::string& into) {
  pollfd wait{descriptor, POLLIN, 0};
  if (poll(&wait, 1, 5'000) != 1) return -1;
  into.resize(1 << 16);
  iovec parts[2] = {{into.data(), 1000}, {into.data() + 1000, into.size() - 1000}};
  msghdr message{};
  message.msg_iov = parts;
  message.msg_iovlen = 2;
  const ssize_t got = recvmsg(descriptor, &message, 0);
  into.resize(static_cast<std::size_t>(std::max<ssize_t>(got, 0)));
  return got;
}

inline std::string Settings() { return std::string("\0\0\0\4\0\0\0\0\0", 9); }
inline std::string Acknowledgement() { return std::string("\0\0\0\4\1\0\0\0\0", 9); }
inline std::string Preface() { return "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + Settings(); }

inline std::string Pings(int count) {
  std::string pings;
  for (int i = 0; i < count; ++i) pings += std::string("\0\0\10\6\0\0\0\0\0", 9) + "12345678";
  return pings;
}

// A guard, and in place of gRPC a list of what it handed over.
class ConnectionGuardTest : public testing::Test {
 protected:
  ~ConnectionGuardTest() override {
    for (const int descriptor : handed_) End(descriptor);
    for (const int descriptor : dialled_) close(descriptor);
  }

  ConnectionGuardTest() { signal(SIGPIPE, SIG_IGN); }

  void Listen(const ConnectionGuard::Options& options = {}) {
    auto listening = ConnectionGuard::Listen("127.0.0.1:0", options);
    ASSERT_TRUE(listening.ok()) << listening.status();
    guard_ = *std::move(listening);
    Start();
  }

  void Start() {
    guard_->Start([this](int descriptor) {
      const std::lock_guard lock(mutex_);
      handed_.push_back(descriptor);
      new_.push_back(descriptor);
      changed_.notify_all();
    });
  }

  int Dial(const char* from = "127.0.0.1") {
    const int descriptor = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    inet_pton(AF_INET, from, &address.sin_addr);
    EXPECT_EQ(bind(descriptor, reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
    inet_pton(AF_INET, "127.0.0.1", &address.sin_addr);
    address.sin_port = htons(static_cast<std::uint16_t>(guard_->port()));
    EXPECT_EQ(connect(descriptor, reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
    dialled_.push_back(descriptor);
    return descriptor;
  }

  // The next that was handed over; -1: none within a while.
  int Handed(std::chrono::milliseconds within = std::chrono::seconds(5)) {
    std::unique_lock lock(mutex_);
    if (!changed_.wait_for(lock, within, [this] { return !new_.empty(); })) return -1;
    const int descriptor = new_.front();
    new_.pop_front();
    return descriptor;
  }

  // As gRPC ends a connection.
  static void End(int descriptor) {
    shutdown(descriptor, SHUT_RDWR);
    close(descriptor);
  }
  void Close(int descriptor) {
    End(descriptor);
    const std::lock_guard lock(mutex_);
    std::erase(handed_, descriptor);
  }

  template <typename Condition>
  static bool Eventually(Condition condition) {
    const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(10);
    while (!condition()) {
      if (std::chrono::steady_clock::now() > end) return false;
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
    return true;
  }

  static bool SeesEnd(int descriptor) {
    std::string rest;
    ssize_t got = 1;
    while (got > 0) got = Receive(descriptor, rest);
    return got == 0 || errno == ECONNRESET;
  }

  std::unique_ptr<ConnectionGuard> guard_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<int> handed_;
  std::deque<int> new_;
  std::deque<int> dialled_;
};

}  // namespace leasegateway

#endif  // LEASE_GATEWAY_TESTS_SUPPORT_GUARD_FIXTURE_H_
