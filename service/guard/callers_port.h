#ifndef LEASE_GATEWAY_SERVICE_GUARD_CALLERS_PORT_H_
#define LEASE_GATEWAY_SERVICE_GUARD_CALLERS_PORT_H_

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/system/error_code.hpp>
#include <chrono>
#include <string>
#include <vector>

#include "absl/status/status.h"

namespace leasegateway {

// The sockets that listen where callers connect. One thread.
class CallersPort {
 public:
  using Acceptor = boost::asio::ip::tcp::acceptor;

  // `user_timeout`: TCP_USER_TIMEOUT of the connections. `io` outlives it.
  CallersPort(boost::asio::io_context& io, std::chrono::milliseconds user_timeout)
      : io_(io), user_timeout_(user_timeout) {}

  // Listens on HOST:PORT, on all addresses that the name has. Accepts none. FAILED_PRECONDITION: it
  // can't.
  absl::Status Listen(const std::string& listen);
  // The kernel refuses newcomers, and resets those that wait.
  void Close();

  int number() const { return number_; }  // as bound
  std::vector<Acceptor>& acceptors() { return acceptors_; }

 private:
  boost::system::error_code Open(const boost::asio::ip::tcp::endpoint& endpoint);

  boost::asio::io_context& io_;
  const std::chrono::milliseconds user_timeout_;
  int number_ = 0;
  std::vector<Acceptor> acceptors_;
};

}  // namespace leasegateway

#endif  // LEASE_GATEWAY_SERVICE_GUARD_CALLERS_PORT_H_
