#include "upstream/sandbox/sandbox.h"

#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/ssl/context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/core/tcp_stream.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/read.hpp>
#include <boost/beast/http/string_body.hpp>
#include <boost/beast/http/write.hpp>
#include <boost/beast/ssl/ssl_stream.hpp>
#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <future>
#include <map>
#include <set>
#include <sstream>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "upstream/sandbox/certificates.h"
#include "upstream/sandbox/faults.h"
#include "upstream/sandbox/provider.h"

namespace leasegateway::sandbox {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = boost::beast::http;
namespace json = boost::json;
using asio::ip::tcp;
using std::chrono::milliseconds;

constexpr std::uint64_t kMaxRequestBytes = 1 << 20;
constexpr auto kIdleTimeout = std::chrono::seconds(60);
constexpr std::string_view kControlRoot = "/_sandbox";

using Request = http::request<http::string_body>;
using Response = http::response<http::string_body>;

asio::awaitable<void> Sleep(milliseconds time) {
  asio::steady_timer timer(co_await asio::this_coro::executor, time);
  boost::system::error_code ignored;
  co_await timer.async_wait(asio::redirect_error(asio::use_awaitable, ignored));
}

Response MakeResponse(const ApiReply& reply, bool keep_alive) {
  Response response(static_cast<http::status>(reply.status), 11);
  response.set(http::field::content_type, reply.content_type);
  if (!reply.retry_after.empty()) response.set(http::field::retry_after, reply.retry_after);
  response.keep_alive(keep_alive);
  response.body() = reply.body;
  response.prepare_payload();
  return response;
}

std::string ToText(const Response& response) {
  std::ostringstream out;
  out << response;
  return out.str();
}

absl::Status BadPath(const std::string& method, const std::string& path) {
  return absl::NotFoundError(absl::StrCat("no control route ", method, " ", path));
}

}  // namespace

// Everything but Start, Stop and Control runs on the one thread of `io_`.
class Sandbox::Server {
 public:
  explicit Server(const SandboxOptions& options)
      : options_(options),
        keys_(options.keys.empty() ? std::vector<std::string>{MakeKey(options.seed)}
                                   : options.keys),
        provider_(options.seed, options.numbers, keys_),
        faults_(options.seed),
        tls_(asio::ssl::context::tls_server),
        acceptor_(io_),
        control_acceptor_(io_) {}

  ~Server() { Stop(); }

  absl::Status Start();
  void Stop();
  absl::StatusOr<std::string> ControlFromOutside(const std::string& method,
                                                 const std::string& path, const std::string& body);

  int port() const { return port_; }
  int control_port() const { return control_port_; }
  const SandboxOptions& options() const { return options_; }
  const std::string& ca() const { return certificates_.ca; }
  const std::string& key() const { return keys_.front(); }

 private:
  using TlsStream = beast::ssl_stream<beast::tcp_stream>;

  absl::Status Listen(tcp::acceptor& acceptor, std::uint16_t port, int* bound);
  asio::awaitable<void> AcceptProvider();
  asio::awaitable<void> AcceptControl();
  asio::awaitable<void> ServeProvider(tcp::socket socket);
  asio::awaitable<void> ServeControl(tcp::socket socket);
  // Answers one request. False: the connection is over.
  asio::awaitable<bool> Answer(TlsStream& stream, Request request);
  asio::awaitable<bool> Strike(TlsStream& stream, Fault fault, ApiReply reply, bool keep_alive);
  asio::awaitable<bool> Send(TlsStream& stream, ApiReply reply, bool keep_alive);
  asio::awaitable<void> HangUntilClosed(TlsStream& stream);
  absl::StatusOr<std::string> Control(const std::string& method, const std::string& path,
                                      const std::string& body);
  json::object RequestsJson() const;

  const SandboxOptions options_;
  const std::vector<std::string> keys_;
  Provider provider_;
  Faults faults_;
  Certificates certificates_;
  asio::io_context io_{1};
  asio::ssl::context tls_;
  tcp::acceptor acceptor_;
  tcp::acceptor control_acceptor_;
  int port_ = 0;
  int control_port_ = 0;
  std::map<std::string, std::int64_t> requests_;
  std::set<beast::tcp_stream*> open_;
  std::size_t most_open_ = 0;
  bool stopping_ = false;
  std::thread thread_;
};

absl::Status Sandbox::Server::Listen(tcp::acceptor& acceptor, std::uint16_t port, int* bound) {
  boost::system::error_code error;
  const auto address = asio::ip::make_address(options_.address, error);
  if (!error) acceptor.open(address.is_v6() ? tcp::v6() : tcp::v4(), error);
  if (!error) acceptor.set_option(tcp::acceptor::reuse_address(true), error);
  if (!error) acceptor.bind(tcp::endpoint(address, port), error);
  if (!error) acceptor.listen(tcp::acceptor::max_listen_connections, error);
  if (error) {
    return absl::FailedPreconditionError(absl::StrCat("the sandbox can't listen on ",
                                                      options_.address, " port ", port, ": ",
                                                      error.message()));
  }
  *bound = acceptor.local_endpoint().port();
  return absl::OkStatus();
}

