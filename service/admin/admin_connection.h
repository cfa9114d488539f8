#ifndef LEASE_GATEWAY_SERVICE_ADMIN_ADMIN_CONNECTION_H_
#define LEASE_GATEWAY_SERVICE_ADMIN_ADMIN_CONNECTION_H_

#include <boost/asio/awaitable.hpp>
#include <boost/asio/ip/tcp.hpp>

#include "service/admin/admin_pages.h"

namespace leasegateway {

// Serves a connection to the admin port until its end, by HTTP/1.1: which page answers a request,
// and within which bounds. `pages` and `options` outlive it. On the admin port's thread.
boost::asio::awaitable<void> ServeAdminConnection(boost::asio::ip::tcp::socket socket,
                                                  const AdminPages& pages,
                                                  const AdminOptions& options);

}  // namespace leasegateway

#endif  // LEASE_GATEWAY_SERVICE_ADMIN_ADMIN_CONNECTION_H_
