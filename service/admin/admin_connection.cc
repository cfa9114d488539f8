#include "service/admin/admin_connection.h"

#include <linux/sockios.h>
#include <sys/ioctl.h>

#include <algorithm>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/http/message.hpp>
#include <boost/beast/http/read.hpp>
#include <boost/beast/http/span_body.hpp>
#include <boost/beast/http/write.hpp>
#include <cstddef>
#include <string_view>
#include <utility>

#include "service/admin/admin_request.h"

namespace leasegateway {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = boost::beast::http;
using asio::ip::tcp;
using boost::system::error_code;
using std::chrono::milliseconds;
using std::chrono::steady_clock;
using Stage = AdminRoom::Stage;

namespace {

// For a peer that has its answer to close.
constexpr milliseconds kGoodbye{500};
constexpr std::size_t kIgnored = 1 << 16;  // bytes after the last request

}  // namespace

// The parser's limits leave out what is between chunks.
AdminConnection::AdminConnection(tcp::socket socket, const asio::ip::address& peer,
                                 const Port& port)
    : port_(port),
      peer_(peer),
      socket_(std::move(socket)),
      timer_(socket_.get_executor()),
      buffer_(port.options.max_header_bytes + port.options.max_body_bytes + 4096) {}

bool AdminConnection::Enter() {
  place_ = port_.room.Enter(peer_, *this);
  return place_ != nullptr;
}

asio::awaitable<void> AdminConnection::Serve(std::shared_ptr<AdminConnection> connection) {
  auto serving = connection->ServeRequests();
  co_await std::move(serving);
  connection->Close();
  connection->place_.reset();
}

asio::awaitable<void> AdminConnection::ServeRequests() {
  bool goes_on = true;
  for (int served = 1; goes_on; ++served) {
    if (served > 1 && buffer_.size() == 0) {
      auto waiting = AwaitRequest();
      if (!co_await std::move(waiting)) co_return;
    }
    auto reading = ReadRequest();
    const Read read = co_await std::move(reading);
    if (read == Read::kEnded) co_return;
    const bool head = parser_->get().method() == http::verb::head;
    if (read == Read::kRefused) {
      port_.stats.Note(AdminLoss::kBadRequest, peer_, steady_clock::now());
      auto sending = Send(*std::move(refusal_), head, 11, false);
      co_await std::move(sending);
      break;
    }
    const unsigned version = parser_->get().version();
    const bool keep_alive = parser_->get().keep_alive() && served < port_.options.max_requests;
    place_->Enter(Stage::kAnswer);
    timer_.expires_at(steady_clock::time_point::max());  // each page has its own
    auto making = port_.answers.Make(parser_->release());
    AdminAnswer answer = co_await std::move(making);
    auto sending = Send(std::move(answer), head, version, keep_alive);
    goes_on = co_await std::move(sending);
  }
  auto leaving = SeeOff();
  co_await std::move(leaving);
}

asio::awaitable<bool> AdminConnection::AwaitRequest() {
  place_->Enter(Stage::kIdle);
  Allow(port_.options.idle_timeout, std::nullopt);
  error_code error;
  const std::size_t got = co_await socket_.async_read_some(
      buffer_.prepare(4096), asio::redirect_error(asio::use_awaitable, error));
  buffer_.commit(got);
  co_return !error;
}

asio::awaitable<AdminConnection::Read> AdminConnection::ReadRequest() {
  place_->Enter(Stage::kRequest);
  Allow(port_.options.header_timeout, AdminLoss::kSlowRequest);
  parser_.emplace();
  parser_->header_limit(port_.options.max_header_bytes);
  parser_->body_limit(port_.options.max_body_bytes);
  error_code error;
  co_await http::async_read_header(socket_, buffer_, *parser_,
                                   asio::redirect_error(asio::use_awaitable, error));
  if (error) co_return Refuse(RefusalOf(error));
  refusal_ = RefusalOf(parser_->get());
  if (refusal_) co_return Read::kRefused;
  if (parser_->is_done()) co_return Read::kWhole;
  auto reading = ReadBody();
  co_return co_await std::move(reading);
}

asio::awaitable<AdminConnection::Read> AdminConnection::ReadBody() {
  Allow(port_.options.body_timeout, AdminLoss::kSlowRequest);
  error_code error;
  if (ExpectsContinue(parser_->get()) && buffer_.size() == 0) {
    constexpr std::string_view kContinue = "HTTP/1.1 100 Continue\r\n\r\n";
    co_await asio::async_write(socket_, asio::buffer(kContinue),
                               asio::redirect_error(asio::use_awaitable, error));
    if (error) co_return Read::kEnded;
  }
  co_await http::async_read(socket_, buffer_, *parser_,
                            asio::redirect_error(asio::use_awaitable, error));
  co_return error ? Refuse(RefusalOf(error)) : Read::kWhole;
}

AdminConnection::Read AdminConnection::Refuse(std::optional<AdminAnswer> refusal) {
  refusal_ = std::move(refusal);
  return refusal_ ? Read::kRefused : Read::kEnded;
}

asio::awaitable<bool> AdminConnection::Send(AdminAnswer answer, bool head, unsigned version,
                                            bool keep_alive) {
  http::response<http::span_body<const char>> response(answer.status, version);
  response.set(http::field::content_type, answer.type);
  response.set(http::field::cache_control, "no-store");
  response.set("x-content-type-options", "nosniff");
  if (answer.allow != nullptr) response.set(http::field::allow, answer.allow);
  response.keep_alive(keep_alive);
  response.content_length(answer.body->size());
  if (!head) response.body() = {answer.body->data(), answer.body->size()};
  place_->Enter(Stage::kUnread);
  Allow(port_.options.write_timeout, AdminLoss::kUnreadAnswer);
  error_code error;
  co_await http::async_write(socket_, response, asio::redirect_error(asio::use_awaitable, error));
  co_return !error && keep_alive;
}

asio::awaitable<void> AdminConnection::SeeOff() {
  error_code error;
  socket_.shutdown(tcp::socket::shutdown_send, error);
  if (error) co_return;
  const auto give_up = steady_clock::now() + port_.options.write_timeout;
  place_->Enter(Stage::kIdle);
  CloseOnceTaken(give_up);
  char rest[1024];
  std::size_t left = kIgnored;
  while (!error && left > 0) {
    const std::size_t got = co_await socket_.async_read_some(
        asio::buffer(rest), asio::redirect_error(asio::use_awaitable, error));
    left -= std::min(left, got);
  }
  // One that shut down its side may still read.
  asio::steady_timer pause(socket_.get_executor());
  while (error == asio::error::eof && !AnswerTaken() && socket_.is_open()) {
    pause.expires_after(milliseconds(10));
    error_code ignored;
    co_await pause.async_wait(asio::redirect_error(asio::use_awaitable, ignored));
  }
}

void AdminConnection::Allow(milliseconds time, std::optional<AdminLoss> why) {
  timer_.expires_after(time);
  timer_.async_wait([self = shared_from_this(), why](const error_code& error) {
    // One that was on its way when another time was set.
    if (error || self->timer_.expiry() > steady_clock::now() || !self->socket_.is_open()) return;
    if (why) self->port_.stats.Note(*why, self->peer_, steady_clock::now());
    self->Close();
  });
}

void AdminConnection::CloseOnceTaken(steady_clock::time_point give_up) {
  timer_.expires_after(kGoodbye);
  timer_.async_wait([self = shared_from_this(), give_up](const error_code& error) {
    if (error || !self->socket_.is_open()) return;
    const auto now = steady_clock::now();
    if (!self->AnswerTaken() && now < give_up) return self->CloseOnceTaken(give_up);
    if (!self->AnswerTaken()) self->port_.stats.Note(AdminLoss::kUnreadAnswer, self->peer_, now);
    self->Close();
  });
}

bool AdminConnection::AnswerTaken() {
  int unread = 0;  // by the peer's kernel; the end of the stream counts one
  return ::ioctl(socket_.native_handle(), SIOCOUTQ, &unread) != 0 || unread <= 1;
}

void AdminConnection::MakeRoom() { Close(); }

void AdminConnection::Close() {
  timer_.cancel();
  if (!socket_.is_open()) return;
  error_code ignored;
  if (!AnswerTaken()) socket_.set_option(asio::socket_base::linger(true, 0), ignored);
  socket_.close(ignored);
}

}  // namespace leasegateway