absl::Status Sandbox::Server::Start() {
  for (const std::string& key : keys_) {
    if (!IsKey(key)) {
      return absl::InvalidArgumentError(
          "keys: must be contiguity_sk_ and 1 to 200 letters, digits, '_' or '-'");
    }
  }
  std::vector<std::string> names = {"localhost", "127.0.0.1"};
  if (options_.certificate_host != "localhost") names.push_back(options_.certificate_host);
  auto certificates = MakeCertificates(names, options_.certificate_days);
  if (!certificates.ok()) return certificates.status();
  certificates_ = *std::move(certificates);
  tls_.set_options(asio::ssl::context::default_workarounds | asio::ssl::context::no_tlsv1 |
                   asio::ssl::context::no_tlsv1_1);
  boost::system::error_code error;
  tls_.use_certificate_chain(asio::buffer(certificates_.leaf), error);
  if (!error) {
    tls_.use_private_key(asio::buffer(certificates_.leaf_key), asio::ssl::context::pem, error);
  }
  if (error) return absl::InternalError(absl::StrCat("certificate: ", error.message()));
  if (auto status = Listen(acceptor_, options_.port, &port_); !status.ok()) return status;
  if (auto status = Listen(control_acceptor_, options_.control_port, &control_port_);
      !status.ok()) {
    return status;
  }
  asio::co_spawn(io_, AcceptProvider(), asio::detached);
  asio::co_spawn(io_, AcceptControl(), asio::detached);
  thread_ = std::thread([this] { io_.run(); });
  return absl::OkStatus();
}

void Sandbox::Server::Stop() {
  if (!thread_.joinable()) return;
  asio::post(io_, [this] {
    stopping_ = true;
    boost::system::error_code ignored;
    acceptor_.close(ignored);
    control_acceptor_.close(ignored);
    for (auto* stream : open_) stream->socket().close(ignored);
    // What sleeps in a delay would only keep the thread; its connection is closed.
    io_.stop();
  });
  thread_.join();
}

asio::awaitable<void> Sandbox::Server::AcceptProvider() {
  for (;;) {
    boost::system::error_code error;
    tcp::socket socket(io_);
    co_await acceptor_.async_accept(socket, asio::redirect_error(asio::use_awaitable, error));
    if (stopping_) co_return;
    if (error) {  // out of files, for example
      co_await Sleep(milliseconds(10));
      continue;
    }
    asio::co_spawn(io_, ServeProvider(std::move(socket)), asio::detached);
  }
}

asio::awaitable<void> Sandbox::Server::AcceptControl() {
  for (;;) {
    boost::system::error_code error;
    tcp::socket socket(io_);
    co_await control_acceptor_.async_accept(socket,
                                            asio::redirect_error(asio::use_awaitable, error));
    if (stopping_) co_return;
    if (error) {
      co_await Sleep(milliseconds(10));
      continue;
    }
    asio::co_spawn(io_, ServeControl(std::move(socket)), asio::detached);
  }
}

asio::awaitable<void> Sandbox::Server::ServeProvider(tcp::socket socket) {
  boost::system::error_code error;
  socket.set_option(tcp::no_delay(true), error);
  TlsStream stream(std::move(socket), tls_);
  auto& lowest = beast::get_lowest_layer(stream);
  open_.insert(&lowest);
  most_open_ = std::max(most_open_, open_.size());
  lowest.expires_after(kIdleTimeout);
  co_await stream.async_handshake(asio::ssl::stream_base::server,
                                  asio::redirect_error(asio::use_awaitable, error));
  beast::flat_buffer buffer;
  while (!error) {
    http::request_parser<http::string_body> parser;
    parser.body_limit(kMaxRequestBytes);
    lowest.expires_after(kIdleTimeout);
    co_await http::async_read(stream, buffer, parser,
                              asio::redirect_error(asio::use_awaitable, error));
    if (error == http::error::body_limit) {
      co_await Send(stream, provider_.Error(413, "Payload Too Large"), false);
      break;
    }
    if (error) break;
    lowest.expires_never();
    const bool go_on = co_await Answer(stream, parser.release());
    if (!go_on) break;
  }
  open_.erase(&lowest);
}

