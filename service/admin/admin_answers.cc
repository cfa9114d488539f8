#include "service/admin/admin_answers.h"

#include <spdlog/spdlog.h>

#include <atomic>
#include <boost/asio/post.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <chrono>
#include <exception>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "service/process/logging.h"

namespace leasegateway {

namespace asio = boost::asio;
namespace http = boost::beast::http;
using std::chrono::milliseconds;

namespace {

constexpr char kMetricsText[] = "text/plain; version=0.0.4; charset=utf-8";
constexpr char kIndex[] =
    "lease-gateway: the admin port\n"
    "\n"
    "/livez     whether the process lives and its threads respond\n"
    "/readyz    whether it takes calls, and why not\n"
    "/metrics   in Prometheus's text format\n"
    "/config    the options in force, without secrets\n"
    "/loglevel  the level in force; PUT or POST level=trace|debug|info|warn|error|off sets it\n";

AdminAnswer Text(std::string body) {
  return {.body = std::make_shared<const std::string>(std::move(body))};
}

AdminAnswer SetLevel(const std::string& body) {
  constexpr std::string_view kKey = "level=";
  std::string_view level = body;
  while (!level.empty() && (level.back() == '\n' || level.back() == '\r')) level.remove_suffix(1);
  if (!absl::StartsWith(absl::string_view(level.data(), level.size()), "level=") ||
      !SetLogLevel(level.substr(kKey.size()))) {
    return AdminFailure(
        http::status::bad_request,
        "the body must be level=NAME, NAME one of trace, debug, info, warn, error, off");
  }
  return Text(LogLevel() + "\n");
}

}  // namespace

AdminAnswer AdminFailure(http::status status, std::string_view words) {
  AdminAnswer answer = Text(std::string(words) + "\n");
  answer.status = status;
  return answer;
}

AdminAnswers::AdminAnswers(asio::any_io_executor executor, const AdminPages& pages,
                           const AdminOptions& options)
    : executor_(std::move(executor)), pages_(pages), options_(options) {}

asio::awaitable<AdminAnswer> AdminAnswers::Make(http::request<http::string_body> request) {
  const std::string target(request.target().data(), request.target().size());
  const std::string path = target.substr(0, target.find('?'));
  const bool level = path == "/loglevel";
  const bool known = level || path == "/" || path == "/livez" || path == "/readyz" ||
                     path == "/metrics" || path == "/config";
  if (!known) co_return AdminFailure(http::status::not_found, "no such page; / lists all");
  const bool read = request.method() == http::verb::get || request.method() == http::verb::head;
  const bool write = request.method() == http::verb::put || request.method() == http::verb::post;
  if (!read && !(level && write)) {
    AdminAnswer answer =
        AdminFailure(http::status::method_not_allowed, "this page can't be asked so");
    answer.allow = level ? "GET, HEAD, PUT, POST" : "GET, HEAD";
    co_return answer;
  }
  if (level) co_return write ? SetLevel(request.body()) : Text(LogLevel() + "\n");
  if (path == "/livez") {
    auto living = Live();
    co_return co_await std::move(living);
  }
  if (path == "/readyz") {
    Readiness readiness = pages_.readiness();
    AdminAnswer answer =
        Text(absl::StrCat(readiness.ready ? "ready\n" : "not ready\n", readiness.words));
    if (!readiness.ready) answer.status = http::status::service_unavailable;
    co_return answer;
  }
  if (path == "/metrics") {
    auto making = Metrics();
    auto text = co_await std::move(making);
    if (text->empty()) {
      co_return AdminFailure(http::status::internal_server_error, "they can't be read");
    }
    co_return AdminAnswer{.body = std::move(text), .type = kMetricsText};
  }
  if (path == "/config") co_return Text(pages_.config());
  co_return Text(kIndex);
}

// Looks every few milliseconds, as what is posted to the other threads may outlive this.
asio::awaitable<AdminAnswer> AdminAnswers::Live() {
  const auto responded = std::make_shared<std::atomic<bool>>(false);
  asio::post(pages_.calls, [responded] { *responded = true; });
  const auto give_up = std::chrono::steady_clock::now() + options_.live_timeout;
  asio::steady_timer timer(executor_);
  while (!*responded) {
    if (std::chrono::steady_clock::now() >= give_up) {
      co_return AdminFailure(http::status::service_unavailable,
                             "the threads that serve the provider's connections do not respond");
    }
    timer.expires_after(milliseconds(2));
    boost::system::error_code error;
    co_await timer.async_wait(asio::redirect_error(asio::use_awaitable, error));
  }
  co_return Text("alive\n");
}

asio::awaitable<std::shared_ptr<const std::string>> AdminAnswers::Metrics() {
  if (!metrics_) {
    metrics_ = std::make_shared<Making>(executor_);
    metrics_->done.expires_at(asio::steady_timer::time_point::max());
    asio::post(executor_, [this] { MakeMetrics(); });
  }
  const std::shared_ptr<Making> making = metrics_;
  while (!making->text) {
    boost::system::error_code error;
    co_await making->done.async_wait(asio::redirect_error(asio::use_awaitable, error));
  }
  co_return making->text;
}

void AdminAnswers::MakeMetrics() {
  const std::shared_ptr<Making> making = std::move(metrics_);
  std::string text;
  try {
    text = pages_.metrics();
  } catch (const std::exception& e) {
    spdlog::error("the metrics can't be read: {}", e.what());
  }
  making->text = std::make_shared<const std::string>(std::move(text));
  making->done.cancel();
}

}  // namespace leasegateway
