#include "upstream/transport/dialer.h"

#include <algorithm>
#include <boost/asio/this_coro.hpp>
#include <utility>

#include "absl/strings/str_cat.h"
#include "upstream/cancellation.h"
#include "upstream/transport/connect_race.h"
#include "upstream/upstream_error.h"

namespace leasegateway {

namespace asio = boost::asio;
using asio::ip::tcp;
using Clock = std::chrono::steady_clock;

Dialer::Dialer(const asio::any_io_executor& executor, Options options)
    : executor_(executor), options_(std::move(options)) {}

asio::awaitable<absl::StatusOr<tcp::endpoint>> Dialer::Dial(DialedStream& stream,
                                                            Clock::time_point deadline) {
  co_await asio::this_coro::throw_if_cancelled(false);
  auto began = Clock::now();
  auto looking_up = options_.lookup(std::min(deadline, began + options_.resolve_timeout));
  const auto found = co_await std::move(looking_up);
  options_.phases->Observe(Phase::kResolve, Clock::now() - began);
  if (co_await Cancelled()) co_return CancelledError("connecting to the provider");
  if (!found.ok()) {
    if (Clock::now() >= deadline) co_return DeadlineError("looking up the provider's address");
    co_return found.status();
  }

  began = Clock::now();
  auto racing =
      RaceToConnect(executor_, addresses_.InOrder(*found), options_.connect_timeout, deadline);
  auto race = co_await std::move(racing);
  options_.phases->Observe(Phase::kConnect, Clock::now() - began);
  for (const auto& address : race.unfit) addresses_.SetAside(address);
  if (!race.socket) {
    if (co_await Cancelled()) co_return CancelledError("connecting to the provider");
    if (Clock::now() >= deadline) co_return DeadlineError("connecting to the provider");
    co_return FromTransport(absl::StrCat("connecting to ", options_.host),
                            race.causes.empty() ? "no address" : race.causes,
                            reason::kUpstreamUnreachable, RequestState::kNotSent, false);
  }
  boost::system::error_code ignored;
  race.socket->set_option(tcp::no_delay(true), ignored);
  stream.next_layer().socket() = *std::move(race.socket);
  co_return race.address;
}

}  // namespace leasegateway
