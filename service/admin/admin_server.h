#ifndef LEASE_GATEWAY_SERVICE_ADMIN_ADMIN_SERVER_H_
#define LEASE_GATEWAY_SERVICE_ADMIN_ADMIN_SERVER_H_

#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/address.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/system/error_code.hpp>
#include <memory>
#include <string>
#include <thread>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "service/admin/admin_answers.h"
#include "service/admin/admin_pages.h"
#include "service/admin/admin_room.h"
#include "service/admin/admin_stats.h"
#include "service/admin/spare_descriptors.h"

namespace leasegateway {

// Plain HTTP for the platform, on a thread of its own: /livez, /readyz, /metrics, /config,
// /loglevel and / with a list of them. Only a PUT or POST of "level=NAME" to /loglevel changes
// anything. Everything is bounded: connections, requests on each, the size of a request, the time
// for each step. A full port takes newcomers all the same: who did not send a whole request, or
// does not read the answer, makes room.
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
  // May be read after the server's end.
  std::shared_ptr<const AdminStats> stats() const { return stats_; }

 private:
  AdminServer(AdminPages pages, const Options& options);

  absl::Status Listen(const std::string& listen);
  boost::asio::awaitable<void> Accept();
  // Takes those that wait, up to a turn's. An error: none waits, or none can be taken for now.
  // Throws nothing.
  boost::system::error_code AcceptSome();
  // Takes one connection that waits. An error: none waits, or none can be taken for now.
  boost::system::error_code AcceptOne();
  void Serve(boost::asio::ip::tcp::socket socket, const boost::asio::ip::address& peer);
  void Run();

  const AdminPages pages_;
  const Options options_;
  const std::shared_ptr<AdminStats> stats_;
  // On the thread, as all below. Connections in `io_` have places in it.
  AdminRoom room_;
  SpareDescriptors spares_;
  boost::asio::io_context io_{1};
  boost::asio::ip::tcp::acceptor acceptor_;
  AdminAnswers answers_;
  std::thread thread_;
};

}  // namespace leasegateway

#endif  // LEASE_GATEWAY_SERVICE_ADMIN_ADMIN_SERVER_H_
