#ifndef LEASE_GATEWAY_UPSTREAM_TRANSPORT_DIALER_H_
#define LEASE_GATEWAY_UPSTREAM_TRANSPORT_DIALER_H_

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "upstream/phase_times.h"
#include "upstream/transport/address_book.h"
#include "upstream/transport/connect_race.h"
#include "upstream/transport/dialed_stream.h"
#include "upstream/transport/proxy_tunnel.h"

namespace leasegateway {

// The road to one port: looks its host up and connects to the address that answers first; or does
// that with a proxy, and asks it for a tunnel. Knows which addresses failed lately. May be used by
// several coroutines at once, from any thread; must outlive them.
class Dialer {
 public:
  // The addresses of `host`, by `give_up`; else the error that the call shall have.
  using Lookup = std::function<
      boost::asio::awaitable<absl::StatusOr<std::vector<boost::asio::ip::tcp::endpoint>>>(
          std::chrono::steady_clock::time_point give_up)>;
  // Its addresses beyond those that are known, which may come by `give_up`; empty: there are none.
  using LateAddresses =
      std::function<boost::asio::awaitable<std::vector<boost::asio::ip::tcp::endpoint>>(
          std::vector<boost::asio::ip::tcp::endpoint> known,
          std::chrono::steady_clock::time_point give_up)>;
  struct Options {
    std::string host;                      // of the provider
    std::string port{};                    // the same; for a proxy, else `lookup` knows it
    Lookup lookup;                         // of `host`'s addresses, or of the proxy's
    LateAddresses late{};                  // of the same; null: none come late
    std::shared_ptr<const Proxy> proxy{};  // null: straight
    std::chrono::milliseconds resolve_timeout{2'000};
    std::chrono::milliseconds connect_timeout{2'000};                     // an address
    std::chrono::milliseconds handshake_timeout{3'000};                   // with the proxy
    std::shared_ptr<PhaseTimes> phases = std::make_shared<PhaseTimes>();  // never null
  };
  Dialer(const boost::asio::any_io_executor& executor, Options options);

  // Connects `stream`, which is not connected, to the provider's port; the address reached, which
  // may be the proxy's. Must be awaited on a strand. UNAVAILABLE with UPSTREAM_UNREACHABLE when the
  // host has no address that can be connected to, or with UPSTREAM_PROXY when the proxy has none or
  // gives no tunnel; DEADLINE_EXCEEDED, CANCELLED.
  boost::asio::awaitable<absl::StatusOr<boost::asio::ip::tcp::endpoint>> Dial(
      DialedStream& stream, std::chrono::steady_clock::time_point deadline);

  // What became of the TLS handshake with the provider over the stream to an address that Dial
  // returned. `answered`: it failed by what came back, such as a certificate for another name. A
  // proxy that brought it has done its part, and all of its addresses would bring the same.
  void Worked(const boost::asio::ip::tcp::endpoint& address) { addresses_.Worked(address); }
  void Failed(const boost::asio::ip::tcp::endpoint& address, bool answered) {
    if (!options_.proxy || !answered) addresses_.SetAside(address);
  }

 private:
  // Races to `addresses`, and when none can be connected to, to those that come until `late`, as
  // one family's may when only the other's way out works (RFC 8305, section 3).
  boost::asio::awaitable<ConnectRaceResult> Connect(
      std::vector<boost::asio::ip::tcp::endpoint> addresses,
      std::chrono::steady_clock::time_point late, std::chrono::steady_clock::time_point deadline);

  const boost::asio::any_io_executor executor_;
  const Options options_;
  AddressBook addresses_;
};

}  // namespace leasegateway

#endif  // LEASE_GATEWAY_UPSTREAM_TRANSPORT_DIALER_H_
