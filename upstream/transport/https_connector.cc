#include "upstream/transport/https_connector.h"

#include <cstdint>
#include <utility>

#include "absl/strings/numbers.h"

namespace leasegateway {
namespace {

namespace asio = boost::asio;

HostAddresses::Options AddressOptions(const HttpsOptions& https) {
  HostAddresses::Options options;
  options.host = https.host;
  std::string port_text = https.port;
  if (https.proxy) {
    options.host = https.proxy->address.host;
    options.whose = "the proxy ";
    options.why = reason::kUpstreamProxy;
    port_text = https.proxy->address.port;
  }
  unsigned port = 0;  // a URL's parser lets only digits through; nothing listens on 0
  if (absl::SimpleAtoi(port_text, &port) && port <= 0xFFFF) {
    options.port = static_cast<std::uint16_t>(port);
  }
  options.max_ttl = https.dns_ttl;
  options.timeout = https.resolve_timeout;
  options.dns.servers = https.dns_servers;
  options.counts = https.lookups;
  return options;
}

}  // namespace

HttpsConnector::HttpsConnector(const asio::any_io_executor& executor,
                               std::shared_ptr<asio::ssl::context> tls, HttpsOptions options)
    : executor_(executor),
      tls_(std::move(tls)),
      options_(std::move(options)),
      addresses_(std::make_shared<HostAddresses>(executor, AddressOptions(options_))),
      dialer_(executor, {.host = options_.host,
                         .port = options_.port,
                         .lookup = [this](Deadline give_up) { return addresses_->Lookup(give_up); },
                         .late =
                             [this](std::vector<asio::ip::tcp::endpoint> known, Deadline give_up) {
                               return addresses_->Others(std::move(known), give_up);
                             },
                         .proxy = options_.proxy,
                         .resolve_timeout = options_.resolve_timeout,
                         .connect_timeout = options_.connect_timeout,
                         .handshake_timeout = options_.handshake_timeout,
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
