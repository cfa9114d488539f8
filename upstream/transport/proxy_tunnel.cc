#include "upstream/transport/proxy_tunnel.h"

#include <algorithm>
#include <boost/asio/buffer.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/core/error.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http/empty_body.hpp>
#include <boost/beast/http/error.hpp>
#include <boost/beast/http/field.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/read.hpp>
#include <boost/beast/http/status.hpp>
#include <cstdint>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "upstream/cancellation.h"
#include "upstream/transport/tls_sessions.h"
#include "upstream/upstream_error.h"

namespace leasegateway {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = boost::beast::http;
using TunnelClock = std::chrono::steady_clock;
using boost::system::error_code;

// Answers that come before the final one (RFC 9110, 15.2); more of them are no HTTP any more.
constexpr int kMaxInterimOfProxy = 16;
constexpr std::size_t kMaxPhrase = 80;

// What a proxy wrote, fit for an error: printable ASCII, of a bounded length.
std::string Harmless(std::string_view text) {
  std::string clean(text.substr(0, kMaxPhrase));
  for (char& c : clean) {
    if (!absl::ascii_isprint(static_cast<unsigned char>(c))) c = '?';
  }
  return clean;
}

// What quotes enclose says nothing of schemes.
std::string WithoutQuoted(std::string_view text) {
  std::string left;
  bool quoted = false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '"') {
      quoted = !quoted;
    } else if (quoted && text[i] == '\\') {
      ++i;
    } else if (!quoted) {
      left += text[i];
    }
  }
  return left;
}

class TunnelOpening {
 public:
  TunnelOpening(DialedStream& stream, const Proxy& proxy, const TunnelOptions& options,
                TunnelClock::time_point deadline)
      : stream_(stream), proxy_(proxy), options_(options), deadline_(deadline) {
    const bool brackets = absl::StrContains(options.host, ':');
    target_ =
        absl::StrCat(brackets ? "[" : "", options.host, brackets ? "]" : "", ":", options.port);
  }

  asio::awaitable<Tunnel> Run() {
    co_await asio::this_coro::throw_if_cancelled(false);
    const auto credentials = proxy_.credentials();
    if (!credentials.ok()) co_return Failed(std::string(credentials.status().message()), true);
    has_credentials_ = !credentials->empty();
    if (proxy_.address.tls) {
      auto shaking_hands = ShakeHands();
      auto failure = co_await std::move(shaking_hands);
      if (failure) co_return *std::move(failure);
    }
    auto asking = Ask(*credentials);
    co_return co_await std::move(asking);
  }

 private:
  using Parser = http::response_parser<http::empty_body>;

  asio::awaitable<std::optional<Tunnel>> ShakeHands() {
    auto& tls = stream_.AddTls(*proxy_.tls);
    SSL* const ssl = tls.native_handle();
    ExpectHost(ssl, proxy_.address.host);
    TlsSessions::Resume(ssl);
    error_code error;
    Begin(options_.handshake_timeout);
    co_await tls.async_handshake(asio::ssl::stream_base::client,
                                 asio::redirect_error(asio::use_awaitable, error));
    End(error);
    // It may have come just as the handshake ended, which did not notice.
    if (co_await Cancelled()) co_return CalledOff();
    if (!error) co_return std::nullopt;
    TlsSessions::Forget(ssl);
    co_return Failed(
        absl::StrCat("the TLS handshake with it: ", HandshakeCause(ssl, error, "the proxy")),
        false);
  }

  asio::awaitable<Tunnel> Ask(std::string credentials) {
    std::string request = absl::StrCat("CONNECT ", target_, " HTTP/1.1\r\nHost: ", target_, "\r\n");
    if (!credentials.empty()) {
      absl::StrAppend(&request, "Proxy-Authorization: Basic ", absl::Base64Escape(credentials),
                      "\r\n");
    }
    request += "\r\n";
    beast::flat_buffer buffer;
    std::optional<Parser> answer;
    error_code error;
    Begin(options_.answer_timeout);
    co_await asio::async_write(stream_, asio::buffer(request),
                               asio::redirect_error(asio::use_awaitable, error));
    for (int left = kMaxInterimOfProxy; !error && left >= 0; --left) {
      answer.emplace();
      answer->header_limit(static_cast<std::uint32_t>(kMaxProxyHeaderBytes));
      // A 2xx has no content, whatever length its header speaks of; another one's isn't read.
      answer->skip(true);
      if (co_await Cancelled()) co_return CalledOff();
      co_await http::async_read_header(stream_, buffer, *answer,
                                       asio::redirect_error(asio::use_awaitable, error));
      const unsigned status = error ? 0 : answer->get().result_int();
      if (status < 100 || status >= 200 || status == 101) break;
    }
    End(error);
    if (error) {
      if (co_await Cancelled()) co_return CalledOff();
      if (TunnelClock::now() >= deadline_) {
        co_return Tunnel{DeadlineError(absl::StrCat("asking ", Name(), " for a tunnel"))};
      }
      co_return Failed(WhyNoAnswer(error), false);
    }
    const auto& header = answer->get();
    if (http::to_status_class(header.result_int()) != http::status_class::successful) {
      co_return Refused(header);
    }
    // The provider says nothing before its client has.
    if (buffer.size() > 0) {
      co_return Failed(absl::StrCat("its answer ", header.result_int(), " has ", buffer.size(),
                                    " bytes behind it that nobody asked for"),
                       false);
    }
    co_return Tunnel{};
  }

