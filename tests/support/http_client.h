#ifndef LEASE_GATEWAY_TESTS_SUPPORT_HTTP_CLIENT_H_
#define LEASE_GATEWAY_TESTS_SUPPORT_HTTP_CLIENT_H_

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <cstdint>
#include <string>
#include <string_view>

namespace leasegateway {

// A connection to a port of this machine, without a library that would know better than the test.
class HttpClient {
 public:
  explicit HttpClient(int port, std::uint32_t address = INADDR_LOOPBACK)
      : socket_(::socket(AF_INET, SOCK_STREAM, 0)) {
    timeval limit{20, 0};
    ::setsockopt(socket_, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
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
  // All until the peer ends the connection.
  std::string ReadAll() {
    return ReadUntil([](const std::string&) { return false; });
  }
  // All until `enough` of it is there, or the peer ends the connection.
  template <typename Enough>
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
