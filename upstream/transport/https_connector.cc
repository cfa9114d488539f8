#include "upstream/transport/https_connector.h"

#include <utility>

namespace leasegateway {

namespace asio = boost::asio;

HttpsConnector::HttpsConnector(const asio::any_io_executor& executor,
                               std::shared_ptr<asio::ssl::context> tls, HttpsOptions options)
    : executor_(executor),
      tls_(std::move(tls)),
      options_(std::move(options)),
      dns_(executor, options_.host, options_.port, options_.dns_ttl),
      dialer_(executor, {.host = options_.host,
                         .lookup = [this](Deadline give_up) { return dns_.Lookup(give_up); },
                         .resolve_timeout = options_.resolve_timeout,
                         .connect_timeout = options_.connect_timeout,
                         .phases = options_.phases}) {}

asio::awaitable<absl::StatusOr<std::unique_ptr<HttpsConnection>>> HttpsConnector::Open(
    std::shared_ptr<HttpsConnector> self) {
  auto connection = std::make_unique<HttpsConnection>(self->executor_, self->tls_, self->options_);
  auto connecting = connection->Connect(self->dialer_, Deadline::max());
  auto status = co_await std::move(connecting);
  if (!status.ok()) co_return status;
  co_return connection;
}

}  // namespace leasegateway
