#ifndef LEASE_GATEWAY_TESTS_BENCH_LINK_H_
#define LEASE_GATEWAY_TESTS_BENCH_LINK_H_

#include <algorithm>
#include <atomic>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/buffer.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <thread>
#include <utility>

#include "tests/bench/samples.h"

namespace leasegateway::bench {

// A road between a client and a port of loopback: answers come at so many bytes a second, and every
// byte takes a while, both ways. The first bytes of a connection take a round trip more, the one of
// TCP's own handshake, since loopback connects at once. Whatever is on the way is kept, in order;
// that this process comes late does not make the road slower. Runs on a thread of its own.
class Link {
 public:
  struct Options {
    double bytes_a_second = 0;  // of answers; 0: as fast as it goes
    Clock::duration delay{0};   // one way
  };

  Link(std::uint16_t to, const Options& options)
      : to_(to), options_(options), acceptor_(io_, {boost::asio::ip::address_v4::loopback(), 0}) {
    auto serving = Serve();
    boost::asio::co_spawn(io_, std::move(serving), boost::asio::detached);
    thread_ = std::thread([this] { io_.run(); });
  }
  ~Link() {
    io_.stop();
    thread_.join();
  }
  Link(const Link&) = delete;
  Link& operator=(const Link&) = delete;

  std::uint16_t port() const { return port_; }
  // Bytes of answers that have gone into it, with what TLS adds.
  std::uint64_t answered() const { return answered_; }

 private:
  using tcp = boost::asio::ip::tcp;
  using Awaitable = boost::asio::awaitable<void>;

  struct Sockets {
    explicit Sockets(boost::asio::io_context& io) : client(io), server(io) {}
    tcp::socket client, server;
  };
  struct Piece {
    Clock::time_point due;
    std::string bytes;
  };
  // One direction; keeps both sockets.
  struct Way {
    Way(std::shared_ptr<Sockets> both, tcp::socket& source, tcp::socket& sink)
        : sockets(std::move(both)), from(source), to(sink), news(source.get_executor()) {}
    const std::shared_ptr<Sockets> sockets;
    tcp::socket& from;
    tcp::socket& to;
    double pace = 0;
    Clock::duration more_at_first{0};
    std::atomic<std::uint64_t>* count = nullptr;
    std::deque<Piece> pieces;
    bool ended = false;
    boost::asio::steady_timer news;  // cancelled: there is a piece, or the end
  };

  Awaitable Serve() {
    for (;;) {
      auto sockets = std::make_shared<Sockets>(io_);
      boost::system::error_code error;
      co_await acceptor_.async_accept(
          sockets->client, boost::asio::redirect_error(boost::asio::use_awaitable, error));
      if (error) co_return;
      co_await sockets->server.async_connect(
          {boost::asio::ip::address_v4::loopback(), to_},
          boost::asio::redirect_error(boost::asio::use_awaitable, error));
      if (error) continue;  // which closes the client's as well
      sockets->client.set_option(tcp::no_delay(true), error);
      sockets->server.set_option(tcp::no_delay(true), error);
      auto there = std::make_shared<Way>(sockets, sockets->client, sockets->server);
      there->more_at_first = 2 * options_.delay;
      auto back = std::make_shared<Way>(sockets, sockets->server, sockets->client);
      back->pace = options_.bytes_a_second;
      back->count = &answered_;
      for (const auto& way : {there, back}) {
        auto taking = Take(way, options_.delay);
        boost::asio::co_spawn(io_, std::move(taking), boost::asio::detached);
        auto giving = Give(way);
        boost::asio::co_spawn(io_, std::move(giving), boost::asio::detached);
      }
    }
  }

  static Awaitable Take(std::shared_ptr<Way> way, Clock::duration delay) {
    std::string bytes(kPiece, '\0');
    Clock::time_point free_at{};
    boost::system::error_code error;
    for (;;) {
      const std::size_t size = co_await way->from.async_read_some(
          boost::asio::buffer(bytes),
          boost::asio::redirect_error(boost::asio::use_awaitable, error));
      if (error) break;
      if (way->count != nullptr) *way->count += size;
      free_at = std::max(free_at, Clock::now() + std::exchange(way->more_at_first, {}));
      if (way->pace > 0) {
        free_at += std::chrono::duration_cast<Clock::duration>(
            std::chrono::duration<double>(static_cast<double>(size) / way->pace));
      }
      way->pieces.push_back({free_at + delay, bytes.substr(0, size)});
      if (way->pieces.size() == 1) way->news.cancel();
    }
    way->ended = true;
    if (way->pieces.empty()) way->news.cancel();
  }

  static Awaitable Give(std::shared_ptr<Way> way) {
    boost::system::error_code error;
    while (!error) {
      if (way->pieces.empty()) {
        if (way->ended) break;
        way->news.expires_at(Clock::time_point::max());
        boost::system::error_code cancelled;
        co_await way->news.async_wait(
            boost::asio::redirect_error(boost::asio::use_awaitable, cancelled));
        continue;
      }
      const Piece piece = std::move(way->pieces.front());
      boost::asio::steady_timer timer(way->to.get_executor(), piece.due);
      co_await timer.async_wait(boost::asio::use_awaitable);
      co_await boost::asio::async_write(
          way->to, boost::asio::buffer(piece.bytes),
          boost::asio::redirect_error(boost::asio::use_awaitable, error));
      way->pieces.pop_front();
    }
    boost::system::error_code ignored;
    way->to.shutdown(tcp::socket::shutdown_send, ignored);
    if (error) way->from.close(ignored);
  }

  static constexpr std::size_t kPiece = 4096;

  const std::uint16_t to_;
  const Options options_;
  boost::asio::io_context io_;
  tcp::acceptor acceptor_;
  const std::uint16_t port_ = acceptor_.local_endpoint().port();
  std::atomic<std::uint64_t> answered_{0};
  std::thread thread_;
};

}  // namespace leasegateway::bench

#endif  // LEASE_GATEWAY_TESTS_BENCH_LINK_H_
