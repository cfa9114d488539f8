#ifndef LEASE_GATEWAY_UPSTREAM_NAMES_HOST_ADDRESSES_H_
#define LEASE_GATEWAY_UPSTREAM_NAMES_HOST_ADDRESSES_H_

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/ip/address.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "upstream/lookup_counts.h"
#include "upstream/names/name_lookup.h"
#include "upstream/upstream_error.h"
#include "upstream/wakeup.h"

namespace leasegateway {

// The addresses of one host, looked up when somebody needs them, one look-up at a time for all who
// do. They are good for their records' TTL, kMinTtl to `max_ttl`; then the next caller starts a
// look-up and waits for it kRefreshWait at most: what it had before does as well, also when the
// name can't be looked up any more (RFC 8767), which the log says. Of two families, one that can't
// be looked up keeps its last addresses; one that is late joins later. Thread-safe.
class HostAddresses : public std::enable_shared_from_this<HostAddresses> {
 public:
  static constexpr std::chrono::seconds kMinTtl{1};
  static constexpr std::chrono::milliseconds kRefreshWait{100};
  // How long a failure is remembered: without any address, and with some that may do.
  static constexpr std::chrono::milliseconds kFailurePause{250};
  static constexpr std::chrono::milliseconds kRefreshPause{1'000};

  struct Options {
    std::string host;     // name or IP literal
    std::string whose{};  // in front of it in errors and logs: "the proxy "; empty: the provider's
    std::string_view why = reason::kUpstreamUnreachable;  // of errors
    std::uint16_t port = 443;
    std::chrono::milliseconds max_ttl{30'000};
    std::chrono::milliseconds timeout{2'000};  // of a look-up
    DnsOptions dns;
    std::shared_ptr<LookupCounts> counts = std::make_shared<LookupCounts>();  // never null
    // What TTLs and pauses are counted by; waits are not.
    std::function<std::chrono::steady_clock::time_point()> now = std::chrono::steady_clock::now;
  };
  // Looks nothing up yet.
  HostAddresses(const boost::asio::any_io_executor& executor, Options options);

  // In the order in which they should be tried: IPv6 first, unless there is no way out for it
  // (RFC 6724, rule 1). UNAVAILABLE with `why` when there has never been one and the
  // look-up fails or takes until `give_up`; a cancelled caller is woken at once. The look-up goes
  // on for the next one. Awaited on a strand.
  boost::asio::awaitable<absl::StatusOr<std::vector<boost::asio::ip::tcp::endpoint>>> Lookup(
      std::chrono::steady_clock::time_point give_up);

  // Those beyond `known`: at once when there are any, else once the look-up under way has brought
  // them, has ended, or has taken until `give_up`; a cancelled caller is woken at once. Empty:
  // there are none. For whoever has tried all that Lookup returned, as the family that works may be
  // the late one. Awaited on a strand.
  boost::asio::awaitable<std::vector<boost::asio::ip::tcp::endpoint>> Others(
      std::vector<boost::asio::ip::tcp::endpoint> known,
      std::chrono::steady_clock::time_point give_up);

  // For good: the look-up under way ends at once, whoever waits for it is woken, and none begins.
  // What is known is still told. The owner calls it before it lets go.
  void Stop();

 private:
  using Clock = std::chrono::steady_clock;
  using Endpoints = std::vector<boost::asio::ip::tcp::endpoint>;

  // Its own reference keeps this alive.
  static boost::asio::awaitable<void> Fly(std::shared_ptr<HostAddresses> self);
  void StartLocked();
  void Land();
  bool IsStopped();
  void Publish(const NameLookup::Found& found);
  void TakeLocked(const NameLookup::Found& found);
  void LogFailureLocked(const std::string& cause);
  std::string Doing() const { return "looking up " + options_.whose + options_.host; }
  absl::StatusOr<Endpoints> ResultLocked() const;

  const boost::asio::any_io_executor executor_;
  const boost::asio::any_io_executor strand_;  // of look-ups
  const Options options_;
  NameLookup* lookup_ = nullptr;  // that under way; for the strand alone

  std::mutex mutex_;  // guards all below
  bool stopped_ = false;
  bool flying_ = false;
  Clock::time_point flight_began_;
  bool is_literal_ = false;
  std::vector<boost::asio::ip::address> ipv4_, ipv6_;
  Endpoints endpoints_;  // of both, in order; empty: there has never been one
  Clock::time_point fresh_until_, retry_at_;
  std::string failure_;  // of the latest look-up; empty: it found something
  Clock::time_point taken_at_, logged_at_;
  std::vector<std::shared_ptr<Wakeup>> waiters_;
};

}  // namespace leasegateway

#endif  // LEASE_GATEWAY_UPSTREAM_NAMES_HOST_ADDRESSES_H_
