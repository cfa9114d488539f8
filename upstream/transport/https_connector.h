#ifndef LEASE_GATEWAY_UPSTREAM_TRANSPORT_HTTPS_CONNECTOR_H_
#define LEASE_GATEWAY_UPSTREAM_TRANSPORT_HTTPS_CONNECTOR_H_

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/ssl/context.hpp>
#include <memory>

#include "absl/status/statusor.h"
#include "upstream/transport/dialer.h"
#include "upstream/transport/host_addresses.h"
#include "upstream/transport/https_connection.h"

namespace leasegateway {

// What connections to one provider share: its addresses or its proxy's, the road there, TLS and its
// sessions. Thread-safe. Connections refer to its options, so it outlives them.
class HttpsConnector {
 public:
  HttpsConnector(const boost::asio::any_io_executor& executor,
                 std::shared_ptr<boost::asio::ssl::context> tls, HttpsOptions options);
  HttpsConnector(const HttpsConnector&) = delete;
  HttpsConnector& operator=(const HttpsConnector&) = delete;

  // A connection that is ready for its first request; the errors are those of
  // HttpsConnection::Connect. Each phase has its time-out; a cancellation ends it early. Keeps
  // `self`. Must be awaited on a strand.
  static boost::asio::awaitable<absl::StatusOr<std::unique_ptr<HttpsConnection>>> Open(
      std::shared_ptr<HttpsConnector> self);

  // For good: no name is looked up any more, and a look-up under way ends. To be called before the
  // owner lets go of it, from any thread.
  void Stop() { addresses_->Stop(); }

  const HttpsOptions& options() const { return options_; }

 private:
  const boost::asio::any_io_executor executor_;
  const std::shared_ptr<boost::asio::ssl::context> tls_;
  const HttpsOptions options_;
  const std::shared_ptr<HostAddresses> addresses_;
  Dialer dialer_;
};

}  // namespace leasegateway

#endif  // LEASE_GATEWAY_UPSTREAM_TRANSPORT_HTTPS_CONNECTOR_H_
