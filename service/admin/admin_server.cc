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
using std::chrono::milliseconds;

namespace {

absl::Status CannotListen(const std::string& listen, const boost::system::error_code& error) {
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
    : pages_(std::move(pages)), options_(options), acceptor_(io_) {}

AdminServer::~AdminServer() {
  io_.stop();
  if (thread_.joinable()) thread_.join();
}

int AdminServer::port() const {
  boost::system::error_code error;
  return acceptor_.local_endpoint(error).port();
}

absl::Status AdminServer::Listen(const std::string& listen) {
  const std::size_t colon = listen.rfind(':');
  std::string host = listen.substr(0, colon);
  if (host.size() > 2 && host.front() == '[') host = host.substr(1, host.size() - 2);
  boost::system::error_code error;
  const auto found =
      tcp::resolver(io_).resolve(host, listen.substr(colon + 1), tcp::resolver::passive, error);
  if (error) return CannotListen(listen, error);
  const tcp::endpoint endpoint = *found.begin();
  acceptor_.open(endpoint.protocol(), error);
  if (!error) acceptor_.set_option(tcp::acceptor::reuse_address(true), error);
  if (!error) acceptor_.bind(endpoint, error);
  if (!error) acceptor_.listen(options_.max_connections, error);
  return error ? CannotListen(listen, error) : absl::OkStatus();
}

asio::awaitable<void> AdminServer::Accept() {
  while (acceptor_.is_open()) {
    boost::system::error_code error;
    tcp::socket socket =
        co_await acceptor_.async_accept(asio::redirect_error(asio::use_awaitable, error));
    if (error == asio::error::operation_aborted) co_return;
    if (error) {  // for want of file descriptors, say
      asio::steady_timer pause(io_, milliseconds(100));
      co_await pause.async_wait(asio::redirect_error(asio::use_awaitable, error));
      continue;
    }
    if (connections_ >= options_.max_connections) continue;  // closes it
    ++connections_;
    auto serving = ServeAdminConnection(std::move(socket), pages_, options_);
    asio::co_spawn(io_, std::move(serving), [this](const std::exception_ptr&) { --connections_; });
  }
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