asio::awaitable<bool> Sandbox::Server::Answer(TlsStream& stream, Request request) {
  const bool keep_alive = request.keep_alive();
  const std::string method(request.method_string());
  std::string target(request.target());
  constexpr std::string_view kBase = "/numbers";
  Route route;
  if (target.rfind(kBase, 0) == 0) route = MatchRoute(method, target.substr(kBase.size()));
  ++requests_[route.name];
  const std::string authorization(request[http::field::authorization]);

  auto fault = faults_.Next(route.name);
  if (!fault) {
    co_return co_await Send(stream, provider_.Handle(route, authorization, request.body()),
                            keep_alive);
  }
  using Kind = Fault::Kind;
  const bool holds_back = fault->kind == Kind::kDelay && !fault->after;
  if (holds_back) co_await Sleep(fault->delay);
  // A delay, a cut and a drip are of the real answer; the rest takes its place.
  const bool real = fault->after || fault->kind == Kind::kDelay ||
                    fault->kind == Kind::kTruncate || fault->kind == Kind::kDrip;
  ApiReply reply = real ? provider_.Handle(route, authorization, request.body()) : ApiReply();
  if (holds_back) co_return co_await Send(stream, std::move(reply), keep_alive);
  co_return co_await Strike(stream, *std::move(fault), std::move(reply), keep_alive);
}

asio::awaitable<bool> Sandbox::Server::Strike(TlsStream& stream, Fault fault, ApiReply reply,
                                              bool keep_alive) {
  using Kind = Fault::Kind;
  boost::system::error_code error;
  auto& socket = beast::get_lowest_layer(stream).socket();
  switch (fault.kind) {
    case Kind::kStatus:
      reply = provider_.Error(fault.status, fault.message, fault.agreement_url, fault.envelope);
      reply.retry_after = fault.retry_after;
      if (fault.body) reply.body = *fault.body;
      co_return co_await Send(stream, std::move(reply), keep_alive);
    case Kind::kDelay:
      co_await Sleep(fault.delay);
      co_return co_await Send(stream, std::move(reply), keep_alive);
    case Kind::kGarbage:
      reply = ApiReply();
      reply.body = fault.body.value_or("{\"id\": \"req_\x01\xff, nonsense ]]");
      co_return co_await Send(stream, std::move(reply), keep_alive);
    case Kind::kHtml:
      reply = ApiReply();
      reply.status = fault.status;
      reply.content_type = "text/html";
      reply.body = fault.body.value_or("<html><body><h1>Bad Gateway</h1></body></html>");
      co_return co_await Send(stream, std::move(reply), keep_alive);
    case Kind::kReset:
      socket.set_option(asio::socket_base::linger(true, 0), error);
      socket.close(error);
      co_return false;
    case Kind::kClose:
      socket.close(error);
      co_return false;
    case Kind::kTruncate: {
      const std::string text = ToText(MakeResponse(reply, keep_alive));
      const auto cut = asio::buffer(text, text.size() - reply.body.size() / 2 - 1);
      co_await asio::async_write(stream, cut, asio::redirect_error(asio::use_awaitable, error));
      socket.close(error);
      co_return false;
    }
    case Kind::kDrip: {
      const std::string text = ToText(MakeResponse(reply, keep_alive));
      for (std::size_t i = 0; i < text.size() && !error; ++i) {
        const auto byte = asio::buffer(&text[i], 1);
        co_await asio::async_write(stream, byte, asio::redirect_error(asio::use_awaitable, error));
        if (!error) co_await Sleep(fault.delay);
      }
      co_return !error && keep_alive;
    }
    case Kind::kHang:
      co_await HangUntilClosed(stream);
      co_return false;
  }
  co_return false;
}

asio::awaitable<bool> Sandbox::Server::Send(TlsStream& stream, ApiReply reply, bool keep_alive) {
  const Response response = MakeResponse(reply, keep_alive);
  beast::get_lowest_layer(stream).expires_after(kIdleTimeout);
  boost::system::error_code error;
  co_await http::async_write(stream, response, asio::redirect_error(asio::use_awaitable, error));
  co_return !error && keep_alive;
}

asio::awaitable<void> Sandbox::Server::HangUntilClosed(TlsStream& stream) {
  char ignored[256];
  boost::system::error_code error;
  while (!error) {
    co_await stream.async_read_some(asio::buffer(ignored),
                                    asio::redirect_error(asio::use_awaitable, error));
  }
}

