#ifndef LEASE_GATEWAY_TESTS_SUPPORT_HANGING_PEERS_H_
#define LEASE_GATEWAY_TESTS_SUPPORT_HANGING_PEERS_H_

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <cstddef>
#include <cstdio>
#include <fstream>
#include <string>
#include <utility>
#include <vector>

// Peers that are there and do not go on.
namespace leasegateway {

// Its queue of connections is full, so the kernel answers no SYN: as an address with no way back.
class SilentPort {
 public:
  explicit SilentPort(const boost::asio::ip::tcp::endpoint& address)
      : acceptor_(io_, address.protocol()) {
    acceptor_.bind(address);
    acceptor_.listen(0);
    for (int i = 0; i < 4; ++i) {
      queued_.emplace_back(io_, address.protocol());
      queued_.back().non_blocking(true);
      const auto bound = acceptor_.local_endpoint();
      ::connect(queued_.back().native_handle(), bound.data(), static_cast<socklen_t>(bound.size()));
    }
  }
  boost::asio::ip::tcp::endpoint address() const { return acceptor_.local_endpoint(); }
  int port() const { return acceptor_.local_endpoint().port(); }

  // Whether anybody, beside those that fill the queue, has begun to connect and waits. IPv4 only.
  bool IsTried() const {
    const auto bound = acceptor_.local_endpoint();
    char remote[32];
    std::snprintf(remote, sizeof(remote), "%08X:%04X", htonl(bound.address().to_v4().to_uint()),
                  bound.port());
    std::ifstream table("/proc/net/tcp");
    std::size_t waiting = 0;
    for (std::string line; std::getline(table, line);) {
      // The peer's address, and the state SYN_SENT.
      waiting += line.find(std::string(" ") + remote + " 02 ") != line.npos;
    }
    std::size_t own = 0;
    for (const auto& socket : queued_) {
      pollfd state{const_cast<boost::asio::ip::tcp::socket&>(socket).native_handle(), POLLOUT, 0};
      own += ::poll(&state, 1, 0) == 0;
    }
    return waiting > own;
  }

 private:
  boost::asio::io_context io_;
  boost::asio::ip::tcp::acceptor acceptor_;
  std::vector<boost::asio::ip::tcp::socket> queued_;
};

// Takes connections and says nothing.
class SpeechlessPort {
 public:
  SpeechlessPort() : acceptor_(io_, {boost::asio::ip::address_v4::loopback(), 0}) {}
  int port() const { return acceptor_.local_endpoint().port(); }
  // The kernel takes them: what is in the queue is connected.
  bool IsTried() {
    pollfd state{acceptor_.native_handle(), POLLIN, 0};
    return ::poll(&state, 1, 0) == 1;
  }

 private:
  boost::asio::io_context io_;
  boost::asio::ip::tcp::acceptor acceptor_;
};

// A name server on the port that resolv.conf means, which takes questions and says nothing. An
// address of loopback's that nobody else has.
class SpeechlessNameServer {
 public:
  SpeechlessNameServer() {
    for (unsigned i = 0; i < 50 && handle_ < 0; ++i) {
      sockaddr_in address{};
      address.sin_family = AF_INET;
      address.sin_port = htons(53);
      const unsigned number = static_cast<unsigned>(getpid()) * 50 + i;
      address.sin_addr.s_addr = htonl(0x7F400000U | (number & 0x3FFFFFU));  // 127.64.0.0/10
      handle_ = ::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
      if (::bind(handle_, reinterpret_cast<sockaddr*>(&address), sizeof(address)) != 0) {
        ::close(std::exchange(handle_, -1));
        continue;
      }
      char text[INET_ADDRSTRLEN];
      address_ = inet_ntop(AF_INET, &address.sin_addr, text, sizeof(text));
    }
  }
  ~SpeechlessNameServer() {
    if (handle_ >= 0) ::close(handle_);
  }
  SpeechlessNameServer(const SpeechlessNameServer&) = delete;
  SpeechlessNameServer& operator=(const SpeechlessNameServer&) = delete;

  // Otherwise this user may not have that port, or something has it on all addresses.
  bool is_there() const { return handle_ >= 0; }
  const std::string& address() const { return address_; }
  bool IsTried() const {
    pollfd state{handle_, POLLIN, 0};
    return ::poll(&state, 1, 0) == 1;
  }

 private:
  int handle_ = -1;
  std::string address_;
};

}  // namespace leasegateway

#endif  // LEASE_GATEWAY_TESTS_SUPPORT_HANGING_PEERS_H_
