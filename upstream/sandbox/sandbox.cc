#include "upstream/sandbox/sandbox.h"

#include <openssl/ssl.h>
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/buffer.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/ssl/context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/core/tcp_stream.hpp>
#include <boost/beast/http.hpp>
#include <boost/beast/ssl/ssl_stream.hpp>
#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/parse.hpp>
#include <charconv>
#include <chrono>
#include <exception>
#include <future>
#include <iterator>
#include <map>
#include <memory>
#include <optional>
#include <sstream>
#include <string>
#include <string_view>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "upstream/sandbox/certificates.h"
#include "upstream/sandbox/faults.h"
#include "upstream/sandbox/inventory.h"
#include "upstream/sandbox/provider.h"

namespace leasegateway::sandbox {
namespace {

namespace beast = boost::beast;
namespace http = beast::http;
namespace json = boost::json;
namespace net = boost::asio;
namespace ssl = net::ssl;
using tcp = net::ip::tcp;
using std::chrono::milliseconds;
using std::chrono::steady_clock;

using Request = http::request<http::string_body>;
using Response = http::response<http::string_body>;
using TlsStream = beast::ssl_stream<beast::tcp_stream>;

constexpr auto kToken = net::as_tuple(net::use_awaitable);
constexpr std::uint64_t kBodyLimit = 1 << 20;
constexpr std::chrono::seconds kHandshakeTimeout(10);
constexpr std::chrono::seconds kIdleTimeout(60);
// How soon a connection that waits notices that its peer has gone.
constexpr milliseconds kGoneInterval(20);
constexpr std::string_view kControlPath = "/_sandbox/";

constexpr std::string_view kControlRoutes[] = {
    "GET /_sandbox/",         "GET /_sandbox/ledger",    "GET /_sandbox/requests",
    "GET /_sandbox/faults",   "POST /_sandbox/faults",   "DELETE /_sandbox/faults",
    "GET /_sandbox/accounts", "POST /_sandbox/accounts", "POST /_sandbox/numbers/{number}",
    "POST /_sandbox/churn",   "POST /_sandbox/reset",
};

std::string_view View(beast::string_view text) { return {text.data(), text.size()}; }
beast::string_view ToBeast(std::string_view text) { return {text.data(), text.size()}; }

// Counts something for as long as it lives, and the most there has been at once.
struct Gauge {
  std::int64_t now = 0;
  std::int64_t most = 0;
};
class Counted {
 public:
  explicit Counted(Gauge* gauge) : gauge_(gauge) {
    gauge_->most = std::max(gauge_->most, ++gauge_->now);
  }
  ~Counted() { --gauge_->now; }
  Counted(const Counted&) = delete;
  Counted& operator=(const Counted&) = delete;

 private:
  Gauge* gauge_;
};

struct Stats {
  std::int64_t requests = 0;
  std::int64_t connections = 0;
  std::map<std::string, std::int64_t> by_route;
  Gauge open_connections;
  Gauge in_flight;
  std::string traceparent;  // of the latest request, as it came
  std::string tracestate;
};

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
  response.set(http::field::server, "lease-sandbox");
  if (!reply.retry_after.empty()) {
    response.set(http::field::retry_after, ToBeast(reply.retry_after));
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

// The value of `key` in the query of a target as it was sent; empty: it isn't there.
std::string_view QueryValue(std::string_view target, std::string_view key) {
  std::size_t start = target.find('?');
  while (start != std::string_view::npos) {
    const std::size_t end = target.find('&', start + 1);
    const std::string_view pair = target.substr(start + 1, end - start - 1);
    if (pair.size() > key.size() && pair.starts_with(key) && pair[key.size()] == '=') {
      return pair.substr(key.size() + 1);
    }
    start = end;
  }
  return {};
}

ApiReply ControlReply(const absl::StatusOr<std::string>& result) {
  ApiReply reply;
  if (result.ok()) {
    reply.body = *result;
    return reply;
  }
  switch (result.status().code()) {
    case absl::StatusCode::kInvalidArgument:
      reply.status = 400;
      break;
    case absl::StatusCode::kNotFound:
      reply.status = 404;
      break;
    case absl::StatusCode::kUnimplemented:
      reply.status = 405;
      break;
    default:
      reply.status = 500;
  }
  json::object error;
  const auto message = result.status().message();
  error["error"] = json::string_view(message.data(), message.size());
  reply.body = WriteJson(error);
  return reply;
}

}  // namespace

// Everything but the constructor, Start, Stop and Control runs on the one thread.
class Sandbox::Server {
 public:
  explicit Server(const SandboxOptions& options)
      : options_(options),
        provider_(options.seed, options.numbers, options.keys),
        faults_(options.seed) {}
  ~Server() {
    context_.stop();
    if (thread_.joinable()) thread_.join();
  }
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  absl::Status Start();
  absl::StatusOr<std::string> Control(const std::string& method, const std::string& path,
                                      const std::string& body);
  const std::string& url() const { return url_; }
  const std::string& control_url() const { return control_url_; }
  const std::string& ca_certificate() const { return certificates_.ca; }
  const std::string& key() const { return options_.keys.front(); }

