#ifndef LEASE_GATEWAY_UPSTREAM_TRANSPORT_DNS_CACHE_H_
#define LEASE_GATEWAY_UPSTREAM_TRANSPORT_DNS_CACHE_H_

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace leasegateway {

// The addresses of one host. Looks up in the background, because a running look-up can neither be
// cancelled nor timed; waits for it only when it has never succeeded. Addresses older than
// `ttl` are still handed out while newer ones are fetched, and when that fails. Thread-safe.
class DnsCache {
 public:
  DnsCache(const boost::asio::any_io_executor& executor, std::string host, std::string port,
           std::chrono::milliseconds ttl);

  // UNAVAILABLE, UPSTREAM_UNREACHABLE when the look-up fails or takes until `give_up`. Must be
  // awaited on a strand.
  boost::asio::awaitable<absl::StatusOr<std::vector<boost::asio::ip::tcp::endpoint>>> Lookup(
      std::chrono::steady_clock::time_point give_up);

 private:
  struct State;
  // Shared with the look-up in progress, which may end after this object.
  std::shared_ptr<State> state_;
};

}  // namespace leasegateway

#endif  // LEASE_GATEWAY_UPSTREAM_TRANSPORT_DNS_CACHE_H_
