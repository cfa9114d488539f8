#ifndef LEASE_GATEWAY_SERVICE_ADMIN_ADMIN_SERVER_H_
#define LEASE_GATEWAY_SERVICE_ADMIN_ADMIN_SERVER_H_

#include <boost/asio/any_io_executor.hpp>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "absl/status/statusor.h"

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

// Plain HTTP for the platform, on a thread of its own: /livez, /readyz, /metrics, /config,
// /loglevel and / with a list of them. Only a PUT or POST of "level=NAME" to /loglevel changes
// anything. Everything is bounded: connections, the size of a request, the time for each step.
class AdminServer {
 public:
  struct Options {
    int max_connections = 64;
    std::uint32_t max_header_bytes = 8 << 10;
    std::uint64_t max_body_bytes = 1 << 10;
    std::chrono::milliseconds request_timeout{5'000};  // from a request's first byte, or idle
    std::chrono::milliseconds write_timeout{10'000};
    std::chrono::milliseconds live_timeout{2'000};  // for the threads that /livez looks at
  };

  // `listen` is HOST:PORT. FAILED_PRECONDITION when it can't be listened on.
  static absl::StatusOr<std::unique_ptr<AdminServer>> Start(const std::string& listen,
                                                            AdminPages pages,
                                                            const Options& options);
  // Closes every connection and joins the thread.
  ~AdminServer();
  AdminServer(const AdminServer&) = delete;
  AdminServer& operator=(const AdminServer&) = delete;

  int port() const;  // as bound

 private:
  struct State;
  explicit AdminServer(std::unique_ptr<State> state);
  const std::unique_ptr<State> state_;
};

}  // namespace leasegateway

#endif  // LEASE_GATEWAY_SERVICE_ADMIN_ADMIN_SERVER_H_
