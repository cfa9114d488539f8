#include "service/admin/admin_connection.h"

#include <algorithm>
#include <atomic>
#include <boost/asio/post.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/core/tcp_stream.hpp>
#include <boost/beast/http.hpp>
#include <chrono>
#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "service/process/logging.h"

namespace leasegateway {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = boost::beast::http;
using asio::ip::tcp;
using std::chrono::milliseconds;

namespace {

constexpr char kText[] = "text/plain; charset=utf-8";
constexpr char kMetricsText[] = "text/plain; version=0.0.4; charset=utf-8";
constexpr char kIndex[] =
    "lease-gateway: the admin port\n"
    "\n"
    "/livez     whether the process lives and its threads respond\n"
    "/readyz    whether it takes calls, and why not\n"
    "/metrics   in Prometheus's text format\n"
    "/config    the options in force, without secrets\n"
    "/loglevel  the level in force; PUT or POST level=trace|debug|info|warn|error|off sets it\n";

struct Page {
  http::status status = http::status::ok;
  std::string body;
  const char* type = kText;
  const char* allow = nullptr;  // of 405
};

Page Fail(http::status status, std::string_view words) {
  return {status, std::string(words) + "\n"};
}

Page SetLevel(const std::string& body) {
  constexpr std::string_view kKey = "level=";
  std::string_view level = body;
  while (!level.empty() && (level.back() == '\n' || level.back() == '\r')) level.remove_suffix(1);
  if (!absl::StartsWith(absl::string_view(level.data(), level.size()), "level=") ||
      !SetLogLevel(level.substr(kKey.size()))) {
    return Fail(http::status::bad_request,
                "the body must be level=NAME, NAME one of trace, debug, info, warn, error, off");
  }
  return {http::status::ok, LogLevel() + "\n"};
}

http::status StatusOf(const boost::system::error_code& error) {
  if (error == http::error::header_limit) return http::status::request_header_fields_too_large;
  if (error == http::error::body_limit || error == http::error::buffer_overflow) {
    return http::status::payload_too_large;
  }
  return http::status::bad_request;
}

// Whether the peer sent something that is no request and is still there to be told so.
bool IsBadRequest(const boost::system::error_code& error) {
  return error.category() == make_error_code(http::error::bad_version).category() &&
         error != http::error::end_of_stream && error != http::error::partial_message;
}

// Looks every few milliseconds, as what is posted to the other threads may outlive this server.
asio::awaitable<Page> Live(const AdminPages& pages, const AdminOptions& options) {
  const auto responded = std::make_shared<std::atomic<bool>>(false);
  asio::post(pages.calls, [responded] { *responded = true; });
  const auto give_up = std::chrono::steady_clock::now() + options.live_timeout;
  const asio::any_io_executor executor = co_await asio::this_coro::executor;
  asio::steady_timer timer(executor);
  while (!*responded) {
    if (std::chrono::steady_clock::now() >= give_up) {
      co_return Fail(http::status::service_unavailable,
                     "the threads that serve the provider's connections do not respond");
    }
    timer.expires_after(milliseconds(2));
    boost::system::error_code error;
    co_await timer.async_wait(asio::redirect_error(asio::use_awaitable, error));
  }
  co_return Page{.body = "alive\n"};
}

asio::awaitable<Page> Make(const AdminPages& pages, const AdminOptions& options,
                           http::request<http::string_body> request) {
  const std::string target(request.target().data(), request.target().size());
  const std::string path = target.substr(0, target.find('?'));
  const bool level = path == "/loglevel";
  const bool known = level || path == "/" || path == "/livez" || path == "/readyz" ||
                     path == "/metrics" || path == "/config";
  if (!known) co_return Fail(http::status::not_found, "no such page; / lists all");
  const bool read = request.method() == http::verb::get || request.method() == http::verb::head;
  const bool write = request.method() == http::verb::put || request.method() == http::verb::post;
  if (!read && !(level && write)) {
    Page page = Fail(http::status::method_not_allowed, "this page can't be asked so");
    page.allow = level ? "GET, HEAD, PUT, POST" : "GET, HEAD";
    co_return page;
  }
  if (level) co_return write ? SetLevel(request.body()) : Page{.body = LogLevel() + "\n"};
  if (path == "/livez") {
    auto living = Live(pages, options);
    co_return co_await std::move(living);
  }
  if (path == "/readyz") {
    Readiness readiness = pages.readiness();
    co_return Page{readiness.ready ? http::status::ok : http::status::service_unavailable,
                   absl::StrCat(readiness.ready ? "ready\n" : "not ready\n", readiness.words)};
  }
  if (path == "/metrics") co_return Page{.body = pages.metrics(), .type = kMetricsText};
  if (path == "/config") co_return Page{.body = pages.config()};
  co_return Page{.body = kIndex};
}

asio::awaitable<bool> Send(beast::tcp_stream& stream, const AdminOptions& options, Page page,
                           bool head, unsigned version, bool keep_alive) {
  http::response<http::string_body> response(page.status, version);
  response.set(http::field::content_type, page.type);
  response.set(http::field::cache_control, "no-store");
  response.set("x-content-type-options", "nosniff");
  if (page.allow != nullptr) response.set(http::field::allow, page.allow);
  response.keep_alive(keep_alive);
  response.content_length(page.body.size());
  if (!head) response.body() = std::move(page.body);
  stream.expires_after(options.write_timeout);
  boost::system::error_code error;
  co_await http::async_write(stream, response, asio::redirect_error(asio::use_awaitable, error));
  co_return !error && keep_alive;
}

asio::awaitable<bool> Answer(beast::tcp_stream& stream, const AdminPages& pages,
                             const AdminOptions& options,
                             http::request<http::string_body> request) {
  const bool head = request.method() == http::verb::head;
  const unsigned version = request.version();
  const bool keep_alive = request.keep_alive();
  auto making = Make(pages, options, std::move(request));
  Page page = co_await std::move(making);
  auto sending = Send(stream, options, std::move(page), head, version, keep_alive);
  co_return co_await std::move(sending);
}

}  // namespace

asio::awaitable<void> ServeAdminConnection(tcp::socket socket, const AdminPages& pages,
                                           const AdminOptions& options) {
  beast::tcp_stream stream(std::move(socket));
  // The parser's limits leave out what is between chunks.
  beast::flat_buffer buffer(options.max_header_bytes + options.max_body_bytes + 4096);
  boost::system::error_code error;
  for (bool goes_on = true; goes_on;) {
    http::request_parser<http::string_body> parser;
    parser.header_limit(options.max_header_bytes);
    parser.body_limit(options.max_body_bytes);
    stream.expires_after(options.request_timeout);
    co_await http::async_read(stream, buffer, parser,
                              asio::redirect_error(asio::use_awaitable, error));
    if (error && IsBadRequest(error)) {
      const http::status status = StatusOf(error);
      const auto words = http::obsolete_reason(status);
      auto sending =
          Send(stream, options, Fail(status, std::string_view(words.data(), words.size())), false,
               11, false);
      co_await std::move(sending);
      break;
    }
    if (error) break;
    auto answering = Answer(stream, pages, options, parser.release());
    goes_on = co_await std::move(answering);
  }
  stream.socket().shutdown(tcp::socket::shutdown_send, error);
  // A close with bytes unread would take the answer back.
  stream.expires_after(milliseconds(500));
  char rest[1024];
  std::size_t left = 1 << 16;
  while (!error && left > 0) {
    const std::size_t got = co_await stream.async_read_some(
        asio::buffer(rest), asio::redirect_error(asio::use_awaitable, error));
    left -= std::min(left, got);
  }
}

}  // namespace leasegateway
