#include "upstream/sandbox/server.h"

#include <openssl/ssl.h>

#include <algorithm>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/buffer.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <chrono>
#include <exception>
#include <future>
#include <utility>
#include <vector>

#include "upstream/sandbox/session.h"
#include "upstream/sandbox/text.h"

namespace leasegateway::sandbox {
namespace {

namespace net = boost::asio;
namespace ssl = net::ssl;
using tcp = net::ip::tcp;

}  // namespace

Server::Server(const SandboxOptions& options)
    : options_(options),
      provider_(options.seed, options.numbers, options.keys),
      faults_(options.seed) {}

Server::~Server() {
  context_.stop();
  if (thread_.joinable()) thread_.join();
}

absl::Status Server::SetUpTls(const net::ip::address& address) {
  std::vector<std::string> names = {"localhost", "127.0.0.1"};
  for (const std::string& name : {options_.certificate_host, address.to_string()}) {
    if (std::find(names.begin(), names.end(), name) == names.end()) names.push_back(name);
  }
  absl::StatusOr<Certificates> made = MakeCertificates(names, options_.certificate_days);
  if (!made.ok()) return made.status();
  certificates_ = *std::move(made);

  boost::system::error_code error;
  const auto failed = [&error] {
    return absl::InternalError(Cat("TLS can't be set up: ", error.message()));
  };
  tls_.use_certificate_chain(net::buffer(certificates_.leaf), error);
  if (error) return failed();
  tls_.use_private_key(net::buffer(certificates_.leaf_key), ssl::context::pem, error);
  if (error) return failed();
  if (SSL_CTX_set_min_proto_version(tls_.native_handle(), TLS1_2_VERSION) != 1) return failed();
  return absl::OkStatus();
}

absl::StatusOr<tcp::acceptor> Server::Open(const net::ip::address& address, std::uint16_t port) {
  boost::system::error_code error;
  tcp::acceptor acceptor(context_);
  const tcp::endpoint endpoint(address, port);
  acceptor.open(endpoint.protocol(), error);
  if (!error) acceptor.set_option(net::socket_base::reuse_address(true), error);
  if (!error) acceptor.bind(endpoint, error);
  if (!error) acceptor.listen(net::socket_base::max_listen_connections, error);
  if (error) {
    return absl::FailedPreconditionError(
        Cat("can't listen on ", options_.address, " port ", port, ": ", error.message()));
  }
  return acceptor;
}

absl::Status Server::Start() {
  boost::system::error_code error;
  const net::ip::address address = net::ip::make_address(
      options_.address == "localhost" ? "127.0.0.1" : options_.address, error);
  if (error) {
    return absl::FailedPreconditionError(
        Cat("can't listen on ", options_.address, ": it is not an IP address"));
  }
  if (absl::Status status = SetUpTls(address); !status.ok()) return status;
  std::vector<tcp::acceptor> providers;
  for (int i = 0; i <= options_.more_ports; ++i) {
    absl::StatusOr<tcp::acceptor> provider = Open(address, i == 0 ? options_.port : 0);
    if (!provider.ok()) return provider.status();
    providers.push_back(*std::move(provider));
  }
  absl::StatusOr<tcp::acceptor> control = Open(address, options_.control_port);
  if (!control.ok()) return control.status();

  // The name that the certificate was made for, where it leads here.
  const bool local = address.is_unspecified() || address == net::ip::address_v4::loopback();
  std::string host = address.is_v6() ? Cat("[", address.to_string(), "]") : address.to_string();
  for (const tcp::acceptor& provider : providers) {
    urls_.push_back(Cat("https://", local ? "localhost" : host, ":",
                        provider.local_endpoint(error).port(), "/numbers"));
  }
  if (address.is_unspecified()) host = "127.0.0.1";
  control_url_ = Cat("http://", host, ":", control->local_endpoint(error).port(), "/_sandbox");

  for (tcp::acceptor& provider : providers) {
    net::co_spawn(context_, Accept(std::move(provider), false), [](std::exception_ptr) {});
  }
  net::co_spawn(context_, Accept(*std::move(control), true), [](std::exception_ptr) {});
  thread_ = std::thread([this] { context_.run(); });
  return absl::OkStatus();
}

absl::StatusOr<std::string> Server::HandleControl(const std::string& method,
                                                  const std::string& path,
                                                  const std::string& body) {
  std::promise<absl::StatusOr<std::string>> promise;
  net::post(context_, [this, &promise, &method, &path, &body] {
    promise.set_value(control_.Handle(method, path, body));
  });
  return promise.get_future().get();
}

net::awaitable<void> Server::Accept(tcp::acceptor acceptor, bool is_control) {
  for (;;) {
    auto [error, socket] = co_await acceptor.async_accept(net::as_tuple(net::use_awaitable));
    if (error) {
      // Out of descriptors, most likely: some will come back.
      net::steady_timer timer(context_);
      timer.expires_after(std::chrono::milliseconds(50));
      co_await timer.async_wait(net::as_tuple(net::use_awaitable));
      continue;
    }
    boost::system::error_code ignored;
    socket.set_option(tcp::no_delay(true), ignored);
    net::co_spawn(context_,
                  is_control ? ServeControl(std::move(socket), &control_)
                             : ProviderSession::Serve(std::move(socket), &tls_, &options_,
                                                      &provider_, &faults_, &traffic_),
                  [](std::exception_ptr) {});
  }
}

}  // namespace leasegateway::sandbox
