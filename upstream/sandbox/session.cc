#include "upstream/sandbox/session.h"

#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/buffer.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http.hpp>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <ctime>
#include <exception>
#include <optional>
#include <sstream>
#include <string>
#include <string_view>
#include <utility>

#include "upstream/sandbox/representation.h"

namespace leasegateway::sandbox {
namespace {

namespace beast = boost::beast;
namespace http = beast::http;
namespace net = boost::asio;
namespace ssl = net::ssl;
using tcp = net::ip::tcp;
using std::chrono::milliseconds;
using std::chrono::steady_clock;

using Response = http::response<http::string_body>;

constexpr auto kToken = net::as_tuple(net::use_awaitable);
constexpr std::uint64_t kBodyLimit = 1 << 20;
constexpr std::chrono::seconds kHandshakeTimeout(10);
constexpr std::chrono::seconds kIdleTimeout(60);
// How soon a connection that waits notices that its peer has gone.
constexpr milliseconds kGoneInterval(20);

std::string_view View(beast::string_view text) { return {text.data(), text.size()}; }
beast::string_view ToBeast(std::string_view text) { return {text.data(), text.size()}; }

// The peer has closed its side or reset the connection. What it sent before that may still lie
// unread in the socket, so reading would not tell.
bool PeerGone(beast::tcp_stream* stream) {
  pollfd descriptor{stream->socket().native_handle(), POLLRDHUP, 0};
  return poll(&descriptor, 1, 0) > 0 &&
         (descriptor.revents & (POLLRDHUP | POLLHUP | POLLERR | POLLNVAL)) != 0;
}

// Waits, for ever without `delay`. False: the peer went away in the meantime.
net::awaitable<bool> Wait(beast::tcp_stream* stream, std::optional<milliseconds> delay) {
  stream->expires_never();
  net::steady_timer timer(stream->get_executor());
  const steady_clock::time_point start = steady_clock::now();
  for (;;) {
    if (PeerGone(stream)) co_return false;
    steady_clock::time_point next = steady_clock::now() + kGoneInterval;
    if (delay) {
      if (steady_clock::now() >= start + *delay) co_return true;
      next = std::min(next, start + *delay);
    }
    timer.expires_at(next);
    auto [error] = co_await timer.async_wait(kToken);
    if (error) co_return false;
  }
}

void Abort(beast::tcp_stream* stream, bool reset) {
  boost::system::error_code ignored;
  tcp::socket& socket = stream->socket();
  if (reset) {
    socket.set_option(net::socket_base::linger(true, 0), ignored);
  } else {
    socket.shutdown(tcp::socket::shutdown_both, ignored);
  }
  socket.close(ignored);
}

Response MakeResponse(ApiReply reply, unsigned version, bool keep_alive) {
  Response response;
  response.version(version);
  response.result(static_cast<unsigned>(reply.status));
  response.set(http::field::server, ToBeast(reply.server));
  if (!reply.via.empty()) response.set(http::field::via, ToBeast(reply.via));
  if (!reply.retry_after.empty()) {
    response.set(http::field::retry_after, ToBeast(reply.retry_after));
  }
  if (!reply.etag.empty()) response.set(http::field::etag, ToBeast(reply.etag));
  if (reply.modified > 0) {
    response.set(http::field::last_modified, ToBeast(HttpDate(reply.modified)));
    response.set(http::field::date, ToBeast(HttpDate(std::time(nullptr))));
  }
  if (reply.gzip) {
    response.set(http::field::content_encoding, "gzip");
    response.set(http::field::vary, "accept-encoding");
    reply.body = Gzip(reply.body);
  }
  response.keep_alive(keep_alive);
  if (reply.status != 204 && reply.status != 304) {
    response.set(http::field::content_type, ToBeast(reply.content_type));
    response.body() = std::move(reply.body);
    response.prepare_payload();
  }
  return response;
}

// The status for a request that could not be read; 0: nobody is there to be told.
int StatusOfReadError(const boost::system::error_code& error) {
  if (error == http::error::end_of_stream || error == http::error::partial_message) return 0;
  if (error == http::error::body_limit) return 413;
  if (error == http::error::header_limit) return 431;
  return error.category() == http::make_error_code(http::error::bad_method).category() ? 400 : 0;
}

std::string_view PhraseOf(int status) {
  switch (status) {
    case 413:
      return "The body is larger than 1 MiB";
    case 431:
      return "The header is too large";
    default:
      return "The request is not HTTP";
  }
}

}  // namespace

net::awaitable<void> ProviderSession::Serve(tcp::socket socket, ssl::context* tls,
                                            const SandboxOptions* options, Provider* provider,
                                            Faults* faults, Traffic* traffic) {
  ProviderSession session(std::move(socket), tls, options, provider, faults, traffic);
  auto run = session.Run();
  co_await std::move(run);
}

ProviderSession::ProviderSession(tcp::socket socket, ssl::context* tls,
                                 const SandboxOptions* options, Provider* provider, Faults* faults,
                                 Traffic* traffic)
    : stream_(beast::tcp_stream(std::move(socket)), *tls),
      options_(options),
      provider_(provider),
      faults_(faults),
      traffic_(traffic) {}

net::awaitable<void> ProviderSession::Run() {
  const auto open = traffic_->CountConnection();
  lowest().expires_after(kHandshakeTimeout);
  auto [handshake_error] = co_await stream_.async_handshake(ssl::stream_base::server, kToken);
  if (handshake_error) co_return;

  beast::flat_buffer buffer;
  for (;;) {
    http::request_parser<http::string_body> parser;
    parser.body_limit(kBodyLimit);
    lowest().expires_after(kIdleTimeout);
    auto [error, size] = co_await http::async_read(stream_, buffer, parser, kToken);
    if (error) {
      const int status = StatusOfReadError(error);
      if (status == 0) break;
      auto sent = Send(provider_->Error(status, PhraseOf(status)), {11, false});
      co_await std::move(sent);
      break;
    }
    auto answer = Answer(parser.release());
    const bool goes_on = co_await std::move(answer);
    if (!goes_on) break;
  }
  if (!lowest().socket().is_open()) co_return;
  lowest().expires_after(std::chrono::seconds(1));
  co_await stream_.async_shutdown(kToken);
}

ApiReply ProviderSession::Apply(const Route& route, const Request& request) {
  try {
    ApiReply reply =
        provider_->Handle(route, View(request[http::field::authorization]), request.body());
    const bool is_list =
        route.operation == Operation::kListAvailable || route.operation == Operation::kListLeased;
    return is_list && reply.status == 200 ? Represent(request, std::move(reply)) : reply;
  } catch (const std::exception&) {
    return provider_->Error(500, "Internal Server Error");
  }
}

ApiReply ProviderSession::Represent(const Request& request, ApiReply list) const {
  if (!options_->validators) {
    list.etag.clear();
    list.modified = 0;
  } else if (IsUnchanged({View(request[http::field::if_none_match]),
                          View(request[http::field::if_modified_since])},
                         list.etag, list.modified)) {
    list.status = 304;
    list.body.clear();
    return list;
  }
  list.gzip = options_->gzip && TakesGzip(View(request[http::field::accept_encoding]));
  return list;
}

net::awaitable<bool> ProviderSession::Answer(Request request) {
  const Route route = MatchRoute(View(request.method_string()), View(request.target()));
  const auto in_flight =
      traffic_->CountRequest(route.name, View(request["traceparent"]), View(request["tracestate"]));
  std::optional<Traffic::UnderWay> under_way;
  if (request.method() != http::verb::get && request.method() != http::verb::head) {
    boost::system::error_code error;
    const std::uint16_t port = lowest().socket().local_endpoint(error).port();
    under_way.emplace(traffic_->NoteWrite(
        {route.name, route.number, std::string(View(request["traceparent"])), port}));
  }
  if (request.method() == http::verb::head) {
    // An answer to HEAD has no body, and this one says so by ending the connection.
    auto sent = Send(ApiReply{405, "", "application/json", ""}, {request.version(), false});
    co_await std::move(sent);
    co_return false;
  }
  const std::optional<Fault> fault = faults_->Next(route.name, route.number);
  if (!fault) {
    auto sent = Send(Apply(route, request), {request.version(), request.keep_alive()});
    const bool goes_on = co_await std::move(sent);
    co_return goes_on;
  }
  auto answered = AnswerWithFault(*fault, route, std::move(request));
  const bool goes_on = co_await std::move(answered);
  co_return goes_on;
}

net::awaitable<bool> ProviderSession::AnswerWithFault(Fault fault, Route route, Request request) {
  const steady_clock::time_point applied_at = steady_clock::now() + fault.delay;
  const bool waits = fault.delay.count() > 0 && fault.kind != Fault::Kind::kDrip;
  ApiReply reply;
  if (fault.after) reply = Apply(route, request);
  if (waits) {
    auto wait = Wait(&lowest(), fault.delay);
    const bool still_there = co_await std::move(wait);
    if (!still_there) {
      // A provider that is merely slow carries out what it has got, whether or not its sender
      // waits.
      if (fault.kind == Fault::Kind::kDelay && !fault.after) {
        net::steady_timer timer(lowest().get_executor(), applied_at);
        co_await timer.async_wait(kToken);
        Apply(route, request);
      }
      Abort(&lowest(), false);
      co_return false;
    }
  }
  if (!fault.after) {
    reply = fault.kind == Fault::Kind::kDelay ? Apply(route, request) : provider_->Empty();
  }
  auto strike =
      Strike(std::move(fault), std::move(reply), {request.version(), request.keep_alive()});
  const bool goes_on = co_await std::move(strike);
  co_return goes_on;
}

net::awaitable<bool> ProviderSession::Strike(Fault fault, ApiReply reply, Framing framing) {
  switch (fault.kind) {
    case Fault::Kind::kClose:
    case Fault::Kind::kReset:
      Abort(&lowest(), fault.kind == Fault::Kind::kReset);
      co_return false;
    case Fault::Kind::kHang: {
      auto wait = Wait(&lowest(), std::nullopt);
      co_await std::move(wait);
      Abort(&lowest(), false);
      co_return false;
    }
    default:
      break;
  }
  reply = Spoil(fault, std::move(reply));
  const bool in_pieces = fault.kind == Fault::Kind::kTruncate || fault.kind == Fault::Kind::kDrip;
  auto sent = in_pieces ? SendInPieces(std::move(fault), std::move(reply), framing)
                        : Send(std::move(reply), framing);
  const bool goes_on = co_await std::move(sent);
  co_return goes_on;
}

ApiReply ProviderSession::Spoil(const Fault& fault, ApiReply reply) {
  switch (fault.kind) {
    case Fault::Kind::kStatus:
      reply = provider_->Error(fault.status, fault.message.empty() ? "Injected" : fault.message,
                               fault.agreement_url, fault.envelope);
      reply.retry_after = fault.retry_after;
      break;
    case Fault::Kind::kGarbage:
      reply = ApiReply{fault.status, "{\"id\":\"req_\x01\xff not JSON", "application/json", ""};
      break;
    case Fault::Kind::kHtml:
      reply = ApiReply{fault.status,
                       "<!DOCTYPE html><html><head><title>Bad gateway</title></head>"
                       "<body><h1>Bad gateway</h1></body></html>\n",
                       "text/html; charset=utf-8", fault.retry_after};
      if (!fault.server.empty()) reply.server = fault.server;
      reply.via = fault.via;
      if (!fault.content_type.empty()) reply.content_type = fault.content_type;
      break;
    case Fault::Kind::kRewrite:
      if (const std::size_t at = reply.body.find(fault.find); at != std::string::npos) {
        reply.body.replace(at, fault.find.size(), fault.replace);
      }
      break;
    default:
      break;
  }
  if (fault.body) reply.body = *fault.body;
  return reply;
}

net::awaitable<bool> ProviderSession::SendInPieces(Fault fault, ApiReply reply, Framing framing) {
  const Response response = MakeResponse(std::move(reply), framing.version, framing.keep_alive);
  std::ostringstream text;
  text << response;
  std::string wire = std::move(text).str();
  const bool truncate = fault.kind == Fault::Kind::kTruncate;
  if (truncate) wire.resize(wire.size() - (response.body().size() + 1) / 2);
  const std::size_t piece = truncate ? wire.size() : 1;
  for (std::size_t at = 0; at < wire.size(); at += piece) {
    if (at > 0) {
      auto wait = Wait(&lowest(), fault.delay);
      const bool still_there = co_await std::move(wait);
      if (!still_there) break;
    }
    lowest().expires_after(kIdleTimeout);
    auto [error, size] =
        co_await net::async_write(stream_, net::buffer(wire.data() + at, piece), kToken);
    if (error) break;
    if (!truncate && at + piece == wire.size()) co_return framing.keep_alive;
  }
  Abort(&lowest(), false);
  co_return false;
}

net::awaitable<bool> ProviderSession::Send(ApiReply reply, Framing framing) {
  const Response response = MakeResponse(std::move(reply), framing.version, framing.keep_alive);
  http::response_serializer<http::string_body> serializer(response);
  lowest().expires_after(kIdleTimeout);
  auto [error, size] = co_await http::async_write(stream_, serializer, kToken);
  traffic_->CountAnswer(static_cast<int>(response.result_int()), size);
  co_return !error && framing.keep_alive;
}

net::awaitable<void> ServeControl(tcp::socket socket, Control* control) {
  beast::tcp_stream stream(std::move(socket));
  beast::flat_buffer buffer;
  for (;;) {
    http::request_parser<http::string_body> parser;
    parser.body_limit(kBodyLimit);
    stream.expires_after(kIdleTimeout);
    auto [error, size] = co_await http::async_read(stream, buffer, parser, kToken);
    const int status = error ? StatusOfReadError(error) : 200;
    if (status == 0) co_return;
    ApiReply reply;
    bool keep_alive = false;
    if (error) {
      reply = ErrorReply(status, PhraseOf(status));
    } else {
      const auto& request = parser.get();
      keep_alive = request.keep_alive() && request.method() != http::verb::head;
      reply = ReplyOf(
          control->Handle(View(request.method_string()), View(request.target()), request.body()));
      if (request.method() == http::verb::head) reply.body.clear();
    }
    const Response response = MakeResponse(std::move(reply), 11, keep_alive);
    http::response_serializer<http::string_body> serializer(response);
    stream.expires_after(kIdleTimeout);
    auto [write_error, written] = co_await http::async_write(stream, serializer, kToken);
    if (write_error || !keep_alive) break;
  }
  boost::system::error_code ignored;
  stream.socket().shutdown(tcp::socket::shutdown_send, ignored);
}

}  // namespace leasegateway::sandbox
