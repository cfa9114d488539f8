#ifndef LEASE_GATEWAY_UPSTREAM_TRANSPORT_HTTPS_CONNECTION_H_
#define LEASE_GATEWAY_UPSTREAM_TRANSPORT_HTTPS_CONNECTION_H_

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/ssl/context.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http/message.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/string_body.hpp>
#include <boost/beast/ssl/ssl_stream.hpp>
#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "upstream/handshake_counts.h"
#include "upstream/phase_times.h"
#include "upstream/transport/dialed_stream.h"
#include "upstream/transport/dialer.h"
#include "upstream/transport/proxy_tunnel.h"
#include "upstream/transport/reply_body.h"
#include "upstream/transport/tls_client.h"
#include "upstream/upstream_error.h"

namespace leasegateway {

// Where the provider is and how long each phase of talking to it may take. Every phase is clipped
// to the call's deadline as well.
struct HttpsOptions {
  std::string host;  // name or IP literal: for SNI and for checking the certificate
  std::string port = "443";
  // Name servers to ask, ADDRESS[:PORT] or [IPv6]:PORT, comma-separated; empty: the system's.
  std::string dns_servers{};
  std::chrono::milliseconds resolve_timeout{2'000};
  std::chrono::milliseconds connect_timeout{2'000};  // an address
  std::chrono::milliseconds handshake_timeout{3'000};
  std::chrono::milliseconds send_timeout{5'000};
  std::chrono::milliseconds response_timeout{10'000};  // from the last byte sent to the header
  std::chrono::milliseconds read_timeout{10'000};      // the whole body
  std::chrono::milliseconds idle_timeout{30'000};      // how long a connection is kept for reuse
  std::chrono::milliseconds max_age{300'000};  // of a connection that is used again; 0: no limit
  // Longest use of an address before it is asked for anew.
  std::chrono::milliseconds dns_ttl{30'000};
  std::int64_t max_body_bytes = 64 << 20;    // of an answer, as it is once inflated
  std::int64_t max_header_bytes = 16 << 10;  // of an answer, with or without its status line
  int max_connections = 64;
  int warm_connections = 0;              // kept open though nobody calls, of those
  int max_waiters = 4096;                // calls that may wait for a connection
  std::shared_ptr<const Proxy> proxy{};  // that connections go through; null: straight
  // Never null.
  std::shared_ptr<PhaseTimes> phases = std::make_shared<PhaseTimes>();
  std::shared_ptr<HandshakeCounts> handshakes = std::make_shared<HandshakeCounts>();
};

using Deadline = std::chrono::steady_clock::time_point;
using HttpRequest = boost::beast::http::request<boost::beast::http::string_body>;
using HttpResponse = boost::beast::http::response<ReplyBody>;

// One TLS connection, used by one call at a time, on the strand of the coroutine that awaits
// Connect or Exchange; everything else may be called from anywhere while neither runs.
class HttpsConnection {
 public:
  HttpsConnection(const boost::asio::any_io_executor& executor,
                  std::shared_ptr<boost::asio::ssl::context> tls, const HttpsOptions& options);
  ~HttpsConnection();
  HttpsConnection(const HttpsConnection&) = delete;
  HttpsConnection& operator=(const HttpsConnection&) = delete;

  // Dials, then shakes hands, once in its life; tells `dialer` what became of that. UNAVAILABLE
  // with UPSTREAM_UNREACHABLE, UPSTREAM_PROXY or UPSTREAM_TLS, DEADLINE_EXCEEDED or CANCELLED.
  boost::asio::awaitable<absl::Status> Connect(Dialer& dialer, Deadline deadline);

  struct Result {
    // kTooLate: `send_before` had come, and no byte went out.
    // kUnreadable: an answer came, or the beginning of one, that can't be taken.
    enum class Failure { kNone, kTransport, kUnreadable, kCancelled, kTooLate };
    Failure failure = Failure::kNone;
    std::string cause;       // of a failure, in words
    bool timed_out = false;  // a phase or the deadline ran out
    // The provider ended the connection by a TLS alert: with TLS 1.3 it says only after the
    // handshake that it wants a certificate.
    bool tls_alert = false;
    bool got_byte = false;  // of the answer
    bool reusable = false;  // may serve another exchange
    HttpResponse response;  // when there is no failure
  };
  // One request, one answer, which may come in gzip if the request's Accept-Encoding says just
  // that. Neither a cancellation nor the deadline ends it once it goes out, if `finish_once_sent`:
  // then only the time-outs of its phases do. Its first byte goes out before `send_before` or not
  // at all: the clock is read right before it is handed to the stream.
  boost::asio::awaitable<Result> Exchange(HttpRequest request, Deadline deadline,
                                          bool finish_once_sent,
                                          Deadline send_before = Deadline::max());

  // What has come while nobody waited for anything: bytes, or the end. Costs one system call.
  enum class Unasked { kNothing, kBytes, kEnd };
  Unasked Look();
  // After kBytes: takes in what TLS has to say of itself, as the tickets of a connection that has
  // served nobody yet, without waiting for more. False: there was more than that, or the end.
  boost::asio::awaitable<bool> ReadUnasked();

  bool connected() const { return connected_; }

  // Says good-bye to the peer in the background, for a second at most, then destroys it.
  static void Close(std::unique_ptr<HttpsConnection> connection);

 private:
  boost::asio::awaitable<absl::Status> Handshake(Deadline deadline);
  // Nothing that was sent is delivered by the kernel later than the answer is waited for.
  void LimitRetransmission();
  boost::asio::awaitable<Result> SendAndReceive(HttpRequest request, Deadline deadline,
                                                Deadline send_before);

  // The limits of an answer, and what the request allows it to be.
  void Prepare(boost::beast::http::response_parser<ReplyBody>& parser,
               const HttpRequest& request) const;
  // Of an answer that came and can't be taken; nothing: the error is of another kind. `problem`:
  // what its body says.
  std::optional<std::string> WhyUnreadable(const boost::beast::error_code& error,
                                           const std::string& problem) const;

  // Referred to, not copied: the pool owns the options and outlives its connections.
  const HttpsOptions& options_;
  const boost::asio::any_io_executor executor_;
  std::shared_ptr<boost::asio::ssl::context> tls_;
  boost::beast::ssl_stream<DialedStream> stream_;
  boost::beast::flat_buffer buffer_;
  bool connected_ = false;
  bool tls_answered_ = false;  // a handshake that failed did so by what the peer sent
};

}  // namespace leasegateway

#endif  // LEASE_GATEWAY_UPSTREAM_TRANSPORT_HTTPS_CONNECTION_H_
