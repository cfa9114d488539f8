#ifndef LEASE_GATEWAY_TESTS_SUPPORT_HTTP_CLIENT_H_
#define LEASE_GATEWAY_TESTS_SUPPORT_HTTP_CLIENT_H_

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <cerrno>
#include <concepts>
#include <cstdint>
#include <string>
#include <string_view>

namespace leasegateway {

// A connection to a port of this machine, without a library that would know better than the test.
class HttpClient {
 public:
  // `from` another of this machine's addresses where it isn't 0, by a new `socket` where none is
  // given; it owns that as well.
  explicit HttpClient(int port, std::uint32_t address = INADDR_LOOPBACK, std::uint32_t from = 0,
                      int socket = -1)
      : socket_(socket < 0 ? ::socket(AF_INET, SOCK_STREAM, 0) : socket) {
    timeval limit{20, 0};
    ::setsockopt(socket_, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
    if (from != 0) {
      sockaddr_in self{};
      self.sin_family = AF_INET;
      self.sin_addr.s_addr = htonl(from);
      [[maybe_unused]] const int bound =
          ::bind(socket_, reinterpret_cast<sockaddr*>(&self), sizeof(self));
    }
    sockaddr_in peer{};
    peer.sin_family = AF_INET;
    peer.sin_port = htons(static_cast<std::uint16_t>(port));
    peer.sin_addr.s_addr = htonl(address);
    connected_ = ::connect(socket_, reinterpret_cast<sockaddr*>(&peer), sizeof(peer)) == 0;
  }
  ~HttpClient() { ::close(socket_); }
  HttpClient(const HttpClient&) = delete;
  HttpClient& operator=(const HttpClient&) = delete;

  bool connected() const { return connected_; }
  void Send(std::string_view bytes) {
    [[maybe_unused]] const auto sent = ::send(socket_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
  }
  void ShutdownSend() { ::shutdown(socket_, SHUT_WR); }
  // Whether the peer ended the connection, and there is nothing left to read.
  bool Ended() {
    char byte = 0;
    const auto got = ::recv(socket_, &byte, 1, MSG_PEEK | MSG_DONTWAIT);
    return got == 0 || (got < 0 && errno != EAGAIN && errno != EWOULDBLOCK);
  }
  // Reads a little, if there is anything.
  void Sip() {
    char byte = 0;
    [[maybe_unused]] const auto got = ::recv(socket_, &byte, 1, MSG_DONTWAIT);
  }
  // A socket for one, which lets its peer send a few kilobytes ahead.
  static int SmallWindow() {
    const int made = ::socket(AF_INET, SOCK_STREAM, 0);
    const int bytes = 2048;
    ::setsockopt(made, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof(bytes));
    return made;
  }
  // Up to and with `end`, or until the peer ends the connection.
  std::string ReadUntil(std::string_view end) {
    std::string all;
    char byte = 0;
    while (!all.ends_with(end) && ::recv(socket_, &byte, 1, 0) == 1) all += byte;
    return all;
  }
  // All until the peer ends the connection.
  std::string ReadAll() {
    return ReadUntil([](const std::string&) { return false; });
  }
  // All until `enough` of it is there, or the peer ends the connection.
  template <std::predicate<const std::string&> Enough>
  std::string ReadUntil(Enough enough) {
    std::string all;
    char buffer[4096];
    while (!enough(all)) {
      const auto got = ::recv(socket_, buffer, sizeof(buffer), 0);
      if (got <= 0) break;
      all.append(buffer, static_cast<std::size_t>(got));
    }
    return all;
  }

 private:
  const int socket_;
  bool connected_ = false;
};

struct HttpAnswer {
  int status = 0;
  std::string head;
  std::string body;
};

inline HttpAnswer Http(int port, const std::string& method, const std::string& path,
                       const std::string& body = "", const std::string& headers = "",
                       std::uint32_t address = INADDR_LOOPBACK) {
  HttpClient client(port, address);
  client.Send(method + " " + path + " HTTP/1.1\r\nhost: test\r\nconnection: close\r\n" + headers +
              "content-length: " + std::to_string(body.size()) + "\r\n\r\n" + body);
  const std::string all = client.ReadAll();
  HttpAnswer answer;
  const auto end = all.find("\r\n\r\n");
  if (end == all.npos || all.size() < 12) return answer;
  answer.status = std::stoi(all.substr(9, 3));
  answer.head = all.substr(0, end);
  answer.body = all.substr(end + 4);
  return answer;
}

}  // namespace leasegateway

#endif  // LEASE_GATEWAY_TESTS_SUPPORT_HTTP_CLIENT_H_
