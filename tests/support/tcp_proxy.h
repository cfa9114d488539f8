#ifndef LEASE_GATEWAY_TESTS_SUPPORT_TCP_PROXY_H_
#define LEASE_GATEWAY_TESTS_SUPPORT_TCP_PROXY_H_

#include <array>
#include <atomic>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/write.hpp>
#include <functional>
#include <future>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace leasegateway {

// Stands between a client and a server on loopback and does to their connections what networks do.
// A thread of its own; its functions may be called from any other.
class TcpProxy {
 public:
  explicit TcpProxy(int server_port)
      : server_(boost::asio::ip::address_v4::loopback(), static_cast<std::uint16_t>(server_port)),
        acceptor_(io_, {boost::asio::ip::address_v4::loopback(), 0}),
        port_(acceptor_.local_endpoint().port()) {
    Accept();
    thread_ = std::thread([this] { io_.run(); });
  }
  ~TcpProxy() {
    io_.stop();
    thread_.join();
  }
  TcpProxy(const TcpProxy&) = delete;
  TcpProxy& operator=(const TcpProxy&) = delete;

  int port() const { return port_; }
  int accepted() const { return accepted_; }

  // The server's bytes are thrown away from now on; the client's arrive.
  void SwallowAnswers() { swallow_answers_ = true; }
  // The connections end once the server has answered, and the answer is thrown away.
  void CutAtAnswer() { cut_at_answer_ = true; }
  // What the server sends comes in pieces of so many bytes.
  void CutInPieces(std::size_t bytes) { piece_ = bytes; }
  // Changes what the server sends, as it comes; not its length. Before any connection.
  void Edit(std::function<void(char* begin, char* end)> edit) { edit_ = std::move(edit); }
  void Heal() {
    swallow_answers_ = false;
    cut_at_answer_ = false;
  }
  // Both sides of all connections are closed.
  void Cut() {
    std::promise<void> done;
    boost::asio::post(io_, [&] {
      for (auto& link : links_) link->Close();
      links_.clear();
      done.set_value();
    });
    done.get_future().wait();
  }

 private:
  using Socket = boost::asio::ip::tcp::socket;
  struct Link {
    explicit Link(boost::asio::io_context& io) : client(io), server(io) {}
    void Close() {
      boost::system::error_code ignored;
      client.close(ignored);
      server.close(ignored);
    }
    Socket client;
    Socket server;
    std::array<char, 16'384> to_server{};
    std::array<char, 16'384> to_client{};
  };

  void Accept() {
    auto link = std::make_shared<Link>(io_);
    acceptor_.async_accept(link->client, [this, link](const boost::system::error_code& error) {
      if (error) return;
      ++accepted_;
      boost::system::error_code refused;
      link->server.connect(server_, refused);
      if (refused) {
        link->Close();
      } else {
        links_.push_back(link);
        PassToServer(link);
        PassToClient(link);
      }
      Accept();
    });
  }

  void PassToServer(const std::shared_ptr<Link>& link) {
    link->client.async_read_some(
        boost::asio::buffer(link->to_server),
        [this, link](const boost::system::error_code& error, std::size_t size) {
          boost::system::error_code lost = error;
          if (!lost)
            boost::asio::write(link->server, boost::asio::buffer(link->to_server, size), lost);
          if (lost) return link->Close();
          PassToServer(link);
        });
  }

  void PassToClient(const std::shared_ptr<Link>& link) {
    const std::size_t piece = piece_ == 0 ? link->to_client.size() : piece_.load();
    link->server.async_read_some(
        boost::asio::buffer(link->to_client.data(), piece),
        [this, link](const boost::system::error_code& error, std::size_t size) {
          boost::system::error_code lost = error;
          if (cut_at_answer_) return link->Close();
          if (edit_) edit_(link->to_client.data(), link->to_client.data() + size);
          if (!lost && !swallow_answers_) {
            boost::asio::write(link->client, boost::asio::buffer(link->to_client, size), lost);
          }
          if (lost) return link->Close();
          PassToClient(link);
        });
  }

  boost::asio::io_context io_;
  const boost::asio::ip::tcp::endpoint server_;
  boost::asio::ip::tcp::acceptor acceptor_;
  const int port_;
  std::vector<std::shared_ptr<Link>> links_;  // the thread's own
  std::atomic<int> accepted_ = 0;
  std::atomic<bool> swallow_answers_ = false;
  std::atomic<bool> cut_at_answer_ = false;
  std::atomic<std::size_t> piece_ = 0;
  std::function<void(char*, char*)> edit_;
  std::thread thread_;
};

}  // namespace leasegateway

#endif  // LEASE_GATEWAY_TESTS_SUPPORT_TCP_PROXY_H_
