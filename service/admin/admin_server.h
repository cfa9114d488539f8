#ifndef LEASE_GATEWAY_SERVICE_ADMIN_ADMIN_SERVER_H_
#define LEASE_GATEWAY_SERVICE_ADMIN_ADMIN_SERVER_H_

#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <memory>
#include <string>
#include <thread>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "service/admin/admin_pages.h"

namespace leasegateway {

// Plain HTTP for the platform, on a thread of its own: /livez, /readyz, /metrics, /config,
// /loglevel and / with a list of them. Only a PUT or POST of "level=NAME" to /loglevel changes
// anything. Everything is bounded: connections, the size of a request, the time for each step.
class AdminServer {
 public:
  using Options = AdminOptions;

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
  AdminServer(AdminPages pages, const Options& options);

  absl::Status Listen(const std::string& listen);
  boost::asio::awaitable<void> Accept();
  void Run();

  const AdminPages pages_;
  const Options options_;
  boost::asio::io_context io_{1};
  boost::asio::ip::tcp::acceptor acceptor_;
  int connections_ = 0;  // on the thread
  std::thread thread_;
};

}  // namespace leasegateway

#endif  // LEASE_GATEWAY_SERVICE_ADMIN_ADMIN_SERVER_H_