asio::awaitable<void> Sandbox::Server::ServeControl(tcp::socket socket) {
  beast::tcp_stream stream(std::move(socket));
  open_.insert(&stream);
  beast::flat_buffer buffer;
  boost::system::error_code error;
  bool keep_alive = true;
  while (!error && keep_alive) {
    http::request_parser<http::string_body> parser;
    parser.body_limit(kMaxRequestBytes);
    stream.expires_after(kIdleTimeout);
    co_await http::async_read(stream, buffer, parser,
                              asio::redirect_error(asio::use_awaitable, error));
    if (error) break;
    const Request request = parser.release();
    keep_alive = request.keep_alive();
    const auto answer = Control(std::string(request.method_string()),
                                std::string(request.target()), request.body());
    ApiReply reply;
    if (answer.ok()) {
      reply.body = *answer;
    } else {
      reply.status = answer.status().code() == absl::StatusCode::kNotFound ? 404 : 400;
      reply.body =
          json::serialize(json::object{{"error", std::string(answer.status().message())}});
    }
    reply.body += "\n";
    const Response response = MakeResponse(reply, keep_alive);
    co_await http::async_write(stream, response, asio::redirect_error(asio::use_awaitable, error));
  }
  open_.erase(&stream);
}

json::object Sandbox::Server::RequestsJson() const {
  json::object routes;
  std::int64_t total = 0;
  for (const auto& [route, count] : requests_) {
    routes[route] = count;
    total += count;
  }
  return {{"total", total},
          {"routes", std::move(routes)},
          {"open_connections", open_.size()},
          {"most_open_connections", most_open_}};
}

absl::StatusOr<std::string> Sandbox::Server::Control(const std::string& method,
                                                     const std::string& path,
                                                     const std::string& body) {
  if (path.rfind(kControlRoot, 0) != 0) return BadPath(method, path);
  const std::string route = method + " " + path.substr(kControlRoot.size());
  json::value value;
  if (method == "POST" && !body.empty()) {
    boost::system::error_code error;
    value = json::parse(body, error);
    if (error) return absl::InvalidArgumentError(absl::StrCat("body: ", error.message()));
  }
  constexpr char kNumbers[] = "POST /numbers/";
  if (route == "GET /" || route == "GET ") {
    return json::serialize(json::value{"GET /_sandbox/ledger", "GET /_sandbox/requests",
                                       "GET /_sandbox/faults", "POST /_sandbox/faults",
                                       "DELETE /_sandbox/faults", "GET /_sandbox/accounts",
                                       "POST /_sandbox/accounts",
                                       "POST /_sandbox/numbers/{number}", "POST /_sandbox/reset"});
  }
  if (route == "GET /ledger") return json::serialize(provider_.LedgerJson());
  if (route == "GET /requests") return json::serialize(RequestsJson());
  if (route == "GET /faults") return json::serialize(faults_.ToJson());
  if (route == "POST /faults") {
    if (auto status = faults_.Add(value); !status.ok()) return status;
    return json::serialize(faults_.ToJson());
  }
  if (route == "DELETE /faults") {
    faults_.Clear();
    return json::serialize(faults_.ToJson());
  }
  if (route == "GET /accounts") return json::serialize(provider_.AccountsJson());
  if (route == "POST /accounts") {
    if (auto status = provider_.SetAccount(value); !status.ok()) return status;
    return json::serialize(provider_.AccountsJson());
  }
  if (route == "POST /reset") {
    provider_.Reset();
    faults_.Clear();
    requests_.clear();
    most_open_ = open_.size();
    return std::string("{}");
  }
  if (route.rfind(kNumbers, 0) == 0) {
    json::value patched;
    const auto status =
        provider_.PatchNumber(route.substr(sizeof(kNumbers) - 1), value, &patched);
    if (!status.ok()) return status;
    return json::serialize(patched);
  }
  return BadPath(method, path);
}

absl::StatusOr<std::string> Sandbox::Server::ControlFromOutside(const std::string& method,
                                                                const std::string& path,
                                                                const std::string& body) {
  std::promise<absl::StatusOr<std::string>> answer;
  asio::post(io_, [&] { answer.set_value(Control(method, path, body)); });
  return answer.get_future().get();
}

absl::StatusOr<std::unique_ptr<Sandbox>> Sandbox::Start(const SandboxOptions& options) {
  auto server = std::make_unique<Server>(options);
  if (auto status = server->Start(); !status.ok()) return status;
  return std::unique_ptr<Sandbox>(new Sandbox(std::move(server)));
}

Sandbox::Sandbox(std::unique_ptr<Server> server) : server_(std::move(server)) {}
Sandbox::~Sandbox() = default;

std::string Sandbox::url() const {
  return absl::StrCat("https://localhost:", server_->port(), "/numbers");
}

std::string Sandbox::control_url() const {
  return absl::StrCat("http://", server_->options().address, ":", server_->control_port(),
                      std::string(kControlRoot));
}

std::string Sandbox::ca_certificate() const { return server_->ca(); }
std::string Sandbox::key() const { return server_->key(); }

absl::StatusOr<std::string> Sandbox::Control(const std::string& method, const std::string& path,
                                             const std::string& body) {
  return server_->ControlFromOutside(method, path, body);
}

}  // namespace leasegateway::sandbox
