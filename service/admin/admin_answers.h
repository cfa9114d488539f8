#ifndef LEASE_GATEWAY_SERVICE_ADMIN_ADMIN_ANSWERS_H_
#define LEASE_GATEWAY_SERVICE_ADMIN_ADMIN_ANSWERS_H_

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/beast/http/message.hpp>
#include <boost/beast/http/status.hpp>
#include <boost/beast/http/string_body.hpp>
#include <memory>
#include <string>
#include <string_view>

#include "service/admin/admin_pages.h"

namespace leasegateway {

struct AdminAnswer {
  boost::beast::http::status status = boost::beast::http::status::ok;
  std::shared_ptr<const std::string> body;  // never null
  const char* type = "text/plain; charset=utf-8";
  const char* allow = nullptr;  // of 405
};

// Of plain text: `words`, and the end of the line.
AdminAnswer AdminFailure(boost::beast::http::status status, std::string_view words);

// Which page answers a request. On the admin port's thread, which `executor` is.
class AdminAnswers {
 public:
  // `pages` and `options` outlive it.
  AdminAnswers(boost::asio::any_io_executor executor, const AdminPages& pages,
               const AdminOptions& options);

  boost::asio::awaitable<AdminAnswer> Make(
      boost::beast::http::request<boost::beast::http::string_body> request);

 private:
  // A text that several wait for.
  struct Making {
    explicit Making(const boost::asio::any_io_executor& executor) : done(executor) {}
    std::shared_ptr<const std::string> text;  // null until it is made
    boost::asio::steady_timer done;           // cancelled when it is
  };

  boost::asio::awaitable<AdminAnswer> Live();
  // Those who ask before it is made share one text, so that a crowd costs no more than one: it is
  // made after what is already there from all connections has been read.
  boost::asio::awaitable<std::shared_ptr<const std::string>> Metrics();
  void MakeMetrics();

  const boost::asio::any_io_executor executor_;
  const AdminPages& pages_;
  const AdminOptions& options_;
  std::shared_ptr<Making> metrics_;  // null: nobody waits
};

}  // namespace leasegateway

#endif  // LEASE_GATEWAY_SERVICE_ADMIN_ADMIN_ANSWERS_H_
