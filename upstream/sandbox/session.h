#ifndef LEASE_GATEWAY_UPSTREAM_SANDBOX_SESSION_H_
#define LEASE_GATEWAY_UPSTREAM_SANDBOX_SESSION_H_

#include <boost/asio/awaitable.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ssl/context.hpp>
#include <boost/beast/core/tcp_stream.hpp>
#include <boost/beast/http/message.hpp>
#include <boost/beast/http/string_body.hpp>
#include <boost/beast/ssl/ssl_stream.hpp>

#include "upstream/sandbox/control.h"
#include "upstream/sandbox/faults.h"
#include "upstream/sandbox/options.h"
#include "upstream/sandbox/provider.h"
#include "upstream/sandbox/routes.h"
#include "upstream/sandbox/traffic.h"

namespace leasegateway::sandbox {

// A connection to the provider, with the faults that strike its requests. Runs on the thread of its
// socket, which is that of all else here.
class ProviderSession {
 public:
  // Serves `socket` until its end. The others outlive it.
  static boost::asio::awaitable<void> Serve(boost::asio::ip::tcp::socket socket,
                                            boost::asio::ssl::context* tls,
                                            const SandboxOptions* options, Provider* provider,
                                            Faults* faults, Traffic* traffic);

 private:
  using Request = boost::beast::http::request<boost::beast::http::string_body>;
  // How an answer is framed, which its request says.
  struct Framing {
    unsigned version = 11;
    bool keep_alive = false;
  };

  ProviderSession(boost::asio::ip::tcp::socket socket, boost::asio::ssl::context* tls,
                  const SandboxOptions* options, Provider* provider, Faults* faults,
                  Traffic* traffic);

  boost::asio::awaitable<void> Run();
  // Each returns false when the connection must not be used any more; it has been closed then as
  // far as it should be.
  boost::asio::awaitable<bool> Answer(Request request);
  boost::asio::awaitable<bool> AnswerWithFault(Fault fault, Route route, Request request);
  boost::asio::awaitable<bool> Strike(Fault fault, ApiReply reply, Framing framing);
  boost::asio::awaitable<bool> Send(ApiReply reply, Framing framing);
  // Half of the answer, or all of it a byte at a time.
  boost::asio::awaitable<bool> SendInPieces(Fault fault, ApiReply reply, Framing framing);

  ApiReply Apply(const Route& route, const Request& request);
  // The list as its request wants it, as far as the options go.
  ApiReply Represent(const Request& request, ApiReply list) const;
  // What the fault makes of the answer.
  ApiReply Spoil(const Fault& fault, ApiReply reply);
  boost::beast::tcp_stream& lowest() { return boost::beast::get_lowest_layer(stream_); }

  boost::beast::ssl_stream<boost::beast::tcp_stream> stream_;
  const SandboxOptions* const options_;
  Provider* const provider_;
  Faults* const faults_;
  Traffic* const traffic_;
};

// Serves a connection to the control port until its end, on the thread of its socket. `control`
// outlives it.
boost::asio::awaitable<void> ServeControl(boost::asio::ip::tcp::socket socket, Control* control);

}  // namespace leasegateway::sandbox

#endif  // LEASE_GATEWAY_UPSTREAM_SANDBOX_SESSION_H_
