#include "upstream/transport/https_connection.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <sys/socket.h>

#include <algorithm>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/strand.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/read.hpp>
#include <boost/beast/http/write.hpp>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "upstream/cancellation.h"
#include "upstream/transport/tls_sessions.h"

namespace leasegateway {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = boost::beast::http;
using std::chrono::milliseconds;

Deadline Earlier(Deadline deadline, std::chrono::milliseconds phase) {
  return std::min(deadline, std::chrono::steady_clock::now() + phase);
}

// From its making to its end is a phase.
class PhaseTimer {
 public:
  PhaseTimer(PhaseTimes& times, Phase phase) : times_(times), phase_(phase) {}
  PhaseTimer(const PhaseTimer&) = delete;
  PhaseTimer& operator=(const PhaseTimer&) = delete;
  ~PhaseTimer() { times_.Observe(phase_, std::chrono::steady_clock::now() - began_); }

 private:
  PhaseTimes& times_;
  const Phase phase_;
  const Deadline began_ = std::chrono::steady_clock::now();
};

// Answers that come before the final one (RFC 9110, 15.2); more of them are no HTTP any more.
constexpr int kMaxInterim = 16;
bool IsInterim(unsigned status) { return status >= 100 && status < 200 && status != 101; }

asio::awaitable<void> SayGoodBye(std::unique_ptr<HttpsConnection> connection,
                                 beast::ssl_stream<DialedStream>& stream) {
  beast::get_lowest_layer(stream).expires_after(std::chrono::seconds(1));
  boost::system::error_code ignored;
  co_await stream.async_shutdown(asio::redirect_error(asio::use_awaitable, ignored));
  connection.reset();
}

}  // namespace

HttpsConnection::HttpsConnection(const asio::any_io_executor& executor,
                                 std::shared_ptr<asio::ssl::context> tls,
                                 const HttpsOptions& options)
    : options_(options), executor_(executor), tls_(std::move(tls)), stream_(executor_, *tls_) {}

HttpsConnection::~HttpsConnection() { KeepSessionAtEnd(stream_.native_handle()); }

asio::awaitable<absl::Status> HttpsConnection::Connect(Dialer& dialer, Deadline deadline) {
  co_await asio::this_coro::throw_if_cancelled(false);
  auto dialing = dialer.Dial(stream_.next_layer(), deadline);
  const auto address = co_await std::move(dialing);
  if (!address.ok()) co_return address.status();
  LimitRetransmission();
  auto shaking_hands = Handshake(deadline);
  const auto status = co_await std::move(shaking_hands);
  if (status.ok()) dialer.Worked(*address);
  if (status.code() == absl::StatusCode::kUnavailable) {
    dialer.Failed(*address, tls_answered_);
  }
  co_return status;
}

// Otherwise it goes on for minutes, also for a process that was killed, and what its operation's
// next owner takes for lost arrives after all (TCP_USER_TIMEOUT, RFC 5482).
void HttpsConnection::LimitRetransmission() {
  const auto limit = static_cast<unsigned>(
      (options_.send_timeout + options_.response_timeout + options_.read_timeout).count());
  ::setsockopt(beast::get_lowest_layer(stream_).socket().native_handle(), IPPROTO_TCP,
               TCP_USER_TIMEOUT, &limit, sizeof(limit));
}

