#ifndef LEASE_GATEWAY_UPSTREAM_TRANSPORT_ADDRESS_BOOK_H_
#define LEASE_GATEWAY_UPSTREAM_TRANSPORT_ADDRESS_BOOK_H_

#include <boost/asio/ip/tcp.hpp>
#include <chrono>
#include <functional>
#include <map>
#include <mutex>
#include <utility>
#include <vector>

namespace leasegateway {

// In which order a host's addresses are tried: families by turns (RFC 8305, section 4), and those
// that were set aside last, though never left out. Thread-safe; never waits.
class AddressBook {
 public:
  using Endpoint = boost::asio::ip::tcp::endpoint;
  using TimePoint = std::chrono::steady_clock::time_point;

  // How long an address is set aside, unless it is tried all the same and works.
  static constexpr std::chrono::seconds kSetAsideTime{30};

  explicit AddressBook(std::function<TimePoint()> now = std::chrono::steady_clock::now)
      : now_(std::move(now)) {}

  // `found` as the look-up has it, best first (RFC 6724): the family of the first begins. Of those
  // set aside the one that was first comes first.
  std::vector<Endpoint> InOrder(const std::vector<Endpoint>& found);

  // It can't be connected to, is slow to, or doesn't finish a TLS handshake.
  void SetAside(const Endpoint& address);
  // A TLS handshake with it succeeded.
  void Worked(const Endpoint& address);

 private:
  const std::function<TimePoint()> now_;
  std::mutex mutex_;
  std::map<Endpoint, TimePoint> set_aside_;  // since when; at most kSetAsideTime ago
};

}  // namespace leasegateway

#endif  // LEASE_GATEWAY_UPSTREAM_TRANSPORT_ADDRESS_BOOK_H_
