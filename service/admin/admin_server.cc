#include "service/admin/admin_server.h"

#include <spdlog/spdlog.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <chrono>
#include <cstddef>
#include <exception>
#include <utility>

#include "absl/strings/str_cat.h"
#include "service/admin/admin_connection.h"

namespace leasegateway {

namespace asio = boost::asio;
using asio::ip::tcp;
using boost::system::error_code;
using std::chrono::milliseconds;
using std::chrono::steady_clock;

namespace {

// Half of what a peer may have: what came with a connection is read before it has to make room.
constexpr int kAcceptsATurn = 8;
constexpr std::size_t kSpareDescriptors = 8;
// The system's memory for what a peer does not read. A scrape has room, a heap of answers has not.
constexpr int kSendBuffer = 64 << 10;
constexpr milliseconds kPause{20};  // where none can be taken, for want of descriptors say

bool IsWantOfDescriptors(const error_code& error) {
  return error == asio::error::no_descriptors || error == asio::error::no_memory ||
         error == asio::error::no_buffer_space ||
         error == boost::system::errc::too_many_files_open_in_system;
}

absl::Status CannotListen(const std::string& listen, const error_code& error) {
  return absl::FailedPreconditionError(
      absl::StrCat("admin_listen: \"", listen, "\": can't listen there: ", error.message(),
                   error == asio::error::address_in_use ? ": is the port taken?" : ""));
}

}  // namespace

absl::StatusOr<std::unique_ptr<AdminServer>> AdminServer::Start(const std::string& listen,
                                                                AdminPages pages,
                                                                const Options& options) {
  std::unique_ptr<AdminServer> server(new AdminServer(std::move(pages), options));
  absl::Status status = server->Listen(listen);
  if (!status.ok()) return status;
  auto accepting = server->Accept();
  asio::co_spawn(server->io_, std::move(accepting), asio::detached);
  server->thread_ = std::thread([raw = server.get()] { raw->Run(); });
  return server;
}

AdminServer::AdminServer(AdminPages pages, const Options& options)
    : pages_(std::move(pages)),
      options_(options),
      stats_(std::make_shared<AdminStats>()),
      room_(
          {.max_connections = static_cast<std::size_t>(options.max_connections),
           .max_connections_per_peer = static_cast<std::size_t>(options.max_connections_per_peer)},
          *stats_),
      spares_(kSpareDescriptors),
      acceptor_(io_),
      answers_(io_.get_executor(), pages_, options_) {}

AdminServer::~AdminServer() {
  io_.stop();
  if (thread_.joinable()) thread_.join();
}

int AdminServer::port() const {
  error_code error;
  return acceptor_.local_endpoint(error).port();
}

absl::Status AdminServer::Listen(const std::string& listen) {
  const std::size_t colon = listen.rfind(':');
  std::string host = listen.substr(0, colon);
  if (host.size() > 2 && host.front() == '[') host = host.substr(1, host.size() - 2);
  error_code error;
  const auto found =
      tcp::resolver(io_).resolve(host, listen.substr(colon + 1), tcp::resolver::passive, error);
  if (error) return CannotListen(listen, error);
  const tcp::endpoint endpoint = *found.begin();
  acceptor_.open(endpoint.protocol(), error);
  if (!error) acceptor_.set_option(tcp::acceptor::reuse_address(true), error);
  if (!error) acceptor_.bind(endpoint, error);
  if (!error) acceptor_.non_blocking(true, error);
  // As many may wait as the system allows: a flood that fills it would keep probes out.
  if (!error) acceptor_.listen(tcp::acceptor::max_listen_connections, error);
  return error ? CannotListen(listen, error) : absl::OkStatus();
}

asio::awaitable<void> AdminServer::Accept() {
  while (acceptor_.is_open()) {
    error_code error;
    co_await acceptor_.async_wait(tcp::acceptor::wait_read,
                                  asio::redirect_error(asio::use_awaitable, error));
    if (error == asio::error::operation_aborted) co_return;
    if (!error) error = AcceptSome();
    if (!error || error == asio::error::would_block) continue;
    asio::steady_timer pause(io_, kPause);
    co_await pause.async_wait(asio::redirect_error(asio::use_awaitable, error));
  }
}

error_code AdminServer::AcceptSome() {
  try {
    spares_.Refill();
    error_code error;
    for (int i = 0; i < kAcceptsATurn && !error; ++i) error = AcceptOne();
    return error;
  } catch (const std::exception& e) {
    spdlog::error("the admin port can't take a connection: {}", e.what());
    return asio::error::no_memory;
  }
}

error_code AdminServer::AcceptOne() {
  tcp::socket socket(io_);
  tcp::endpoint peer;
  error_code error;
  acceptor_.accept(socket, peer, error);
  if (IsWantOfDescriptors(error)) {
    if (!spares_.Release() && !room_.MakeRoom()) {
      stats_->Note(AdminLoss::kNoDescriptor, peer.address(), steady_clock::now());
      return error;
    }
    acceptor_.accept(socket, peer, error);
  }
  if (!error) Serve(std::move(socket), peer.address());
  // The peer may have given up.
  return error == asio::error::connection_aborted ? error_code() : error;
}

void AdminServer::Serve(tcp::socket socket, const asio::ip::address& peer) {
  error_code ignored;
  socket.set_option(tcp::socket::send_buffer_size(kSendBuffer), ignored);
  const auto connection = std::make_shared<AdminConnection>(
      std::move(socket), peer, AdminConnection::Port{options_, room_, answers_, *stats_});
  if (!connection->Enter()) return;  // closes it
  auto serving = AdminConnection::Serve(connection);
  asio::co_spawn(io_, std::move(serving), [this](const std::exception_ptr&) { spares_.Refill(); });
}

void AdminServer::Run() {
  for (;;) {
    try {
      io_.run();
      return;
    } catch (const std::exception& e) {
      spdlog::error("the admin port failed: {}", e.what());
    }
  }
}

}  // namespace leasegateway