asio::awaitable<absl::Status> HttpsConnection::Handshake(Deadline deadline) {
  SSL* const ssl = stream_.native_handle();
  ExpectHost(ssl, options_.host);
  TlsSessions::Resume(ssl);
  const Deadline expiry = Earlier(deadline, options_.handshake_timeout);
  beast::get_lowest_layer(stream_).expires_at(expiry);
  const PhaseTimer timer(*options_.phases, Phase::kHandshake);
  boost::system::error_code error;
  co_await stream_.async_handshake(asio::ssl::stream_base::client,
                                   asio::redirect_error(asio::use_awaitable, error));
  // As after an exchange: a timer that has just run out would end what comes next.
  beast::get_lowest_layer(stream_).expires_never();
  if (!error && std::chrono::steady_clock::now() >= expiry) error = beast::error::timeout;
  if (error) {
    if (co_await Cancelled()) co_return CancelledError("connecting to the provider");
    if (std::chrono::steady_clock::now() >= deadline) {
      co_return DeadlineError("connecting to the provider");
    }
    ++options_.handshakes->failed;
    TlsSessions::Forget(ssl);
    tls_answered_ = error.category() == asio::error::get_ssl_category();
    std::string operation = absl::StrCat("the TLS handshake with ", options_.host);
    if (options_.proxy) {
      absl::StrAppend(&operation, " through the proxy ", options_.proxy->address.where());
    }
    co_return FromTransport(operation, HandshakeCause(ssl, error, "the provider"),
                            reason::kUpstreamTls, RequestState::kNotSent, false);
  }
  ++(SSL_session_reused(ssl) ? options_.handshakes->resumed : options_.handshakes->full);
  connected_ = true;
  co_return absl::OkStatus();
}

asio::awaitable<HttpsConnection::Result> HttpsConnection::Exchange(HttpRequest request,
                                                                   Deadline deadline,
                                                                   bool finish_once_sent,
                                                                   Deadline send_before) {
  co_await asio::this_coro::throw_if_cancelled(false);
  Result result;
  if (co_await Cancelled()) {
    result.failure = Result::Failure::kCancelled;
    co_return result;
  }
  if (!finish_once_sent) {
    co_return co_await SendAndReceive(std::move(request), deadline, send_before);
  }
  co_await asio::this_coro::reset_cancellation_state(asio::disable_cancellation());
  // Hanging up could undo what the caller, once its deadline has passed, can no longer learn of.
  result = co_await SendAndReceive(std::move(request), Deadline::max(), send_before);
  co_await asio::this_coro::reset_cancellation_state(asio::enable_terminal_cancellation());
  co_return result;
}

// Long, because it is one exchange in its phases, each with its own time-out.
asio::awaitable<HttpsConnection::Result> HttpsConnection::SendAndReceive(HttpRequest request,
                                                                         Deadline deadline,
                                                                         Deadline send_before) {
  Result result;
  auto& socket = beast::get_lowest_layer(stream_);
  std::optional<http::response_parser<ReplyBody>> parser;
  bool interim = false;
  boost::system::error_code error;
  const char* phase = nullptr;
  Deadline expiry;
  std::optional<PhaseTimer> timer;
  const auto begin = [&](Phase timed, const char* name, milliseconds limit) {
    phase = name;
    expiry = Earlier(deadline, limit);
    socket.expires_at(expiry);
    timer.emplace(*options_.phases, timed);
  };
  begin(Phase::kSend, "sending the request", options_.send_timeout);
  // Nothing may come between this and the write, which calls send() before it waits for anything.
  if (std::chrono::steady_clock::now() >= send_before) {
    socket.expires_never();
    result.failure = Result::Failure::kTooLate;
    result.cause = "the time in which it might be sent is over";
    result.reusable = true;
    co_return result;
  }
  co_await http::async_write(stream_, request, asio::redirect_error(asio::use_awaitable, error));
  if (!error) {
    begin(Phase::kWait, "waiting for the answer", options_.response_timeout);
    for (int left = kMaxInterim; left >= 0; --left) {
      parser.emplace();
      Prepare(*parser, request);
      co_await http::async_read_header(stream_, buffer_, *parser,
                                       asio::redirect_error(asio::use_awaitable, error));
      if (error || !IsInterim(parser->get().result_int())) break;
      interim = true;
    }
  }
  if (!error) {
    begin(Phase::kRead, "reading the answer", options_.read_timeout);
    co_await http::async_read(stream_, buffer_, *parser,
                              asio::redirect_error(asio::use_awaitable, error));
  }
  timer.reset();
  result.got_byte = interim || (parser && parser->got_some()) || buffer_.size() > 0;
  if (!error) {
    // Its timer may have run out just now and look at the stream later, on this call's strand: then
    // no other call may use it.
    const bool on_time = std::chrono::steady_clock::now() < expiry;
    // Otherwise the time-out of this exchange would end the next one (Beast's timers stay armed).
    socket.expires_never();
    result.reusable =
        parser->keep_alive() && buffer_.size() == 0 && on_time &&
        http::to_status_class(parser->get().result_int()) != http::status_class::informational;
    result.response = parser->release();
    co_return result;
  }
  connected_ = false;
  result.cause = absl::StrCat(phase, ": ", error.message());
  if (auto why = WhyUnreadable(error, parser ? parser->get().body().problem : "")) {
    result.failure = Result::Failure::kUnreadable;
    result.cause = *std::move(why);
  } else if (co_await Cancelled()) {
    result.failure = Result::Failure::kCancelled;
  } else {
    result.failure = Result::Failure::kTransport;
    result.timed_out = error == beast::error::timeout;
    result.tls_alert = error.category() == asio::error::get_ssl_category() &&
                       ERR_GET_REASON(error.value()) >= SSL_AD_REASON_OFFSET;
  }
  co_return result;
}

