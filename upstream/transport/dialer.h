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
#include "upstream/transport/dialed_stream.h"

namespace leasegateway {

// The road to one port: looks its host up and connects to the address that answers first. Knows
// which addresses failed lately. May be used by several coroutines at once, from any thread; must
// outlive them.
class Dialer {
 public:
  // The addresses of `host`, by `give_up`; else the error that the call shall have.
  using Lookup = std::function<
      boost::asio::awaitable<absl::StatusOr<std::vector<boost::asio::ip::tcp::endpoint>>>(
          std::chrono::steady_clock::time_point give_up)>;
  struct Options {
    std::string host;  // for errors: `lookup` knows what it looks up
    Lookup lookup;
    std::chrono::milliseconds resolve_timeout{2'000};
    std::chrono::milliseconds connect_timeout{2'000};                     // an address
    std::shared_ptr<PhaseTimes> phases = std::make_shared<PhaseTimes>();  // never null
  };
  Dialer(const boost::asio::any_io_executor& executor, Options options);

  // Connects `stream`, which is not connected; the address reached. Must be awaited on a strand.
  // UNAVAILABLE with UPSTREAM_UNREACHABLE when the host has no address that can be connected to,
  // DEADLINE_EXCEEDED, CANCELLED.
  boost::asio::awaitable<absl::StatusOr<boost::asio::ip::tcp::endpoint>> Dial(
      DialedStream& stream, std::chrono::steady_clock::time_point deadline);

  // What became of the TLS handshake over the stream to an address that Dial returned.
  void Worked(const boost::asio::ip::tcp::endpoint& address) { addresses_.Worked(address); }
  void Failed(const boost::asio::ip::tcp::endpoint& address) { addresses_.SetAside(address); }

 private:
  const boost::asio::any_io_executor executor_;
  const Options options_;
  AddressBook addresses_;
};

}  // namespace leasegateway

#endif  // LEASE_GATEWAY_UPSTREAM_TRANSPORT_DIALER_H_
