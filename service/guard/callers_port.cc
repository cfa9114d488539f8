#include "service/guard/callers_port.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <boost/asio/ip/v6_only.hpp>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <utility>

#include "absl/strings/str_cat.h"

namespace leasegateway {

namespace asio = boost::asio;
using asio::ip::tcp;
using boost::system::error_code;

namespace {

absl::Status CannotListen(const std::string& listen, const error_code& error) {
  return absl::FailedPreconditionError(
      absl::StrCat("listen: \"", listen, "\": can't listen there: ", error.message(),
                   error == asio::error::address_in_use ? ": is the port taken?" : ""));
}

}  // namespace

absl::Status CallersPort::Listen(const std::string& listen) {
  const std::size_t colon = listen.rfind(':');
  std::string host = listen.substr(0, colon);
  if (host.size() > 2 && host.front() == '[') host = host.substr(1, host.size() - 2);
  error_code error;
  const auto found =
      tcp::resolver(io_).resolve(host, listen.substr(colon + 1), tcp::resolver::passive, error);
  if (error) return CannotListen(listen, error);
  // As gRPC has it: an address that this machine has not is left out, when there is another one.
  for (const auto& entry : found) {
    tcp::endpoint endpoint = entry.endpoint();
    if (endpoint.port() == 0) endpoint.port(static_cast<std::uint16_t>(number_));
    error_code failed = Open(endpoint);
    // And [::] is all addresses, also where there is no IPv6.
    if (failed == asio::error::address_family_not_supported && endpoint.address().is_v6() &&
        endpoint.address().is_unspecified()) {
      failed = Open(tcp::endpoint(tcp::v4(), endpoint.port()));
    }
    if (failed == asio::error::address_in_use) return CannotListen(listen, failed);
    if (failed) error = failed;
  }
  return acceptors_.empty() ? CannotListen(listen, error) : absl::OkStatus();
}

error_code CallersPort::Open(const tcp::endpoint& endpoint) {
  error_code error;
  tcp::acceptor acceptor(io_);
  acceptor.open(endpoint.protocol(), error);
  if (!error) acceptor.set_option(tcp::acceptor::reuse_address(true), error);
  if (!error && endpoint.address().is_v6()) {
    acceptor.set_option(asio::ip::v6_only(!endpoint.address().is_unspecified()), error);
  }
  // Connections have these from the port that accepted them.
  if (!error) acceptor.set_option(tcp::no_delay(true), error);
  const auto timeout = static_cast<unsigned>(user_timeout_.count());
  if (!error && setsockopt(acceptor.native_handle(), IPPROTO_TCP, TCP_USER_TIMEOUT, &timeout,
                           sizeof(timeout)) != 0) {
    error = error_code(errno, boost::system::system_category());
  }
  if (!error) acceptor.bind(endpoint, error);
  if (!error) acceptor.native_non_blocking(true, error);
  if (!error) acceptor.listen(tcp::acceptor::max_listen_connections, error);
  if (error) return error;
  number_ = acceptor.local_endpoint(error).port();
  acceptors_.push_back(std::move(acceptor));
  return {};
}

void CallersPort::Close() {
  error_code error;
  for (tcp::acceptor& acceptor : acceptors_) acceptor.close(error);
}

}  // namespace leasegateway
