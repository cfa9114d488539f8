#ifndef LEASE_GATEWAY_UPSTREAM_NAMES_NAME_LOOKUP_H_
#define LEASE_GATEWAY_UPSTREAM_NAMES_NAME_LOOKUP_H_

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/ip/address.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "upstream/names/dns_channel.h"
#include "upstream/names/system_names.h"

namespace leasegateway {

// How long an address of one family waits for the other family's answer (RFC 8305, 3).
inline constexpr std::chrono::milliseconds kResolutionDelay{50};

// Whom to ask for names: as the system says, unless a field says else.
struct DnsOptions {
  std::string servers;  // ADDRESS[:PORT] or [IPv6]:PORT, comma-separated; empty: resolv.conf's
  std::string resolv_conf = "/etc/resolv.conf";
  std::string nsswitch_conf = "/etc/nsswitch.conf";
  std::uint16_t port = 53;  // of servers that have none
};

// One look-up of one name, through hosts file, search domains and name servers, with the system's
// files as they are when it begins. Made, awaited and destroyed on one strand; its end ends all
// that is under way for it.
class NameLookup {
 public:
  // What is known of a name so far.
  struct Found {
    using Addresses = std::vector<boost::asio::ip::address>;
    // Of a family whose answer is there: empty, where it has none. nullopt: not (yet) known.
    std::optional<Addresses> ipv4, ipv6;
    std::chrono::seconds ttl{0};  // the least
    std::string cause;            // why there is no address; empty when there is one

    bool ok() const { return cause.empty(); }
    bool complete() const { return ipv4 && ipv6; }
  };

  // `timeout` is what the whole look-up may take: so that each server gets its turn in it, none is
  // waited for longer than a part of it.
  NameLookup(const boost::asio::any_io_executor& strand, std::string host, DnsOptions options,
             std::chrono::milliseconds timeout);

  // The first addresses: those of both families, or of the one that is there kResolutionDelay
  // before the other; or why there are none. At `deadline` at the latest. Awaited once.
  boost::asio::awaitable<Found> First(std::chrono::steady_clock::time_point deadline);
  // After First: what is known once the other family has been heard of as well, or at `deadline`.
  boost::asio::awaitable<Found> Rest(std::chrono::steady_clock::time_point deadline);
  // First or Rest, where it is awaited, returns at once. From the strand.
  void Stop();

 private:
  using Deadline = std::chrono::steady_clock::time_point;

  void AskHostsFile();
  void TakeLoopback();
  boost::asio::awaitable<void> AskServers(Deadline deadline);
  // Until both families are heard of, or `deadline`; or, with `delay`, so long after the one that
  // says that the other isn't needed.
  boost::asio::awaitable<void> Settle(Deadline deadline,
                                      std::optional<std::chrono::milliseconds> delay);
  void Ask(DnsChannel& channel, const std::string& name, DnsChannel::Family family,
           std::optional<DnsAnswer>& answer);
  bool HasAddress() const;
  // Of the name that was asked for last, neither family has an address: why. False: the next name
  // would fare no better.
  bool NoteFailure();
  Found Result() const;

  const boost::asio::any_io_executor strand_;
  const std::string host_;
  const DnsOptions options_;
  const std::chrono::milliseconds timeout_;
  const SystemNames system_;
  boost::asio::steady_timer timer_;
  bool stopped_ = false;
  int round_ = 0;  // answers to an earlier one come too late
  std::optional<DnsAnswer> ipv4_, ipv6_;
  DnsAnswer failure_;  // the one that tells most
  // A socket for each family: on one, Linux's address translation may lose a packet of two
  // (resolv.conf's single-request-reopen), and c-ares 1.18 an error. They end first, as they refer
  // to the others.
  std::shared_ptr<DnsChannel> ipv4_channel_, ipv6_channel_;
};

}  // namespace leasegateway

#endif  // LEASE_GATEWAY_UPSTREAM_NAMES_NAME_LOOKUP_H_
