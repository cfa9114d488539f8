#ifndef LEASE_GATEWAY_SERVICE_ADMIN_ADMIN_PAGES_H_
#define LEASE_GATEWAY_SERVICE_ADMIN_ADMIN_PAGES_H_

#include <boost/asio/any_io_executor.hpp>
#include <chrono>
#include <cstdint>
#include <functional>
#include <string>

namespace leasegateway {

struct Readiness {
  bool ready = false;
  std::string words;  // lines: why not, or what to know nevertheless
};

// What the pages show. Called on the admin port's thread, one at a time; none may be slow.
struct AdminPages {
  std::function<std::string()> metrics;
  std::function<std::string()> config;
  std::function<Readiness()> readiness;
  boost::asio::any_io_executor calls;  // whose threads /livez looks at
};

// The bounds of the admin port. Each time is for the whole of what it is named after, however its
// bytes drip in or out.
struct AdminOptions {
  int max_connections = 256;          // in all
  int max_connections_per_peer = 16;  // from an IPv4 address, or an IPv6 network of 64 bits
  int max_requests = 100;             // on a connection
  std::uint32_t max_header_bytes = 8 << 10;
  std::uint64_t max_body_bytes = 1 << 10;
  std::chrono::milliseconds header_timeout{2'000};  // from the connection, or the first byte
  std::chrono::milliseconds body_timeout{5'000};    // from the end of the header
  std::chrono::milliseconds idle_timeout{5'000};    // between an answer and the next request
  std::chrono::milliseconds write_timeout{10'000};  // for an answer to be read
  std::chrono::milliseconds live_timeout{2'000};    // for the threads that /livez looks at
};

}  // namespace leasegateway

#endif  // LEASE_GATEWAY_SERVICE_ADMIN_ADMIN_PAGES_H_