 private:
  absl::Status SetUpTls(const net::ip::address& address);
  absl::StatusOr<tcp::acceptor> Open(const net::ip::address& address, std::uint16_t port);

  net::awaitable<void> Accept(tcp::acceptor acceptor, bool control);
  net::awaitable<void> ServeProvider(tcp::socket socket);
  net::awaitable<void> ServeControl(tcp::socket socket);
  // False: the connection must not be used any more, and has been closed as far as it should be.
  net::awaitable<bool> Answer(TlsStream* stream, Request request);
  net::awaitable<bool> Strike(TlsStream* stream, Fault fault, ApiReply reply, unsigned version,
                              bool keep_alive);
  net::awaitable<bool> Send(TlsStream* stream, ApiReply reply, unsigned version, bool keep_alive);

  ApiReply Apply(const Route& route, const Request& request);
  absl::StatusOr<std::string> HandleControl(std::string_view method, std::string_view target,
                                            std::string_view body);
  json::object StatsJson() const;

  const SandboxOptions options_;
  Provider provider_;
  Faults faults_;
  Stats stats_;
  Certificates certificates_;
  std::string url_;
  std::string control_url_;
  ssl::context tls_{ssl::context::tls_server};
  std::thread thread_;
  // The last, so the first to go: it takes with it the coroutines, which use all of the above.
  net::io_context context_{1};
};

absl::Status Sandbox::Server::SetUpTls(const net::ip::address& address) {
  std::vector<std::string> names = {"localhost", "127.0.0.1"};
  for (const std::string& name : {options_.certificate_host, address.to_string()}) {
    if (std::find(names.begin(), names.end(), name) == names.end()) names.push_back(name);
  }
  absl::StatusOr<Certificates> made = MakeCertificates(names, options_.certificate_days);
  if (!made.ok()) return made.status();
  certificates_ = *std::move(made);

  boost::system::error_code error;
  const auto failed = [&error] {
    return absl::InternalError(Cat("TLS can't be set up: ", error.message()));
  };
  tls_.use_certificate_chain(net::buffer(certificates_.leaf), error);
  if (error) return failed();
  tls_.use_private_key(net::buffer(certificates_.leaf_key), ssl::context::pem, error);
  if (error) return failed();
  if (SSL_CTX_set_min_proto_version(tls_.native_handle(), TLS1_2_VERSION) != 1) return failed();
  return absl::OkStatus();
}

absl::StatusOr<tcp::acceptor> Sandbox::Server::Open(const net::ip::address& address,
                                                    std::uint16_t port) {
  boost::system::error_code error;
  tcp::acceptor acceptor(context_);
  const tcp::endpoint endpoint(address, port);
  acceptor.open(endpoint.protocol(), error);
  if (!error) acceptor.set_option(net::socket_base::reuse_address(true), error);
  if (!error) acceptor.bind(endpoint, error);
  if (!error) acceptor.listen(net::socket_base::max_listen_connections, error);
  if (error) {
    return absl::FailedPreconditionError(
        Cat("can't listen on ", options_.address, " port ", port, ": ", error.message()));
  }
  return acceptor;
}

absl::Status Sandbox::Server::Start() {
  boost::system::error_code error;
  const net::ip::address address = net::ip::make_address(
      options_.address == "localhost" ? "127.0.0.1" : options_.address, error);
  if (error) {
    return absl::FailedPreconditionError(
        Cat("can't listen on ", options_.address, ": it is not an IP address"));
  }
  if (absl::Status status = SetUpTls(address); !status.ok()) return status;
  absl::StatusOr<tcp::acceptor> provider = Open(address, options_.port);
  if (!provider.ok()) return provider.status();
  absl::StatusOr<tcp::acceptor> control = Open(address, options_.control_port);
  if (!control.ok()) return control.status();

  // The name that the certificate was made for, where it leads here.
  const bool local = address.is_unspecified() || address == net::ip::address_v4::loopback();
  std::string host = address.is_v6() ? Cat("[", address.to_string(), "]") : address.to_string();
  url_ = Cat("https://", local ? "localhost" : host, ":", provider->local_endpoint(error).port(),
             "/numbers");
  if (address.is_unspecified()) host = "127.0.0.1";
  control_url_ = Cat("http://", host, ":", control->local_endpoint(error).port(), "/_sandbox");

  net::co_spawn(context_, Accept(*std::move(provider), false), [](std::exception_ptr) {});
  net::co_spawn(context_, Accept(*std::move(control), true), [](std::exception_ptr) {});
  thread_ = std::thread([this] { context_.run(); });
  return absl::OkStatus();
}

absl::StatusOr<std::string> Sandbox::Server::Control(const std::string& method,
                                                     const std::string& path,
                                                     const std::string& body) {
  std::promise<absl::StatusOr<std::string>> promise;
  net::post(context_, [this, &promise, &method, &path, &body] {
    promise.set_value(HandleControl(method, path, body));
  });
  return promise.get_future().get();
}

net::awaitable<void> Sandbox::Server::Accept(tcp::acceptor acceptor, bool control) {
  for (;;) {
    auto [error, socket] = co_await acceptor.async_accept(kToken);
    if (error) {
      // Out of descriptors, most likely: some will come back.
      net::steady_timer timer(context_);
      timer.expires_after(milliseconds(50));
      co_await timer.async_wait(kToken);
      continue;
    }
    boost::system::error_code ignored;
    socket.set_option(tcp::no_delay(true), ignored);
    net::co_spawn(context_,
                  control ? ServeControl(std::move(socket)) : ServeProvider(std::move(socket)),
                  [](std::exception_ptr) {});
  }
}

net::awaitable<void> Sandbox::Server::ServeProvider(tcp::socket socket) {
  const Counted open(&stats_.open_connections);
  ++stats_.connections;
  TlsStream stream(beast::tcp_stream(std::move(socket)), tls_);
  beast::tcp_stream& lowest = beast::get_lowest_layer(stream);
  lowest.expires_after(kHandshakeTimeout);
  auto [handshake_error] = co_await stream.async_handshake(ssl::stream_base::server, kToken);
  if (handshake_error) co_return;

  beast::flat_buffer buffer;
  for (;;) {
    http::request_parser<http::string_body> parser;
    parser.body_limit(kBodyLimit);
    lowest.expires_after(kIdleTimeout);
    auto [error, size] = co_await http::async_read(stream, buffer, parser, kToken);
    if (error) {
      const int status = StatusOfReadError(error);
      if (status == 0) break;
      auto sent = Send(&stream, provider_.Error(status, PhraseOf(status)), 11, false);
      co_await std::move(sent);
      break;
    }
    auto answer = Answer(&stream, parser.release());
    const bool goes_on = co_await std::move(answer);
    if (!goes_on) break;
  }
  if (!lowest.socket().is_open()) co_return;
  lowest.expires_after(std::chrono::seconds(1));
  co_await stream.async_shutdown(kToken);
}

ApiReply Sandbox::Server::Apply(const Route& route, const Request& request) {
  try {
    return provider_.Handle(route, View(request[http::field::authorization]), request.body());
  } catch (const std::exception&) {
    return provider_.Error(500, "Internal Server Error");
  }
}

net::awaitable<bool> Sandbox::Server::Answer(TlsStream* stream, Request request) {
  const Counted in_flight(&stats_.in_flight);
  const Route route = MatchRoute(View(request.method_string()), View(request.target()));
  ++stats_.requests;
  ++stats_.by_route[route.name];
  stats_.traceparent = std::string(View(request["traceparent"]));
  stats_.tracestate = std::string(View(request["tracestate"]));
  const bool keep_alive = request.keep_alive();
  beast::tcp_stream& lowest = beast::get_lowest_layer(*stream);

  if (request.method() == http::verb::head) {
    // An answer to HEAD has no body, and this one says so by ending the connection.
    auto sent = Send(stream, ApiReply{405, "", "application/json", ""}, request.version(), false);
    co_await std::move(sent);
    co_return false;
  }

  const std::optional<Fault> fault = faults_.Next(route.name, route.number);
  if (!fault) {
    auto sent = Send(stream, Apply(route, request), request.version(), keep_alive);
    const bool goes_on = co_await std::move(sent);
    co_return goes_on;
  }

  const steady_clock::time_point applied_at = steady_clock::now() + fault->delay;
  const bool waits = fault->delay.count() > 0 && fault->kind != Fault::Kind::kDrip;
  ApiReply reply;
  if (fault->after) reply = Apply(route, request);
  if (waits) {
    auto wait = Wait(&lowest, fault->delay);
    const bool still_there = co_await std::move(wait);
    if (!still_there) {
      // A provider that is merely slow carries out what it has got, whether or not its sender
      // waits.
      if (fault->kind == Fault::Kind::kDelay && !fault->after) {
        net::steady_timer timer(lowest.get_executor(), applied_at);
        co_await timer.async_wait(kToken);
        Apply(route, request);
      }
      Abort(&lowest, false);
      co_return false;
    }
  }
  if (!fault->after) {
    reply = fault->kind == Fault::Kind::kDelay ? Apply(route, request) : provider_.Empty();
  }
  auto strike = Strike(stream, *fault, std::move(reply), request.version(), keep_alive);
  const bool goes_on = co_await std::move(strike);
  co_return goes_on;
}

net::awaitable<bool> Sandbox::Server::Strike(TlsStream* stream, Fault fault, ApiReply reply,
                                             unsigned version, bool keep_alive) {
  beast::tcp_stream& lowest = beast::get_lowest_layer(*stream);
  switch (fault.kind) {
    case Fault::Kind::kClose:
    case Fault::Kind::kReset:
      Abort(&lowest, fault.kind == Fault::Kind::kReset);
      co_return false;
    case Fault::Kind::kHang: {
      auto wait = Wait(&lowest, std::nullopt);
      co_await std::move(wait);
      Abort(&lowest, false);
      co_return false;
    }
    case Fault::Kind::kStatus:
      reply = provider_.Error(fault.status, fault.message.empty() ? "Injected" : fault.message,
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
      break;
    case Fault::Kind::kRewrite:
      if (const std::size_t at = reply.body.find(fault.find); at != std::string::npos) {
        reply.body.replace(at, fault.find.size(), fault.replace);
      }
      break;
    case Fault::Kind::kDelay:
    case Fault::Kind::kTruncate:
    case Fault::Kind::kDrip:
      break;
  }
  if (fault.body) reply.body = *fault.body;
  if (fault.kind != Fault::Kind::kTruncate && fault.kind != Fault::Kind::kDrip) {
    auto sent = Send(stream, std::move(reply), version, keep_alive);
    const bool goes_on = co_await std::move(sent);
    co_return goes_on;
  }

  std::ostringstream text;
  text << MakeResponse(reply, version, keep_alive);
  std::string wire = std::move(text).str();
  const bool truncate = fault.kind == Fault::Kind::kTruncate;
  if (truncate) wire.resize(wire.size() - (reply.body.size() + 1) / 2);
  const std::size_t piece = truncate ? wire.size() : 1;
  for (std::size_t at = 0; at < wire.size(); at += piece) {
    if (at > 0) {
      auto wait = Wait(&lowest, fault.delay);
      const bool still_there = co_await std::move(wait);
      if (!still_there) break;
    }
    lowest.expires_after(kIdleTimeout);
    auto [error, size] =
        co_await net::async_write(*stream, net::buffer(wire.data() + at, piece), kToken);
    if (error) break;
    if (!truncate && at + piece == wire.size()) co_return keep_alive;
  }
  Abort(&lowest, false);
  co_return false;
}

net::awaitable<bool> Sandbox::Server::Send(TlsStream* stream, ApiReply reply, unsigned version,
                                           bool keep_alive) {
  const Response response = MakeResponse(std::move(reply), version, keep_alive);
  http::response_serializer<http::string_body> serializer(response);
  beast::get_lowest_layer(*stream).expires_after(kIdleTimeout);
  auto [error, size] = co_await http::async_write(*stream, serializer, kToken);
  co_return !error && keep_alive;
}

net::awaitable<void> Sandbox::Server::ServeControl(tcp::socket socket) {
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
      json::object said;
      said["error"] = ToBeast(PhraseOf(status));
      reply.status = status;
      reply.body = WriteJson(said);
    } else {
      const Request& request = parser.get();
      keep_alive = request.keep_alive() && request.method() != http::verb::head;
      reply = ControlReply(
          HandleControl(View(request.method_string()), View(request.target()), request.body()));
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

json::object Sandbox::Server::StatsJson() const {
  json::object routes;
  for (const auto& [route, count] : stats_.by_route) routes[route] = count;
  json::object object;
  object["total"] = stats_.requests;
  object["routes"] = std::move(routes);
  object["connections"] = stats_.connections;
  object["open_connections"] = stats_.open_connections.now;
  object["max_open_connections"] = stats_.open_connections.most;
  object["in_flight"] = stats_.in_flight.now;
  object["max_in_flight"] = stats_.in_flight.most;
  object["traceparent"] = stats_.traceparent;
  object["tracestate"] = stats_.tracestate;
  return object;
}

absl::StatusOr<std::string> Sandbox::Server::HandleControl(std::string_view method,
                                                           std::string_view target,
                                                           std::string_view body) {
  try {
    std::string_view path = target.substr(0, target.find('?'));
    if (path == kControlPath.substr(0, kControlPath.size() - 1)) path = kControlPath;
    const std::string request = Cat(method, " ", path);
    constexpr std::string_view kNumbers = "/_sandbox/numbers/";
    const bool number = path.starts_with(kNumbers);

    const bool known = number || std::any_of(std::begin(kControlRoutes), std::end(kControlRoutes),
                                             [path](std::string_view route) {
                                               return route.substr(route.find(' ') + 1) == path;
                                             });
    if (!known) {
      return absl::NotFoundError(Cat("path: ", path, " is unknown; GET /_sandbox/ lists them"));
    }
    const bool takes_method = number
                                  ? method == "POST"
                                  : std::find(std::begin(kControlRoutes), std::end(kControlRoutes),
                                              request) != std::end(kControlRoutes);
    if (!takes_method) {
      return absl::UnimplementedError(
          Cat("method: ", method, " is not for ", path, "; GET /_sandbox/ lists what is"));
    }

    json::value value;
    if (method == "POST" && path != "/_sandbox/reset") {
      boost::system::error_code error;
      value = json::parse(ToBeast(body), error);
      if (error) return absl::InvalidArgumentError(Cat("body: must be JSON: ", error.message()));
    }

    if (number) {
      json::value patched;
      const absl::Status status =
          provider_.PatchNumber(path.substr(kNumbers.size()), value, &patched);
      if (!status.ok()) return status;
      return WriteJson(patched);
    }
    if (path == "/_sandbox/ledger") {
      std::size_t after = 0;
      const std::string_view text = QueryValue(target, "after");
      const auto parsed = std::from_chars(text.data(), text.data() + text.size(), after);
      if (!text.empty() && (parsed.ec != std::errc() || parsed.ptr != text.data() + text.size())) {
        return BadField("after", json::value(ToBeast(text)), "must be a sequence number");
      }
      return WriteJson(provider_.LedgerJson(after));
    }
    if (path == "/_sandbox/requests") return WriteJson(StatsJson());
    if (path == "/_sandbox/accounts") {
      if (method == "POST") {
        const absl::Status status = provider_.SetAccount(value);
        if (!status.ok()) return status;
      }
      return WriteJson(provider_.AccountsJson());
    }
    if (path == "/_sandbox/faults") {
      const std::string_view of = QueryValue(target, "number");
      if (method == "DELETE" && of.empty()) faults_.Clear();
      if (method == "DELETE" && !of.empty()) faults_.Clear(PercentDecode(of));
      if (method == "POST") {
        const absl::Status status = faults_.Add(value);
        if (!status.ok()) return status;
      }
      return WriteJson(faults_.ToJson());
    }
    if (path == "/_sandbox/churn") {
      json::object done;
      const absl::Status status = provider_.Churn(value, &done);
      if (!status.ok()) return status;
      return WriteJson(done);
    }
    if (path == "/_sandbox/reset") {
      provider_.Reset();
      faults_ = Faults(options_.seed);
      stats_.requests = 0;
      stats_.connections = stats_.open_connections.now;
      stats_.by_route.clear();
      stats_.open_connections.most = stats_.open_connections.now;
      stats_.in_flight.most = stats_.in_flight.now;
      return std::string("{}");
    }
    json::array routes;
    for (const std::string_view route : kControlRoutes) routes.emplace_back(ToBeast(route));
    json::object index;
    index["routes"] = std::move(routes);
    return WriteJson(index);
  } catch (const std::exception& e) {
    return absl::InternalError(e.what());
  }
}

absl::StatusOr<std::unique_ptr<Sandbox>> Sandbox::Start(const SandboxOptions& options) {
  SandboxOptions complete = options;
  if (complete.numbers < 0 || complete.numbers > 1'000'000) {
    return absl::InvalidArgumentError(
        Cat("numbers: ", complete.numbers, " must be from 0 to 1000000"));
  }
  for (const std::string& key : complete.keys) {
    if (!IsKey(key)) {
      return absl::InvalidArgumentError(
          "keys: each must be contiguity_sk_ and 1 to 200 letters, digits, _ or -");
    }
  }
  if (complete.keys.empty()) complete.keys.push_back(MakeKey(complete.seed));
  try {
    auto server = std::make_unique<Server>(complete);
    if (absl::Status status = server->Start(); !status.ok()) return status;
    return std::unique_ptr<Sandbox>(new Sandbox(std::move(server)));
  } catch (const std::exception& e) {
    return absl::InternalError(Cat("the sandbox can't start: ", e.what()));
  }
}

Sandbox::Sandbox(std::unique_ptr<Server> server) : server_(std::move(server)) {}
Sandbox::~Sandbox() = default;

std::string Sandbox::url() const { return server_->url(); }
std::string Sandbox::control_url() const { return server_->control_url(); }
std::string Sandbox::ca_certificate() const { return server_->ca_certificate(); }
std::string Sandbox::key() const { return server_->key(); }

absl::StatusOr<std::string> Sandbox::Control(const std::string& method, const std::string& path,
                                             const std::string& body) {
  return server_->Control(method, path, body);
}

}  // namespace leasegateway::sandbox