  void Begin(std::chrono::milliseconds limit) {
    limit_ = limit;
    expiry_ = std::min(deadline_, TunnelClock::now() + limit);
    stream_.next_layer().expires_at(expiry_);
  }
  void End(error_code& error) {
    // A timer that has just run out would end what comes next.
    stream_.next_layer().expires_never();
    if (!error && TunnelClock::now() >= expiry_) error = beast::error::timeout;
  }

  std::string Name() const { return "the proxy " + proxy_.address.where(); }

  Tunnel CalledOff() const {
    return {CancelledError(absl::StrCat("asking ", Name(), " for a tunnel"))};
  }

  Tunnel Failed(const std::string& cause, bool is_proxy_sound) const {
    auto status = FromTransport(absl::StrCat("a tunnel to ", target_, " through ", Name()), cause,
                                reason::kUpstreamProxy, RequestState::kNotSent, false);
    AddMetadata(status, "proxy", proxy_.address.where());
    return {std::move(status), is_proxy_sound};
  }

  std::string WhyNoAnswer(const error_code& error) const {
    if (error == beast::error::timeout) {
      return absl::StrCat("it has not answered within ", limit_.count(), " ms");
    }
    if (error == http::error::end_of_stream || error == http::error::partial_message ||
        error == asio::error::eof) {
      return "it closed the connection before it had answered";
    }
    if (error == http::error::header_limit) {
      return absl::StrCat("its answer's header is larger than ", kMaxProxyHeaderBytes, " bytes");
    }
    if (error.category() == make_error_code(http::error::bad_version).category()) {
      return absl::StrCat("its answer is not HTTP: ", error.message());
    }
    return error.message();
  }

  // Its page is left unread.
  Tunnel Refused(const Parser::value_type& header) const {
    const unsigned status = header.result_int();
    std::string cause = absl::StrCat("it answered ", status);
    const std::string phrase = Harmless(header.reason());
    if (!phrase.empty()) absl::StrAppend(&cause, " ", phrase);
    const std::string detail = Harmless(header["X-Squid-Error"]);
    if (!detail.empty()) absl::StrAppend(&cause, " (", detail, ")");
    if (status == 407) absl::StrAppend(&cause, ": ", WhatItAsksFor(header));
    auto tunnel = Failed(cause, status < 500);
    AddMetadata(tunnel.status, "proxy_status", absl::StrCat(status));
    return tunnel;
  }

  std::string WhatItAsksFor(const Parser::value_type& header) const {
    std::string schemes;
    const auto [begin, end] = header.equal_range(http::field::proxy_authenticate);
    for (auto field = begin; field != end; ++field) {
      const std::string more = AuthSchemes(field->value());
      if (!more.empty()) absl::StrAppend(&schemes, schemes.empty() ? "" : ", ", more);
    }
    const bool takes_basic =
        schemes.empty() ||
        absl::StrContains(absl::StrCat(", ", absl::AsciiStrToLower(schemes), ","), ", basic,");
    if (!takes_basic) {
      return absl::StrCat("it asks for ", schemes,
                          ", and the gateway has Basic alone (upstream_proxy_credentials_file)");
    }
    return has_credentials_ ? "it does not take the credentials: look at "
                              "upstream_proxy_credentials_file"
                            : "it wants credentials: set upstream_proxy_credentials_file";
  }

  DialedStream& stream_;
  const Proxy& proxy_;
  const TunnelOptions& options_;
  const TunnelClock::time_point deadline_;
  std::string target_;
  bool has_credentials_ = false;
  std::chrono::milliseconds limit_{0};  // of the part under way
  TunnelClock::time_point expiry_;
};

}  // namespace

std::string AuthSchemes(std::string_view challenges) {
  const std::string text = WithoutQuoted(challenges);
  std::string schemes;
  const std::vector<absl::string_view> parts = absl::StrSplit(text, ',');
  for (absl::string_view part : parts) {
    part = absl::StripAsciiWhitespace(part);
    const auto end = std::find_if_not(part.begin(), part.end(), [](unsigned char c) {
      return absl::ascii_isalnum(c) || c == '-' || c == '_';
    });
    const auto length = static_cast<std::size_t>(end - part.begin());
    const absl::string_view rest = absl::StripLeadingAsciiWhitespace(part.substr(length));
    // NAME=VALUE is a parameter of the challenge before; what stands alone or apart is a scheme.
    const bool apart = rest.empty() || part[length] == ' ' || part[length] == '\t';
    if (length == 0 || length > kMaxPhrase || !apart || absl::StartsWith(rest, "=")) continue;
    absl::StrAppend(&schemes, schemes.empty() ? "" : ", ", part.substr(0, length));
  }
  return schemes;
}

asio::awaitable<Tunnel> OpenTunnel(DialedStream& stream, const Proxy& proxy,
                                   const TunnelOptions& options, TunnelClock::time_point deadline) {
  TunnelOpening opening(stream, proxy, options, deadline);
  auto running = opening.Run();
  co_return co_await std::move(running);
}

}  // namespace leasegateway