void HttpsConnection::Prepare(http::response_parser<ReplyBody>& parser,
                              const HttpRequest& request) const {
  parser.body_limit(static_cast<std::uint64_t>(options_.max_body_bytes));
  parser.header_limit(static_cast<std::uint32_t>(options_.max_header_bytes));
  ReplyBody::value_type& body = parser.get().body();
  body.limit = static_cast<std::size_t>(options_.max_body_bytes);
  body.takes_gzip = request[http::field::accept_encoding] == "gzip";
}

std::optional<std::string> HttpsConnection::WhyUnreadable(const beast::error_code& error,
                                                          const std::string& problem) const {
  if (!problem.empty()) return problem;
  if (error == http::error::body_limit) {
    return absl::StrCat("its body is larger than max_body_bytes, ", options_.max_body_bytes);
  }
  if (error == http::error::header_limit) {
    return absl::StrCat("its header is larger than max_header_bytes, ", options_.max_header_bytes);
  }
  // What is left of Beast's own errors but those of a connection that ended.
  if (error.category() == make_error_code(http::error::bad_version).category() &&
      error != http::error::end_of_stream && error != http::error::partial_message) {
    return absl::StrCat("it is not HTTP: ", error.message());
  }
  return std::nullopt;
}

HttpsConnection::Unasked HttpsConnection::Look() {
  if (HasUnread(stream_.native_handle()) || stream_.next_layer().HasUnreadTls()) {
    return Unasked::kBytes;
  }
  char byte = 0;
  const auto handle = beast::get_lowest_layer(stream_).socket().native_handle();
  const ssize_t got = ::recv(handle, &byte, 1, MSG_PEEK | MSG_DONTWAIT);
  if (got > 0) return Unasked::kBytes;
  return got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK) ? Unasked::kNothing : Unasked::kEnd;
}

asio::awaitable<bool> HttpsConnection::ReadUnasked() {
  co_await asio::this_coro::throw_if_cancelled(false);
  auto& dialed = stream_.next_layer();
  char byte = 0;
  boost::system::error_code error;
  dialed.SetOnlyWhatIsThere(true);
  co_await stream_.async_read_some(asio::buffer(&byte, 1),
                                   asio::redirect_error(asio::use_awaitable, error));
  dialed.SetOnlyWhatIsThere(false);
  co_return error == asio::error::would_block;
}

void HttpsConnection::Close(std::unique_ptr<HttpsConnection> connection) {
  if (!connection->connected_) return;
  auto& stream = connection->stream_;
  const auto strand = asio::make_strand(connection->executor_);
  asio::co_spawn(strand, SayGoodBye(std::move(connection), stream), asio::detached);
}

}  // namespace leasegateway
