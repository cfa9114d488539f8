#include "upstream/transport/dialer.h"

#include <algorithm>
#include <boost/asio/this_coro.hpp>
#include <utility>

#include "absl/strings/str_cat.h"
#include "upstream/cancellation.h"
#include "upstream/upstream_error.h"

namespace leasegateway {

namespace asio = boost::asio;
using asio::ip::tcp;
using Clock = std::chrono::steady_clock;

Dialer::Dialer(const asio::any_io_executor& executor, Options options)
    : executor_(executor), options_(std::move(options)) {}

asio::awaitable<ConnectRaceResult> Dialer::Connect(std::vector<tcp::endpoint> addresses,
                                                   Clock::time_point late,
                                                   Clock::time_point deadline) {
  std::vector<tcp::endpoint> tried;
  std::string causes;
  for (;;) {
    auto racing =
        RaceToConnect(executor_, addresses_.InOrder(addresses), options_.connect_timeout, deadline);
    auto race = co_await std::move(racing);
    for (const auto& address : race.unfit) addresses_.SetAside(address);
    if (!race.causes.empty()) absl::StrAppend(&causes, causes.empty() ? "" : "; ", race.causes);
    race.causes = causes;
    const bool cancelled = co_await Cancelled();
    if (race.socket || cancelled || Clock::now() >= deadline || !options_.late) co_return race;
    tried.insert(tried.end(), addresses.begin(), addresses.end());
    auto waiting = options_.late(tried, late);
    addresses = co_await std::move(waiting);
    if (addresses.empty()) co_return race;
  }
}

asio::awaitable<absl::StatusOr<tcp::endpoint>> Dialer::Dial(DialedStream& stream,
                                                            Clock::time_point deadline) {
  co_await asio::this_coro::throw_if_cancelled(false);
  auto began = Clock::now();
  const auto resolved = std::min(deadline, began + options_.resolve_timeout);
  auto looking_up = options_.lookup(resolved);
  const auto found = co_await std::move(looking_up);
  options_.phases->Observe(Phase::kResolve, Clock::now() - began);
  if (co_await Cancelled()) co_return CancelledError("connecting to the provider");
  if (!found.ok()) {
    if (Clock::now() >= deadline) co_return DeadlineError("looking up the provider's address");
    co_return found.status();
  }

  began = Clock::now();
  auto connecting = Connect(*found, resolved, deadline);
  auto race = co_await std::move(connecting);
  options_.phases->Observe(Phase::kConnect, Clock::now() - began);
  if (!race.socket) {
    if (co_await Cancelled()) co_return CancelledError("connecting to the provider");
    if (Clock::now() >= deadline) co_return DeadlineError("connecting to the provider");
    const auto& proxy = options_.proxy;
    co_return FromTransport(proxy ? absl::StrCat("connecting to the proxy ", proxy->address.where())
                                  : absl::StrCat("connecting to ", options_.host),
                            race.causes.empty() ? "no address" : race.causes,
                            proxy ? reason::kUpstreamProxy : reason::kUpstreamUnreachable,
                            RequestState::kNotSent, false);
  }
  boost::system::error_code ignored;
  race.socket->set_option(tcp::no_delay(true), ignored);
  stream.next_layer().socket() = *std::move(race.socket);
  if (co_await Cancelled()) co_return CancelledError("connecting to the provider");
  if (!options_.proxy) co_return race.address;

  began = Clock::now();
  // The proxy has the time for its look-up and its connecting that they would have here.
  const TunnelOptions target{options_.host, options_.port, options_.handshake_timeout,
                             options_.resolve_timeout + options_.connect_timeout};
  auto opening = OpenTunnel(stream, *options_.proxy, target, deadline);
  const auto tunnel = co_await std::move(opening);
  options_.phases->Observe(Phase::kTunnel, Clock::now() - began);
  if (!tunnel.is_proxy_sound) addresses_.SetAside(race.address);
  if (!tunnel.status.ok()) co_return tunnel.status;
  co_return race.address;
}

}  // namespace leasegateway
